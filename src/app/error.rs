//! Why a use case did not get through.

use crate::ports::{
    ArtifactError, ForgeError, QueueError, RunnerError, SecretError, StoreError, WorkspaceError,
};
use jiff::SignedDuration;
use std::time::Duration;

/// What a port said, or our own bug.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// From the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// From the queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// From the runner.
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// From the artifacts.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// From the workspaces.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// From the forge.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// From the secret store.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It was given up after this time.
    #[error("no end after {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// Something that must not happen.
    #[error("bug: {0}")]
    Bug(String),
}

impl AppError {
    /// Whether the same call may succeed later with nobody changing anything.
    pub fn may_heal(&self) -> bool {
        match self {
            Self::Store(StoreError::Unavailable(_)) | Self::Queue(_) | Self::TimedOut(_) => true,
            Self::Store(StoreError::Corrupt(_)) | Self::Bug(_) => false,
            Self::Runner(error) => error.may_heal(),
            Self::Artifact(error) => matches!(error, ArtifactError::Unavailable(_)),
            Self::Workspace(error) => error.may_heal(),
            Self::Forge(error) => error.may_heal(),
            Self::Secret(error) => matches!(error, SecretError::Unavailable(_)),
        }
    }

    /// Whether the runner has no room now: no failed try, and nothing but time is needed.
    pub fn waits_for_room(&self) -> bool {
        matches!(self, Self::Runner(RunnerError::NoRoom(_)))
    }

    /// How long the other side wants us to wait.
    pub fn retry_after(&self) -> Option<SignedDuration> {
        match self {
            Self::Forge(error) => error.retry_after(),
            _ => None,
        }
    }
}
