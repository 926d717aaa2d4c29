//! Runs as the API shows them: a stable form of its own, so that the engine's can change. Shared with `cloud-code runs`.
//!
//! Names of states and conclusions are text: a client of today meets a server of tomorrow.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of runs, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiRunList {
    /// The runs.
    pub runs: Vec<ApiRunRow>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
}

/// A run in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiRunRow {
    /// The run's id.
    #[schema(example = "r-0123456789abcdef0123")]
    pub id: String,
    /// `owner/name`.
    pub repository: String,
    /// The number.
    pub subject: u64,
    /// The title.
    pub title: String,
    /// The workflow's name.
    pub workflow: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// How it ended: `success`, `failure`, `no_changes`, `needs_input`, `timed_out`, `cancelled`, `budget_exceeded`, `skipped`.
    pub conclusion: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiRun {
    /// The run's id.
    #[schema(example = "r-0123456789abcdef0123")]
    pub id: String,
    /// `owner/name`.
    pub repository: String,
    /// The issue it is about.
    pub subject: ApiSubject,
    /// The workflow it was made from.
    pub workflow: ApiWorkflow,
    /// What started it.
    pub trigger: ApiTrigger,
    /// Runs with the same group exclude each other.
    pub group: Option<String>,
    /// The branch its change goes to.
    pub branch: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// How it ended: `success`, `failure`, `no_changes`, `needs_input`, `timed_out`, `cancelled`, `budget_exceeded`, `skipped`.
    pub conclusion: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its first attempt was launched.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// A wish to end it.
    pub cancel: Option<ApiCancelRequest>,
    /// All attempts' tokens and cost.
    pub usage: ApiUsage,
    /// What was published.
    pub publication: Option<ApiPublication>,
    /// What people have added to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additions: Vec<ApiAddition>,
    /// Its jobs in the order of the file.
    pub jobs: Vec<ApiJob>,
    /// What must still happen outside, with the last error of each.
    pub pending: Vec<ApiPending>,
    /// What happened, oldest first.
    pub history: Vec<ApiHistoryEntry>,
}

/// An issue or a pull request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiSubject {
    /// Its number.
    pub number: u64,
    /// Its title when the run was made.
    pub title: String,
    /// Its page; empty where there is none.
    pub url: String,
}

/// A workflow file.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiWorkflow {
    /// Its path in the repository, or `built-in:implement`.
    pub path: String,
    /// Its name.
    pub name: String,
}

/// What started a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiTrigger {
    /// The delivery's id.
    pub delivery: String,
    /// The event's name.
    pub event: String,
    /// The event's action.
    pub action: String,
    /// Who caused it.
    pub actor: String,
}

/// A wish to end a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiCancelRequest {
    /// Who wants it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Tokens and money.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
pub struct ApiUsage {
    /// Tokens read, without the cached ones.
    pub input_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cached_input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// US dollars; null where nobody knows the price.
    pub cost_usd: Option<f64>,
}

/// What was put on the forge.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiPublication {
    /// The branch.
    pub branch: String,
    /// The commit it stands at.
    pub sha: String,
    /// The commit it was made from.
    pub base: String,
    /// The pull request.
    pub pull_request: Option<ApiPullRequest>,
    /// Files changed.
    pub files: u64,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Commits.
    pub commits: u64,
}

/// A pull request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiPullRequest {
    /// Its number; 0 where the forge has none.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// Whether it is a draft.
    pub draft: bool,
}

/// A job of a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiJob {
    /// Its key in the workflow.
    pub key: String,
    /// Its name.
    pub name: String,
    /// `blocked` (by jobs that it needs), `ready` (for its turn in its matrix), `environment` (it waits for an approval or a timer),
    /// `concurrency` (it waits for its group), `started`, `calling` (another workflow), or `completed`.
    #[serde(default)]
    pub state: String,
    /// Its values of the matrix; null where it has none.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub matrix: Option<serde_json::Value>,
    /// Its outputs.
    #[serde(default)]
    pub outputs: std::collections::BTreeMap<String, String>,
    /// Its environment, once it came there.
    #[serde(default)]
    pub environment: Option<ApiEnvironment>,
    /// How it ended, as a run's.
    pub conclusion: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Its tries, oldest first.
    pub attempts: Vec<ApiAttempt>,
}

/// An environment that a job waits at, or has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiEnvironment {
    /// Its name.
    pub name: String,
    /// One of these has to approve.
    pub reviewers: Vec<String>,
    /// Who did.
    pub approved_by: Option<String>,
    /// The job goes on not before then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub wait_until: Option<Timestamp>,
}

/// One try of a job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiAttempt {
    /// Counts from 1.
    pub number: u32,
    /// `queued`, `starting`, `running`, `stopping`, `publishing` or `done`.
    pub state: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the runner took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub launched_at: Option<Timestamp>,
    /// When its first heartbeat came.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// When it is stopped if it still runs.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// Why it was told to stop: `cancelled`, `timed_out`, `lost` or `not_started`.
    pub stopping: Option<String>,
    /// How it ended, as a run's.
    pub conclusion: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Its steps by the last report.
    pub steps: Vec<ApiStep>,
    /// What the agent said it did. Never proof.
    pub summary: Option<String>,
    /// Tokens and cost by the last report.
    pub usage: ApiUsage,
    /// Whether its change is only what was there when it was cut short.
    pub salvaged: bool,
    /// Hosts that its network did not let it reach.
    pub blocked_hosts: Vec<String>,
    /// What was published of it.
    pub publication: Option<ApiPublication>,
}

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiStep {
    /// Its id or name.
    pub name: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// Its conclusion, once completed.
    pub conclusion: Option<String>,
    /// Remarks that it made on the code, at most 50 in an attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<ApiAnnotation>,
}

/// A remark of a step.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiAnnotation {
    /// `error`, `warning` or `notice`.
    pub level: String,
    /// What it says.
    pub message: String,
    /// A headline.
    pub title: Option<String>,
    /// The file, as the step named it.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
}

impl ApiAnnotation {
    /// On one line: where, the headline, what it says.
    pub fn line(&self) -> String {
        let mut out = self.level.clone();
        if let Some(file) = &self.file {
            out.push_str(&format!(" {file}"));
            if let Some(line) = self.line {
                out.push_str(&format!(":{line}"));
            }
        }
        for text in self.title.iter().chain([&self.message]) {
            out.push_str(&format!(": {text}"));
        }
        crate::words::one_line(&out)
    }
}

/// What somebody added to a run under way, by `/cloud-code also`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiAddition {
    /// The issue or pull request that the comment stands on.
    pub subject: u64,
    /// Who.
    pub by: String,
    /// What.
    pub words: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `waiting`, `heard` (an agent has begun with it), `late` (a run of its own works on it) or `dropped` (what would have worked on it was
    /// cancelled).
    pub state: String,
}

/// Something that must still happen outside.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiPending {
    /// What: `launch/JOB/ATTEMPT`, `publish/JOB/ATTEMPT`, `tell`, …
    pub effect: String,
    /// Failed tries so far.
    pub tries: u32,
    /// Not before then.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
    /// What the last try failed with.
    pub error: Option<String>,
}

/// One line of what happened.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiHistoryEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What, for people.
    pub what: String,
}

/// What became of a wish to cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiCancelled {
    /// The run.
    pub run: String,
    /// `accepted` or `already_over`.
    pub outcome: String,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiActed {
    /// The run.
    pub run: String,
    /// `accepted`.
    pub outcome: String,
}

/// Decisions, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiDecisionList {
    /// The decisions.
    pub decisions: Vec<ApiDecision>,
}

/// What was decided about a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiDecision {
    /// The delivery's id.
    pub delivery: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
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
    pub runs: Vec<String>,
}

impl ApiRun {
    /// Whether nothing will change any more.
    pub fn is_over(&self) -> bool {
        self.status == "completed"
    }
}

impl ApiUsage {
    /// Whether anything was used, or at least reported.
    pub fn is_known(&self) -> bool {
        self.cost_usd.is_some() || self.input_tokens + self.cached_input_tokens + self.output_tokens > 0
    }
}
