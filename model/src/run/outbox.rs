//! What must happen outside, and the record that it has.

use super::state::Run;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Why an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A person or a newer run wants the run to end.
    Cancelled,
    /// The job's time is up.
    TimedOut,
    /// Its lease ran out: nothing was heard of it.
    Lost,
    /// Its runner had not brought its container to run in time.
    NotStarted,
}

/// Something to do outside. Each is idempotent, by a name that follows from run, job and attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Put the attempt in line for a runner.
    Launch {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
    },
    /// Look whether the attempt is alive, since its lease ran out.
    Probe {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
    },
    /// Stop the attempt's container: ask, insist, kill.
    Stop {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
        /// Why.
        reason: StopReason,
    },
    /// Check the attempt's change and put it on the forge.
    Publish {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
    },
    /// Keep the attempt's logs, then remove its container and workspace.
    Discard {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
    },
    /// Take a place in a concurrency group, and say when it is held.
    Enter {
        /// See [`super::Hold::ticket`].
        ticket: u64,
        /// The group's name.
        group: String,
    },
    /// Leave a concurrency group, and tell whoever is next.
    Leave {
        /// See [`super::Hold::ticket`].
        ticket: u64,
        /// The group's name.
        group: String,
    },
    /// Set the check run on the commit that the attempt pushed.
    Check {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
    },
    /// Write the attempt's task anew, with all that was added to it.
    Append {
        /// The job's key.
        job: String,
        /// The attempt's number.
        attempt: u32,
    },
    /// Let what came too late for this run be said again.
    FollowUp {
        /// See [`super::Addition::comment`].
        comment: u64,
    },
    /// Bring the comment and the labels on the issue up to the run's present state.
    Tell,
}

impl Effect {
    /// Whether it may be given up: what only tells, or what the engine's own timers stand in for. Without the others a run
    /// would wait for ever, or leave something behind.
    fn may_be_given_up(&self) -> bool {
        // What was not appended is followed up at the end.
        matches!(
            self,
            Self::Tell | Self::Check { .. } | Self::Probe { .. } | Self::Stop { .. } | Self::Append { .. }
        )
    }

    /// Two effects with the same key replace each other in the outbox.
    pub fn key(&self) -> String {
        match self {
            Self::Launch { job, attempt } => format!("launch/{job}/{attempt}"),
            Self::Probe { job, attempt } => format!("probe/{job}/{attempt}"),
            Self::Stop { job, attempt, .. } => format!("stop/{job}/{attempt}"),
            Self::Publish { job, attempt } => format!("publish/{job}/{attempt}"),
            Self::Discard { job, attempt } => format!("discard/{job}/{attempt}"),
            Self::Check { job, attempt } => format!("check/{job}/{attempt}"),
            Self::Enter { ticket, .. } => format!("enter/{ticket}"),
            Self::Leave { ticket, .. } => format!("leave/{ticket}"),
            Self::Append { job, attempt } => format!("append/{job}/{attempt}"),
            Self::FollowUp { comment } => format!("follow-up/{comment}"),
            Self::Tell => "tell".to_owned(),
        }
    }
}

/// An effect that is not known to have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Unique in the run and growing. An answer names it, so that an answer to a replaced effect removes nothing.
    pub id: u64,
    /// What to do.
    pub effect: Effect,
    /// Failed tries so far.
    pub tries: u32,
    /// Not before then.
    pub due_at: Timestamp,
    /// What the last try failed with.
    pub error: Option<String>,
}

/// Waits between tries of one effect: 2, 4, 8 … seconds, at most five minutes.
const MAX_BACKOFF_SECONDS: i64 = 300;

/// The longest wait that the other side may ask for: GitHub's budget is renewed each hour.
const MAX_WAIT: SignedDuration = SignedDuration::from_hours(2);

/// Effects that only tell are given up after this many tries (about two hours): the run itself is not held up by them.
const MAX_TRIES: u32 = 30;

impl Run {
    pub(super) fn emit(&mut self, effect: Effect, now: Timestamp) {
        let key = effect.key();
        self.outbox.retain(|outgoing| outgoing.effect.key() != key);
        let id = self.next_effect;
        self.next_effect += 1;
        self.outbox.push(Outgoing { id, effect, tries: 0, due_at: now, error: None });
    }

    pub(super) fn withdraw(&mut self, key: &str) {
        self.outbox.retain(|outgoing| outgoing.effect.key() != key);
    }

    pub(super) fn effect_done(&mut self, id: u64) {
        self.outbox.retain(|outgoing| outgoing.id != id);
    }

    pub(super) fn effect_failed(
        &mut self,
        id: u64,
        error: String,
        retry_after: Option<SignedDuration>,
        now: Timestamp,
    ) {
        let Some(outgoing) = self.outbox.iter_mut().find(|outgoing| outgoing.id == id) else { return };
        outgoing.tries += 1;
        let backoff = SignedDuration::from_secs((1i64 << outgoing.tries.min(9)).min(MAX_BACKOFF_SECONDS));
        let wait = retry_after.unwrap_or(backoff).clamp(SignedDuration::from_secs(1), MAX_WAIT);
        outgoing.due_at = now.saturating_add(wait).unwrap_or(Timestamp::MAX);
        let (tries, key) = (outgoing.tries, outgoing.effect.key());
        outgoing.error = Some(error.clone());
        if tries >= MAX_TRIES && outgoing.effect.may_be_given_up() {
            self.outbox.retain(|outgoing| outgoing.id != id);
            self.note(now, format!("gave up on {key} after {tries} tries: {error}"));
        }
    }

    /// The first effect that is due.
    pub fn next_due_effect(&self, now: Timestamp) -> Option<&Outgoing> {
        self.outbox.iter().find(|outgoing| outgoing.due_at <= now)
    }
}
