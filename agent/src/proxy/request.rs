//! A request to the proxy: where it goes, and what is passed on.

use cloud_code_model::network::split_port;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
}

/// A request's head, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) target: Target,
    /// What goes to the host instead of the head; `None` after `CONNECT`.
    pub(super) forwarded: Option<Vec<u8>>,
}

impl Request {
    /// Reads a head with its empty line; `None` where it is neither `CONNECT host:port` nor one for `http://`.
    pub(super) fn parse(head: &[u8]) -> Option<Request> {
        let head = str::from_utf8(head).ok()?;
        let (line, headers) = head.split_once("\r\n")?;
        let mut words = line.split(' ');
        let (method, address, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") {
            return None;
        }
        if method == "CONNECT" {
            let (host, port) = split_port(address)?;
            return Some(Request { target: Target { host: host.to_owned(), port: port? }, forwarded: None });
        }
        let rest = address
            .get(..7)
            .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
            .map(|_| &address[7..])?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) =
            split_port(authority).filter(|(host, _)| !host.is_empty() && !host.contains('@'))?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        // One request a connection: a second one could be for another host.
        let mut forwarded =
            format!("{method} {slash}{path} {version}\r\nHost: {authority}\r\nConnection: close\r\n");
        for header in headers.split("\r\n").filter(|header| !header.is_empty()) {
            let name = header.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
            if !matches!(name.as_str(), "host" | "connection" | "keep-alive") && !name.starts_with("proxy-") {
                forwarded.push_str(header);
                forwarded.push_str("\r\n");
            }
        }
        forwarded.push_str("\r\n");
        let target = Target { host: host.to_owned(), port: port.unwrap_or(80) };
        Some(Request { target, forwarded: Some(forwarded.into_bytes()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let check = |head: &str, expected: Option<(&str, u16, Option<&str>)>| {
            let found = Request::parse(head.as_bytes());
            let found = found.as_ref().map(|request| {
                let forwarded = request.forwarded.as_deref().and_then(|head| str::from_utf8(head).ok());
                (request.target.host.as_str(), request.target.port, forwarded)
            });
            assert_eq!(found, expected, "{head}");
        };
        check("CONNECT h:443 HTTP/1.1\r\nHost: other\r\n\r\n", Some(("h", 443, None)));
        check("CONNECT [::1]:443 HTTP/1.1\r\n\r\n", Some(("::1", 443, None)));
        check("CONNECT h HTTP/1.1\r\n\r\n", None);
        check(
            "GET http://h/a?b HTTP/1.1\r\nHost: other\r\nProxy-Authorization: x\r\nAccept: y\r\nConnection: keep-alive\r\n\r\n",
            Some(("h", 80, Some("GET /a?b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAccept: y\r\n\r\n"))),
        );
        check(
            "POST HTTP://h:8700 HTTP/1.1\r\n\r\n",
            Some(("h", 8700, Some("POST / HTTP/1.1\r\nHost: h:8700\r\nConnection: close\r\n\r\n"))),
        );
        check(
            "GET http://h?x HTTP/1.1\r\n\r\n",
            Some(("h", 80, Some("GET /?x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))),
        );
        check("GET http://a@h/ HTTP/1.1\r\n\r\n", None);
        check("GET https://h/ HTTP/1.1\r\n\r\n", None);
        check("GET /x HTTP/1.1\r\n\r\n", None);
        check("GET http://h/ HTTP/2\r\n\r\n", None);
        check("", None);
    }
}
