//! The queue: SQS carries the messages, the table knows how each stands. See [`super`] for why.

mod dead;
mod record;
mod wire;

use super::error::{code, why};
use super::item::{Item, number, text};
use super::{Aws, pack};
use crate::ports::{Clock, DeadLetter, Depth, Lane, Leased, Pushed, Queue, QueueError, Receipt};
use async_trait::async_trait;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use record::Records;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::Wire;

/// SQS hides a message until 12 h after it was handed out, and refuses what goes beyond.
const MAX_VISIBILITY: Duration = Duration::from_secs(11 * 3600);
/// SQS keeps a new message back for this long at most.
const MAX_DELAY: Duration = Duration::from_secs(900);
/// SQS waits for a message for this long at most.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// SQS gives this many messages at once at most.
const MAX_BATCH: usize = 10;
/// Between two looks when less than a second is left, which SQS can't wait for.
const LOOK: Duration = Duration::from_millis(50);

/// Where the queue's parts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsConfig {
    /// The address that, with `-deliveries`, `-runs`, `-launches` and `-dead`, is the four queues'.
    pub url: String,
    /// The table.
    pub table: String,
    /// The bucket for large bodies.
    pub bucket: String,
}

impl SqsConfig {
    /// The address of a lane's queue.
    pub fn lane(&self, lane: Lane) -> String {
        format!("{}-{}", self.url, lane.as_str())
    }

    /// The address of the queue for dead letters.
    pub fn dead(&self) -> String {
        format!("{}-dead", self.url)
    }
}

/// A message as SQS handed it out, before it is known to be ours: what Lambda's event has of it.
#[derive(Debug, Clone)]
pub struct Received {
    /// The lane whose queue it came from.
    pub lane: Lane,
    /// SQS's name for this receipt.
    pub handle: String,
    /// What the message says.
    pub body: String,
}

/// What became of a received message.
#[derive(Debug)]
pub enum Accepted {
    /// It is ours until the lease ends.
    Ours(Leased),
    /// Not now: it is hidden, and will be handed out again.
    Later,
    /// It is over and done with, and gone.
    Over,
}

/// What a living lease needs for its answer.
#[derive(Debug)]
struct Held {
    lane: Lane,
    key: String,
    handle: String,
    body: String,
    until: Instant,
}

/// The queue.
pub struct SqsQueue {
    sqs: aws_sdk_sqs::Client,
    s3: aws_sdk_s3::Client,
    records: Records,
    config: SqsConfig,
    clock: Arc<dyn Clock>,
    /// By the lease's token.
    held: Mutex<HashMap<String, Held>>,
}

impl SqsQueue {
    /// A queue on these parts; nothing is asked of AWS yet.
    pub fn new(aws: &Aws, config: SqsConfig, clock: Arc<dyn Clock>) -> Self {
        let table = aws_sdk_dynamodb::Client::new(&aws.config);
        Self {
            sqs: aws_sdk_sqs::Client::new(&aws.config),
            s3: aws.s3(),
            records: Records::new(table, config.table.clone(), Arc::clone(&clock)),
            config,
            clock,
            held: Mutex::default(),
        }
    }

    /// Opens the connections that a push needs.
    ///
    /// # Errors
    /// When the table or the queue does not answer.
    pub async fn warm(&self) -> Result<(), QueueError> {
        let url = self.config.lane(Lane::Deliveries);
        let queue = self.sqs.get_queue_attributes().queue_url(url);
        let queue = queue.attribute_names(QueueAttributeName::ApproximateNumberOfMessages).send();
        let (table, queue) = tokio::join!(self.records.claim_nothing(), queue);
        queue.map_err(|error| QueueError::Unavailable(why(&error)))?;
        table
    }

    /// Makes a message that SQS handed out ours, for `visibility`. One that is over, or that another copy of was taken, is not.
    ///
    /// # Errors
    /// When the table, the bucket or the queue does not answer: the message shows again when its visibility ends.
    pub async fn accept(&self, received: Received, visibility: Duration) -> Result<Accepted, QueueError> {
        let Received { lane, handle, body } = received;
        let wire = match Wire::read(&body) {
            Ok(wire) => wire,
            Err(reason) => {
                // Nobody of ours wrote it: it has no item to be buried under, so the queue for dead letters alone gets it.
                tracing::error!(lane = lane.as_str(), reason, "a message that is none was given up");
                self.send_dead(lane, "unknown", &reason, &body).await?;
                self.delete(lane, &handle).await?;
                return Ok(Accepted::Over);
            }
        };
        let token = uuid::Uuid::new_v4().simple().to_string();
        match self.records.claim(lane, &wire.key, &token, visibility).await? {
            record::Claimed::Ours { receives } => {
                let content = match self.content(&wire).await {
                    Ok(content) => content,
                    Err(Unreadable::Now(error)) => return Err(error),
                    Err(Unreadable::Ever(reason)) => {
                        self.give_up(lane, &wire.key, &token, &handle, &body, &reason).await?;
                        return Ok(Accepted::Over);
                    }
                };
                let key = wire.key;
                let held =
                    Held { lane, key: key.clone(), handle, body, until: Instant::now() + visibility * 2 };
                let mut all = self.held();
                let now = Instant::now();
                all.retain(|_, held| held.until > now);
                all.insert(token.clone(), held);
                Ok(Accepted::Ours(Leased { receipt: Receipt(token), lane, key, body: content, receives }))
            }
            record::Claimed::Later(wait) => {
                self.hide(lane, &handle, wait.max(Duration::from_secs(1))).await?;
                Ok(Accepted::Later)
            }
            record::Claimed::Over => {
                self.delete(lane, &handle).await?;
                Ok(Accepted::Over)
            }
        }
    }

    /// Answers a message by putting it aside: it waits in the table, asks nothing and costs nothing, until [`Self::unpark`] sends it again.
    /// One that is put aside again has its old place in line, and its receives begin anew.
    ///
    /// # Errors
    /// As for other answers.
    pub async fn park(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let (lane, key, handle) = self.lease_of(receipt)?;
        let body = self.held().get(&receipt.0).map(|held| held.body.clone()).ok_or(QueueError::LeaseLost)?;
        self.records.park(lane, &key, &receipt.0, &body).await?;
        self.held().remove(&receipt.0);
        self.delete(lane, &handle).await
    }

    /// Sends up to `max` messages again that were put aside, the first in line first; gives how many.
    ///
    /// # Errors
    /// When the table or the queue does not answer. None is lost: what was not sent, the next [`Queue::prune`] sends.
    pub async fn unpark(&self, lane: Lane, max: usize) -> Result<usize, QueueError> {
        let mut sent = 0;
        for key in self.records.parked(lane, max).await? {
            sent += usize::from(self.revive(lane, &key, "parked").await?);
        }
        Ok(sent)
    }

    async fn content(&self, wire: &Wire) -> Result<Vec<u8>, Unreadable> {
        let packed = match &wire.content {
            wire::Content::Here(packed) => packed.clone(),
            wire::Content::At(object) => {
                let got = self.s3.get_object().bucket(&self.config.bucket).key(object).send().await;
                let got = got.map_err(|error| match code(&error) {
                    Some("NoSuchKey") => Unreadable::Ever(format!("its body {object} is gone")),
                    _ => Unreadable::Now(QueueError::Unavailable(why(&error))),
                })?;
                let bytes = got.body.collect().await;
                bytes
                    .map_err(|error| Unreadable::Now(QueueError::Unavailable(error.to_string())))?
                    .into_bytes()
                    .to_vec()
            }
        };
        pack::unpack(&packed).map_err(Unreadable::Ever)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What belongs to a receipt: lane, key and handle.
    fn lease_of(&self, receipt: &Receipt) -> Result<(Lane, String, String), QueueError> {
        let held = self.held();
        let held = held.get(&receipt.0).ok_or(QueueError::LeaseLost)?;
        Ok((held.lane, held.key.clone(), held.handle.clone()))
    }

    async fn send(&self, lane: Lane, wire: &Wire, delay: Duration) -> Result<(), QueueError> {
        let delay = seconds(delay.min(MAX_DELAY));
        let sent = self.sqs.send_message().queue_url(self.config.lane(lane)).message_body(wire.to_text());
        let sent = sent.delay_seconds(delay).send().await;
        sent.map(drop).map_err(|error| QueueError::Unavailable(why(&error)))
    }

    async fn delete(&self, lane: Lane, handle: &str) -> Result<(), QueueError> {
        let url = self.config.lane(lane);
        let deleted = self.sqs.delete_message().queue_url(url).receipt_handle(handle).send().await;
        match deleted {
            Ok(_) => Ok(()),
            // A handle that is void means that the message was handed out again: whoever has it finds it done.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_receipt_handle_is_invalid()) => {
                Ok(())
            }
            Err(error) => Err(QueueError::Unavailable(why(&error))),
        }
    }

    /// Hides a received message for a time from now.
    async fn hide(&self, lane: Lane, handle: &str, time: Duration) -> Result<(), QueueError> {
        let hidden = self
            .sqs
            .change_message_visibility()
            .queue_url(self.config.lane(lane))
            .receipt_handle(handle)
            .visibility_timeout(seconds(time.min(MAX_VISIBILITY)))
            .send()
            .await;
        match hidden {
            Ok(_) => Ok(()),
            // It shows already, or is with somebody else: the item decides.
            Err(error)
                if error.as_service_error().is_some_and(|error| {
                    error.is_message_not_inflight() || error.is_receipt_handle_is_invalid()
                }) =>
            {
                Ok(())
            }
            Err(error) => Err(QueueError::Unavailable(why(&error))),
        }
    }

    /// Receives once, waiting as long as SQS does.
    async fn receive(
        &self,
        lane: Lane,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, QueueError> {
        let answer = self
            .sqs
            .receive_message()
            .queue_url(self.config.lane(lane))
            .max_number_of_messages(i32::try_from(max.min(MAX_BATCH)).unwrap_or(1))
            .visibility_timeout(seconds(visibility.min(MAX_VISIBILITY)).max(1))
            .wait_time_seconds(i32::try_from(wait.min(MAX_WAIT).as_secs()).unwrap_or(0))
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| QueueError::Unavailable(why(&error)))?;
        let mut messages = answer.messages.unwrap_or_default();
        // SQS promises no order; within what it gave, the oldest comes first.
        messages.sort_by_key(|message| {
            let sent =
                message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
            sent.and_then(|sent| sent.parse::<u64>().ok())
        });
        let received = |message: aws_sdk_sqs::types::Message| {
            Some(Received { lane, handle: message.receipt_handle?, body: message.body.unwrap_or_default() })
        };
        Ok(messages.into_iter().filter_map(received).collect())
    }
}

enum Unreadable {
    Now(QueueError),
    Ever(String),
}

#[async_trait]
impl Queue for SqsQueue {
    async fn push(
        &self,
        lane: Lane,
        key: &str,
        body: Vec<u8>,
        delay: Duration,
    ) -> Result<Pushed, QueueError> {
        let wire = Wire::new(lane, key, pack::pack(&body));
        if let wire::Content::At(object) = &wire.content {
            let put = self.s3.put_object().bucket(&self.config.bucket).key(object);
            let put = put.body(pack::pack(&body).into()).send().await;
            put.map_err(|error| QueueError::Unavailable(why(&error)))?;
        }
        let token = uuid::Uuid::new_v4().simple().to_string();
        if !self.records.begin(lane, key, &token, &wire.to_text(), delay).await? {
            return Ok(Pushed::Duplicate);
        }
        // From here on it is not lost: what is not sent now, `prune` sends.
        self.send(lane, &wire, delay).await?;
        self.records.sent(lane, key, &token).await?;
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
        let mut leased = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let waiting = if leased.is_empty() { left } else { Duration::ZERO };
            if leased.len() >= max {
                return Ok(leased);
            }
            let received = self.receive(lane, max - leased.len(), visibility, waiting).await?;
            let none = received.is_empty();
            for message in received {
                match self.accept(message, visibility).await {
                    Ok(Accepted::Ours(message)) => leased.push(message),
                    Ok(Accepted::Later | Accepted::Over) => {}
                    // What is leased already must not be lost to the caller for what follows it.
                    Err(error) if leased.is_empty() => return Err(error),
                    Err(_) => return Ok(leased),
                }
            }
            if none && !leased.is_empty() {
                return Ok(leased);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && none {
                return Ok(leased);
            }
            if none && left < Duration::from_secs(1) {
                tokio::time::sleep(left.min(LOOK)).await;
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        let (lane, key, handle) = self.lease_of(receipt)?;
        self.records.extend(lane, &key, &receipt.0, visibility).await?;
        if let Some(held) = self.held().get_mut(&receipt.0) {
            held.until = Instant::now() + visibility * 2;
        }
        self.hide(lane, &handle, visibility).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let (lane, key, handle) = self.lease_of(receipt)?;
        self.records.done(lane, &key, &receipt.0).await?;
        self.held().remove(&receipt.0);
        self.delete(lane, &handle).await
    }

    async fn nack(&self, receipt: &Receipt, delay: Duration, reason: &str) -> Result<(), QueueError> {
        let (lane, key, handle) = self.lease_of(receipt)?;
        self.records.back(lane, &key, &receipt.0, delay, reason).await?;
        self.held().remove(&receipt.0);
        self.hide(lane, &handle, delay).await
    }

    async fn bury(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        let (lane, key, handle) = self.lease_of(receipt)?;
        let body = self.held().get(&receipt.0).map(|held| held.body.clone()).unwrap_or_default();
        self.give_up(lane, &key, &receipt.0, &handle, &body, reason).await?;
        self.held().remove(&receipt.0);
        Ok(())
    }

    async fn depth(&self, lane: Lane) -> Result<Depth, QueueError> {
        use QueueAttributeName as Name;
        let answer = self
            .sqs
            .get_queue_attributes()
            .queue_url(self.config.lane(lane))
            .attribute_names(Name::ApproximateNumberOfMessages)
            .attribute_names(Name::ApproximateNumberOfMessagesDelayed)
            .attribute_names(Name::ApproximateNumberOfMessagesNotVisible)
            .send()
            .await
            .map_err(|error| QueueError::Unavailable(why(&error)))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count =
            |name: Name| attributes.get(&name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        // A message that was put back for later is hidden, as a leased one is; only its item tells them apart, and counting those would
        // be a scan. They count as leased.
        Ok(Depth {
            waiting: count(Name::ApproximateNumberOfMessages)
                + count(Name::ApproximateNumberOfMessagesDelayed),
            leased: count(Name::ApproximateNumberOfMessagesNotVisible),
            dead: self.records.count_dead(lane).await?,
        })
    }

    /// The table's TTL forgets by itself, so that the answer is always 0; but what a push that was torn off left unsent is sent.
    async fn prune(&self) -> Result<u64, QueueError> {
        for item in self.records.unsent().await? {
            let Some((lane, key, body, token)) = unsent(&item) else { continue };
            let Ok(wire) = Wire::read(&body) else { continue };
            let delay = number(&item, "until").map(|until| until - self.clock.now().as_millisecond());
            let delay = delay.and_then(|left| u64::try_from(left).ok()).map(Duration::from_millis);
            self.send(lane, &wire, delay.unwrap_or_default()).await?;
            self.records.sent(lane, &key, &token).await?;
            tracing::warn!(lane = lane.as_str(), key, "a push that was torn off was completed");
        }
        Ok(0)
    }

    async fn dead(&self, lane: Lane, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        self.records.dead(lane, limit).await
    }

    async fn replay(&self, lane: Lane, key: &str) -> Result<bool, QueueError> {
        self.replay_dead(lane, key).await
    }
}

fn unsent(item: &Item) -> Option<(Lane, String, String, String)> {
    let lane = text(item, "lane")?;
    let lane = Lane::ALL.into_iter().find(|known| known.as_str() == lane)?;
    let field = |name: &str| text(item, name).map(str::to_owned);
    Some((lane, field("key")?, field("body")?, field("lease")?))
}

/// Whole seconds, rounded up: SQS knows no others.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}
