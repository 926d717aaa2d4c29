//! A job of a run: what it waits for, its tries, what it gave.

use super::attempt::{Attempt, Publication};
use super::state::Conclusion;
use crate::workflow;
use crate::workflow::plan::{ConcurrencyWish, Matrix};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far a job is that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for the jobs that it needs.
    Blocked,
    /// It waits for its turn among the jobs of its matrix (`max-parallel`).
    Ready,
    /// It waits at its environment: for a reviewer, or for the wait timer.
    Environment,
    /// It waits for its concurrency group.
    Concurrency,
    /// It has an attempt.
    #[default]
    Started,
    /// The workflow that it calls runs.
    Calling,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its key, unique in the run: that of the workflow; behind it `.N` for the Nth of a matrix, `.KEY` for a job of a called workflow.
    pub key: String,
    /// What it does.
    pub spec: workflow::Job,
    /// Its tries, oldest first; the last one is the current.
    pub attempts: Vec<Attempt>,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
    /// Why, for people.
    pub reason: Option<String>,
    /// The key of its definition in its workflow; empty in runs of older versions.
    #[serde(default)]
    pub node: String,
    /// The job that called the workflow it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// How far it is.
    #[serde(default)]
    pub state: JobState,
    /// Its values of the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
    /// Its place among the jobs of its matrix.
    #[serde(default)]
    pub place: Place,
    /// Whether its failure counts as none.
    #[serde(default)]
    pub continue_on_error: bool,
    /// Its outputs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// Its environment, once it came there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Its concurrency group, from when it asks for it until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Who wants it to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
    /// The inputs of the workflow that it calls.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub inputs: serde_json::Value,
}

/// A job's place in its matrix, and how that is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// From 0.
    pub index: usize,
    /// How many there are.
    pub total: usize,
    /// Whether the failure of one ends the others.
    pub fail_fast: bool,
    /// How many may run at once.
    pub max_parallel: Option<usize>,
}

impl Default for Place {
    fn default() -> Self {
        Self { index: 0, total: 1, fail_fast: true, max_parallel: None }
    }
}

/// An environment that a job waits at, or has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Its name.
    pub environment: String,
    /// One of these has to approve; none where that is not asked for.
    pub reviewers: Vec<String>,
    /// Who did.
    pub approved_by: Option<String>,
    /// When the job came there.
    pub since: Timestamp,
    /// Not before then.
    pub wait_until: Option<Timestamp>,
}

/// How long an approval is waited for (GitHub: 30 days).
const APPROVAL: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Gate {
    /// Whether the job may go on.
    pub fn is_open(&self, now: Timestamp) -> bool {
        (self.reviewers.is_empty() || self.approved_by.is_some())
            && self.wait_until.is_none_or(|until| until <= now)
    }

    /// Until when somebody may approve; none where nobody has to.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let waits = !self.reviewers.is_empty() && self.approved_by.is_none();
        waits.then(|| self.since.saturating_add(APPROVAL).unwrap_or(Timestamp::MAX))
    }

    /// Whether this person is one of its reviewers.
    pub fn is_reviewer(&self, login: &str) -> bool {
        self.reviewers.iter().any(|reviewer| reviewer.eq_ignore_ascii_case(login))
    }
}

/// A concurrency group that is waited for, or held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which, and how.
    pub wish: ConcurrencyWish,
    /// Names this wish; unique in the run.
    pub ticket: u64,
    /// Whether it is held.
    pub granted: bool,
    /// It is asked for again then, should the message that it is free have been lost.
    pub ask_again_at: Timestamp,
}

impl Job {
    /// Whether nothing can change its conclusion any more, but for a rerun.
    pub fn is_over(&self) -> bool {
        self.conclusion.is_some()
    }

    /// The current attempt.
    pub fn attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// What was published of the current attempt.
    pub fn publication(&self) -> Option<&Publication> {
        self.attempts.last()?.publication.as_ref()
    }

    /// `needs.JOB.result`, in GitHub's four words; none while it runs. A job whose time was up counts as cancelled there.
    pub fn result(&self) -> Option<JobResult> {
        Some(match self.conclusion? {
            Conclusion::Success | Conclusion::NoChanges => JobResult::Success,
            Conclusion::Skipped => JobResult::Skipped,
            Conclusion::Cancelled => JobResult::Cancelled,
            _ if self.continue_on_error => JobResult::Success,
            Conclusion::TimedOut => JobResult::Cancelled,
            Conclusion::Failure | Conclusion::NeedsInput | Conclusion::BudgetExceeded => JobResult::Failure,
        })
    }

    /// When it wants to be looked at next, besides what its attempt wants.
    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        if self.is_over() {
            return None;
        }
        match self.state {
            JobState::Environment => {
                let gate = self.gate.as_ref()?;
                gate.expires_at().or(gate.wait_until)
            }
            JobState::Concurrency => {
                self.hold.as_ref().filter(|hold| !hold.granted).map(|hold| hold.ask_again_at)
            }
            _ => None,
        }
    }
}

/// How a job ended, as other jobs see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobResult {
    /// It did not run.
    Skipped,
    /// It did what it should, or was allowed not to.
    Success,
    /// It was ended.
    Cancelled,
    /// It failed.
    Failure,
}

impl JobResult {
    /// GitHub's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Success => "success",
            Self::Cancelled => "cancelled",
            Self::Failure => "failure",
        }
    }
}
