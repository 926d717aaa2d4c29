//! Runs as the API shows them: a stable form of its own, so that the engine's can change. Shared with `cloud-code runs`.
//!
//! Names of states and conclusions are text: a client of today meets a server of tomorrow.

use crate::ports::{Decision, RunSummary};
use cloud_code_model::run::{
    Attempt, AttemptState, Job, Outgoing, Publication, Run, StepSummary, StopReason, Usage,
};
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
    /// How it ended, as a run's.
    pub conclusion: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Its tries, oldest first.
    pub attempts: Vec<ApiAttempt>,
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
    /// Why it was told to stop: `cancelled`, `timed_out` or `lost`.
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
    /// `started`, `refused` or `ignored`.
    pub outcome: String,
    /// Why, for people.
    pub reason: String,
    /// The runs it started.
    pub runs: Vec<String>,
}

impl ApiRunRow {
    /// The row of a run.
    pub fn of(row: &RunSummary) -> Self {
        Self {
            id: row.id.to_string(),
            repository: row.repository.clone(),
            subject: row.subject,
            title: row.title.clone(),
            workflow: row.workflow.clone(),
            status: row.status.as_str().to_owned(),
            conclusion: row.conclusion.map(|conclusion| conclusion.as_str().to_owned()),
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

impl ApiRun {
    /// The view of a run.
    pub fn of(run: &Run) -> Self {
        Self {
            id: run.id.to_string(),
            repository: run.repository.full_name(),
            subject: ApiSubject {
                number: run.subject.number,
                title: run.subject.title.clone(),
                url: run.subject.url.clone(),
            },
            workflow: ApiWorkflow { path: run.workflow.path.clone(), name: run.workflow.name.clone() },
            trigger: ApiTrigger {
                delivery: run.trigger.delivery.clone(),
                event: run.trigger.event.clone(),
                action: run.trigger.action.clone(),
                actor: run.trigger.actor.clone(),
            },
            group: run.group.clone(),
            branch: run.branch.clone(),
            status: run.status.as_str().to_owned(),
            conclusion: run.conclusion.map(|conclusion| conclusion.as_str().to_owned()),
            reason: run.reason.clone(),
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            cancel: run.cancel.as_ref().map(|wish| ApiCancelRequest { by: wish.by.clone(), at: wish.at }),
            usage: usage(&run.usage()),
            publication: run.publication().map(publication),
            jobs: run.jobs.iter().map(job).collect(),
            pending: run.outbox.iter().map(pending).collect(),
            history: run
                .history
                .iter()
                .map(|entry| ApiHistoryEntry { at: entry.at, what: entry.what.clone() })
                .collect(),
        }
    }

    /// Whether nothing will change any more.
    pub fn is_over(&self) -> bool {
        self.status == "completed"
    }
}

impl ApiDecision {
    /// The view of a decision.
    pub fn of(decision: Decision) -> Self {
        Self {
            delivery: decision.delivery,
            at: decision.at,
            event: decision.event,
            repository: decision.repository,
            subject: decision.subject,
            actor: decision.actor,
            outcome: decision.outcome,
            reason: decision.reason,
            runs: decision.runs.iter().map(ToString::to_string).collect(),
        }
    }
}

fn usage(usage: &Usage) -> ApiUsage {
    ApiUsage {
        input_tokens: usage.input_tokens,
        cached_input_tokens: usage.cached_input_tokens,
        output_tokens: usage.output_tokens,
        cost_usd: usage.cost_usd,
    }
}

fn publication(publication: &Publication) -> ApiPublication {
    let (files, insertions, deletions) = publication.diffstat;
    ApiPublication {
        branch: publication.branch.clone(),
        sha: publication.sha.clone(),
        base: publication.base.clone(),
        pull_request: publication.pull.as_ref().map(|pull| ApiPullRequest {
            number: pull.number,
            url: pull.url.clone(),
            draft: pull.draft,
        }),
        files,
        insertions,
        deletions,
        commits: publication.commits,
    }
}

fn job(job: &Job) -> ApiJob {
    ApiJob {
        key: job.key.clone(),
        name: job.spec.name.clone(),
        conclusion: job.conclusion.map(|conclusion| conclusion.as_str().to_owned()),
        reason: job.reason.clone(),
        attempts: job.attempts.iter().map(attempt).collect(),
    }
}

fn attempt(attempt: &Attempt) -> ApiAttempt {
    let report = attempt.report.as_ref();
    ApiAttempt {
        number: attempt.number,
        state: state(attempt.state).to_owned(),
        created_at: attempt.created_at,
        launched_at: attempt.launched_at,
        started_at: attempt.started_at,
        finished_at: attempt.finished_at,
        deadline: attempt.deadline,
        stopping: attempt.stopping.map(|reason| stop_reason(reason).to_owned()),
        conclusion: attempt.conclusion.map(|conclusion| conclusion.as_str().to_owned()),
        reason: attempt.reason.clone(),
        steps: report.map(|report| report.steps.iter().map(step).collect()).unwrap_or_default(),
        summary: report.and_then(|report| report.summary.clone()),
        usage: report.map(|report| usage(&report.usage)).unwrap_or_default(),
        salvaged: report.is_some_and(|report| report.salvaged),
        publication: attempt.publication.as_ref().map(publication),
    }
}

fn step(step: &StepSummary) -> ApiStep {
    ApiStep { name: step.name.clone(), status: step.status.clone(), conclusion: step.conclusion.clone() }
}

fn pending(outgoing: &Outgoing) -> ApiPending {
    ApiPending {
        effect: outgoing.effect.key(),
        tries: outgoing.tries,
        due_at: outgoing.due_at,
        error: outgoing.error.clone(),
    }
}

fn state(state: AttemptState) -> &'static str {
    match state {
        AttemptState::Queued => "queued",
        AttemptState::Starting => "starting",
        AttemptState::Running => "running",
        AttemptState::Stopping => "stopping",
        AttemptState::Publishing => "publishing",
        AttemptState::Done => "done",
    }
}

fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Cancelled => "cancelled",
        StopReason::TimedOut => "timed_out",
        StopReason::Lost => "lost",
    }
}
