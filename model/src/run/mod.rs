//! The state machine of a run. It owns all truth about it: jobs, attempts, leases, deadlines, cost and the outbox of effects.
//!
//! [`step`] is the only way a run changes. It is total: an input that does not fit the state (late, twice, for an old
//! attempt, after the end) leaves the run as it was. What must happen outside is put into [`Run::outbox`], which a store
//! saves together with the run in one compare-and-set; whoever executes an effect answers with another input.

mod engine;
mod outbox;
mod state;

pub use engine::{Input, Observation, step};
pub use outbox::{Effect, Outgoing, StopReason};
pub use state::{
    Attempt, AttemptState, CancelRequest, Check, Claim, Conclusion, HistoryEntry, Job, NewRun, Origin,
    Publication, PullRequest, ReportSummary, Repository, Run, RunStatus, StepSummary, Subject, Timing,
    Trigger, Usage, WorkflowRef,
};
