//! A request's head: what it asks of the proxy, and what of it is sent on.

use cloud_code_model::network::{canonical, split_port};

/// Headers of one request.
const MAX_HEADERS: usize = 100;
/// Headers that are for the proxy and not for who is behind it: <https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1>
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "host",
];

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// `CONNECT host:port`.
    Tunnel { host: String, port: u16 },
    /// A plain request to a whole address, and its head as it goes to the host.
    Forward { host: String, port: u16, head: Vec<u8> },
    /// Something of the proxy itself.
    Own { path: String },
}

/// Why a head can't be followed: the answer's status and words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str);

/// Reads the head at the beginning of `bytes`: what it asks and its length. `None` while it is not complete.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Ask, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal(431, "too many headers")),
        Err(_) => return Err(Refusal(400, "this is no HTTP/1.1 request")),
    };
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let ask = if method == "CONNECT" {
        let (host, port) = authority(target, None)?;
        Ask::Tunnel { host, port }
    } else if target.starts_with('/') {
        Ask::Own { path: target.to_owned() }
    } else {
        forward(method, target, request.headers)?
    };
    Ok(Some((ask, length)))
}

fn forward(method: &str, target: &str, headers: &[httparse::Header<'_>]) -> Result<Ask, Refusal> {
    let (scheme, rest) = target.split_once("://").ok_or(Refusal(400, "the target is no address"))?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(Refusal(400, "only http:// goes through without CONNECT"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (name, path) = rest.split_at(end);
    if name.contains('@') {
        return Err(Refusal(400, "the address has a user in it"));
    }
    let (host, port) = authority(name, Some(80))?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    // The host that was asked for is the host that is named: it is looked up in the list, whatever `Host` says.
    let mut head =
        format!("{method} {slash}{path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n").into_bytes();
    let named: Vec<String> = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("connection"))
        .flat_map(|header| {
            String::from_utf8_lossy(header.value)
                .to_ascii_lowercase()
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    for header in headers {
        let name = header.name.to_ascii_lowercase();
        if HOP_BY_HOP.contains(&name.as_str()) || named.contains(&name) {
            continue;
        }
        head.extend_from_slice(header.name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(header.value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Ok(Ask::Forward { host, port, head })
}

fn authority(text: &str, default: Option<u16>) -> Result<(String, u16), Refusal> {
    let (host, port) = split_port(text).ok_or(Refusal(400, "the host has no port that is one"))?;
    match port.or(default) {
        Some(port) if !host.is_empty() => Ok((canonical(host), port)),
        _ => Err(Refusal(400, "the host and its port are missing")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn asked(text: &str) -> Result<Option<Ask>, Refusal> {
        read(text.as_bytes()).map(|found| found.map(|(ask, _)| ask))
    }

    #[test]
    fn heads_are_read() {
        let tunnel = |host: &str, port| Ok(Some(Ask::Tunnel { host: host.to_owned(), port }));
        assert_eq!(asked("CONNECT A.b:443 HTTP/1.1\r\n\r\n"), tunnel("a.b", 443));
        assert_eq!(asked("CONNECT [::1]:22 HTTP/1.1\r\nHost: x\r\n\r\n"), tunnel("::1", 22));
        assert_eq!(asked("CONNECT a.b:443 HTTP/1.1\r\n"), Ok(None));
        assert_eq!(asked("GET /x HTTP/1.1\r\n\r\n"), Ok(Some(Ask::Own { path: "/x".to_owned() })));
        for (text, status) in [
            ("CONNECT a.b HTTP/1.1\r\n\r\n", 400),
            ("CONNECT a.b:0 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT :443 HTTP/1.1\r\n\r\n", 400),
            ("GET https://a.b/ HTTP/1.1\r\n\r\n", 400),
            ("GET http://u:p@a.b/ HTTP/1.1\r\n\r\n", 400),
            ("GET ftp://a HTTP/1.1\r\n\r\n", 400),
            ("GET http:///x HTTP/1.1\r\n\r\n", 400),
            ("\x16\x03\x01\x02", 400),
            (&format!("GET http://a/ HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101)), 431),
        ] {
            assert_eq!(asked(text).unwrap_err().0, status, "{text}");
        }
    }

    #[test]
    fn a_plain_request_is_sent_on_to_whom_it_names() {
        let text = "POST http://A.b:8080/p?q HTTP/1.1\r\nHost: other.example\r\nProxy-Authorization: x\r\nconnection: X-Hop, close\r\n\
                    X-Hop: 1\r\nContent-Length: 2\r\nX-Kept: \u{e4}\r\n\r\nhi";
        let (ask, length) = read(text.as_bytes()).unwrap().unwrap();
        let Ask::Forward { host, port, head } = ask else { panic!("{ask:?}") };
        assert_eq!((host.as_str(), port, &text[length..]), ("a.b", 8080, "hi"));
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "POST /p?q HTTP/1.1\r\nHost: A.b:8080\r\nConnection: close\r\nContent-Length: 2\r\nX-Kept: \u{e4}\r\n\r\n"
        );
        let Some((Ask::Forward { port, head, .. }, _)) = read(b"GET http://a?x HTTP/1.1\r\n\r\n").unwrap()
        else {
            panic!()
        };
        assert_eq!(port, 80);
        assert!(head.starts_with(b"GET /?x HTTP/1.1\r\nHost: a\r\n"));
    }
}
