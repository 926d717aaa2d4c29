//! Work that waits, durably: deliveries, runs with something to do, attempts that wait for a runner.

use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;

/// Messages of different lanes never wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Verified webhook deliveries, keyed by the delivery's id.
    Deliveries,
    /// Runs whose outbox holds something that is due, keyed by run and version.
    Runs,
    /// Attempts that wait for a free runner, keyed by attempt. Taken only when there is room.
    Launches,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deliveries, Self::Runs, Self::Launches];

    /// Its name in tables, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Runs => "runs",
            Self::Launches => "launches",
        }
    }
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue now, durably.
    New,
    /// The key is in the queue, or was within the last days: nothing was changed.
    Duplicate,
}

/// Names one lease of one message. Once the lease has run out and the message was leased again, the old receipt is void.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A message that is ours for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// For the answer.
    pub receipt: Receipt,
    /// The lane it came from.
    pub lane: Lane,
    /// Its key.
    pub key: String,
    /// What was pushed.
    pub body: Vec<u8>,
    /// How often it has been leased, this time included.
    pub receives: u32,
    /// How many of its earlier leases ran out, or ended with their process: nobody answered.
    pub unanswered: u32,
}

/// How much waits in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Messages that wait, those with a delay included.
    pub waiting: u64,
    /// Messages that are leased.
    pub leased: u64,
    /// Messages that were given up.
    pub dead: u64,
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
    /// How often it had been leased.
    pub receives: u32,
    /// When.
    pub at: Timestamp,
}

/// Why the queue did not do it.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// It can't be reached, or can't write (a full disk): try again later; nothing was accepted.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
    /// The lease ran out and the message is somebody else's, or gone.
    #[error("the lease of this message is over")]
    LeaseLost,
}

/// A durable queue with leases, at-least-once.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Puts a message in, visible after `delay`. When this returns [`Pushed::New`], the message has been synced to disk
    /// (or is as durable as the service makes it). Keys are remembered for at least seven days after the message is done.
    async fn push(&self, lane: Lane, key: &str, body: Vec<u8>, delay: Duration)
    -> Result<Pushed, QueueError>;

    /// Takes up to `max` messages for `visibility`, oldest first, waiting up to `wait` while there are none. No message
    /// is leased to two callers at once, within one process or among several.
    async fn lease(
        &self,
        lane: Lane,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Leased>, QueueError>;

    /// Makes the lease last `visibility` from now.
    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError>;

    /// The message is done. Done twice, or late, is [`QueueError::LeaseLost`].
    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError>;

    /// Puts it back, to be leased again after `delay`. `reason` is kept for people.
    async fn nack(&self, receipt: &Receipt, delay: Duration, reason: &str) -> Result<(), QueueError>;

    /// Gives it up: it goes to the dead letters with its reason.
    async fn bury(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError>;

    /// How much waits.
    async fn depth(&self, lane: Lane) -> Result<Depth, QueueError>;

    /// Forgets keys of messages that were done more than seven days ago, and says how many; a queue that forgets by itself
    /// says 0. Dead letters stay.
    async fn prune(&self) -> Result<u64, QueueError>;

    /// The messages of a lane that were given up, the latest first.
    async fn dead(&self, lane: Lane, limit: usize) -> Result<Vec<DeadLetter>, QueueError>;

    /// Puts a message that was given up back into its lane, as if it had never been leased; says whether there was one.
    async fn replay(&self, lane: Lane, key: &str) -> Result<bool, QueueError>;
}
