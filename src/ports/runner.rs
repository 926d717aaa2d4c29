//! Where an attempt's container runs.

use super::secrets::SecretText;
use super::workspaces::Remote;
use async_trait::async_trait;
use cloud_code_model::ids::AttemptId;
use cloud_code_model::network::AllowList;
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// What a container may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Bytes of memory; swap is not added to it.
    pub memory_bytes: u64,
    /// Cores.
    pub cpus: f64,
    /// Processes and threads.
    pub pids: u32,
    /// Bytes of each tmpfs (`/tmp` and the home).
    pub tmpfs_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 4 << 30, cpus: 2.0, pids: 1024, tmpfs_bytes: 1 << 30 }
    }
}

/// Which way out a container has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// None at all.
    None,
    /// To what the list names, by a proxy that finds out what was refused.
    Restricted(AllowList),
    /// Whatever the runner's network reaches.
    #[default]
    Open,
}

/// What an attempt checks out for itself.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// From where, with a token that can read this one repository.
    pub remote: Remote,
    /// The commit to stand at.
    pub base: String,
    /// The branch to make.
    pub branch: String,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Gives the deterministic name: a second launch of the same attempt finds the first one's container.
    pub attempt: AttemptId,
    /// The agent image; runners without images ignore it.
    pub image: String,
    /// The attempt's checkout on this machine, mounted at `/workspace`. `tasking.yaml` lies in it already.
    pub workspace: PathBuf,
    /// The mirror's objects, mounted read-only at the path that the checkout names (see [`super::PreparedWorkspace`]).
    pub objects: Option<(PathBuf, PathBuf)>,
    /// What the attempt checks out for itself, where its runner shares no disk with us; the two above are empty then.
    pub fetch: Option<Fetch>,
    /// Environment in clear.
    pub env: Vec<(String, String)>,
    /// Environment whose values are secret.
    pub secrets: Vec<(String, SecretText)>,
    /// What it may take.
    pub limits: Limits,
    /// Its way out. Runners that do not confine are only ever asked for [`Network::Open`].
    pub network: Network,
}

/// How a container stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerStatus {
    /// It has its place, and is still being set up there. Runners that start what they have placed at once never say so.
    Starting,
    /// It runs, or is about to.
    Running,
    /// It has ended.
    Exited {
        /// Exit code, where there is one.
        code: Option<i64>,
        /// Killed for want of memory.
        out_of_memory: bool,
        /// What the runner says of it.
        detail: Option<String>,
    },
    /// The runner does not know it.
    Missing,
}

impl ContainerStatus {
    /// Whether it runs, or is on its way there.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

/// A container of ours that the runner knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Whose it is.
    pub attempt: AttemptId,
    /// Whether it runs.
    pub running: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why a runner did not do it. The first three are for users to mend, and each message says how.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The image is not there and can't be had.
    #[error("the image {image} is not there: {hint}")]
    ImageMissing {
        /// Its name.
        image: String,
        /// What to do.
        hint: String,
    },
    /// The runner can't be reached, e.g. a stopped Docker daemon. May heal.
    #[error("the runner can't be reached: {0}")]
    Unreachable(String),
    /// The runner won't, and won't later: what was asked for is impossible on it.
    #[error("the runner refused: {0}")]
    Refused(String),
    /// It has no room now. Heals, and to wait for it is no failed try.
    #[error("the runner has no room now: {0}")]
    NoRoom(String),
    /// Something else went wrong. May heal.
    #[error("the runner failed: {0}")]
    Failed(String),
}

impl RunnerError {
    /// Whether the same call may succeed later with nobody changing anything.
    pub fn may_heal(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NoRoom(_) | Self::Failed(_))
    }
}

/// Runs attempts.
#[async_trait]
pub trait Runner: Send + Sync {
    /// `docker`, `process`, `ecs`.
    fn name(&self) -> &'static str;

    /// Whether it can keep a container from the network.
    fn confines(&self) -> bool {
        false
    }

    /// Starts the attempt, or finds that it has been started, also when it has ended since. Returns what the runner calls it.
    async fn launch(&self, launch: &Launch) -> Result<String, RunnerError>;

    /// How it stands.
    async fn status(&self, attempt: &AttemptId) -> Result<ContainerStatus, RunnerError>;

    /// How long an orderly stop may take, from the first signal to the last: the agent saves its work in it. It is the `patience` of a stop
    /// that is not in a hurry.
    fn stop_patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Ends it: SIGINT, after `patience` SIGTERM, a little later SIGKILL. Returns when it has ended, or, where the runner tells us of
    /// ends by itself, when it has been asked to see to it; one that has ended or is missing is a success.
    async fn stop(&self, attempt: &AttemptId, patience: Duration) -> Result<(), RunnerError>;

    /// The last `max_bytes` of what it printed, both streams; empty when it is missing.
    async fn logs(&self, attempt: &AttemptId, max_bytes: usize) -> Result<Vec<u8>, RunnerError>;

    /// Removes it, killing it if it runs; one that is missing is a success.
    async fn remove(&self, attempt: &AttemptId) -> Result<(), RunnerError>;

    /// All containers of this installation.
    async fn list(&self) -> Result<Vec<Listed>, RunnerError>;

    /// Whether it can be used now; says what it is.
    async fn check(&self) -> Result<String, RunnerError>;

    /// Sees to it that a running attempt can go on reaching us: where what it was given to that end runs out, it gets more. Called
    /// each minute for each attempt that runs.
    async fn renew(&self, attempt: &AttemptId) -> Result<(), RunnerError>;

    /// Whether this image could be used now.
    async fn has_image(&self, image: &str) -> Result<bool, RunnerError>;
}
