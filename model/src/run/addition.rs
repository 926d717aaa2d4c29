//! What people add to a run that is under way (`/cloud-code also …`).
//!
//! Their words become a further task of every attempt whose agent is at work, in the same container and the same conversation. Whether an agent
//! has begun with them is what the attempt's report says, and nothing else: words that none has heard when the run is over go on to a run of
//! their own.

use super::attempt::AttemptState;
use super::cancel::ended_by_hand;
use super::engine::find_job;
use super::job::Job;
use super::outbox::Effect;
use super::state::Run;
use crate::workflow::Step;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Words that a person added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addition {
    /// The forge's number for the comment: the same comment adds its words once.
    pub comment: u64,
    /// The issue or pull request that it stands on, which need not be the run's own.
    pub subject: u64,
    /// Who wrote it.
    pub by: String,
    /// What it says, without the command.
    pub words: String,
    /// When it was taken.
    pub at: Timestamp,
}

/// What became of an addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdditionState {
    /// No agent has begun with it yet.
    Waiting,
    /// An agent has begun with it.
    Heard,
    /// It came too late for this run: another one works on it.
    Late,
    /// A person ended what would have worked on it.
    Dropped,
}

impl AdditionState {
    /// The name as the API has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Heard => "heard",
            Self::Late => "late",
            Self::Dropped => "dropped",
        }
    }
}

/// What the ids of appended tasks begin with.
const TASK: &str = "t-";

impl Addition {
    /// The id of the task that asks for it.
    pub fn task_id(&self) -> String {
        format!("{TASK}{}", self.comment)
    }

    /// The comment that a task with this id is about; none for any other task.
    pub fn of_task(id: &str) -> Option<u64> {
        id.strip_prefix(TASK)?.parse().ok()
    }
}

impl Run {
    /// Additions of a run at most.
    pub const MAX_ADDITIONS: usize = 20;
    /// Characters of one addition at most.
    pub const MAX_ADDED: usize = 8_000;

    /// Whether somebody at work would hear an addition.
    pub fn listens(&self) -> bool {
        !self.is_over() && self.cancel.is_none() && self.jobs.iter().any(|job| self.hears(job))
    }

    /// Whether this comment's words were taken.
    pub fn has_addition(&self, comment: u64) -> bool {
        self.additions.iter().any(|addition| addition.comment == comment)
    }

    /// Whether an addition can be taken.
    ///
    /// # Errors
    /// Why not, in words for people.
    pub fn may_add(&self, words: &str) -> Result<(), String> {
        let (most, longest) = (Self::MAX_ADDITIONS, Self::MAX_ADDED);
        if self.additions.len() >= most {
            return Err(format!("{most} additions are all that a run takes"));
        }
        if words.chars().count() > longest {
            return Err(format!("an addition may have {longest} characters"));
        }
        Ok(())
    }

    /// Whether a job has a coding agent, whose change is its own: a judge's is not.
    pub fn has_agent(&self, job: &Job) -> bool {
        self.steps(job).iter().any(Step::has_agent) && self.choice(job).is_none()
    }

    fn hears(&self, job: &Job) -> bool {
        let at_work =
            |state| matches!(state, AttemptState::Queued | AttemptState::Starting | AttemptState::Running);
        job.cancelled_by.is_none()
            && job.attempt().is_some_and(|attempt| at_work(attempt.state))
            && self.has_agent(job)
    }

    /// What became of one of its additions.
    pub fn state_of(&self, addition: &Addition) -> AdditionState {
        let comment = addition.comment;
        let present = self.jobs.iter().filter_map(Job::attempt);
        // What runs again is not there yet.
        let retired = self.retired.values().filter_map(|attempts| attempts.last());
        let mut given = present.chain(retired).filter(|attempt| attempt.additions.contains(&comment));
        if given.any(|attempt| attempt.heard().contains(&comment)) {
            return AdditionState::Heard;
        }
        if !self.is_over() {
            return AdditionState::Waiting;
        }
        let given = |job: &&Job| job.attempt().is_some_and(|attempt| attempt.additions.contains(&comment));
        let mut given = self.jobs.iter().filter(given).peekable();
        let by_hand = self.cancel.as_ref().is_some_and(|cancel| cancel.replaced_by.is_none())
            || given.peek().is_some() && given.all(ended_by_hand);
        if by_hand { AdditionState::Dropped } else { AdditionState::Late }
    }
}

/// Gives words to every agent at work.
pub(super) fn also(run: &mut Run, addition: Addition, now: Timestamp) {
    let comment = addition.comment;
    if run.has_addition(comment) || !run.listens() || run.may_add(&addition.words).is_err() {
        return;
    }
    let keys: Vec<String> = run.jobs.iter().filter(|job| run.hears(job)).map(|job| job.key.clone()).collect();
    for key in keys {
        let Some(attempt) = find_job(run, &key).and_then(|job| job.attempts.last_mut()) else { continue };
        attempt.additions.push(comment);
        let (number, launched) = (attempt.number, attempt.state != AttemptState::Queued);
        if launched {
            run.emit(Effect::Append { job: key, attempt: number }, now);
        }
    }
    run.note(now, format!("{} added something", addition.by));
    run.additions.push(addition);
    run.emit(Effect::Tell, now);
}

/// Lets what nobody has heard go on to a run of its own.
pub(super) fn follow_up(run: &mut Run, now: Timestamp) {
    let late: Vec<u64> = run
        .additions
        .iter()
        .filter(|addition| run.state_of(addition) == AdditionState::Late)
        .map(|addition| addition.comment)
        .collect();
    for comment in late {
        run.emit(Effect::FollowUp { comment }, now);
    }
}
