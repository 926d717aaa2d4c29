//! Making the adapter from its settings, and finding out whether GitHub agrees with them.

use super::bodies::{AppBody, Numbered};
use super::deliveries::Quiet;
use super::reads::PermissionCache;
use super::tokens::Tokens;
use super::transport::{Call, Transport, encoded};
use super::variables::VariableCache;
use super::writes::WriteGate;
use super::{GitHubConfig, GitHubForge};
use crate::ports::ForgeError;
use octocrab::jsonwebtoken::EncodingKey;
use std::sync::Arc;

/// What the App must be granted, with at least this access.
const PERMISSIONS: [(&str, &str); 5] = [
    ("metadata", "read"),
    ("contents", "write"),
    ("issues", "write"),
    ("pull_requests", "write"),
    ("checks", "write"),
];
/// What the App must be subscribed to.
const EVENTS: [&str; 2] = ["issues", "issue_comment"];

/// Settings with which GitHub can't be reached.
#[derive(Debug, thiserror::Error)]
pub enum GitHubSetupError {
    /// An address that is none. The texts name the variable, and never show a key.
    #[error("{variable} must be an http or https address without a query, e.g. {example}")]
    Address {
        /// The environment variable it comes from.
        variable: &'static str,
        /// A good one.
        example: &'static str,
    },
    /// The key can't be read.
    #[error(
        "GITHUB_PRIVATE_KEY (or the file that GITHUB_PRIVATE_KEY_FILE names) is not an RSA private key in PEM: \
         make one on the App's page under “Private keys” and give the downloaded file as it is"
    )]
    Key,
    /// No TLS roots, or a connection pool that can't be made.
    #[error("the connection to GitHub can't be set up: {0}")]
    Transport(String),
}

impl GitHubForge {
    /// A forge for these settings; asks GitHub nothing yet. Must be called within a Tokio runtime, which the connection
    /// pool runs on.
    ///
    /// # Errors
    /// [`GitHubSetupError`] where an address or the key can't be read.
    pub fn new(config: GitHubConfig) -> Result<Self, GitHubSetupError> {
        let api_url = address("GITHUB_API_URL", "https://api.github.com", &config.api_url)?;
        let web_url = address("GITHUB_URL", "https://github.com", &config.web_url)?;
        // Environment files often hold a PEM on one line.
        let pem = config.private_key_pem.reveal().replace("\\n", "\n");
        let key = EncodingKey::from_rsa_pem(pem.trim().as_bytes()).map_err(|_| GitHubSetupError::Key)?;
        let transport = Transport::new(&api_url, Arc::clone(&config.clock))
            .map_err(|error| GitHubSetupError::Transport(error.to_string()))?;
        let host = web_url.split_once("://").map_or("", |(_, rest)| rest).to_owned();
        Ok(Self {
            tokens: Tokens::new(transport, Arc::clone(&config.clock), config.app_id, key),
            writes: WriteGate::default(),
            permissions: PermissionCache::default(),
            variables: VariableCache::default(),
            quiet: Quiet::default(),
            clock: config.clock,
            web_url,
            host,
            app_id: config.app_id,
            slug: config.slug,
        })
    }

    /// The number of the App's installation that covers a repository.
    ///
    /// # Errors
    /// [`ForgeError::NotFound`] where the App is not installed for it.
    pub async fn installation(&self, owner: &str, name: &str) -> Result<u64, ForgeError> {
        let call = Call::get(format!("/repos/{}/{}/installation", encoded(owner), encoded(name)));
        let found: Numbered = match self.tokens.as_app(&call).await {
            Ok(reply) => reply.read()?,
            Err(ForgeError::NotFound(_)) => {
                return Err(ForgeError::NotFound(format!(
                    "the App {} is not installed for {owner}/{name}",
                    self.slug
                )));
            }
            Err(error) => return Err(error),
        };
        Ok(found.id)
    }

    pub(super) async fn describe_app(&self) -> Result<String, ForgeError> {
        let app: AppBody = self.tokens.as_app(&Call::get("/app".to_owned())).await?.read()?;
        let slug = app.slug.clone().unwrap_or_else(|| self.slug.clone());
        let lacks = lacks(&app, self.app_id, &self.slug);
        Ok(if lacks.is_empty() {
            format!("GitHub App {slug} (id {}): credentials, permissions and events are as needed", app.id)
        } else {
            format!("GitHub App {slug} (id {}): credentials accepted, but {}", app.id, lacks.join("; "))
        })
    }
}

/// What an App needs changed, for people.
fn lacks(app: &AppBody, app_id: u64, slug: &str) -> Vec<String> {
    let mut lacks = Vec::new();
    if app.id != app_id {
        lacks.push(format!("GITHUB_APP_ID is {app_id}"));
    }
    if app.slug.as_deref().is_some_and(|real| real != slug) {
        lacks.push(format!("GITHUB_APP_NAME is {slug}: our own comments would not be known as ours"));
    }
    let granted = |name: &str, needed: &str| {
        app.permissions
            .get(name)
            .is_some_and(|access| access == needed || access == "write" || access == "admin")
    };
    for (name, access) in PERMISSIONS {
        if !granted(name, access) {
            lacks.push(format!("it lacks the permission {name}: {access}"));
        }
    }
    for event in EVENTS {
        if !app.events.iter().any(|subscribed| subscribed == event) {
            lacks.push(format!("it is not subscribed to the event {event}"));
        }
    }
    lacks
}

/// An address without a slash at its end.
fn address(variable: &'static str, example: &'static str, text: &str) -> Result<String, GitHubSetupError> {
    let wrong = GitHubSetupError::Address { variable, example };
    let text = text.trim().trim_end_matches('/');
    let Ok(uri) = text.parse::<http::Uri>() else { return Err(wrong) };
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain =
        uri.query().is_none() && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if web && plain { Ok(text.to_owned()) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("https://api.github.com", Some("https://api.github.com")),
            ("https://ghe.example/api/v3/", Some("https://ghe.example/api/v3")),
            ("http://127.0.0.1:4000", Some("http://127.0.0.1:4000")),
            ("ghe.example", None),
            ("ftp://ghe.example", None),
            ("https://user:pass@ghe.example", None),
            ("https://ghe.example/?x", None),
            ("", None),
        ] {
            assert_eq!(address("GITHUB_URL", "x", text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_an_app_lacks_is_named() {
        let app = |json: serde_json::Value| serde_json::from_value::<AppBody>(json).unwrap();
        let all = serde_json::json!({
            "metadata": "read", "contents": "write", "issues": "write", "pull_requests": "write", "checks": "write"
        });
        let events = serde_json::json!(["issues", "issue_comment", "push"]);
        let good = app(serde_json::json!({ "id": 1, "slug": "cc", "permissions": all, "events": events }));
        assert_eq!(lacks(&good, 1, "cc"), Vec::<String>::new());
        let poor = app(
            serde_json::json!({ "id": 1, "slug": "cc", "permissions": { "contents": "read" }, "events": ["issues"] }),
        );
        insta::assert_snapshot!(lacks(&poor, 2, "dd").join("\n"), @r"
        GITHUB_APP_ID is 2
        GITHUB_APP_NAME is dd: our own comments would not be known as ours
        it lacks the permission metadata: read
        it lacks the permission contents: write
        it lacks the permission issues: write
        it lacks the permission pull_requests: write
        it lacks the permission checks: write
        it is not subscribed to the event issue_comment
        ");
    }
}
