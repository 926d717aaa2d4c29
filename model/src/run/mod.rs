//! The state machine of a run. It owns all truth about it: jobs, attempts, leases, deadlines, cost and the outbox of effects.
//!
//! [`step`] is the only way a run changes. It is total: an input that does not fit the state (late, twice, for an old
//! attempt, after the end) leaves the run as it was. What must happen outside is put into [`Run::outbox`], which a store
//! saves together with the run in one compare-and-set; whoever executes an effect answers with another input.

mod addition;
mod approve;
mod attempt;
mod cancel;
mod change;
mod context;
mod engine;
mod hold;
mod input;
mod job;
mod next;
mod outbox;
pub mod preview;
mod rerun;
mod schedule;
mod secrets;
mod state;

pub use addition::{Addition, AdditionState};
pub use attempt::{
    Attempt, AttemptState, Check, Origin, Publication, PullRequest, ReportSummary, SessionSummary,
    StepSummary, Usage,
};
pub use engine::step;
pub use hold::{Group, GroupEntry};
pub use input::{Input, Observation};
pub use job::{Gate, Hold, Job, JobResult, JobState, Place};
pub use outbox::{Effect, Outgoing, StopReason};
pub use rerun::Rerun;
pub use schedule::MAX_RUN_JOBS;
pub use secrets::NamedSecrets;
pub use state::{
    CancelRequest, Claim, Conclusion, HistoryEntry, NewRun, Repository, Run, RunStatus, Subject, Timing,
    Trigger, WorkflowRef,
};
