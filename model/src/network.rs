//! What a job may reach over the network: modes, patterns of hosts, presets, and whether a host is on a job's list.
//!
//! Names only. What a name resolves to, and whether an address is a private one, is for whoever connects (the agent's proxy).

use crate::cli;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The name of the proxy in a job whose network is restricted: its own loopback, where the agent listens.
pub const PROXY_HOST: &str = "cloud-code-proxy";
/// The port.
pub const PROXY_PORT: u16 = 3128;

/// Which way out a job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// None at all.
    None,
    /// Through a proxy, to the hosts that are allowed.
    #[default]
    Restricted,
    /// Whatever its runner's network reaches.
    Open,
}

impl Mode {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Restricted => "restricted",
            Self::Open => "open",
        }
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::None, Self::Restricted, Self::Open].into_iter().find(|mode| mode.as_str() == text).ok_or(())
    }
}

/// `network:` of a job in a workflow, our extension: `network: none`, or `network: { mode: restricted, allow: [pypi, example.com] }`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobNetwork {
    /// The mode; `restricted` where only hosts are given.
    #[serde(default)]
    pub mode: Mode,
    /// Presets and patterns that are allowed beside those of the server.
    #[serde(default)]
    pub allow: Vec<String>,
}

/// The groups of hosts that have a name, but `llm`, whose hosts stand in [`cli::ALL`], and `registries`, which is all of [`REGISTRIES`].
const PRESETS: &[(&str, &[&str])] = &[
    ("crates", &["crates.io", "index.crates.io", "static.crates.io", "static.rust-lang.org"]),
    ("npm", &["registry.npmjs.org", "registry.yarnpkg.com"]),
    ("pypi", &["pypi.org", "files.pythonhosted.org"]),
    ("go", &["proxy.golang.org", "sum.golang.org"]),
    ("maven", &["repo.maven.apache.org", "repo1.maven.org", "plugins.gradle.org"]),
    ("rubygems", &["rubygems.org", "index.rubygems.org"]),
    ("nuget", &["api.nuget.org"]),
    ("debian", &["deb.debian.org", "security.debian.org"]),
    (
        "github",
        &[
            "github.com",
            "api.github.com",
            "codeload.github.com",
            "github-cloud.s3.amazonaws.com",
            "*.githubusercontent.com",
        ],
    ),
];
/// What `registries` stands for.
const REGISTRIES: &[&str] = &["crates", "npm", "pypi", "go", "maven", "rubygems", "nuget", "debian"];

/// The names of all presets, for messages.
pub fn presets() -> impl Iterator<Item = &'static str> {
    ["llm", "registries"].into_iter().chain(PRESETS.iter().map(|(name, _)| *name))
}

/// The patterns that a preset stands for, each once; `None` where there is no such preset.
pub fn preset(name: &str) -> Option<Vec<&'static str>> {
    let of = |wanted: &str| PRESETS.iter().find(|(name, _)| *name == wanted).map(|(_, hosts)| *hosts);
    let mut hosts: Vec<&str> = match name {
        "llm" => cli::ALL.iter().flat_map(|cli| cli.hosts).copied().collect(),
        "registries" => REGISTRIES.iter().filter_map(|name| of(name)).flatten().copied().collect(),
        other => of(other)?.to_vec(),
    };
    hosts.sort_unstable();
    hosts.dedup();
    Some(hosts)
}

/// Hosts that may be reached: `example.com` (ports 443 and 80), `*.example.com` (all below it, not itself), `example.com:8443`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    host: String,
    port: Option<u16>,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{pattern}` names no host: expected `example.com`, `*.example.com`, either with a port as in `example.com:8443`, or one \
     of the presets {}", presets().collect::<Vec<_>>().join(", ")
)]
pub struct PatternError {
    /// The text.
    pub pattern: String,
}

impl HostPattern {
    /// The very host and port of an address such as `http://host:8080/v1`; `None` where it has none.
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let default = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => 80,
            "https" | "wss" => 443,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let mut pattern: Self = authority.parse().ok()?;
        pattern.port = pattern.port.or(Some(default));
        Some(pattern).filter(|pattern| !pattern.is_wild())
    }

    /// Does it stand for more than one host?
    fn is_wild(&self) -> bool {
        self.host.starts_with('*')
    }

    /// Whether it is an address and no name.
    pub fn is_address(&self) -> bool {
        is_address(&self.host)
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        let host_fits = match self.host.strip_prefix('*') {
            // `*.a` is all below a; `*-a.b` is one label that ends so.
            Some(end) => host.strip_suffix(end).is_some_and(|begin| {
                !begin.is_empty() && !is_address(host) && (end.starts_with('.') || !begin.contains('.'))
            }),
            None => host == self.host,
        };
        host_fits && self.port.map_or(port == 443 || port == 80, |only| only == port)
    }
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let fault = || PatternError { pattern: text.chars().take(300).collect() };
        let (host, port) = split_port(text.trim()).ok_or_else(fault)?;
        let host = canonical(host);
        let name = match host.strip_prefix('*') {
            // A star for whole top-level domains would allow nearly everything: `open` says that.
            Some(rest) if rest.starts_with(['.', '-']) && rest[1..].contains('.') => &rest[1..],
            Some(_) => return Err(fault()),
            None => &host,
        };
        let good = is_name(name) || (name == host && is_ipv6(name));
        if good { Ok(Self { host, port }) } else { Err(fault()) }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match (host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{host}]:{port}"),
            (true, None) => write!(f, "[{host}]"),
            (false, Some(port)) => write!(f, "{host}:{port}"),
            (false, None) => f.write_str(host),
        }
    }
}

/// `host`, `host:port`, `[v6]:port`; `None` where the port is no port.
pub fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && !text.starts_with('+'));
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(text) => Some((host, Some(port(text)?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        None => Some((text, None)),
        Some((host, text)) => Some((host, Some(port(text)?))),
    }
}

/// A host as it is compared: small letters, no dot at its end.
pub fn canonical(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Whether a host is an address in any of the forms that a resolver takes for one: `127.1` and `0x7f000001` are too.
pub fn is_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    host.contains(':') || hexadecimal || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether it can be a host's name (or an IPv4 address): <https://www.rfc-editor.org/rfc/rfc1123#section-2>, and `_`, which resolvers take.
pub fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && host.split('.').all(label)
}

fn is_ipv6(host: &str) -> bool {
    (2..=45).contains(&host.len())
        && host.contains(':')
        && host.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

/// What a job may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList {
    /// Hosts that may be reached where their addresses are public.
    pub hosts: Vec<HostPattern>,
    /// Hosts that the operator named, each by its very name: their addresses may be private.
    pub named: Vec<HostPattern>,
}

/// What may be done about a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may not be reached.
    Refused,
    /// It may be reached at public addresses.
    Public,
    /// It may be reached, also at private addresses.
    Named,
}

impl AllowList {
    /// Adds presets and patterns of the operator: what is named in full may have a private address.
    ///
    /// # Errors
    /// The first that is neither preset nor pattern.
    pub fn add_operators(
        &mut self,
        entries: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), PatternError> {
        self.add(entries, true)
    }

    /// Adds presets and patterns of a workflow, which opens no private address.
    ///
    /// # Errors
    /// The first that is neither preset nor pattern, or is an address.
    pub fn add_workflows(
        &mut self,
        entries: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), PatternError> {
        self.add(entries, false)
    }

    fn add(
        &mut self,
        entries: impl IntoIterator<Item = impl AsRef<str>>,
        operator: bool,
    ) -> Result<(), PatternError> {
        for entry in entries {
            let entry = entry.as_ref().trim();
            if let Some(hosts) = preset(entry) {
                self.hosts.extend(hosts.into_iter().filter_map(|host| host.parse().ok()));
                continue;
            }
            let pattern: HostPattern = entry.parse()?;
            match (operator, pattern.is_wild()) {
                (true, false) => self.named.push(pattern),
                (false, false) if pattern.is_address() => {
                    return Err(PatternError { pattern: entry.to_owned() });
                }
                _ => self.hosts.push(pattern),
            }
        }
        Ok(())
    }

    /// Adds the host of an address that the operator set, such as `ANTHROPIC_BASE_URL`; one that is no address is left out.
    pub fn add_url(&mut self, url: &str) {
        self.named.extend(HostPattern::of_url(url));
    }

    /// Leaves each pattern once.
    pub fn dedup(&mut self) {
        for patterns in [&mut self.hosts, &mut self.named] {
            let mut seen = std::collections::HashSet::new();
            patterns.retain(|pattern| seen.insert(pattern.clone()));
        }
    }

    /// Whether `host` (as [`canonical`] has it) may be reached at `port`.
    pub fn verdict(&self, host: &str, port: u16) -> Verdict {
        let listed = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.matches(host, port));
        if listed(&self.named) {
            Verdict::Named
        } else if !is_address(host) && listed(&self.hosts) {
            Verdict::Public
        } else {
            Verdict::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            let parsed: HostPattern = pattern.parse().unwrap();
            for (hosts, expected) in [(yes, true), (no, false)] {
                for host in hosts {
                    let (name, port) = split_port(host).unwrap();
                    assert_eq!(
                        parsed.matches(&canonical(name), port.unwrap_or(443)),
                        expected,
                        "{pattern} {host}"
                    );
                }
            }
        };
        check(
            "Example.com",
            &["example.com", "EXAMPLE.com.", "example.com:80"],
            &["www.example.com", "example.com:22", "xexample.com", "example.com.evil.org"],
        );
        check(
            "*.crates.io",
            &["static.crates.io", "a.b.crates.io"],
            &["crates.io", "xcrates.io", ".crates.io"],
        );
        check("host:8443", &["host:8443"], &["host", "host:80"]);
        check("*.a.b:1", &["x.a.b:1"], &["x.a.b"]);
        check("*-run.api.io", &["eu-run.api.io"], &["x.eu-run.api.io", "-run.api.io", "run.api.io"]);
        check("[::1]:80", &["[::1]:80"], &["[::2]:80"]);
    }

    #[test]
    fn what_is_no_pattern_is_said_so() {
        for text in [
            "",
            "*",
            "*.",
            "*.com",
            "*a.b.c",
            "a.*.b",
            "a b",
            "a:0",
            "a:x",
            "a:70000",
            "a:+1",
            "http://a.b",
            "a/b",
            "ä.b",
            "a..b",
            "[::1",
            "*.*.b.c",
            "::1",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
        let error = "*".parse::<HostPattern>().unwrap_err().to_string();
        assert!(error.contains("`*`") && error.contains("registries"), "{error}");
    }

    #[test]
    fn addresses_are_told_from_names() {
        for host in ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "::1", "1.2.3.0x4", "a.0x"] {
            assert!(is_address(host), "{host}");
        }
        for host in ["a", "1.example", "0x.example", "example.com", "4chan.org"] {
            assert!(!is_address(host), "{host}");
        }
    }

    #[test]
    fn who_named_a_host_decides_how_far_it_goes() {
        let mut list = AllowList::default();
        list.add_operators(["llm", "intranet.example:8080", "10.0.0.5:11434", "*.corp.example"]).unwrap();
        list.add_workflows(["pypi", "docs.example"]).unwrap();
        list.add_url("http://user:pass@host.docker.internal:4000/v1");
        list.add_url("https://llm.example/v1");
        list.add_url("not an address");
        for (host, port, expected) in [
            ("api.anthropic.com", 443, Verdict::Public),
            ("files.pythonhosted.org", 443, Verdict::Public),
            ("docs.example", 443, Verdict::Public),
            ("x.corp.example", 443, Verdict::Public),
            ("intranet.example", 8080, Verdict::Named),
            ("intranet.example", 443, Verdict::Refused),
            ("10.0.0.5", 11434, Verdict::Named),
            ("10.0.0.5", 22, Verdict::Refused),
            ("host.docker.internal", 4000, Verdict::Named),
            ("host.docker.internal", 80, Verdict::Refused),
            ("llm.example", 443, Verdict::Named),
            ("llm.example", 80, Verdict::Refused),
            ("evil.example", 443, Verdict::Refused),
            ("8.8.8.8", 443, Verdict::Refused),
        ] {
            assert_eq!(list.verdict(host, port), expected, "{host}:{port}");
        }
        assert!(list.add_workflows(["10.0.0.5:80"]).is_err(), "a workflow opens no address");
    }

    #[test]
    fn presets_hold_patterns() {
        for name in presets() {
            let hosts = preset(name).unwrap();
            assert!(!hosts.is_empty(), "{name}");
            for host in hosts {
                assert!(host.parse::<HostPattern>().is_ok(), "{name}: {host}");
            }
        }
        assert!(preset("llm").unwrap().contains(&"api.anthropic.com"));
        assert!(preset("registries").unwrap().contains(&"pypi.org"));
        assert!(preset("everything").is_none());
    }
}
