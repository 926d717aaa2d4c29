//! The transitions.

use super::attempt::{Attempt, AttemptState, Publication, ReportSummary};
use super::input::{Input, Observation};
use super::job::{Job, JobState};
use super::outbox::{Effect, StopReason};
use super::schedule::{MAX_RUN, end_job, schedule};
use super::state::{Claim, Conclusion, Run, RunStatus};
use super::{addition, approve, cancel, hold, rerun};
use jiff::{SignedDuration, Timestamp};

/// Takes one input. Total: an input that does not fit the state changes nothing.
pub fn step(run: &mut Run, input: Input, now: Timestamp) {
    match input {
        Input::EffectDone { id } => run.effect_done(id),
        Input::EffectFailed { id, error, retry_after } => run.effect_failed(id, error, retry_after, now),
        Input::Claim { by, seconds } => {
            claim(run, by, seconds, now);
        }
        Input::Begin { by, seconds } => {
            claim(run, by.clone(), seconds, now);
            run.begin(&by, now);
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
        Input::Rerun { what, by } => rerun::rerun(run, what, by, now),
        _ if run.is_over() => {}
        Input::Tick => tick(run, now),
        Input::Cancel { by, replaced_by, force } => {
            cancel::cancel(run, by, replaced_by, force, now);
            schedule(run, now);
        }
        Input::CancelJob { job, by } => {
            cancel::cancel_job(run, &job, &by, now);
            schedule(run, now);
        }
        Input::Also { addition } => addition::also(run, addition, now),
        Input::Approve { job, by } => approve::approve(run, &job, by, now),
        Input::Reject { job, by } => approve::reject(run, &job, &by, now),
        Input::Granted { ticket } => hold::granted(run, ticket, now),
        Input::Displaced { ticket, by } => hold::displaced(run, ticket, by, now),
        Input::Deadlocked { ticket } => hold::deadlocked(run, ticket, now),
        Input::Prepared { job, attempt, origin } => {
            if let Some(attempt) =
                current(run, &job, attempt).filter(|attempt| attempt.state == AttemptState::Queued)
            {
                attempt.origin = Some(origin);
            }
        }
        Input::Launched { job, attempt, handle } => launched(run, &job, attempt, handle, now),
        Input::LaunchFailed { job, attempt, reason } => launch_failed(run, &job, attempt, reason, now),
        Input::Alive { job, attempt } => alive(run, &job, attempt, now),
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

fn claim(run: &mut Run, by: String, seconds: i64, now: Timestamp) {
    if run.claim.as_ref().is_none_or(|claim| claim.by == by || claim.until <= now) {
        let effect = run.claim.take().filter(|claim| claim.by == by).and_then(|claim| claim.effect);
        run.claim = Some(Claim { by, until: now + SignedDuration::from_secs(seconds), effect });
    }
}

/// How long a runner may take to bring a container to run, from the launch: machines are found and images fetched in it.
const MAX_START: SignedDuration = SignedDuration::from_mins(15);

/// A run lives 35 days at most, as in Actions; a workflow that asks for more gets that.
const MAX_JOB_SECONDS: f64 = 35.0 * 24.0 * 3600.0;

/// So many seconds after `now`, or the last moment there is: what a file or a header asks for must not end the program.
pub(super) fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

pub(super) fn find_job<'a>(run: &'a mut Run, key: &str) -> Option<&'a mut Job> {
    run.jobs.iter_mut().find(|job| job.key == key)
}

fn find<'a>(run: &'a mut Run, job: &str, number: u32) -> Option<&'a mut Attempt> {
    let present =
        run.jobs.iter_mut().filter(|candidate| candidate.key == job).flat_map(|job| &mut job.attempts);
    let retired = run.retired.get_mut(job).into_iter().flatten();
    present.chain(retired).find(|attempt| attempt.number == number)
}

/// The job's current attempt, if `number` is its number: an older number is fenced off here.
pub(super) fn current<'a>(run: &'a mut Run, job: &str, number: u32) -> Option<&'a mut Attempt> {
    let job = find_job(run, job)?;
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
    let added = !attempt.additions.is_empty();
    run.started_at.get_or_insert(now);
    run.status = RunStatus::InProgress;
    run.withdraw(&Effect::Launch { job: job.to_owned(), attempt: number }.key());
    run.note(now, format!("{job}: attempt {number} launched"));
    // Its task may have been written before the last of them.
    if added {
        run.emit(Effect::Append { job: job.to_owned(), attempt: number }, now);
    }
    run.emit(Effect::Tell, now);
}

fn launch_failed(run: &mut Run, job: &str, number: u32, reason: String, now: Timestamp) {
    if current(run, job, number).is_some_and(|attempt| attempt.state == AttemptState::Queued) {
        finish(run, job, number, Conclusion::Failure, Some(reason), now);
    }
}

/// Renews the lease, and changes nothing else: its deadline stays.
fn alive(run: &mut Run, job: &str, number: u32, now: Timestamp) {
    let lease = SignedDuration::from_secs(run.timing.lease_seconds);
    if let Some(attempt) = current(run, job, number).filter(|attempt| attempt.state.is_live()) {
        attempt.lease_until = Some(now + lease);
        attempt.probed = false;
    }
}

fn reported(run: &mut Run, job: &str, number: u32, mut report: ReportSummary, now: Timestamp) {
    let lease = SignedDuration::from_secs(run.timing.lease_seconds);
    let Some(attempt) = current(run, job, number) else { return };
    // A report can be read before the launch was recorded: a launch that crashed half way left a container that runs.
    if !(attempt.state.is_live() || attempt.state == AttemptState::Queued) {
        return;
    }
    if attempt.report.as_ref().is_some_and(|last| last.sequence >= report.sequence) {
        return;
    }
    report.heard.retain(|comment| attempt.additions.contains(comment));
    let heard_more = report.heard.iter().any(|comment| !attempt.heard().contains(comment));
    let conclusion = report.conclusion;
    let (has_changes, mut message) = (report.has_changes, report.message.clone());
    let (outputs, outputs_error) = (report.job_outputs.clone(), report.outputs_error.clone());
    let pick = report.outputs.get("pick").cloned();
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
        }
        if first || heard_more {
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
    let mut conclusion = conclusion;
    if let Some(error) = outputs_error.filter(|_| conclusion == Conclusion::Success) {
        (conclusion, message) = (Conclusion::Failure, Some(error));
    }
    if let Some(entry) = find_job(run, job) {
        entry.outputs = outputs;
    }
    let Some(entry) = run.job(job) else { return };
    let mut picked = None;
    // A judge changes nothing itself, which is no less a success.
    if matches!(conclusion, Conclusion::Success | Conclusion::NoChanges) && run.choice(entry).is_some() {
        match run.picked(entry, pick.as_deref().unwrap_or_default()) {
            Ok(candidate) => (conclusion, picked) = (Conclusion::Success, Some(candidate)),
            Err(error) => (conclusion, message) = (Conclusion::Failure, Some(error)),
        }
    }
    let worth = matches!(
        conclusion,
        Conclusion::Success | Conclusion::TimedOut | Conclusion::BudgetExceeded | Conclusion::NeedsInput
    );
    let wants = (has_changes && worth && run.choice(entry).is_none()) || picked.is_some();
    let may = run.may_write(entry, if picked.is_some() { "pull-requests" } else { "contents" });
    if wants && !may && message.is_none() {
        message = Some("the change was not published: the job's `permissions` do not let it be".to_owned());
    }
    if wants && may {
        let Some(attempt) = current(run, job, number) else { return };
        attempt.state = AttemptState::Publishing;
        attempt.conclusion = Some(conclusion);
        attempt.reason = message;
        attempt.picked = picked;
        run.withdraw(&Effect::Stop { job: job.to_owned(), attempt: number, reason: StopReason::Lost }.key());
        run.withdraw(&Effect::Probe { job: job.to_owned(), attempt: number }.key());
        run.withdraw(&Effect::Append { job: job.to_owned(), attempt: number }.key());
        run.note(now, format!("{job}: attempt {number} finished ({}), publishing", conclusion.as_str()));
        run.emit(Effect::Publish { job: job.to_owned(), attempt: number }, now);
        run.emit(Effect::Tell, now);
    } else {
        finish(run, job, number, conclusion, message, now);
    }
}

fn report_refused(run: &mut Run, job: &str, number: u32, reason: String, now: Timestamp) {
    // Once the final report is in, nothing that the container writes afterwards counts: a push may be under way.
    let may_report = |attempt: &mut Attempt| attempt.state.is_live() || attempt.state == AttemptState::Queued;
    if current(run, job, number).is_some_and(may_report) {
        finish(run, job, number, Conclusion::Failure, Some(reason), now);
    }
}

/// Nothing can be heard of what does not run yet: its lease is renewed, for so long.
fn starting(run: &mut Run, job: &str, number: u32, now: Timestamp) {
    let Some(attempt) = current(run, job, number).filter(|attempt| attempt.state == AttemptState::Starting)
    else {
        return;
    };
    if attempt.launched_at.is_some_and(|launched| now.duration_since(launched) < MAX_START) {
        alive(run, job, number, now);
    } else {
        run.note(now, format!("{job}: attempt {number} does not start, stopping it"));
        stop(run, job, number, StopReason::NotStarted, now);
    }
}

fn observed(run: &mut Run, job: &str, number: u32, observation: Observation, now: Timestamp) {
    if observation == Observation::Starting {
        return starting(run, job, number, now);
    }
    let Some(attempt) = current(run, job, number).filter(|attempt| attempt.state.is_live()) else { return };
    let stopping = attempt.stopping;
    let (conclusion, reason) = match (observation, stopping) {
        // Alive by the runner's word though silent: the probe has given it one more lease, and no look renews it.
        (Observation::Starting | Observation::Running, _) => return,
        (_, Some(StopReason::Cancelled)) => (Conclusion::Cancelled, None),
        (_, Some(StopReason::TimedOut)) => (Conclusion::TimedOut, Some("the job's time was up".to_owned())),
        (_, Some(StopReason::Lost)) => {
            (Conclusion::Failure, Some("nothing was heard of the agent any more; it was stopped".to_owned()))
        }
        (_, Some(StopReason::NotStarted)) => {
            let minutes = MAX_START.as_mins();
            let reason = format!(
                "the task did not start within {minutes} minutes: its runner found no room for it, or its image took too long to come"
            );
            (Conclusion::Failure, Some(reason))
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
    let lost = match stopping {
        None => conclusion == Conclusion::Failure,
        Some(reason) => matches!(reason, StopReason::Lost | StopReason::NotStarted),
    };
    if lost && retry(run, job, number, reason.as_deref().unwrap_or_default(), now) {
        return;
    }
    finish(run, job, number, conclusion, reason, now);
}

/// Makes the next attempt of a job that says it may be retried when its runner is lost.
fn retry(run: &mut Run, job: &str, number: u32, reason: &str, now: Timestamp) -> bool {
    let allowed = run.job(job).map_or(0, |job| job.spec.retries);
    if number > allowed || run.cancel.is_some() {
        return false;
    }
    close_attempt(run, job, number, Conclusion::Failure, Some(reason.to_owned()), now);
    let Some(entry) = run.jobs.iter_mut().find(|candidate| candidate.key == job) else { return false };
    entry.attempts.push(Attempt::next(entry.attempts.last(), now));
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
    finish(run, job, number, conclusion, reason, now);
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
    finish(run, job, number, conclusion, reason, now);
}

pub(super) fn publish_refused(
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
    finish(run, job, number, Conclusion::Failure, Some(reason), now);
    if on_forge {
        run.emit(Effect::Check { job: job.to_owned(), attempt: number }, now);
    }
}

pub(super) fn stop(run: &mut Run, job: &str, number: u32, reason: StopReason, now: Timestamp) {
    let patience = SignedDuration::from_secs(run.timing.stop_seconds);
    let Some(attempt) = current(run, job, number) else { return };
    attempt.state = AttemptState::Stopping;
    attempt.stopping = Some(reason);
    attempt.deadline = Some(now + patience);
    run.emit(Effect::Stop { job: job.to_owned(), attempt: number, reason }, now);
    run.emit(Effect::Tell, now);
}

fn tick(run: &mut Run, now: Timestamp) {
    if run.created_at.saturating_add(MAX_RUN).is_ok_and(|end| end <= now) {
        cancel::cancel(run, "the limit of 35 days".to_owned(), None, true, now);
    }
    ask_again(run, now);
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
                finish(run, &key, number, Conclusion::TimedOut, Some(reason), now);
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
    schedule(run, now);
}

/// Lets what waits for a concurrency group ask again: the message that it is free may have been lost.
fn ask_again(run: &mut Run, now: Timestamp) {
    let jobs = run
        .jobs
        .iter_mut()
        .filter(|job| job.state == JobState::Concurrency)
        .filter_map(|job| job.hold.as_mut());
    let mut asked = Vec::new();
    for hold in run.hold.as_mut().into_iter().chain(jobs) {
        if !hold.granted && hold.ask_again_at <= now {
            hold.ask_again_at = after(now, hold::ASK_AGAIN_SECONDS);
            asked.push((hold.ticket, hold.wish.group.clone()));
        }
    }
    for (ticket, group) in asked {
        run.emit(Effect::Enter { ticket, group }, now);
    }
}

/// Ends an attempt and its job, and lets go on what waited for it.
fn finish(
    run: &mut Run,
    job: &str,
    number: u32,
    conclusion: Conclusion,
    reason: Option<String>,
    now: Timestamp,
) {
    end_attempt(run, job, number, conclusion, reason, now);
    schedule(run, now);
}

/// Ends an attempt and its job.
pub(super) fn end_attempt(
    run: &mut Run,
    job: &str,
    number: u32,
    conclusion: Conclusion,
    reason: Option<String>,
    now: Timestamp,
) {
    close_attempt(run, job, number, conclusion, reason.clone(), now);
    end_job(run, job, conclusion, reason, now);
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
        Effect::Append { job: job.clone(), attempt: number },
        Effect::Probe { job: job.clone(), attempt: number },
        Effect::Stop { job: job.clone(), attempt: number, reason: StopReason::Lost },
        Effect::Publish { job: job.clone(), attempt: number },
    ] {
        run.withdraw(&effect.key());
    }
    // A queued attempt may have a container all the same, when its launch crashed half way.
    run.emit(Effect::Discard { job, attempt: number }, now);
}
