//! Ending a run or one of its jobs because somebody wants it.

use super::attempt::AttemptState;
use super::engine::{current, end_attempt, stop};
use super::job::{Job, JobState};
use super::next::outlives_cancel;
use super::outbox::StopReason;
use super::schedule::end_job;
use super::state::{CancelRequest, Conclusion, Run};
use crate::ids::RunId;
use jiff::Timestamp;

/// Ends a run as GitHub does: jobs whose `if` holds all the same (`always()`, `cancelled()`) go on, unless it is forced or
/// nothing had begun.
pub(super) fn cancel(run: &mut Run, by: String, replaced_by: Option<RunId>, force: bool, now: Timestamp) {
    if run.cancel.as_ref().is_some_and(|cancel| cancel.forced || !force) {
        return;
    }
    run.note(now, format!("cancelled by {by}"));
    let force = force || run.hold.as_ref().is_some_and(|hold| !hold.granted);
    run.cancel = Some(CancelRequest { by, replaced_by, at: now, forced: force });
    let keys: Vec<String> = run.jobs.iter().filter(|job| !job.is_over()).map(|job| job.key.clone()).collect();
    for key in keys {
        let Some(state) = run.job(&key).map(|job| job.state) else { continue };
        match state {
            // Asked again when what it needs is over; its answer is then that of a cancelled run.
            JobState::Blocked if !force => {}
            // Its jobs are asked one by one.
            JobState::Calling => {}
            _ if !force && outlives_cancel(run, &key) => {}
            _ => end_or_stop(run, &key, now),
        }
    }
    if force {
        run.hold.iter_mut().for_each(|hold| hold.granted = true);
    }
}

/// What a job is cancelled by that the failure of another of its matrix ends.
pub(super) const FAILURE_OF: &str = "the failure of";

/// Whether a person wanted this job to end.
pub(super) fn ended_by_hand(job: &Job) -> bool {
    job.cancelled_by.as_ref().is_some_and(|by| !by.starts_with(FAILURE_OF))
}

/// Ends one job, and what it calls.
pub(super) fn cancel_job(run: &mut Run, key: &str, by: &str, now: Timestamp) {
    let Some(job) = run.jobs.iter_mut().find(|job| job.key == key && !job.is_over()) else { return };
    if job.cancelled_by.is_some() {
        return;
    }
    job.cancelled_by = Some(by.to_owned());
    run.note(now, format!("{key}: cancelled by {by}"));
    end_or_stop(run, key, now);
}

fn end_or_stop(run: &mut Run, key: &str, now: Timestamp) {
    let Some(job) = run.job(key) else { return };
    if job.state == JobState::Calling {
        let children: Vec<String> = run
            .jobs
            .iter()
            .filter(|job| job.parent.as_deref() == Some(key))
            .map(|job| job.key.clone())
            .collect();
        let by = job.cancelled_by.clone().unwrap_or_default();
        return children.iter().for_each(|child| cancel_job(run, child, &by, now));
    }
    let Some(attempt) = job.attempt().filter(|_| job.state == JobState::Started) else {
        return end_job(run, key, Conclusion::Cancelled, None, now);
    };
    let number = attempt.number;
    match attempt.state {
        AttemptState::Queued => end_attempt(run, key, number, Conclusion::Cancelled, None, now),
        AttemptState::Starting | AttemptState::Running => stop(run, key, number, StopReason::Cancelled, now),
        // The stop that is under way ends as a cancel; a push that is under way is not torn apart.
        AttemptState::Stopping => {
            if let Some(attempt) = current(run, key, number) {
                attempt.stopping = Some(StopReason::Cancelled);
            }
        }
        AttemptState::Publishing | AttemptState::Done => {}
    }
}
