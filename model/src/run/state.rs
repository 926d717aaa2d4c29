//! What a run is made of.

use super::addition::Addition;
use super::attempt::{Attempt, Publication, Usage};
use super::job::{Hold, Job};
use super::outbox::{Effect, Outgoing};
use super::schedule::{MAX_RUN, ask, placeholder, schedule};
use crate::ids::{AttemptId, RunId};
use crate::workflow::Plan;
use crate::workflow::plan::ConcurrencyWish;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A repository on the forge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Repository {
    /// The user or organisation.
    pub owner: String,
    /// The name below the owner.
    pub name: String,
    /// The installation of our App that covers it; 0 where the forge is a local folder.
    pub installation: u64,
    /// The branch a change goes into.
    pub default_branch: String,
}

impl Repository {
    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

/// The issue (or pull request) a run is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its number in the repository.
    pub number: u64,
    /// Its title when the run was made.
    pub title: String,
    /// Its page for people, empty where there is none.
    pub url: String,
}

/// The workflow file a run was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowRef {
    /// Path in the repository, or `built-in:implement`.
    pub path: String,
    /// Its `name:`, or the path.
    pub name: String,
}

/// What started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// The delivery's id.
    pub delivery: String,
    /// The event's name, e.g. `issues`.
    pub event: String,
    /// The event's action, e.g. `labeled`.
    pub action: String,
    /// Who caused it.
    pub actor: String,
}

/// How a job or a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Every step succeeded and the change, if any was made, is published.
    Success,
    /// Something failed; the reason is beside it.
    Failure,
    /// The agent finished and changed nothing.
    NoChanges,
    /// The agent asked a question.
    NeedsInput,
    /// A time limit was reached.
    TimedOut,
    /// A person, or a newer run, ended it.
    Cancelled,
    /// The money was spent.
    BudgetExceeded,
    /// It was not due.
    Skipped,
}

impl Conclusion {
    /// The name as files and the API have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::NoChanges => "no_changes",
            Self::NeedsInput => "needs_input",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::BudgetExceeded => "budget_exceeded",
            Self::Skipped => "skipped",
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// No attempt has begun yet.
    Queued,
    /// Some job is at work.
    InProgress,
    /// Over, for good.
    Completed,
}

impl RunStatus {
    /// The name as files and the API have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

/// Durations that govern an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// How long an attempt may be silent, in seconds.
    pub lease_seconds: i64,
    /// How long after the agent's own time limit the engine still waits, in seconds: the agent saves its work by then.
    pub grace_seconds: i64,
    /// How long an attempt may wait for a runner, in seconds (GitHub: 24 hours).
    pub queue_seconds: i64,
    /// How long a stop may take, in seconds: what the runner gives the agent to end in order, and some for the news of it to come.
    pub stop_seconds: i64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { lease_seconds: 90, grace_seconds: 120, queue_seconds: 24 * 3600, stop_seconds: 60 }
    }
}

/// A wish to end a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Who, or which newer run, wants it.
    pub by: String,
    /// The run of the same concurrency group that stays in its place: the labels are that one's.
    #[serde(default)]
    pub replaced_by: Option<RunId>,
    /// When.
    pub at: Timestamp,
    /// Whether jobs end that would run on all the same (`if: always()`).
    #[serde(default)]
    pub forced: bool,
}

/// The right to execute a run's outbox, for one at a time: two that post the same comment at once would both not find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who. The same name after a crash takes up its own claim again.
    pub by: String,
    /// Over then, whatever became of the claimer.
    pub until: Timestamp,
    /// The effect that it has begun, see [`Outgoing::id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<u64>,
}

/// One line of what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// What, for people.
    pub what: String,
}

/// A workflow started by an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Where.
    pub repository: Repository,
    /// About what.
    pub subject: Subject,
    /// From which file.
    pub workflow: WorkflowRef,
    /// By what.
    pub trigger: Trigger,
    /// Runs with the same group exclude each other.
    pub group: Option<String>,
    /// The branch its change goes to.
    pub branch: String,
    /// The `github` context for expressions.
    pub context: serde_json::Value,
    /// Durations.
    pub timing: Timing,
    /// Where it stands.
    pub status: RunStatus,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its first attempt was launched.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// A wish to end it.
    pub cancel: Option<CancelRequest>,
    /// Its jobs in the order of the file.
    pub jobs: Vec<Job>,
    /// The comment on the issue, once posted.
    pub comment: Option<u64>,
    /// Who executes the outbox just now.
    pub claim: Option<Claim>,
    /// What must still happen outside.
    pub outbox: Vec<Outgoing>,
    /// The number that the next effect gets.
    pub next_effect: u64,
    /// What happened, oldest first, at most [`Run::HISTORY`] entries.
    pub history: Vec<HistoryEntry>,
    /// What its jobs are made of; empty in runs of older versions.
    #[serde(default)]
    pub plan: Plan,
    /// The inputs of `workflow_dispatch`.
    #[serde(default)]
    pub inputs: serde_json::Value,
    /// The context `vars`: what people have set for the repository and its owner; null where the workflow does not look at it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub vars: serde_json::Value,
    /// The workflow's concurrency, as it came out for this run.
    #[serde(default)]
    pub concurrency: Option<ConcurrencyWish>,
    /// Its wish for that group, from its beginning until it is over.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// How often it was run, from 1 (`github.run_attempt`).
    #[serde(default = "first")]
    pub round: u32,
    /// Who let it run again last.
    #[serde(default)]
    pub rerun_by: Option<String>,
    /// Attempts of jobs that are to be made anew, by the job's key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retired: BTreeMap<String, Vec<Attempt>>,
    /// What people have added to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additions: Vec<Addition>,
}

fn first() -> u32 {
    1
}

/// What a new run is made of.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// See [`Run::repository`].
    pub repository: Repository,
    /// See [`Run::subject`].
    pub subject: Subject,
    /// See [`Run::workflow`].
    pub workflow: WorkflowRef,
    /// See [`Run::trigger`].
    pub trigger: Trigger,
    /// See [`Run::concurrency`].
    pub concurrency: Option<ConcurrencyWish>,
    /// See [`Run::branch`].
    pub branch: String,
    /// See [`Run::context`].
    pub context: serde_json::Value,
    /// See [`Run::inputs`].
    pub inputs: serde_json::Value,
    /// See [`Run::vars`].
    pub vars: serde_json::Value,
    /// See [`Run::timing`].
    pub timing: Timing,
    /// What the workflow says.
    pub plan: Plan,
}

impl Run {
    /// History entries kept; later ones are dropped, but for the last, which is always the newest.
    pub const HISTORY: usize = 200;

    /// A run with its first attempts and effects.
    pub fn new(new: NewRun, now: Timestamp) -> Self {
        let mut run = Self {
            id: RunId::derive(&new.trigger.delivery, &new.workflow.path),
            repository: new.repository,
            subject: new.subject,
            workflow: new.workflow,
            trigger: new.trigger,
            group: new.concurrency.as_ref().map(|wish| wish.group.clone()),
            branch: new.branch,
            context: new.context,
            timing: new.timing,
            status: RunStatus::Queued,
            conclusion: None,
            reason: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            cancel: None,
            jobs: new.plan.jobs.iter().map(|definition| placeholder(definition, None)).collect(),
            comment: None,
            claim: None,
            outbox: Vec::new(),
            next_effect: 1,
            history: Vec::new(),
            plan: new.plan,
            inputs: new.inputs,
            vars: new.vars,
            concurrency: new.concurrency,
            hold: None,
            round: 1,
            rerun_by: None,
            retired: BTreeMap::new(),
            additions: Vec::new(),
        };
        run.note(
            now,
            format!("queued by {} ({} {})", run.trigger.actor, run.trigger.event, run.trigger.action),
        );
        if let Some(wish) = run.concurrency.clone() {
            run.hold = Some(ask(&mut run, wish, now));
        }
        schedule(&mut run, now);
        run.emit(Effect::Tell, now);
        run
    }

    /// Whether nothing can change its conclusion any more.
    pub fn is_over(&self) -> bool {
        self.status == RunStatus::Completed
    }

    /// The job with this key.
    pub fn job(&self, key: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.key == key)
    }

    /// The attempt with this id, whether current or not.
    pub fn attempt(&self, id: &AttemptId) -> Option<&Attempt> {
        if id.run != self.id {
            return None;
        }
        let present = self.job(&id.job).map_or(&[][..], |job| &job.attempts);
        let retired = self.retired.get(&id.job).map_or(&[][..], Vec::as_slice);
        present.iter().chain(retired).find(|attempt| attempt.number == id.number)
    }

    /// The name of one of its attempts.
    pub fn attempt_id(&self, job: &str, number: u32) -> AttemptId {
        AttemptId { run: self.id.clone(), job: job.to_owned(), number }
    }

    /// The attempts that a runner has or should have now.
    pub fn live_attempts(&self) -> impl Iterator<Item = AttemptId> + '_ {
        self.jobs.iter().filter_map(|job| {
            let attempt = job.attempts.last()?;
            attempt.state.is_live().then(|| self.attempt_id(&job.key, attempt.number))
        })
    }

    /// All attempts' tokens and cost.
    pub fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for attempt in self.jobs.iter().flat_map(|job| &job.attempts).chain(self.retired.values().flatten()) {
            if let Some(report) = &attempt.report {
                sum.add(&report.usage);
            }
        }
        sum
    }

    /// What was published, if anything was: of several changes the last one that has a pull request.
    pub fn publication(&self) -> Option<&Publication> {
        let all = || self.jobs.iter().rev().filter_map(Job::publication);
        all().find(|publication| publication.pull.is_some()).or_else(|| all().next())
    }

    /// When this run wants to be looked at next, whatever else happens; `None` when it is over and nothing is left to do.
    pub fn due_at(&self) -> Option<Timestamp> {
        let effects = self.outbox.iter().map(|outgoing| outgoing.due_at);
        let attempts = self.jobs.iter().filter_map(|job| job.attempts.last()?.next_timer(&self.timing));
        let jobs = self.jobs.iter().filter_map(Job::next_timer);
        let own = self.hold.as_ref().filter(|hold| !hold.granted).map(|hold| hold.ask_again_at);
        let end =
            (!self.is_over()).then(|| self.created_at.saturating_add(MAX_RUN).unwrap_or(Timestamp::MAX));
        effects.chain(attempts).chain(jobs).chain(own).chain(end).min()
    }

    pub(super) fn note(&mut self, at: Timestamp, what: String) {
        if self.history.len() >= Self::HISTORY {
            self.history.pop();
        }
        self.history.push(HistoryEntry { at, what });
    }
}
