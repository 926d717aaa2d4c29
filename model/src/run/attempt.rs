//! One try of a job: where it stands, what it reported, spent and published.

use super::state::{Conclusion, Timing};
use crate::task::Annotation;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Tokens and money. `cost_usd` is `None` where nobody knows the price: never 0 for want of knowledge.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read, without the cached ones.
    pub input_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cached_input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// US dollars.
    pub cost_usd: Option<f64>,
}

impl Usage {
    /// Adds another step's usage; an unknown price beside a known one keeps the known part.
    pub fn add(&mut self, other: &Usage) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_input_tokens = self.cached_input_tokens.saturating_add(other.cached_input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cost_usd = match (self.cost_usd, other.cost_usd) {
            (None, cost) | (cost, None) => cost,
            (Some(a), Some(b)) => Some(a + b),
        };
    }
}

/// One step as the last report had it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSummary {
    /// Its id or name.
    pub name: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// Its conclusion, once completed.
    pub conclusion: Option<String>,
    /// Remarks that it made; masked and cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
}

/// A conversation that an agent step had with its CLI.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SessionSummary {
    /// The step's id.
    pub step: String,
    /// The CLI; empty where the agent did not say.
    pub cli: String,
    /// The CLI's id for it; empty where none was begun.
    pub id: String,
    /// Whether an earlier attempt had begun it.
    pub resumed: bool,
    /// Why that of an earlier attempt was not gone on with, for people.
    pub not_resumed: Option<String>,
}

/// What the engine and people need of a report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReportSummary {
    /// The report's sequence number.
    pub sequence: u64,
    /// The final conclusion; `None` while it runs.
    pub conclusion: Option<Conclusion>,
    /// Why, for people; masked and cut by the reader of the report.
    pub message: Option<String>,
    /// What the agent said it did; masked and cut.
    pub summary: Option<String>,
    /// All steps' tokens and cost.
    pub usage: Usage,
    /// The steps.
    pub steps: Vec<StepSummary>,
    /// Whether a change lies beside the report.
    pub has_changes: bool,
    /// Whether the change is only what was there when the attempt was cut short.
    pub salvaged: bool,
    /// Hosts that the job's proxy did not let it reach; cleaned and cut.
    #[serde(default)]
    pub blocked_hosts: Vec<String>,
    /// The agent steps' conversations; cleaned and cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionSummary>,
    /// Outputs of steps that the publisher knows: `pr-title`, `pr-body`, `pick`.
    pub outputs: std::collections::BTreeMap<String, String>,
    /// The job's outputs, of a final report.
    #[serde(default)]
    pub job_outputs: std::collections::BTreeMap<String, String>,
    /// Why the job's outputs can't be had: the workflow's mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_error: Option<String>,
    /// Comments whose words the agent says it has begun with, see [`super::Addition`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<u64>,
}

/// A pull request on the forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number; 0 where the forge has none (a local folder).
    pub number: u64,
    /// Its page.
    pub url: String,
    /// Whether it waits as a draft.
    pub draft: bool,
}

/// A check run on the pushed commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The forge's number for it.
    pub id: u64,
}

/// What was published of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The branch.
    pub branch: String,
    /// The commit it stands at, as the remote showed after the push.
    pub sha: String,
    /// The commit it was made from.
    pub base: String,
    /// The pull request.
    pub pull: Option<PullRequest>,
    /// Files, insertions, deletions.
    pub diffstat: (u64, u64, u64),
    /// Commits.
    pub commits: u64,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Waits for a runner.
    Queued,
    /// The runner has it; no heartbeat yet.
    Starting,
    /// Heartbeats come.
    Running,
    /// It was told to stop.
    Stopping,
    /// Its final report is in and the change is being published.
    Publishing,
    /// Over.
    Done,
}

/// Where an attempt's change starts and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The commit its workspace stands at.
    pub base: String,
    /// The branch its change is pushed to.
    pub branch: String,
    /// Whether that branch is there already and `base` is its tip: the change goes on top of it.
    pub continues: bool,
    /// The branch that the pull request goes into.
    pub target: String,
}

/// One try of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The fencing number, from 1.
    pub number: u32,
    /// Where it stands.
    pub state: AttemptState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the runner took it.
    pub launched_at: Option<Timestamp>,
    /// When its first heartbeat came.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What the runner calls it.
    pub handle: Option<String>,
    /// What it was made from, once its workspace is ready.
    pub origin: Option<Origin>,
    /// No sign of life until then: it is probed, and then given up.
    pub lease_until: Option<Timestamp>,
    /// The lease ran out once and a probe is under way.
    pub probed: bool,
    /// It is stopped when still running then.
    pub deadline: Option<Timestamp>,
    /// Why it was told to stop.
    pub stopping: Option<super::outbox::StopReason>,
    /// The last report.
    pub report: Option<ReportSummary>,
    /// The job whose change a judge has picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picked: Option<String>,
    /// What was published.
    pub publication: Option<Publication>,
    /// The check run on the pushed commit.
    pub check: Option<Check>,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Comments whose words its agent is given, see [`super::Addition`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additions: Vec<u64>,
}

impl AttemptState {
    /// Whether a runner has, or may have, a container for it.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }
}

impl Attempt {
    /// A further attempt of a job is given what the one before it was given.
    pub(super) fn next(before: Option<&Self>, now: Timestamp) -> Self {
        let number = before.map_or(1, |before| before.number + 1);
        let additions = before.map(|before| before.additions.clone()).unwrap_or_default();
        Self {
            number,
            state: AttemptState::Queued,
            created_at: now,
            launched_at: None,
            started_at: None,
            finished_at: None,
            handle: None,
            origin: None,
            lease_until: None,
            probed: false,
            deadline: None,
            stopping: None,
            report: None,
            picked: None,
            publication: None,
            check: None,
            conclusion: None,
            reason: None,
            additions,
        }
    }

    /// Of what it was given, what its agent says it has begun with.
    pub(super) fn heard(&self) -> &[u64] {
        self.report.as_ref().map_or(&[], |report| &report.heard)
    }

    pub(super) fn next_timer(&self, timing: &Timing) -> Option<Timestamp> {
        match self.state {
            AttemptState::Queued => Some(self.created_at + SignedDuration::from_secs(timing.queue_seconds)),
            AttemptState::Starting | AttemptState::Running => {
                self.lease_until.into_iter().chain(self.deadline).min()
            }
            AttemptState::Stopping => self.deadline,
            AttemptState::Publishing | AttemptState::Done => None,
        }
    }
}
