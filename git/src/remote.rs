//! Where a repository lives elsewhere, and what opens it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use git2::{Direction, Oid};

use crate::GitError;
use crate::error::one_line;

/// A user name and a password or token, for HTTP Basic. Never written anywhere: not to a configuration, an error or a log.
#[derive(Clone)]
pub struct Credentials {
    /// For a GitHub App's installation token: `x-access-token`.
    pub username: String,
    /// Password or token, of any length.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A remote repository.
#[derive(Debug, Clone)]
pub struct Remote {
    pub(crate) url: String,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) timeout: Duration,
}

/// How long one HTTP exchange may take unless told otherwise: long enough for a first fetch of 1 GB.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

impl Remote {
    /// A remote at an `https://`, `http://` or `file://` URL or an absolute path.
    ///
    /// # Errors
    /// [`GitError::Invalid`] for any other address, and for one that carries credentials (the text does not repeat it).
    pub fn new(url: impl Into<String>) -> Result<Self, GitError> {
        let url = url.into();
        let scheme = url.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        match scheme.as_ref().map(|(scheme, rest)| (scheme.as_str(), rest)) {
            Some(("http" | "https", rest)) => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                if authority.is_empty() || authority.contains('@') || rest.contains(['?', '#']) {
                    return Err(GitError::Invalid(
                        "a repository's URL must be https://HOST/PATH with no user, password or query in it; \
                         credentials are given apart"
                            .into(),
                    ));
                }
            }
            Some(("file", rest)) if rest.starts_with('/') => {}
            None if url.starts_with('/') => {}
            _ => {
                return Err(GitError::Invalid(
                    "a repository's address must be an https://, http:// or file:// URL or an absolute path"
                        .into(),
                ));
            }
        }
        Ok(Self { url, credentials: None, timeout: DEFAULT_TIMEOUT })
    }

    /// With HTTP Basic credentials.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// With another limit on each HTTP exchange, its body included (30 minutes by default). Connecting has 10 s of it.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The address; it carries no credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder of a remote on this machine's disk.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let path = self.url.strip_prefix("file://").unwrap_or(&self.url);
        path.starts_with('/').then(|| PathBuf::from(path))
    }

    /// Runs something that talks to this remote, with its credentials and time limit in force on this thread, and tells
    /// failures apart.
    pub(crate) fn talk<T>(&self, operation: impl FnOnce() -> Result<T, git2::Error>) -> Result<T, GitError> {
        crate::setup::ready();
        let (result, failure) = crate::transport::with_call(self, operation);
        result.map_err(|error| failure.unwrap_or_else(|| self.translate(error)))
    }

    fn translate(&self, error: git2::Error) -> GitError {
        let remote = self.url.clone();
        let detail = one_line(error.message());
        match (error.code(), error.class()) {
            (git2::ErrorCode::Auth, _) => GitError::Authentication { remote, detail },
            _ if self.folder().is_some_and(|folder| !folder.exists()) => {
                GitError::NotFound { what: remote, hint: "there is no such folder".into() }
            }
            (_, git2::ErrorClass::Net | git2::ErrorClass::Http | git2::ErrorClass::Ssl) => {
                GitError::Network { remote, detail }
            }
            _ => GitError::from(error),
        }
    }
}

/// The object that a reference of the remote points at; `None` where there is no such reference.
///
/// One reference advertisement over HTTP; annotated tags are not peeled.
///
/// # Errors
/// As of any talk with a remote: [`GitError::Authentication`], [`GitError::NotFound`], [`GitError::Network`].
pub fn remote_ref(remote: &Remote, refname: &str) -> Result<Option<Oid>, GitError> {
    remote.talk(|| {
        let mut connection = git2::Remote::create_detached(remote.url())?;
        connection.connect(Direction::Fetch)?;
        let found = connection.list()?.iter().find(|head| head.name() == refname).map(git2::RemoteHead::oid);
        connection.disconnect()?;
        Ok(found)
    })
}

/// The branches of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteBranches {
    /// The branch that its HEAD names; `None` in an empty repository.
    pub default: Option<String>,
    /// Their tips, by their names without `refs/heads/`.
    pub tips: BTreeMap<String, Oid>,
}

/// The branches of the remote as they are now, by one reference advertisement and without fetching anything.
///
/// # Errors
/// As of any talk with a remote.
pub fn remote_branches(remote: &Remote) -> Result<RemoteBranches, GitError> {
    const HEADS: &str = "refs/heads/";
    remote.talk(|| {
        let mut connection = git2::Remote::create_detached(remote.url())?;
        connection.connect(Direction::Fetch)?;
        let heads = connection.list()?.iter();
        let tips: BTreeMap<String, Oid> = heads
            .filter_map(|head| Some((head.name().strip_prefix(HEADS)?.to_owned(), head.oid())))
            .collect();
        let head = match connection.default_branch() {
            Ok(name) => name.as_str()?.strip_prefix(HEADS).map(str::to_owned),
            Err(error) if error.code() == git2::ErrorCode::NotFound => None,
            Err(error) => return Err(error),
        };
        connection.disconnect()?;
        Ok(RemoteBranches { default: head.filter(|name| tips.contains_key(name)), tips })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_are_checked_and_never_repeated_with_a_password() {
        for good in ["https://github.com/a/b.git", "http://127.0.0.1:80/a", "file:///srv/a", "/srv/a"] {
            assert!(Remote::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a/b",
            "ssh://git@h/a",
            "git@h:a",
            "https://",
            "https://u:s3cret@h/a",
            "https://h/a?x=s3cret",
            "file://h/a",
        ] {
            let error = Remote::new(bad).unwrap_err();
            assert!(matches!(error, GitError::Invalid(_)), "{bad}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn a_password_is_not_in_debug_output() {
        let remote = Remote::new("https://h/a")
            .unwrap()
            .with_credentials(Credentials { username: "u".into(), password: "s3cret".into() });
        assert!(!format!("{remote:?}").contains("s3cret"));
    }
}
