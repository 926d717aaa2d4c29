//! Environments: somebody approves or rejects.

use super::engine::find_job;
use super::job::JobState;
use super::outbox::Effect;
use super::schedule::{end_job, schedule};
use super::state::{Conclusion, Run};
use jiff::Timestamp;

impl Run {
    /// Whether this person may approve or reject this job now; the error says why not.
    ///
    /// # Errors
    /// In words for the person.
    pub fn may_review(&self, key: &str, login: &str) -> Result<(), String> {
        let job = self.job(key).ok_or_else(|| format!("there is no job `{key}`"))?;
        let waits = job.state == JobState::Environment && !job.is_over();
        let Some(gate) = job.gate.as_ref().filter(|gate| waits && gate.expires_at().is_some()) else {
            return Err(format!("the job `{key}` waits for no approval"));
        };
        if !gate.is_reviewer(login) {
            return Err(format!(
                "{login} is no reviewer of `{}`; its reviewers are {}",
                gate.environment,
                gate.reviewers.join(", ")
            ));
        }
        let own = [self.trigger.actor.as_str(), self.rerun_by.as_deref().unwrap_or_default()];
        if own.iter().any(|actor| actor.eq_ignore_ascii_case(login)) {
            return Err(format!("{login} started this run, and nobody approves a run of their own"));
        }
        Ok(())
    }

    /// The jobs that wait for somebody's approval.
    pub fn awaiting_review(&self) -> impl Iterator<Item = &super::Job> {
        self.jobs.iter().filter(|job| {
            !job.is_over()
                && job.state == JobState::Environment
                && job.gate.as_ref().is_some_and(|gate| gate.expires_at().is_some())
        })
    }
}

pub(super) fn approve(run: &mut Run, key: &str, by: String, now: Timestamp) {
    if run.may_review(key, &by).is_err() {
        return;
    }
    run.note(now, format!("{key}: approved by {by}"));
    if let Some(gate) = find_job(run, key).and_then(|job| job.gate.as_mut()) {
        gate.approved_by = Some(by);
    }
    run.emit(Effect::Tell, now);
    schedule(run, now);
}

pub(super) fn reject(run: &mut Run, key: &str, by: &str, now: Timestamp) {
    if run.may_review(key, by).is_err() {
        return;
    }
    let reason = format!("rejected by {by}");
    end_job(run, key, Conclusion::Failure, Some(reason), now);
    schedule(run, now);
}
