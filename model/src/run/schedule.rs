//! What comes next: which jobs are skipped, made of a matrix, wait, start, and when the run is over.

use super::attempt::Attempt;
use super::context::{GitHub, View, with_matrix};
use super::engine::after;
use super::hold::ASK_AGAIN_SECONDS;
use super::job::{Hold, Job, JobResult, JobState, Place};
use super::next::{Move, flag, next};
use super::outbox::Effect;
use super::state::{Conclusion, Run, RunStatus};
use crate::expression::{JobStatus, Value};
use crate::workflow::plan::{self, Matrix};
use crate::workflow::{JobDefinition, PlanError, Token};
use jiff::{SignedDuration, Timestamp};

/// Jobs of one run at most: a workflow of 256 jobs each with a matrix of 256 is nobody's wish.
pub const MAX_RUN_JOBS: usize = 4096;

/// Lets everything go on that may, until nothing does.
pub(super) fn schedule(run: &mut Run, now: Timestamp) {
    if run.is_over() {
        return;
    }
    // Nothing starts before the run holds its group; but all of its jobs may have been ended meanwhile.
    if run.hold.as_ref().is_some_and(|hold| !hold.granted) {
        return conclude(run, now);
    }
    let github = GitHub::default();
    loop {
        let moves: Vec<(String, Move)> = {
            let view = View::new(run);
            let mut moves = Vec::new();
            for job in run.jobs.iter().filter(|job| !job.is_over()) {
                let next = next(&view, &github, job, now).unwrap_or_else(|refused| {
                    Move::End(refused.conclusion, Some(located(run, refused.reason)))
                });
                if !matches!(next, Move::Stay) {
                    moves.push((job.key.clone(), next));
                }
            }
            moves
        };
        if moves.is_empty() {
            break;
        }
        for (key, next) in moves {
            make(run, &github, &key, next, now);
        }
    }
    conclude(run, now);
}

fn located(run: &Run, reason: String) -> String {
    format!("{}:{reason}", run.workflow.path)
}

/// Makes one move.
fn make(run: &mut Run, github: &GitHub, key: &str, next: Move, now: Timestamp) {
    let Some(index) = run.jobs.iter().position(|job| job.key == key && !job.is_over()) else { return };
    match next {
        Move::Stay => {}
        Move::End(conclusion, reason) => end_job(run, key, conclusion, reason, now),
        Move::Prepare(place, matrix) => prepare(run, github, index, place, matrix, now),
        Move::Expand(combinations, place) => expand(run, github, index, combinations, place, now),
        Move::Gate(gate) => {
            let open = gate.is_open(now);
            if let Some(job) = run.jobs.get_mut(index) {
                job.state = JobState::Environment;
                job.gate = Some(gate.clone());
            }
            if !open {
                let what = if gate.reviewers.is_empty() { "the wait timer" } else { "an approval" };
                run.note(now, format!("{key}: waits for {what} of `{}`", gate.environment));
                run.emit(Effect::Tell, now);
            }
        }
        Move::Pass => {
            if let Some(job) = run.jobs.get_mut(index) {
                job.state = JobState::Concurrency;
            }
        }
        Move::Ask(wish) => {
            let hold = ask(run, wish, now);
            if let Some(job) = run.jobs.get_mut(index) {
                job.hold = Some(hold);
            }
        }
        Move::Start => {
            let Some(job) = run.jobs.get_mut(index) else { return };
            let next = Attempt::next(job.attempts.last(), now);
            let number = next.number;
            job.state = JobState::Started;
            job.attempts.push(next);
            run.emit(Effect::Launch { job: key.to_owned(), attempt: number }, now);
        }
        Move::Call(inputs) => call(run, index, inputs, now),
        Move::Returned(conclusion, outputs) => {
            if let Some(job) = run.jobs.get_mut(index) {
                job.outputs = outputs.into_iter().collect();
            }
            end_job(run, key, conclusion, None, now);
        }
    }
}

/// Asks for a concurrency group.
pub(super) fn ask(run: &mut Run, wish: plan::ConcurrencyWish, now: Timestamp) -> Hold {
    let ticket = run.next_effect;
    run.next_effect += 1;
    run.emit(Effect::Enter { ticket, group: wish.group.clone() }, now);
    Hold { wish, ticket, granted: false, ask_again_at: after(now, ASK_AGAIN_SECONDS) }
}

/// Gives back a concurrency group.
pub(super) fn release(run: &mut Run, hold: Option<Hold>, now: Timestamp) {
    let Some(hold) = hold else { return };
    let (ticket, group) = (hold.ticket, hold.wish.group);
    run.withdraw(&Effect::Enter { ticket, group: group.clone() }.key());
    run.emit(Effect::Leave { ticket, group }, now);
}

fn expand(
    run: &mut Run,
    github: &GitHub,
    index: usize,
    combinations: Vec<Matrix>,
    place: Place,
    now: Timestamp,
) {
    let Some(origin) = run.jobs.get(index).cloned() else { return };
    if run.jobs.len() + combinations.len() > MAX_RUN_JOBS {
        let reason = format!("the run would have more than {MAX_RUN_JOBS} jobs");
        return end_job(run, &origin.key, Conclusion::Failure, Some(reason), now);
    }
    let total = combinations.len();
    let jobs = combinations.into_iter().enumerate().map(|(number, matrix)| {
        let mut job = origin.clone();
        job.key = format!("{}.{}", origin.key, number + 1);
        job.place = Place { index: number, total, ..place };
        job.matrix = Some(matrix);
        job
    });
    let jobs: Vec<Job> = jobs.collect();
    let keys: Vec<String> = jobs.iter().map(|job| job.key.clone()).collect();
    run.jobs.splice(index..=index, jobs);
    for (number, key) in keys.iter().enumerate() {
        if let Some(attempts) = run.retired.remove(key)
            && let Some(job) = run.jobs.get_mut(index + number)
        {
            job.attempts = attempts;
        }
    }
    for (number, key) in keys.into_iter().enumerate() {
        // One that can't be prepared may end others, but none is removed.
        if run.jobs.get(index + number).is_some_and(|job| job.key == key && !job.is_over()) {
            let Some(job) = run.jobs.get(index + number) else { continue };
            let (place, matrix) = (job.place, job.matrix.clone());
            prepare(run, github, index + number, place, matrix, now);
        }
    }
}

/// Evaluates what a job's head says.
fn prepare(
    run: &mut Run,
    github: &GitHub,
    index: usize,
    place: Place,
    matrix: Option<Matrix>,
    now: Timestamp,
) {
    let Some(mut job) = run.jobs.get(index).cloned() else { return };
    job.place = place;
    job.matrix = matrix;
    if job.attempts.is_empty()
        && let Some(attempts) = run.retired.remove(&job.key)
    {
        job.attempts = attempts;
    }
    let key = job.key.clone();
    let prepared = head(run, github, &mut job);
    job.state = JobState::Ready;
    if let Some(slot) = run.jobs.get_mut(index) {
        *slot = job;
    }
    if let Err(error) = prepared {
        let reason = located(run, error.to_string());
        end_job(run, &key, Conclusion::Failure, Some(reason), now);
    }
}

fn head(run: &Run, github: &GitHub, job: &mut Job) -> Result<(), PlanError> {
    let Some(definition) = run.definition(job) else { return Ok(()) };
    let view = View::new(run);
    let contexts = with_matrix(view.contexts(github, job.parent.as_deref(), definition), job);
    let status = JobStatus::Success;
    let number = |name: &str, token: &Option<Token>, most: f64| -> Result<Option<f64>, PlanError> {
        let Some(token) = token else { return Ok(None) };
        let number = token.evaluate(&contexts, &status)?.to_number();
        match (0.0..=most).contains(&number) {
            true => Ok(Some(number)),
            false => Err(token.error(format!("{name}: a number from 0 to {most} is needed"))),
        }
    };
    let suffix = job.matrix.as_ref().map(plan::suffix).unwrap_or_default();
    job.spec.name = match &definition.name {
        Some(token) => {
            let name = token.render(&contexts, &status)?;
            if token.has_expression() { name } else { format!("{name}{suffix}") }
        }
        None => format!("{}{suffix}", definition.key),
    };
    if let Some(parent) = job.parent.as_deref().and_then(|key| run.job(key)) {
        job.spec.name = format!("{} / {}", parent.spec.name, job.spec.name);
    }
    if let Some(token) = &definition.runs_on {
        let labels = match token.get("labels").unwrap_or(token).evaluate(&contexts, &status)? {
            Value::Array(labels) => {
                labels.iter().map(|label| label.to_display_string().to_string()).collect()
            }
            label => vec![label.to_display_string().to_string()],
        };
        // Of several labels the one that names a kind of runner counts; any container will do for the others.
        let own =
            labels.iter().find(|label| matches!(label.as_str(), "docker" | "process" | "fargate" | "ecs"));
        job.spec.runs_on = own.or(labels.first()).cloned();
    }
    const MOST_MINUTES: f64 = 35.0 * 24.0 * 60.0;
    job.spec.timeout_minutes = number("timeout-minutes", &definition.timeout_minutes, f64::MAX)?
        .map_or(job.spec.timeout_minutes, |minutes| minutes.min(MOST_MINUTES));
    job.spec.budget_usd = number("budget-usd", &definition.budget_usd, 1_000_000.0)?;
    job.spec.retries = number("retries", &definition.retries, 5.0)?.unwrap_or(0.0) as u32;
    job.continue_on_error = match &definition.continue_on_error {
        Some(token) => flag(&token.evaluate(&contexts, &status)?),
        None => false,
    };
    Ok(())
}

/// Puts the jobs of the workflow that a job calls behind it.
fn call(run: &mut Run, index: usize, inputs: serde_json::Value, now: Timestamp) {
    let Some(job) = run.jobs.get_mut(index) else { return };
    job.state = JobState::Calling;
    job.inputs = inputs;
    let key = job.key.clone();
    let children: Vec<Job> = match run.plan_of(Some(&key)) {
        Some(plan) => plan.jobs.iter().map(|definition| placeholder(definition, Some(&key))).collect(),
        None => Vec::new(),
    };
    if run.jobs.len() + children.len() > MAX_RUN_JOBS {
        let reason = format!("the run would have more than {MAX_RUN_JOBS} jobs");
        return end_job(run, &key, Conclusion::Failure, Some(reason), now);
    }
    run.jobs.splice(index + 1..index + 1, children);
}

/// A job that waits for what it needs.
pub(super) fn placeholder(definition: &JobDefinition, parent: Option<&str>) -> Job {
    Job {
        key: parent.map_or_else(|| definition.key.clone(), |parent| format!("{parent}.{}", definition.key)),
        spec: definition.head(),
        attempts: Vec::new(),
        conclusion: None,
        reason: None,
        node: definition.key.clone(),
        parent: parent.map(str::to_owned),
        state: JobState::Blocked,
        matrix: None,
        place: Place::default(),
        continue_on_error: false,
        outputs: std::collections::BTreeMap::new(),
        gate: None,
        hold: None,
        cancelled_by: None,
        inputs: serde_json::Value::Null,
    }
}

/// Ends a job. Whoever calls this lets the schedule go on afterwards.
pub(super) fn end_job(
    run: &mut Run,
    key: &str,
    conclusion: Conclusion,
    reason: Option<String>,
    now: Timestamp,
) {
    let Some(job) = run.jobs.iter_mut().find(|job| job.key == key && !job.is_over()) else { return };
    job.conclusion = Some(conclusion);
    job.reason = reason;
    let hold = job.hold.take();
    let (failed, place) = (job.result() == Some(JobResult::Failure), job.place);
    let (parent, node) = (job.parent.clone(), job.node.clone());
    release(run, hold, now);
    run.note(now, format!("{key}: {}", conclusion.as_str()));
    run.emit(Effect::Tell, now);
    if failed && place.fail_fast && place.total > 1 {
        let others: Vec<String> = run
            .jobs
            .iter()
            .filter(|job| job.node == node && job.parent == parent && !job.is_over())
            .map(|job| job.key.clone())
            .collect();
        for other in others {
            super::cancel::cancel_job(run, &other, &format!("{} {key}", super::cancel::FAILURE_OF), now);
        }
    }
}

/// Ends the run when all its jobs have.
fn conclude(run: &mut Run, now: Timestamp) {
    if run.is_over() || !run.jobs.iter().all(Job::is_over) {
        return;
    }
    let forgiven = |job: &&Job| !(job.continue_on_error && job.result() == Some(JobResult::Success));
    let worst = run.jobs.iter().filter(forgiven).max_by_key(|job| job.conclusion.map_or(0, severity));
    run.conclusion = worst.and_then(|job| job.conclusion).or(Some(Conclusion::Success));
    run.reason = worst.and_then(|job| job.reason.clone());
    run.status = RunStatus::Completed;
    run.finished_at = Some(now);
    let hold = run.hold.take();
    release(run, hold, now);
    // Behind the group's release: where another run has waited for it, that one is to be under way by then.
    super::addition::follow_up(run, now);
    run.emit(Effect::Tell, now);
}

/// What counts most when jobs ended differently.
fn severity(conclusion: Conclusion) -> u8 {
    match conclusion {
        Conclusion::Skipped => 0,
        Conclusion::NoChanges => 1,
        Conclusion::Success => 2,
        Conclusion::NeedsInput => 3,
        Conclusion::Cancelled => 4,
        Conclusion::BudgetExceeded => 5,
        Conclusion::TimedOut => 6,
        Conclusion::Failure => 7,
    }
}

/// The longest that a run lives, as in Actions.
pub(super) const MAX_RUN: SignedDuration = SignedDuration::from_hours(35 * 24);
