//! Secrets of organisations, repositories and environments.

use async_trait::async_trait;
use std::fmt;

/// A value that no `Debug`, `Display` or serialisation shows.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whose secret it is. The narrowest that has a name wins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A user's or an organisation's.
    Organisation(String),
    /// A repository's, `owner/name`.
    Repository(String),
    /// An environment's of a repository.
    Environment(String, String),
}

impl Scope {
    /// Reads `acme`, `acme/shop` or `acme/shop/production`.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let safe = |part: &&str| {
            !part.is_empty()
                && part.len() <= 100
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if !parts.iter().all(safe) {
            return None;
        }
        match parts[..] {
            [owner] => Some(Self::Organisation(owner.to_lowercase())),
            [owner, name] => Some(Self::Repository(format!("{owner}/{name}").to_lowercase())),
            [owner, name, environment] => {
                Some(Self::Environment(format!("{owner}/{name}").to_lowercase(), environment.to_lowercase()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organisation(owner) => f.write_str(owner),
            Self::Repository(name) => f.write_str(name),
            Self::Environment(repository, environment) => write!(f, "{repository}/{environment}"),
        }
    }
}

/// A secret's name: `[A-Z_][A-Z0-9_]*`, at most 100 characters, as an environment variable has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

impl SecretName {
    /// Reads a name; `None` where it can't be one. Lower-case letters are raised, as GitHub does. A job gets secrets as variables of its
    /// environment, so that what means something else there is no name, and, as on GitHub, nothing that begins with `GITHUB_`.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.to_ascii_uppercase();
        let valid = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && name.len() <= 100
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            && !["GITHUB_", "CLOUD_CODE", "LD_"].iter().any(|prefix| name.starts_with(prefix))
            && !["PATH", "HOME"].contains(&name.as_str());
        valid.then_some(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the secret store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It can't be reached, read or written.
    #[error("the secret store is unavailable: {0}")]
    Unavailable(String),
    /// It can be read but its content can't be believed: a wrong key, or it was tampered with.
    #[error("the secret store can't be opened: {0}")]
    Sealed(String),
}

/// Keeps secrets.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The value under exactly this scope.
    async fn get(&self, scope: &Scope, name: &SecretName) -> Result<Option<SecretText>, SecretError>;

    /// Sets or replaces a value, of up to 64 KiB wherever it is kept.
    async fn set(&self, scope: &Scope, name: &SecretName, value: &SecretText) -> Result<(), SecretError>;

    /// Removes it; says whether it was there.
    async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, SecretError>;

    /// The names under exactly this scope, sorted; never values.
    async fn list(&self, scope: &Scope) -> Result<Vec<SecretName>, SecretError>;

    /// Whether it can be used now, and which it is; `, but ` stands before what is to be mended all the same.
    async fn check(&self) -> Result<String, SecretError>;
}
