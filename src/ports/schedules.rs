//! What a repository's workflows want by the clock, as the store keeps it.

use cloud_code_model::run::Repository;
use cloud_code_model::workflow::Schedule;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A line of a workflow's `schedule`, and when it is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledLine {
    /// The workflow's path.
    pub workflow: String,
    /// The line.
    pub schedule: Schedule,
    /// When it is due next.
    pub next: Timestamp,
}

/// The scheduled workflows of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedules {
    /// Where.
    pub repository: Repository,
    /// What is due when; none where nothing is scheduled any more.
    pub lines: Vec<ScheduledLine>,
    /// When its workflow files are to be read again, in case a push was missed.
    pub refresh_at: Option<Timestamp>,
}

impl Schedules {
    /// Its name in the store: `owner/name` in lower case.
    pub fn key(&self) -> String {
        schedules_key(&self.repository)
    }

    /// When something is to be done about it; `None`: never, as it stands.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.lines.iter().map(|line| line.next).chain(self.refresh_at).min()
    }
}

/// The name in the store of a repository's schedules.
pub fn schedules_key(repository: &Repository) -> String {
    repository.full_name().to_lowercase()
}
