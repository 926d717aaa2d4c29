//! The attempt's checkout before it runs, and its change after it: all that is git.

use super::runner::Fetch;
use super::secrets::SecretText;
use async_trait::async_trait;
use cloud_code_model::ids::AttemptId;
use cloud_code_model::policy::ChangePolicy;
use std::path::PathBuf;

/// A repository's address and what opens it.
#[derive(Debug, Clone)]
pub struct Remote {
    /// `https://…/owner/name.git`, or a folder.
    pub url: String,
    /// Names the mirror: `host/owner/name`.
    pub key: String,
    /// A short-lived token; `None` for a folder.
    pub token: Option<SecretText>,
}

/// What to check out.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// For whom.
    pub attempt: AttemptId,
    /// From where, with read access.
    pub remote: Remote,
    /// The branch to start from; `None` is the default branch as the remote has it now.
    pub from: Option<String>,
    /// The branch to make.
    pub branch: String,
}

/// A checkout that is ready.
#[derive(Debug, Clone)]
pub struct PreparedWorkspace {
    /// Its folder on this machine.
    pub path: PathBuf,
    /// The mirror's objects on this machine, and the path by which the checkout knows them.
    pub objects: (PathBuf, PathBuf),
    /// In place of folder and objects: what the attempt is to check out for itself.
    pub fetch: Option<Fetch>,
    /// The commit it stands at, 40 hexadecimal digits.
    pub base: String,
    /// The remote's default branch.
    pub default_branch: String,
    /// The tip of the branch to make, where the remote has one of this name already.
    pub existing: Option<String>,
}

/// A file of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Its path, `/`-separated.
    pub path: String,
    /// The path before, when it was renamed.
    pub old_path: Option<String>,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// A change that has been examined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The commit it was made from.
    pub base: String,
    /// Its last commit.
    pub head: String,
    /// First lines of its commits' messages, oldest first.
    pub commits: Vec<String>,
    /// The files, base to head.
    pub files: Vec<ChangedFile>,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// A diffstat for people.
    pub diffstat: String,
}

/// Why git did not do it.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The attempt left a change that is not acceptable: said to people, never retried.
    #[error("{0}")]
    Rejected(String),
    /// What was asked for is not there: an empty repository, a deleted branch. Said to people, never retried.
    #[error("{0}")]
    NotFound(String),
    /// The remote refused us: access, a protected branch.
    #[error("the repository refused: {0}")]
    Refused(String),
    /// Somebody else moved the branch. May heal.
    #[error("the branch was moved meanwhile: {0}")]
    Moved(String),
    /// The remote did not answer, or the disk did not. May heal.
    #[error("git failed: {0}")]
    Failed(String),
}

impl WorkspaceError {
    /// Whether the same call may succeed later with nobody changing anything.
    pub fn may_heal(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Moved(_))
    }
}

/// Checkouts and changes.
#[expect(clippy::too_many_arguments, reason = "what a change is examined against is no thing of its own")]
#[async_trait]
pub trait Workspaces: Send + Sync {
    /// Brings the mirror up to date and makes the attempt's checkout. Called again, it starts over.
    async fn prepare(&self, checkout: &Checkout) -> Result<PreparedWorkspace, WorkspaceError>;

    /// Examines the bundle that an attempt left, as a stranger's: in quarantine, against `policy`, and with none of the
    /// `secrets` anywhere in what would be pushed. `None` when it holds no change.
    async fn examine(
        &self,
        attempt: &AttemptId,
        remote: &Remote,
        base: &str,
        branch: &str,
        bundle: Vec<u8>,
        policy: &ChangePolicy,
        secrets: &[SecretText],
    ) -> Result<Option<Change>, WorkspaceError>;

    /// Pushes an examined change, with write access. Idempotent: a branch that stands at the change already is a
    /// success. A branch that is there is moved only from one of the commits in `ours`; from any other it is
    /// [`WorkspaceError::Moved`].
    async fn push(
        &self,
        attempt: &AttemptId,
        remote: &Remote,
        branch: &str,
        change: &Change,
        ours: &[String],
    ) -> Result<(), WorkspaceError>;

    /// A unified diff of an examined change, at most `max_bytes`.
    async fn diff(
        &self,
        attempt: &AttemptId,
        change: &Change,
        max_bytes: usize,
    ) -> Result<String, WorkspaceError>;

    /// Where the disk is short of room, removes what is only kept to be quick and what nobody uses now.
    async fn make_room(&self) -> Result<(), WorkspaceError>;

    /// Removes the attempt's checkout and quarantine. Idempotent.
    async fn discard(&self, attempt: &AttemptId) -> Result<(), WorkspaceError>;
}
