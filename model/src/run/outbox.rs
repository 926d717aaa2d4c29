//! What must happen outside, and the record that it has.

use super::engine::publish_refused;
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
    /// Tries in a row that began and never ended: whoever made them was killed. The one under way counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interrupted: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Waits between tries of one effect: 2, 4, 8 … seconds, at most five minutes.
const MAX_BACKOFF_SECONDS: i64 = 300;

/// The longest wait that the other side may ask for: GitHub's budget is renewed each hour.
const MAX_WAIT: SignedDuration = SignedDuration::from_hours(2);

/// An effect that stopped whoever executed it so often in a row is not begun again: it needs more memory or time than there is. Some crashes
/// are nobody's fault, and with the claim of whoever was killed this is more than an hour.
const MAX_INTERRUPTED: u32 = 10;

/// Effects that only tell are given up after this many tries (about two hours): the run itself is not held up by them.
const MAX_TRIES: u32 = 30;

impl Run {
    pub(super) fn emit(&mut self, effect: Effect, now: Timestamp) {
        let key = effect.key();
        self.outbox.retain(|outgoing| outgoing.effect.key() != key);
        let id = self.next_effect;
        self.next_effect += 1;
        self.outbox.push(Outgoing { id, effect, tries: 0, due_at: now, error: None, interrupted: 0 });
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
        outgoing.interrupted = 0;
        let wait =
            retry_after.unwrap_or(backoff(outgoing.tries)).clamp(SignedDuration::from_secs(1), MAX_WAIT);
        outgoing.due_at = now.saturating_add(wait).unwrap_or(Timestamp::MAX);
        let (tries, key) = (outgoing.tries, outgoing.effect.key());
        outgoing.error = Some(error.clone());
        if tries >= MAX_TRIES && outgoing.effect.may_be_given_up() {
            self.outbox.retain(|outgoing| outgoing.id != id);
            self.note(now, format!("gave up on {key} after {tries} tries: {error}"));
        }
    }

    /// Whoever holds the claim begins an effect that is due, the first of those that were interrupted least. The try is counted now: of one that kills its executor nothing is heard
    /// afterwards. Until it ends, or its wait is over, nobody begins it again.
    pub(super) fn begin(&mut self, by: &str, now: Timestamp) {
        if self.claim.as_ref().is_none_or(|claim| claim.by != by) {
            return;
        }
        let hopeless =
            |outgoing: &&Outgoing| outgoing.due_at <= now && outgoing.interrupted >= MAX_INTERRUPTED;
        while let Some(id) = self.outbox.iter().find(hopeless).map(|outgoing| outgoing.id) {
            self.interrupted_too_often(id, now);
        }
        // What kills comes after what does not, or people would not hear of anything until it is given up.
        let due = self.outbox.iter_mut().filter(|outgoing| outgoing.due_at <= now);
        let next = due.min_by_key(|outgoing| outgoing.interrupted);
        let next = next.map(|outgoing| {
            // What one crash tore off is taken up at once.
            if outgoing.interrupted > 0 {
                outgoing.due_at = now.saturating_add(backoff(outgoing.interrupted)).unwrap_or(Timestamp::MAX);
            }
            outgoing.interrupted += 1;
            outgoing.id
        });
        if let Some(claim) = &mut self.claim {
            claim.effect = next;
        }
    }

    fn interrupted_too_often(&mut self, id: u64, now: Timestamp) {
        let Some(outgoing) = self.outbox.iter_mut().find(|outgoing| outgoing.id == id) else { return };
        let error = format!(
            "whoever did it was stopped {} times in the middle, perhaps for want of memory or time",
            outgoing.interrupted
        );
        let (key, effect) = (outgoing.effect.key(), outgoing.effect.clone());
        let publishes = matches!(effect, Effect::Publish { .. });
        if !publishes && !effect.may_be_given_up() {
            self.effect_failed(id, error, Some(SignedDuration::from_secs(MAX_BACKOFF_SECONDS)), now);
            // One more try at a time.
            if let Some(outgoing) = self.outbox.iter_mut().find(|outgoing| outgoing.id == id) {
                outgoing.interrupted = MAX_INTERRUPTED - 1;
            }
            return;
        }
        self.outbox.retain(|outgoing| outgoing.id != id);
        self.note(now, format!("gave up on {key}: {error}"));
        if let Effect::Publish { job, attempt } = effect {
            let reason = format!("the change could not be published: {error}");
            publish_refused(self, &job, attempt, reason, None, now);
        }
    }

    /// The effect that the holder of the claim has begun.
    pub fn under_way(&self) -> Option<&Outgoing> {
        let id = self.claim.as_ref()?.effect?;
        self.outbox.iter().find(|outgoing| outgoing.id == id)
    }

    /// The first effect that is due.
    pub fn next_due_effect(&self, now: Timestamp) -> Option<&Outgoing> {
        self.outbox.iter().find(|outgoing| outgoing.due_at <= now)
    }
}

/// How long to wait after so many tries.
fn backoff(tries: u32) -> SignedDuration {
    SignedDuration::from_secs((1i64 << tries.min(9)).min(MAX_BACKOFF_SECONDS))
}
