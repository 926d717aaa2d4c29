//! What can go wrong when a test or the demo drives the forge.

/// An error of the forge. The first two are the caller's mistakes, the rest the machine's.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// Something that was named does not exist.
    #[error("there is no {0}")]
    NotFound(String),
    /// GitHub's rules forbid it; the text says which.
    #[error("{0}")]
    Refused(String),
    /// libgit2 could not do it.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// The disk or the network could not.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A key could not be read or made.
    #[error("the app's key: {0}")]
    Key(String),
    /// `wait_for` and its kin gave up.
    #[error("nothing of the kind happened on the forge within {0:?}")]
    TimedOut(std::time::Duration),
}

impl ForgeError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The result of driving the forge.
pub type Result<T, E = ForgeError> = std::result::Result<T, E>;
