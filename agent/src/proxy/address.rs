//! Which addresses a job has no business at, whatever name led to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How near an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// In the public network.
    Public,
    /// In a private network: for hosts that the operator named.
    Private,
    /// This machine, its link and its cloud's metadata, and what is no host: for nobody that asks by a name.
    Local,
}

/// Where an address lies, by the IANA registries of special-purpose addresses:
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, <https://www.iana.org/assignments/iana-ipv6-special-registry>.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        // This network, loopback, link-local (169.254.169.254 has a cloud's credentials), multicast, reserved, broadcast.
        (0 | 127, ..) | (169, 254, _) | (224.., ..) => Reach::Local,
        // Private, shared (carrier-grade NAT), protocol assignments, documentation, 6to4 relays, benchmarks.
        (10, ..)
        | (172, 16..=31, _)
        | (192, 168, _)
        | (100, 64..=127, _)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => Reach::Private,
        // Azure's and Alibaba's own services for the machine: <https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>
        (168, 63, 129) if address == Ipv4Addr::new(168, 63, 129, 16) => Reach::Local,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let segments = address.segments();
    // An IPv4 address in another dress: mapped, NAT64 (well-known and local prefix), compatible.
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, _] => Reach::Local,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => inner(high, low).max(Reach::Private),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
        [0x64, 0xff9b, 1, ..] => Reach::Private,
        // 6to4 and Teredo lead to an IPv4 address too; nobody needs them.
        [0x2002, ..] | [0x2001, 0, ..] | [0x2001, 0xdb8, ..] => Reach::Private,
        // Link-local and multicast.
        [first, ..] if first & 0xffc0 == 0xfe80 || first & 0xff00 == 0xff00 => Reach::Local,
        // Global unicast is 2000::/3; all else is unique-local or not given out.
        [first, ..] if first & 0xe000 == 0x2000 => Reach::Public,
        _ => Reach::Private,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_lie_where_they_lie() {
        let check = |expected: Reach, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
            }
        };
        check(
            Reach::Public,
            &[
                "8.8.8.8",
                "172.15.0.1",
                "172.32.0.1",
                "100.63.0.1",
                "192.0.1.1",
                "2606:4700::1",
                "64:ff9b::808:808",
            ],
        );
        check(
            Reach::Private,
            &[
                "10.1.2.3",
                "172.17.0.1",
                "192.168.0.1",
                "100.64.0.1",
                "198.18.0.1",
                "192.0.2.1",
                "203.0.113.9",
                "fd00::1",
                "fc00::1",
                "64:ff9b::a00:1",
                "64:ff9b:1::1",
                "2002:a00:1::1",
                "::ffff:10.0.0.1",
                "::ffff:8.8.8.8",
                "2001:db8::1",
                "fd00:ec2::254",
            ],
        );
        check(
            Reach::Local,
            &[
                "127.0.0.1",
                "127.9.9.9",
                "0.0.0.0",
                "0.1.2.3",
                "169.254.169.254",
                "224.0.0.1",
                "255.255.255.255",
                "168.63.129.16",
                "::",
                "::1",
                "fe80::1",
                "ff02::1",
                "::ffff:127.0.0.1",
                "::ffff:169.254.169.254",
                "::127.0.0.1",
                "64:ff9b::a9fe:a9fe",
            ],
        );
    }
}
