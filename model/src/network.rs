//! Which hosts a job may reach: patterns, presets, and whether a host is allowed by them.

/// What a job's container may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// Nothing at all.
    None,
    /// What the list allows, by a proxy that is its only way out.
    Restricted(AllowList),
    /// All that this machine reaches.
    #[default]
    Open,
}

/// Hosts of the services that the coding CLIs talk to.
const LLM: &[&str] = &[
    "api.anthropic.com",
    "api.openai.com",
    "chatgpt.com",
    "generativelanguage.googleapis.com",
    "aiplatform.googleapis.com",
    "*.aiplatform.googleapis.com",
    "oauth2.googleapis.com",
    "*.amazonaws.com",
    "openrouter.ai",
];

/// Hosts of package registries.
const PACKAGES: &[&str] = &[
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "pypi.org",
    "files.pythonhosted.org",
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "proxy.golang.org",
    "sum.golang.org",
    "rubygems.org",
    "index.rubygems.org",
    "repo.maven.apache.org",
    "repo1.maven.org",
    "plugins.gradle.org",
    "api.nuget.org",
    "repo.packagist.org",
    "hex.pm",
    "repo.hex.pm",
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "security.ubuntu.com",
    "dl-cdn.alpinelinux.org",
];

/// The presets by name.
const PRESETS: [(&str, &[&str]); 2] = [("@llm", LLM), ("@packages", PACKAGES)];

/// Patterns of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// Lower case; the name itself, or what follows `*.`.
    name: String,
    below: bool,
    /// `None`: 80 and 443.
    port: Option<u16>,
}

/// A pattern that cannot be used; the fault of whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no host: write a name (example.com), a name's subdomains (*.example.com), either with a port (example.com:8443), or a preset (@llm, @packages)"
)]
pub struct PatternError(pub String);

impl AllowList {
    /// Reads patterns: `example.com`, `*.example.com`, each with `:PORT` where it is another than 80 and 443, or a preset.
    ///
    /// # Errors
    /// [`PatternError`] with the first that cannot be used.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<AllowList, PatternError> {
        let mut list = Vec::new();
        for text in patterns.into_iter().map(str::trim).filter(|text| !text.is_empty()) {
            if let Some((_, names)) = PRESETS.iter().find(|(name, _)| *name == text) {
                for name in *names {
                    list.push(pattern(name)?);
                }
            } else {
                list.push(pattern(text)?);
            }
        }
        Ok(AllowList(list))
    }

    /// Is this host allowed at this port? Addresses only where the list has them as they are.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().any(|pattern| {
            let named = if pattern.below {
                host.strip_suffix(&pattern.name).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            } else {
                host == pattern.name
            };
            named && pattern.port.map_or(port == 80 || port == 443, |allowed| allowed == port)
        })
    }

    /// The patterns as [`AllowList::parse`] reads them.
    pub fn patterns(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|Pattern { name, below, port }| {
            let name = if name.contains(':') { format!("[{name}]") } else { name.clone() };
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}{name}{port}", if *below { "*." } else { "" })
        })
    }
}

fn pattern(text: &str) -> Result<Pattern, PatternError> {
    let fault = || PatternError(text.to_owned());
    let (name, port) = split_port(text).ok_or_else(fault)?;
    let (name, below) = name.strip_prefix("*.").map_or((name, false), |name| (name, true));
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // `*.com` would be half of the world.
    let is_name = name.split('.').all(plain) && (!below || name.contains('.'));
    let is_v6 = name.matches(':').count() > 1
        && name.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    if !(is_name || (!below && is_v6)) {
        return Err(fault());
    }
    Ok(Pattern { name: name.to_ascii_lowercase(), below, port })
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
pub fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((address, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((address, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((text, None)),
    }
}

/// The pattern for the host of a URL, with its port where that is not the scheme's.
pub fn host_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = split_port(authority)?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let usual = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    Some(match port.filter(|port| *port != usual) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_a_list_allows() {
        let list =
            AllowList::parse(["example.com", "*.Example.org", "h:8443", "[::1]:80", "10.0.0.1", "@packages"])
                .unwrap();
        for (host, port, allowed) in [
            ("example.com", 443, true),
            ("EXAMPLE.com.", 80, true),
            ("example.com", 22, false),
            ("www.example.com", 443, false),
            ("notexample.com", 443, false),
            ("example.org", 443, false),
            ("a.b.example.org", 443, true),
            (".example.org", 443, false),
            ("evilexample.org", 443, false),
            ("h", 8443, true),
            ("h", 443, false),
            ("::1", 80, true),
            ("::1", 81, false),
            ("10.0.0.1", 443, true),
            ("10.0.0.2", 443, false),
            ("index.crates.io", 443, true),
            ("api.anthropic.com", 443, false),
            ("example.com.evil.net", 443, false),
            ("", 443, false),
        ] {
            assert_eq!(list.allows(host, port), allowed, "{host}:{port}");
        }
        let again: Vec<String> = list.patterns().collect();
        assert_eq!(AllowList::parse(again.iter().map(String::as_str)).unwrap(), list);
    }

    #[test]
    fn patterns_that_are_none() {
        for bad in [
            "*",
            "*.com",
            "a b",
            "http://x",
            "x:99999",
            "a..b",
            "*.*.x.y",
            "@nothing",
            "x/y",
            "*.10.0.0.1:x",
            "[::1",
        ] {
            assert!(AllowList::parse([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_of_urls() {
        for (url, host) in [
            ("https://api.example.com/v1", Some("api.example.com")),
            ("http://h:8700/v1", Some("h:8700")),
            ("https://h:443", Some("h")),
            ("http://[::1]:9/x", Some("[::1]:9")),
            ("https://user:pass@h/x", Some("h")),
            ("h", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }
}
