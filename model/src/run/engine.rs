//! The transitions.

use super::attempt::{Attempt, AttemptState, Publication, ReportSummary};
use super::input::{Input, Observation};
use super::outbox::{Effect, StopReason};
use super::state::{CancelRequest, Claim, Conclusion, Run, RunStatus};
use crate::ids::RunId;
use jiff::{SignedDuration, Timestamp};

/// Takes one input. Total: an input that does not fit the state changes nothing.
pub fn step(run: &mut Run, input: Input, now: Timestamp) {
    match input {
        Input::EffectDone { id } => run.effect_done(id),
        Input::EffectFailed { id, error, retry_after } => run.effect_failed(id, error, retry_after, now),
        Input::Claim { by, seconds } => {
            if run.claim.as_ref().is_none_or(|claim| claim.by == by || claim.until <= now) {
                run.claim = Some(Claim { by, until: now + SignedDuration::from_secs(seconds) });
            }
        }
        Input::Release { by } => {
            run.claim.take_if(|claim| claim.by == by);
        }
        Input::Commented { id } => run.comment = Some(id),
        Input::Checked { job, attempt, check } => {
            if let Some(attempt) = find(run, &job, attempt) {
                attempt.check = Some(check);
            }
        }
        _ if run.is_over() => {}
        Input::Tick => tick(run, now),
        Input::Cancel { by, replaced_by } => cancel(run, by, replaced_by, now),
        Input::Prepared { job, attempt, origin } => {
            if let Some(attempt) =
                current(run, &job, attempt).filter(|attempt| attempt.state == AttemptState::Queued)
            {
                attempt.origin = Some(origin);
            }
        }
        Input::Launched { job, attempt, handle } => launched(run, &job, attempt, handle, now),
        Input::LaunchFailed { job, attempt, reason } => launch_failed(run, &job, attempt, reason, now),
        Input::Reported { job, attempt, report } => reported(run, &job, attempt, report, now),
        Input::ReportRefused { job, attempt, reason } => report_refused(run, &job, attempt, reason, now),
        Input::Observed { job, attempt, observation } => observed(run, &job, attempt, observation, now),
        Input::Published { job, attempt, publication } => published(run, &job, attempt, publication, now),
        Input::NothingToPublish { job, attempt } => nothing_to_publish(run, &job, attempt, now),
        Input::PublishRefused { job, attempt, reason, pushed } => {
            publish_refused(run, &job, attempt, reason, pushed, now);
        }
    }
}

/// A run lives 35 days at most, as in Actions; a workflow that asks for more gets that.
const MAX_JOB_SECONDS: f64 = 35.0 * 24.0 * 3600.0;

/// So many seconds after `now`, or the last moment there is: what a file or a header asks for must not end the program.
fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

fn find<'a>(run: &'a mut Run, job: &str, number: u32) -> Option<&'a mut Attempt> {
    let job = run.jobs.iter_mut().find(|candidate| candidate.key == job)?;
    job.attempts.iter_mut().find(|attempt| attempt.number == number)
}

/// The job's current attempt, if `number` is its number: an older number is fenced off here.
fn current<'a>(run: &'a mut Run, job: &str, number: u32) -> Option<&'a mut Attempt> {
    let job = run.jobs.iter_mut().find(|candidate| candidate.key == job)?;
    job.attempts.last_mut().filter(|attempt| attempt.number == number && attempt.state != AttemptState::Done)
}

fn launched(run: &mut Run, job: &str, number: u32, handle: String, now: Timestamp) {
    let timing = run.timing;
    let minutes = run.job(job).map_or(0.0, |job| job.spec.timeout_minutes);
    let Some(attempt) = current(run, job, number).filter(|attempt| attempt.state == AttemptState::Queued)
    else {
        return;
    };
    attempt.state = AttemptState::Starting;
    attempt.launched_at = Some(now);
    attempt.handle = Some(handle);
    attempt.lease_until = Some(now + SignedDuration::from_secs(timing.lease_seconds));
    let seconds = (minutes * 60.0).ceil().clamp(0.0, MAX_JOB_SECONDS) as i64;
    attempt.deadline = Some(after(now, seconds.saturating_add(timing.grace_seconds)));
    run.started_at.get_or_insert(now);
    run.status = RunStatus::InProgress;
    run.withdraw(&Effect::Launch { job: job.to_owned(), attempt: number }.key());
    run.note(now, format!("{job}: attempt {number} launched"));
    run.emit(Effect::Tell, now);
}

fn launch_failed(run: &mut Run, job: &str, number: u32, reason: String, now: Timestamp) {
    if current(run, job, number).is_some_and(|attempt| attempt.state == AttemptState::Queued) {
        end_attempt(run, job, number, Conclusion::Failure, Some(reason), now);
    }
}

fn reported(run: &mut Run, job: &str, number: u32, report: ReportSummary, now: Timestamp) {
    let lease = SignedDuration::from_secs(run.timing.lease_seconds);
    let cancelled = run.cancel.is_some();
    let Some(attempt) = current(run, job, number) else { return };
    // A report can be read before the launch was recorded: a launch that crashed half way left a container that runs.
    if !(attempt.state.is_live() || attempt.state == AttemptState::Queued) {
        return;
    }
    if attempt.report.as_ref().is_some_and(|last| last.sequence >= report.sequence) {
        return;
    }
    let conclusion = report.conclusion;
    let (has_changes, message) = (report.has_changes, report.message.clone());
    attempt.report = Some(report);
    attempt.lease_until = Some(now + lease);
    attempt.probed = false;
    let first = attempt.started_at.is_none();
    attempt.started_at.get_or_insert(now);
    if attempt.state == AttemptState::Starting {
        attempt.state = AttemptState::Running;
    }
    let stopping = attempt.stopping;
    let Some(conclusion) = conclusion else {
        if first {
            run.note(now, format!("{job}: attempt {number} runs"));
            run.emit(Effect::Tell, now);
        }
        return;
    };
    // Whoever told it to stop decides what the stop means: a cancelled agent may well have said "success" a moment before.
    let conclusion = match stopping {
        Some(StopReason::Cancelled) => Conclusion::Cancelled,
        Some(StopReason::TimedOut) if conclusion == Conclusion::Cancelled => Conclusion::TimedOut,
        _ => conclusion,
    };
    let publishable = has_changes
        && !cancelled
        && matches!(
            conclusion,
            Conclusion::Success | Conclusion::TimedOut | Conclusion::BudgetExceeded | Conclusion::NeedsInput
        );
    if publishable {
        let Some(attempt) = current(run, job, number) else { return };
        attempt.state = AttemptState::Publishing;
        attempt.conclusion = Some(conclusion);
        attempt.reason = message;
        run.withdraw(&Effect::Stop { job: job.to_owned(), attempt: number, reason: StopReason::Lost }.key());
        run.withdraw(&Effect::Probe { job: job.to_owned(), attempt: number }.key());
        run.note(now, format!("{job}: attempt {number} finished ({}), publishing", conclusion.as_str()));
        run.emit(Effect::Publish { job: job.to_owned(), attempt: number }, now);
        run.emit(Effect::Tell, now);
    } else {
        end_attempt(run, job, number, conclusion, message, now);
    }
}

fn report_refused(run: &mut Run, job: &str, number: u32, reason: String, now: Timestamp) {
    // Once the final report is in, nothing that the container writes afterwards counts: a push may be under way.
    let may_report = |attempt: &mut Attempt| attempt.state.is_live() || attempt.state == AttemptState::Queued;
    if current(run, job, number).is_some_and(may_report) {
        end_attempt(run, job, number, Conclusion::Failure, Some(reason), now);
    }
}

fn observed(run: &mut Run, job: &str, number: u32, observation: Observation, now: Timestamp) {
    let Some(attempt) = current(run, job, number).filter(|attempt| attempt.state.is_live()) else { return };
    let stopping = attempt.stopping;
    let (conclusion, reason) = match (observation, stopping) {
        // Alive by the runner's word though silent: the probe has given it one more lease, and no look renews it.
        (Observation::Running, _) => return,
        (_, Some(StopReason::Cancelled)) => (Conclusion::Cancelled, None),
        (_, Some(StopReason::TimedOut)) => (Conclusion::TimedOut, Some("the job's time was up".to_owned())),
        (_, Some(StopReason::Lost)) => {
            (Conclusion::Failure, Some("nothing was heard of the agent any more; it was stopped".to_owned()))
        }
        (Observation::Missing, None) => {
            (Conclusion::Failure, Some("the runner lost the container before it had reported".to_owned()))
        }
        (Observation::Exited { out_of_memory: true, .. }, None) => (
            Conclusion::Failure,
            Some("out of memory: the container reached its memory limit and was killed".to_owned()),
        ),
        (Observation::Exited { code, detail, .. }, None) => {
            let code =
                code.map_or("without an exit code".to_owned(), |code| format!("with exit code {code}"));
            let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            (Conclusion::Failure, Some(format!("the container ended {code} before it had reported{detail}")))
        }
    };
    let lost = stopping.is_none() && conclusion == Conclusion::Failure || stopping == Some(StopReason::Lost);
    if lost && retry(run, job, number, reason.as_deref().unwrap_or_default(), now) {
        return;
    }
    end_attempt(run, job, number, conclusion, reason, now);
}

/// Makes the next attempt of a job that says it may be retried when its runner is lost.
fn retry(run: &mut Run, job: &str, number: u32, reason: &str, now: Timestamp) -> bool {
    let allowed = run.job(job).map_or(0, |job| job.spec.retries);
    if number > allowed || run.cancel.is_some() {
        return false;
    }
    close_attempt(run, job, number, Conclusion::Failure, Some(reason.to_owned()), now);
    let Some(entry) = run.jobs.iter_mut().find(|candidate| candidate.key == job) else { return false };
    entry.attempts.push(Attempt::new(number + 1, now));
    run.note(now, format!("{job}: attempt {number} was lost ({reason}); attempt {} is queued", number + 1));
    run.emit(Effect::Launch { job: job.to_owned(), attempt: number + 1 }, now);
    run.emit(Effect::Tell, now);
    true
}

fn published(run: &mut Run, job: &str, number: u32, publication: Publication, now: Timestamp) {
    let Some(attempt) = current(run, job, number).filter(|attempt| attempt.state == AttemptState::Publishing)
    else {
        return;
    };
    let conclusion = attempt.conclusion.unwrap_or(Conclusion::Success);
    let reason = attempt.reason.clone();
    run.note(now, format!("{job}: pushed {} at {}", publication.branch, publication.sha));
    if let Some(attempt) = current(run, job, number) {
        attempt.publication = Some(publication);
    }
    end_attempt(run, job, number, conclusion, reason, now);
    run.emit(Effect::Check { job: job.to_owned(), attempt: number }, now);
}

fn nothing_to_publish(run: &mut Run, job: &str, number: u32, now: Timestamp) {
    let Some(attempt) = current(run, job, number).filter(|attempt| attempt.state == AttemptState::Publishing)
    else {
        return;
    };
    let conclusion = match attempt.conclusion {
        Some(Conclusion::Success) | None => Conclusion::NoChanges,
        Some(other) => other,
    };
    let reason = attempt.reason.clone();
    end_attempt(run, job, number, conclusion, reason, now);
}

fn publish_refused(
    run: &mut Run,
    job: &str,
    number: u32,
    reason: String,
    pushed: Option<Publication>,
    now: Timestamp,
) {
    let Some(attempt) = current(run, job, number).filter(|attempt| attempt.state == AttemptState::Publishing)
    else {
        return;
    };
    let on_forge = pushed.is_some();
    attempt.publication = pushed;
    end_attempt(run, job, number, Conclusion::Failure, Some(reason), now);
    if on_forge {
        run.emit(Effect::Check { job: job.to_owned(), attempt: number }, now);
    }
}

fn cancel(run: &mut Run, by: String, replaced_by: Option<RunId>, now: Timestamp) {
    if run.cancel.is_some() {
        return;
    }
    run.note(now, format!("cancelled by {by}"));
    run.cancel = Some(CancelRequest { by, replaced_by, at: now });
    for key in run.jobs.iter().map(|job| job.key.clone()).collect::<Vec<_>>() {
        let Some(attempt) = run.job(&key).and_then(|job| job.attempts.last()) else { continue };
        let number = attempt.number;
        match attempt.state {
            AttemptState::Queued => end_attempt(run, &key, number, Conclusion::Cancelled, None, now),
            AttemptState::Starting | AttemptState::Running => {
                stop(run, &key, number, StopReason::Cancelled, now)
            }
            // The stop that is under way ends as a cancel; a push that is under way is not torn apart.
            AttemptState::Stopping => {
                if let Some(attempt) = current(run, &key, number) {
                    attempt.stopping = Some(StopReason::Cancelled);
                }
            }
            AttemptState::Publishing | AttemptState::Done => {}
        }
    }
}

fn stop(run: &mut Run, job: &str, number: u32, reason: StopReason, now: Timestamp) {
    let patience = SignedDuration::from_secs(run.timing.stop_seconds);
    let Some(attempt) = current(run, job, number) else { return };
    attempt.state = AttemptState::Stopping;
    attempt.stopping = Some(reason);
    attempt.deadline = Some(now + patience);
    run.emit(Effect::Stop { job: job.to_owned(), attempt: number, reason }, now);
    run.emit(Effect::Tell, now);
}

fn tick(run: &mut Run, now: Timestamp) {
    for key in run.jobs.iter().map(|job| job.key.clone()).collect::<Vec<_>>() {
        let timing = run.timing;
        let Some(attempt) = run.job(&key).and_then(|job| job.attempts.last()) else { continue };
        let number = attempt.number;
        let past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        match attempt.state {
            AttemptState::Queued
                if past(Some(attempt.created_at + SignedDuration::from_secs(timing.queue_seconds))) =>
            {
                let hours = timing.queue_seconds / 3600;
                let reason = format!("no runner was free for {hours} hours");
                end_attempt(run, &key, number, Conclusion::TimedOut, Some(reason), now);
            }
            AttemptState::Starting | AttemptState::Running if past(attempt.deadline) => {
                run.note(now, format!("{key}: the time limit of attempt {number} is over, stopping it"));
                stop(run, &key, number, StopReason::TimedOut, now);
            }
            AttemptState::Starting | AttemptState::Running if past(attempt.lease_until) => {
                if attempt.probed {
                    run.note(now, format!("{key}: attempt {number} is silent, stopping it"));
                    stop(run, &key, number, StopReason::Lost, now);
                } else if let Some(attempt) = current(run, &key, number) {
                    attempt.probed = true;
                    attempt.lease_until = Some(now + SignedDuration::from_secs(timing.lease_seconds));
                    run.emit(Effect::Probe { job: key.clone(), attempt: number }, now);
                }
            }
            // The stop got no answer: the runner may be gone. The run ends without its help; the container is an orphan
            // for the sweeper, since the attempt's Discard effect stays until it has happened.
            AttemptState::Stopping if past(attempt.deadline) => {
                let observation = Observation::Missing;
                observed(run, &key, number, observation, now);
            }
            _ => {}
        }
    }
}

/// Ends an attempt, its job, and the run when it was the last.
fn end_attempt(
    run: &mut Run,
    job: &str,
    number: u32,
    conclusion: Conclusion,
    reason: Option<String>,
    now: Timestamp,
) {
    close_attempt(run, job, number, conclusion, reason.clone(), now);
    if let Some(entry) = run.jobs.iter_mut().find(|candidate| candidate.key == job) {
        entry.conclusion = Some(conclusion);
        entry.reason = reason;
    }
    run.note(now, format!("{job}: {}", conclusion.as_str()));
    if run.jobs.iter().all(|job| job.conclusion.is_some()) {
        let worst = run.jobs.iter().max_by_key(|job| job.conclusion.map_or(0, severity));
        run.conclusion = worst.and_then(|job| job.conclusion);
        run.reason = worst.and_then(|job| job.reason.clone());
        run.status = RunStatus::Completed;
        run.finished_at = Some(now);
    }
    run.emit(Effect::Tell, now);
}

fn close_attempt(
    run: &mut Run,
    job: &str,
    number: u32,
    conclusion: Conclusion,
    reason: Option<String>,
    now: Timestamp,
) {
    let Some(attempt) = current(run, job, number) else { return };
    attempt.state = AttemptState::Done;
    attempt.finished_at = Some(now);
    attempt.conclusion = Some(conclusion);
    attempt.reason = reason;
    let job = job.to_owned();
    for effect in [
        Effect::Launch { job: job.clone(), attempt: number },
        Effect::Probe { job: job.clone(), attempt: number },
        Effect::Stop { job: job.clone(), attempt: number, reason: StopReason::Lost },
        Effect::Publish { job: job.clone(), attempt: number },
    ] {
        run.withdraw(&effect.key());
    }
    // A queued attempt may have a container all the same, when its launch crashed half way.
    run.emit(Effect::Discard { job, attempt: number }, now);
}

fn severity(conclusion: Conclusion) -> u8 {
    match conclusion {
        Conclusion::Skipped => 0,
        Conclusion::Success => 1,
        Conclusion::NoChanges => 2,
        Conclusion::NeedsInput => 3,
        Conclusion::Cancelled => 4,
        Conclusion::BudgetExceeded => 5,
        Conclusion::TimedOut => 6,
        Conclusion::Failure => 7,
    }
}
