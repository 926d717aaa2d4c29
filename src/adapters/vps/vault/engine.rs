//! The KV engine's two versions: paths and bodies (api-docs/secret/kv/kv-v1 and kv-v2 of hashicorp/vault).

use super::KvVersion;
use super::answer::Answer;
use serde_json::{Value, json};
use std::fmt;

/// The path below the mount where none is given.
const PREFIX: &str = "cloud-code";

/// An engine, and our path in it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) version: KvVersion,
    mount: String,
    prefix: String,
}

impl Engine {
    pub(super) fn new(version: KvVersion, mount: &str, prefix: &str) -> Self {
        let prefix = if prefix.is_empty() { PREFIX } else { prefix };
        Self { version, mount: mount.to_owned(), prefix: prefix.to_owned() }
    }

    /// The engine that Vault says `path` is in: a mount's name may have slashes itself.
    pub(super) fn find(path: &str, answer: &Answer) -> Result<Self, String> {
        let data = answer.data();
        let mount = data["path"].as_str().unwrap_or_default().trim_matches('/');
        let kind = data["type"].as_str().unwrap_or_default();
        let prefix = path.strip_prefix(mount).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let (Some(prefix), false) = (prefix, mount.is_empty()) else {
            return Err(format!(
                "it does not say where `{path}` is mounted; add ?kv=1 or ?kv=2 to SECRETS_URL"
            ));
        };
        // Version 1 was called `generic` once.
        if !["kv", "generic"].contains(&kind) {
            return Err(format!(
                "the engine at `{mount}` is of the type `{kind}`, not `kv`; name a KV engine in SECRETS_URL"
            ));
        }
        let version = match data["options"]["version"].as_str() {
            Some("2") => KvVersion::Two,
            _ => KvVersion::One,
        };
        Ok(Self::new(version, mount, prefix.trim_matches('/')))
    }

    /// Where an entry's content is.
    pub(super) fn data(&self, entry: &str) -> String {
        match self.version {
            KvVersion::One => format!("{}/{}/{entry}", self.mount, self.prefix),
            KvVersion::Two => format!("{}/data/{}/{entry}", self.mount, self.prefix),
        }
    }

    /// Where entries are listed, and deleted with all of their versions.
    pub(super) fn metadata(&self, entry: &str) -> String {
        match self.version {
            KvVersion::One => self.data(entry),
            KvVersion::Two => format!("{}/metadata/{}/{entry}", self.mount, self.prefix),
        }
    }

    /// What is written for this content.
    pub(super) fn body(&self, content: Value) -> Value {
        match self.version {
            KvVersion::One => content,
            KvVersion::Two => json!({ "data": content }),
        }
    }

    /// The content in the `data` of an answer.
    pub(super) fn content<'a>(&self, data: &'a Value) -> &'a Value {
        match self.version {
            KvVersion::One => data,
            KvVersion::Two => &data["data"],
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            KvVersion::One => 1,
            KvVersion::Two => 2,
        };
        write!(f, "KV version {version} at {}, path {}", self.mount, self.prefix)
    }
}
