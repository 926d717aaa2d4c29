//! What can go wrong, told apart by what a caller does about it: tell the person, try again, or call it a bug.

use std::path::Path;

use git2::{ErrorClass, ErrorCode, Oid};

/// An operation on a repository or with a remote failed.
///
/// The texts name repositories and references, never credentials.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The remote wants other credentials, or these may not do it (HTTP 401 and 403).
    #[error("{remote} refused access: {detail}")]
    Authentication {
        /// The remote's URL.
        remote: String,
        /// What the server said.
        detail: String,
    },
    /// A repository, branch or commit is not there. Forges also answer so for what the credentials may not see.
    #[error("{what} was not found: {hint}")]
    NotFound {
        /// What was looked for.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The remote's reference is not where the caller expected it, or history would be lost.
    #[error("{refname} is not where it was expected to be: {detail}")]
    Stale {
        /// Full name of the reference.
        refname: String,
        /// What was found.
        detail: String,
    },
    /// The remote refused this reference, for example because the branch is protected.
    #[error("the remote refused {refname}: {reason}")]
    Rejected {
        /// Full name of the reference.
        refname: String,
        /// The remote's own words, on one line.
        reason: String,
    },
    /// The remote was not reached, broke off, timed out, or is overloaded (HTTP 429 and 5xx). Trying again may help.
    #[error("{remote} could not be reached: {detail}")]
    Network {
        /// The remote's URL.
        remote: String,
        /// What happened.
        detail: String,
    },
    /// What the caller asked for cannot be done as it stands; the text says what to change.
    #[error("{0}")]
    Invalid(String),
    /// A file or folder of ours could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// Anything else: a damaged repository, or a bug.
    #[error("git: {0}")]
    Other(String),
}

impl GitError {
    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Network { .. })
    }

    /// Whether a disk of ours is full.
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            }
            // libgit2 has the system's words only.
            Self::Network { detail, .. } | Self::Other(detail) => detail.contains("No space left on device"),
            _ => false,
        }
    }

    /// Whether a person who set something up can mend it (as opposed to a bug, a full disk, or the network).
    pub fn is_user_error(&self) -> bool {
        matches!(
            self,
            Self::Authentication { .. }
                | Self::NotFound { .. }
                | Self::Stale { .. }
                | Self::Rejected { .. }
                | Self::Invalid(_)
        )
    }

    pub(crate) fn io(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let what = format!("{doing} {}", path.display());
        move |source| Self::Io { what, source }
    }

    pub(crate) fn no_commit(id: Oid, place: &str) -> Self {
        Self::NotFound {
            what: format!("commit {id}"),
            hint: format!(
                "it is not in {place}; its branch may have been deleted or force-pushed. Start again from a commit that exists"
            ),
        }
    }
}

/// Errors that come with nothing better known about them. Network errors are translated where the remote is known.
impl From<git2::Error> for GitError {
    fn from(error: git2::Error) -> Self {
        let text = one_line(error.message());
        match (error.code(), error.class()) {
            (ErrorCode::InvalidSpec, _) => Self::Invalid(text),
            (ErrorCode::NotFound, class) => Self::Other(format!("{text} ({class:?})")),
            (_, ErrorClass::Os | ErrorClass::Filesystem) => {
                Self::Other(format!("{text} (is the disk full, or a folder not writable?)"))
            }
            _ => Self::Other(text),
        }
    }
}

/// Text from elsewhere as one printable line of at most 500 characters.
pub(crate) fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}
