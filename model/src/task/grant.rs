//! What an attempt is given that shares no disk with the orchestrator: links to its files, its secrets, and what it checks out.
//!
//! A grant is a file of its own beside `tasking.yaml`. A later one carries links only; the rest is needed once, at the start.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A grant. `Debug` shows no link and no secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// [`super::VERSION`].
    pub version: u32,
    /// The attempt it is for, as its name.
    pub attempt: String,
    /// When its links end.
    pub expires_at: Timestamp,
    /// Links by which a file is read (`GET`), by the file's name: `tasking.yaml`, `grant.json`.
    pub get: BTreeMap<String, String>,
    /// Links by which a file is written (`PUT`), by the file's name.
    pub put: BTreeMap<String, String>,
    /// Secrets of the job, by the names of their environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// What to check out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<GrantedCheckout>,
}

/// What to check out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedCheckout {
    /// The repository's address, without credentials.
    pub url: String,
    /// Names it: `host/owner/name`.
    pub key: String,
    /// Opens it for reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The commit to stand at.
    pub base: String,
    /// The branch to make.
    pub branch: String,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("attempt", &self.attempt)
            .field("expires_at", &self.expires_at)
            .field("get", &self.get.keys())
            .field("put", &self.put.keys())
            .field("secrets", &self.secrets.keys())
            .field("checkout", &self.checkout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GrantedCheckout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantedCheckout")
            .field("url", &self.url)
            .field("base", &self.base)
            .field("branch", &self.branch)
            .finish_non_exhaustive()
    }
}

/// Why a grant was not read.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// It is no grant.
    #[error("this is no grant: {0}")]
    Malformed(String),
    /// A newer orchestrator wrote it.
    #[error("the grant has version {0}, and this agent reads only {current}; use an agent image of the orchestrator's version", current = super::VERSION)]
    Version(u32),
}

impl Grant {
    /// Reads a grant. The error repeats nothing of the text.
    ///
    /// # Errors
    /// [`GrantError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GrantError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let malformed = |error: serde_json::Error| {
            GrantError::Malformed(format!("line {}, column {}", error.line(), error.column()))
        };
        let Versioned { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version != super::VERSION {
            return Err(GrantError::Version(version));
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn grant() -> Grant {
        Grant {
            version: super::super::VERSION,
            attempt: "cloud-code-r-1-job-1".to_owned(),
            expires_at: "2026-11-23T01:02:03Z".parse().unwrap(),
            get: BTreeMap::from([("tasking.yaml".to_owned(), "https://bucket/link?sig".to_owned())]),
            put: BTreeMap::new(),
            secrets: BTreeMap::from([("KEY".to_owned(), "hunter2".to_owned())]),
            checkout: Some(GrantedCheckout {
                url: "https://github.com/acme/shop.git".to_owned(),
                key: "github.com/acme/shop".to_owned(),
                token: Some("ghs_token".to_owned()),
                base: "9f2c".to_owned(),
                branch: "cloud-code/issue-42".to_owned(),
            }),
        }
    }

    #[test]
    fn grants_come_back_and_show_no_secret() {
        let bytes = serde_json::to_vec(&grant()).unwrap();
        assert_eq!(Grant::parse(&bytes).unwrap(), grant());
        let shown = format!("{:?}", grant());
        for secret in ["hunter2", "ghs_token", "sig"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn what_is_no_grant_is_told_without_its_text() {
        for (bytes, words) in [
            (&b"hunter2"[..], "no grant"),
            (br#"{"version":1,"secrets":{"KEY":["hunter2"]}}"#, "no grant"),
            (br#"{"version":2,"x":"hunter2"}"#, "version 2"),
        ] {
            let error = Grant::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("hunter2"), "{error}");
        }
    }
}
