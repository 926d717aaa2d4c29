//! Running again what is over: all of a run, or only what failed and what depends on it.

use super::job::{Job, JobState};
use super::outbox::Effect;
use super::schedule::{ask, placeholder, schedule};
use super::state::{Conclusion, Run, RunStatus};
use jiff::Timestamp;
use std::collections::HashSet;

/// What is to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rerun {
    /// Every job.
    All,
    /// Jobs that failed or were cancelled, and those that need them.
    Failed,
}

/// Whether a job did not do what it should, forgiven or not.
fn bad(job: &Job) -> bool {
    let good = [Conclusion::Success, Conclusion::NoChanges, Conclusion::Skipped];
    job.conclusion.is_some_and(|conclusion| !good.contains(&conclusion))
}

impl Run {
    /// Whether there is anything that [`Rerun::Failed`] runs again.
    pub fn has_failed_jobs(&self) -> bool {
        self.jobs.iter().any(|job| job.parent.is_none() && bad(job))
    }
}

pub(super) fn rerun(run: &mut Run, what: Rerun, by: String, now: Timestamp) {
    if !run.is_over() {
        return;
    }
    let top = |job: &&Job| job.parent.is_none();
    let failed: HashSet<String> = run
        .jobs
        .iter()
        .filter(top)
        .filter(|job| what == Rerun::All || bad(job))
        .map(|job| job.node.clone())
        .collect();
    if failed.is_empty() {
        return;
    }
    let mut again = failed.clone();
    while let Some(next) = run.plan.jobs.iter().find(|definition| {
        !again.contains(&definition.key) && definition.needs.iter().any(|need| again.contains(need))
    }) {
        again.insert(next.key.clone());
    }
    run.round += 1;
    run.note(now, format!("run again by {by}, round {}", run.round));
    run.rerun_by = Some(by);
    if let Some(context) = run.context.as_object_mut() {
        context.insert("run_attempt".to_owned(), run.round.into());
        context.insert("triggering_actor".to_owned(), run.rerun_by.clone().into());
    }
    for node in &again {
        // Of a matrix that failed in part only the failed jobs run again, with the values that they had; not where what it needs runs again too,
        // since it has to wait for that.
        let definition = run.plan.jobs.iter().find(|definition| definition.key == *node);
        let waits =
            definition.is_some_and(|definition| definition.needs.iter().any(|need| again.contains(need)));
        let calls = definition.is_some_and(|definition| definition.call.is_some());
        let whole = what == Rerun::All || !failed.contains(node) || waits || calls;
        if whole { reset_node(run, node) } else { reset_failed(run, node) }
    }
    (run.status, run.conclusion, run.reason, run.finished_at, run.cancel) =
        (RunStatus::Queued, None, None, None, None);
    if let Some(wish) = run.concurrency.clone() {
        run.hold = Some(ask(run, wish, now));
    }
    run.emit(Effect::Tell, now);
    schedule(run, now);
}

/// Makes one waiting job of all that came of a definition. Their attempts are kept, and counted on from.
fn reset_node(run: &mut Run, node: &str) {
    let Some(at) = run.jobs.iter().position(|job| job.parent.is_none() && job.node == node) else { return };
    let keys: Vec<String> = run
        .jobs
        .iter()
        .filter(|job| job.parent.is_none() && job.node == node)
        .map(|job| job.key.clone())
        .collect();
    let below = |job: &Job| keys.iter().any(|key| job.key == *key || job.key.starts_with(&format!("{key}.")));
    let (gone, kept): (Vec<Job>, Vec<Job>) = std::mem::take(&mut run.jobs).into_iter().partition(below);
    run.jobs = kept;
    let at = at.min(run.jobs.len());
    match run.plan.jobs.iter().find(|definition| definition.key == node) {
        Some(definition) => {
            let job = placeholder(definition, None);
            run.jobs.insert(at, job);
            run.retired.extend(gone.into_iter().map(|job| (job.key, job.attempts)));
        }
        // Of a run that an older version stored.
        None => run.jobs.splice(at..at, gone.into_iter().map(afresh)).for_each(drop),
    }
}

fn reset_failed(run: &mut Run, node: &str) {
    for job in &mut run.jobs {
        if job.parent.is_none() && job.node == node && bad(job) {
            *job = afresh(job.clone());
        }
    }
}

fn afresh(job: Job) -> Job {
    let state = JobState::Ready;
    Job {
        state,
        conclusion: None,
        reason: None,
        outputs: Default::default(),
        gate: None,
        hold: None,
        cancelled_by: None,
        ..job
    }
}
