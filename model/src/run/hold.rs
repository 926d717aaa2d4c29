//! Concurrency groups: who waits and who holds, in the order in which they came.
//!
//! A group is one small document that the store keeps apart from the runs, changed by compare-and-set: so entering is in order. Whether an entry
//! still counts stands in its run alone ([`Run::holds`]): the save that ends a holder frees its group, whatever happens afterwards.

use super::cancel;
use super::job::Hold;
use super::outbox::Effect;
use super::schedule::{end_job, schedule};
use super::state::{Conclusion, Run};
use crate::ids::RunId;
use crate::workflow::Queue;
use crate::workflow::plan::ConcurrencyWish;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many may wait with `queue: max`, as in Actions.
pub(super) const MAX_WAITING: usize = 100;

/// Seconds after which whoever waits asks again.
pub(super) const ASK_AGAIN_SECONDS: i64 = 600;

/// A concurrency group of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Group {
    /// In the order in which they came; the first that still counts holds the group.
    pub entries: Vec<GroupEntry>,
}

/// Somebody in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEntry {
    /// The run.
    pub run: RunId,
    /// Its wish, see [`Hold::ticket`].
    pub ticket: u64,
    /// Whether those before it are ended.
    pub cancel_in_progress: bool,
    /// How many may wait.
    pub queue: Queue,
}

impl Group {
    /// Puts a wish at the end, unless it is there. Says whether that changed anything.
    pub fn enter(&mut self, run: &RunId, ticket: u64, wish: &ConcurrencyWish) -> bool {
        if self.position(run, ticket).is_some() {
            return false;
        }
        let (cancel_in_progress, queue) = (wish.cancel_in_progress, wish.queue);
        self.entries.push(GroupEntry { run: run.clone(), ticket, cancel_in_progress, queue });
        true
    }

    /// Takes a wish out. Says whether it was there.
    pub fn leave(&mut self, run: &RunId, ticket: u64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| !(entry.run == *run && entry.ticket == ticket));
        self.entries.len() < before
    }

    /// Where a wish stands; 0 is the holder.
    pub fn position(&self, run: &RunId, ticket: u64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.run == *run && entry.ticket == ticket)
    }

    /// Whom the entries behind them end: all before one with `cancel-in-progress`; those that wait before one that lets only one wait; and what
    /// is more than a hundred.
    pub fn displaced(&self) -> Vec<(&GroupEntry, &RunId)> {
        let mut displaced = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let behind = self.entries.get(at + 1..).unwrap_or_default();
            let by = behind
                .iter()
                .find(|later| later.cancel_in_progress || (at > 0 && later.queue == Queue::Single));
            let crowded = (at > MAX_WAITING).then(|| self.entries.first()).flatten();
            if let Some(by) = by.or(crowded) {
                displaced.push((entry, &by.run));
            }
        }
        displaced
    }
}

impl Run {
    /// The wish with this ticket, while it counts, and the job whose it is (none: the run's own).
    pub fn holds(&self, ticket: u64) -> Option<(&Hold, Option<&str>)> {
        let own = self.hold.as_ref().filter(|hold| hold.ticket == ticket).map(|hold| (hold, None));
        own.or_else(|| {
            let mut jobs = self.jobs.iter();
            jobs.find_map(|job| {
                Some((job.hold.as_ref().filter(|hold| hold.ticket == ticket)?, Some(job.key.as_str())))
            })
        })
    }

    fn hold_mut(&mut self, ticket: u64) -> Option<&mut Hold> {
        let jobs = self.jobs.iter_mut().filter_map(|job| job.hold.as_mut());
        self.hold.as_mut().into_iter().chain(jobs).find(|hold| hold.ticket == ticket)
    }
}

/// The group is free for this wish.
pub(super) fn granted(run: &mut Run, ticket: u64, now: Timestamp) {
    let Some(hold) = run.hold_mut(ticket).filter(|hold| !hold.granted) else { return };
    hold.granted = true;
    let group = hold.wish.group.clone();
    run.withdraw(&Effect::Enter { ticket, group: group.clone() }.key());
    let whose = run.holds(ticket).and_then(|(_, job)| job).map_or_else(String::new, |job| format!("{job}: "));
    run.note(now, format!("{whose}holds the concurrency group `{group}`"));
    schedule(run, now);
}

/// Somebody who came later takes this wish's place.
pub(super) fn displaced(run: &mut Run, ticket: u64, by: RunId, now: Timestamp) {
    let Some((hold, job)) = run.holds(ticket) else { return };
    let (group, job) = (hold.wish.group.clone(), job.map(str::to_owned));
    let who = format!("run {by} of the same concurrency group `{group}`");
    match job {
        None => cancel::cancel(run, who, Some(by), false, now),
        Some(job) => cancel::cancel_job(run, &job, &who, now),
    }
    schedule(run, now);
}

/// The group can never be had: its holder waits for this very wish.
pub(super) fn deadlocked(run: &mut Run, ticket: u64, now: Timestamp) {
    let Some((hold, Some(job))) = run.holds(ticket) else { return };
    let (group, job) = (hold.wish.group.clone(), job.to_owned());
    let reason = format!(
        "the concurrency group `{group}` is held by the run that this job belongs to: it would wait for ever"
    );
    end_job(run, &job, Conclusion::Cancelled, Some(reason), now);
    schedule(run, now);
}
