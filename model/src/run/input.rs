//! What can happen to a run.

use super::addition::Addition;
use super::attempt::{Check, Origin, Publication, ReportSummary};
use super::rerun::Rerun;
use crate::ids::RunId;
use jiff::SignedDuration;

/// What a probe, or the watch over a container, has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The runner has a place for it and is still setting it up: nothing of it runs, so that nothing can be heard of it.
    Starting,
    /// The container runs.
    Running,
    /// The container has ended; what it left behind has been read before this is said.
    Exited {
        /// Its exit code, where there is one.
        code: Option<i64>,
        /// Killed for want of memory.
        out_of_memory: bool,
        /// What the runner says of it, for people.
        detail: Option<String>,
    },
    /// The runner does not know it.
    Missing,
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The attempt's workspace is ready, and is about to be given to a runner.
    Prepared {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// What the workspace was made from.
        origin: Origin,
    },
    /// The runner has the attempt.
    Launched {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// What the runner calls it.
        handle: String,
    },
    /// The attempt can't be launched, for good.
    LaunchFailed {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// Why, for people.
        reason: String,
    },
    /// A report was read: a heartbeat, or the final one when it has a conclusion.
    Reported {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// What it says.
        report: ReportSummary,
    },
    /// The attempt lives, by a report that can't be told just now.
    Alive {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
    },
    /// What the attempt left cannot be believed.
    ReportRefused {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// Why, for people.
        reason: String,
    },
    /// The container was looked at.
    Observed {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// What was seen.
        observation: Observation,
    },
    /// The change is on the forge.
    Published {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// What and where.
        publication: Publication,
    },
    /// The change turned out to be empty.
    NothingToPublish {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
    },
    /// The change will never be published.
    PublishRefused {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// Why, for people.
        reason: String,
        /// What is on the forge all the same: a branch without its pull request.
        pushed: Option<Publication>,
    },
    /// Somebody wants the run to end.
    Cancel {
        /// Who.
        by: String,
        /// See [`super::CancelRequest::replaced_by`].
        replaced_by: Option<RunId>,
        /// See [`super::CancelRequest::forced`].
        force: bool,
    },
    /// Somebody wants one job to end.
    CancelJob {
        /// The job's key.
        job: String,
        /// Who.
        by: String,
    },
    /// Somebody adds something to what is under way.
    Also {
        /// What, and who.
        addition: Addition,
    },
    /// A reviewer lets a job pass its environment.
    Approve {
        /// The job's key.
        job: String,
        /// Who.
        by: String,
    },
    /// A reviewer does not let a job pass its environment.
    Reject {
        /// The job's key.
        job: String,
        /// Who.
        by: String,
    },
    /// Somebody wants what is over to run again.
    Rerun {
        /// What of it.
        what: Rerun,
        /// Who.
        by: String,
    },
    /// A concurrency group is free for this wish.
    Granted {
        /// See [`super::Hold::ticket`].
        ticket: u64,
    },
    /// Somebody who came later takes this wish's place in its group.
    Displaced {
        /// See [`super::Hold::ticket`].
        ticket: u64,
        /// Whose run.
        by: RunId,
    },
    /// This wish's group is held by its own run.
    Deadlocked {
        /// See [`super::Hold::ticket`].
        ticket: u64,
    },
    /// The comment was posted, or found again.
    Commented {
        /// The forge's number for it.
        id: u64,
    },
    /// The check run was set.
    Checked {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// Which.
        check: Check,
    },
    /// Somebody wants to execute the outbox, and begins with what is due: see [`super::Run::under_way`].
    Begin {
        /// Who.
        by: String,
        /// For how long, in seconds.
        seconds: i64,
    },
    /// Somebody goes on executing the outbox.
    Claim {
        /// Who.
        by: String,
        /// For how long, in seconds.
        seconds: i64,
    },
    /// Somebody is done with the outbox.
    Release {
        /// Who.
        by: String,
    },
    /// An effect has happened.
    EffectDone {
        /// See [`super::Outgoing::id`].
        id: u64,
    },
    /// An effect has not happened, and shall be tried again.
    EffectFailed {
        /// See [`super::Outgoing::id`].
        id: u64,
        /// What went wrong.
        error: String,
        /// How long to wait, where the other side said so.
        retry_after: Option<SignedDuration>,
    },
    /// Time has passed.
    Tick,
}
