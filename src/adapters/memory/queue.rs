//! The queue in memory.

use crate::ports::{Clock, DeadLetter, Depth, Lane, Leased, Pushed, Queue, QueueError, Receipt};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long the keys of messages that are done are remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(Debug, Clone, PartialEq)]
enum State {
    Waiting { from: Timestamp },
    Leased { until: Timestamp },
    Done { at: Timestamp },
    Dead { at: Timestamp },
}

#[derive(Debug)]
struct Message {
    position: u64,
    state: State,
    /// The number in the receipt; it grows whenever older receipts become void.
    lease: u64,
    receives: u32,
    /// Times that it was put back.
    answered: u32,
    reason: Option<String>,
    body: Vec<u8>,
}

impl Message {
    /// When somebody may take it; `None` once it is over.
    fn visible_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Waiting { from } => Some(from),
            State::Leased { until } => Some(until),
            State::Done { .. } | State::Dead { .. } => None,
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    messages: HashMap<(Lane, String), Message>,
    pushed: u64,
}

/// A queue that lives as long as the process; looking for a message takes time in proportion to their number.
pub struct MemoryQueue {
    inner: Mutex<Inner>,
    changed: Notify,
    clock: Arc<dyn Clock>,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { inner: Mutex::default(), changed: Notify::new(), clock }
    }

    /// Why a message was given up, or put back the last time.
    pub fn reason(&self, lane: Lane, key: &str) -> Option<String> {
        self.inner().messages.get(&(lane, key.to_owned()))?.reason.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is visible, and says when the next message will be.
    fn take(&self, lane: Lane, max: usize, visibility: Duration) -> (Vec<Leased>, Option<Timestamp>) {
        let now = self.clock.now();
        let mut inner = self.inner();
        let mut open: Vec<_> = inner
            .messages
            .iter_mut()
            .filter(|((of, _), _)| *of == lane)
            .filter_map(|((_, key), message)| Some((message.visible_at()?, key, message)))
            .collect();
        let next = open.iter().map(|(at, ..)| *at).filter(|at| *at > now).min();
        open.retain(|(at, ..)| *at <= now);
        open.sort_by_key(|(_, _, message)| message.position);
        let lease = |(_, key, message): (Timestamp, &String, &mut Message)| {
            message.state = State::Leased { until: after(now, visibility) };
            message.lease += 1;
            message.receives += 1;
            Leased {
                receipt: Receipt(format!("{}:{}:{key}", lane.as_str(), message.lease)),
                lane,
                key: key.clone(),
                body: message.body.clone(),
                receives: message.receives,
                unanswered: message.receives.saturating_sub(message.answered + 1),
            }
        };
        (open.into_iter().take(max).map(lease).collect(), next)
    }

    /// Changes the message whose latest lease this is.
    fn change(&self, receipt: &Receipt, change: impl FnOnce(&mut Message)) -> Result<(), QueueError> {
        let (lane, lease, key) = parse(receipt).ok_or(QueueError::LeaseLost)?;
        let mut inner = self.inner();
        let message = inner
            .messages
            .get_mut(&(lane, key))
            .filter(|message| message.lease == lease && matches!(message.state, State::Leased { .. }))
            .ok_or(QueueError::LeaseLost)?;
        change(message);
        Ok(())
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn push(
        &self,
        lane: Lane,
        key: &str,
        body: Vec<u8>,
        delay: Duration,
    ) -> Result<Pushed, QueueError> {
        let from = after(self.clock.now(), delay);
        {
            let mut inner = self.inner();
            let name = (lane, key.to_owned());
            if inner.messages.contains_key(&name) {
                return Ok(Pushed::Duplicate);
            }
            inner.pushed += 1;
            let (position, state) = (inner.pushed, State::Waiting { from });
            inner.messages.insert(
                name,
                Message { position, state, lease: 0, receives: 0, answered: 0, reason: None, body },
            );
        }
        self.changed.notify_waiters();
        Ok(Pushed::New)
    }

    async fn lease(
        &self,
        lane: Lane,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Leased>, QueueError> {
        let until = Instant::now() + wait;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed, whatever happens between the look and the wait.
            changed.as_mut().enable();
            let (taken, next) = self.take(lane, max, visibility);
            let left = until.saturating_duration_since(Instant::now());
            if !taken.is_empty() || left.is_zero() || max == 0 {
                return Ok(taken);
            }
            let next = next.map_or(left, |at| at.duration_since(self.clock.now()).unsigned_abs());
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(left.min(next)) => {}
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        let until = after(self.clock.now(), visibility);
        self.change(receipt, |message| message.state = State::Leased { until })
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let at = self.clock.now();
        self.change(receipt, |message| {
            message.state = State::Done { at };
            message.body = Vec::new();
        })
    }

    async fn nack(&self, receipt: &Receipt, delay: Duration, reason: &str) -> Result<(), QueueError> {
        let from = after(self.clock.now(), delay);
        self.change(receipt, |message| {
            message.state = State::Waiting { from };
            message.answered += 1;
            message.reason = Some(reason.to_owned());
        })?;
        self.changed.notify_waiters();
        Ok(())
    }

    async fn bury(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        let at = self.clock.now();
        self.change(receipt, |message| {
            message.state = State::Dead { at };
            message.reason = Some(reason.to_owned());
        })
    }

    async fn depth(&self, lane: Lane) -> Result<Depth, QueueError> {
        let now = self.clock.now();
        let inner = self.inner();
        let mut depth = Depth::default();
        for (_, message) in inner.messages.iter().filter(|((of, _), _)| *of == lane) {
            match message.state {
                State::Leased { until } if until > now => depth.leased += 1,
                State::Waiting { .. } | State::Leased { .. } => depth.waiting += 1,
                State::Dead { .. } => depth.dead += 1,
                State::Done { .. } => {}
            }
        }
        Ok(depth)
    }

    async fn prune(&self) -> Result<u64, QueueError> {
        let now = self.clock.now();
        let mut inner = self.inner();
        let before = inner.messages.len();
        inner.messages.retain(|_, message| match message.state {
            State::Done { at } => now.duration_since(at) <= REMEMBERED,
            _ => true,
        });
        Ok((before - inner.messages.len()) as u64)
    }

    async fn dead(&self, lane: Lane, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let inner = self.inner();
        let letter = |((of, key), message): (&(Lane, String), &Message)| match message.state {
            State::Dead { at } if *of == lane => Some(DeadLetter {
                key: key.clone(),
                reason: message.reason.clone().unwrap_or_default(),
                receives: message.receives,
                at,
            }),
            _ => None,
        };
        let mut dead: Vec<DeadLetter> = inner.messages.iter().filter_map(letter).collect();
        dead.sort_by(|a, b| (b.at, &b.key).cmp(&(a.at, &a.key)));
        dead.truncate(limit);
        Ok(dead)
    }

    async fn replay(&self, lane: Lane, key: &str) -> Result<bool, QueueError> {
        let from = self.clock.now();
        let replayed = match self.inner().messages.get_mut(&(lane, key.to_owned())) {
            Some(message) if matches!(message.state, State::Dead { .. }) => {
                message.state = State::Waiting { from };
                (message.receives, message.answered) = (0, 0);
                true
            }
            _ => false,
        };
        self.changed.notify_waiters();
        Ok(replayed)
    }
}

fn after(now: Timestamp, delay: Duration) -> Timestamp {
    now.saturating_add(delay).unwrap_or(Timestamp::MAX)
}

fn parse(receipt: &Receipt) -> Option<(Lane, u64, String)> {
    let mut parts = receipt.0.splitn(3, ':');
    let name = parts.next()?;
    let lane = Lane::ALL.into_iter().find(|lane| lane.as_str() == name)?;
    Some((lane, parts.next()?.parse().ok()?, parts.next()?.to_owned()))
}
