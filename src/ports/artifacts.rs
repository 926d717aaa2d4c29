//! What goes between us and an attempt, and what is kept of it: task, report, bundle, log, transcript, conversations.

use async_trait::async_trait;
use cloud_code_model::ids::AttemptId;
use cloud_code_model::task::{EARLIER_SESSION_FILE, SESSION_FILE};

/// A file of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Artifact {
    /// `tasking.yaml`: we write, the agent reads.
    Tasking,
    /// `reporting.yaml`: the agent writes.
    Report,
    /// `changes.bundle`: the agent writes.
    Bundle,
    /// `log.txt`: the agent writes.
    Log,
    /// `transcript.jsonl`: the agent writes.
    Transcript,
    /// `session.tar.gz`: the conversations of the coding CLIs; the agent writes.
    Session,
    /// `earlier-session.tar.gz`: those of an earlier attempt; we write, the agent reads.
    EarlierSession,
    /// `container.log`: what the container printed; we write at the end.
    ContainerLog,
}

impl Artifact {
    /// The file's name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Tasking => "tasking.yaml",
            Self::Report => "reporting.yaml",
            Self::Bundle => "changes.bundle",
            Self::Log => "log.txt",
            Self::Transcript => "transcript.jsonl",
            Self::Session => SESSION_FILE,
            Self::EarlierSession => EARLIER_SESSION_FILE,
            Self::ContainerLog => "container.log",
        }
    }
}

/// Why an artifact can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is larger than the reader takes.
    #[error("{file} has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// Its name.
        file: &'static str,
        /// Its size.
        size: u64,
        /// The reader's limit.
        limit: u64,
    },
    /// It is not a plain file: a link, a pipe, a folder. Only a hostile attempt leaves such.
    #[error("{file} is no plain file: {detail}")]
    NotAFile {
        /// Its name.
        file: &'static str,
        /// What it is.
        detail: String,
    },
    /// The storage can't be reached, read or written.
    #[error("the artifact storage is unavailable: {0}")]
    Unavailable(String),
}

/// Keeps the files of attempts. Whatever an attempt wrote is data from a stranger.
#[async_trait]
pub trait Artifacts: Send + Sync {
    /// Puts a file where the attempt, or a reader after it, finds it. Whole or not at all.
    async fn write(&self, attempt: &AttemptId, artifact: Artifact, bytes: &[u8])
    -> Result<(), ArtifactError>;

    /// Reads a file, the attempt's present one or the one kept after it; `None` when there is none.
    async fn read(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, ArtifactError>;

    /// Reads up to `limit` bytes from `offset` on, for following a log; empty at the end or when there is none.
    async fn read_from(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, ArtifactError>;

    /// Copies what is worth keeping out of the attempt's reach, so that its workspace can go. Idempotent.
    async fn keep(&self, attempt: &AttemptId) -> Result<(), ArtifactError>;
}
