//! Runs and decisions, kept.

use super::schedules::Schedules;
use async_trait::async_trait;
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Conclusion, Group, Run, RunStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A run and the version it was read at.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The run.
    pub run: Run,
    /// Grows by one with each save; the first is 1.
    pub version: u64,
}

/// What became of a create or a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// It is stored, run and outbox together, at this version.
    At(u64),
    /// Somebody else was faster: read again. For a create, this run is there already, or another one has its semantic
    /// key: its id.
    Conflict(RunId),
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// `owner/name`.
    pub repository: Option<String>,
    /// Only these.
    pub status: Option<RunStatus>,
    /// Where the page before this one ended.
    pub cursor: Option<String>,
    /// At most so many; 0 means 50, and more than 200 means 200.
    pub limit: usize,
}

/// One row of a list of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub id: RunId,
    /// `owner/name`.
    pub repository: String,
    /// The number.
    pub subject: u64,
    /// The title.
    pub title: String,
    /// The workflow's name.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl RunSummary {
    /// The row of a run.
    pub fn of(run: &Run) -> Self {
        Self {
            id: run.id.clone(),
            repository: run.repository.full_name(),
            subject: run.subject.number,
            title: run.subject.title.clone(),
            workflow: run.workflow.name.clone(),
            status: run.status,
            conclusion: run.conclusion,
            created_at: run.created_at,
            finished_at: run.finished_at,
        }
    }
}

/// A part of a list, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Pass it as [`RunFilter::cursor`] for the next page; `None` at the end.
    pub next: Option<String>,
}

/// What was decided about a delivery, for people who ask why nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The delivery's id; a second decision about it replaces the first.
    pub delivery: String,
    /// When.
    pub at: Timestamp,
    /// The event's name.
    pub event: String,
    /// `owner/name`, where the event has one.
    pub repository: Option<String>,
    /// The number, where it has one.
    pub subject: Option<u64>,
    /// Who caused it.
    pub actor: Option<String>,
    /// `started`, `added`, `refused`, `ignored`, or what else was done: `cancelled`, `approved`, `rejected`.
    pub outcome: String,
    /// Why, for people.
    pub reason: String,
    /// The runs it started.
    pub runs: Vec<RunId>,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached or can't write: try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored can't be read: our bug, or a newer version wrote it.
    #[error("the store holds something this version can't read: {0}")]
    Corrupt(String),
}

/// Keeps runs, each saved together with its outbox in one compare-and-set.
#[async_trait]
pub trait Store: Send + Sync {
    /// Stores a new run at version 1. `semantic_key` is the second guard against doubles: an event that was sent again
    /// under a new delivery id has the same one.
    async fn create(&self, run: &Run, semantic_key: &str) -> Result<Saved, StoreError>;

    /// Reads a run.
    async fn load(&self, id: &RunId) -> Result<Option<Stored>, StoreError>;

    /// Stores a run that was read at `version`.
    async fn save(&self, run: &Run, version: u64) -> Result<Saved, StoreError>;

    /// Lists runs, newest first.
    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, StoreError>;

    /// Runs whose [`Run::due_at`] is not after `now`, longest due first, without reading all runs.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RunId>, StoreError>;

    /// A concurrency group of a repository (`owner/name`) and its version; an empty one at version 0 where it was never saved. Reads what was
    /// saved last (a strongly consistent read): who enters is let in by it.
    async fn group(&self, repository: &str, name: &str) -> Result<(Group, u64), StoreError>;

    /// Stores a group that was read at `version`; says whether nobody was faster. A group is never removed, also when it is empty: a version
    /// must not come back.
    async fn save_group(
        &self,
        repository: &str,
        name: &str,
        group: &Group,
        version: u64,
    ) -> Result<bool, StoreError>;

    /// A repository's scheduled workflows, by [`Schedules::key`], and their version; `None` where none were ever saved. Reads what was saved
    /// last.
    async fn schedules(&self, key: &str) -> Result<Option<(Schedules, u64)>, StoreError>;

    /// Stores what was read at `version` (0: nothing was there); says whether nobody was faster. They are never removed, also when they are
    /// empty: a version must not come back.
    async fn save_schedules(&self, schedules: &Schedules, version: u64) -> Result<bool, StoreError>;

    /// Keys of repositories whose [`Schedules::due_at`] is not after `now`, longest due first, without reading all of them.
    async fn schedules_due(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError>;

    /// Runs on one issue or pull request that are not over, oldest first (by creation, then id).
    async fn active_on(&self, repository: &str, subject: u64) -> Result<Vec<RunId>, StoreError>;

    /// Keeps a decision.
    async fn record(&self, decision: &Decision) -> Result<(), StoreError>;

    /// The latest decisions, newest first.
    async fn decisions(&self, limit: usize) -> Result<Vec<Decision>, StoreError>;

    /// Whether it answers and can write.
    async fn check(&self) -> Result<(), StoreError>;
}
