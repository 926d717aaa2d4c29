//! What was refused, each once.

use cloud_code_model::network::{is_address, is_name};

/// Hosts kept. What comes after them is refused as well, and not told.
const MAX_HOSTS: usize = 100;

/// The list, in the order in which hosts were first asked for.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    hosts: Vec<String>,
}

impl Blocked {
    /// Notes a host; whether it is a new one.
    pub(super) fn note(&mut self, host: &str, port: u16) -> bool {
        // What can't be a host is a stranger's text of any length.
        let host = match is_name(host) || (is_address(host) && host.len() <= 45) {
            true if host.contains(':') => format!("[{host}]"),
            true => host.to_owned(),
            false => "(no host name)".to_owned(),
        };
        let entry = if port == 443 || port == 80 { host } else { format!("{host}:{port}") };
        let new = self.hosts.len() < MAX_HOSTS && !self.hosts.contains(&entry);
        if new {
            self.hosts.push(entry);
        }
        new
    }

    /// One a line.
    pub(super) fn text(&self) -> String {
        self.hosts.iter().map(|host| format!("{host}\n")).collect()
    }

    /// The newest.
    pub(super) fn last(&self) -> &str {
        self.hosts.last().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_and_clean() {
        let mut blocked = Blocked::default();
        for (host, port) in [
            ("a.b", 443),
            ("a.b", 80),
            ("a.b", 22),
            ("::1", 443),
            ("10.0.0.1", 443),
            ("<b>\u{202e}", 443),
            (&"x".repeat(9999), 443),
        ] {
            blocked.note(host, port);
        }
        assert_eq!(blocked.text(), "a.b\na.b:22\n[::1]\n10.0.0.1\n(no host name)\n");
        for n in 0..1000 {
            blocked.note(&format!("h{n}.example"), 443);
        }
        assert_eq!(blocked.text().lines().count(), MAX_HOSTS);
    }
}
