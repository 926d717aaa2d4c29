//! Handling one message, whoever leased it: a worker's loop or a Lambda function.

use crate::app::effects::{self, Advanced};
use crate::app::{App, AppError, intake};
use crate::ports::{Delivery, ForgeError, Lane, Leased, QueueError};
use cloud_code_model::ids::{AttemptId, RunId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tracing::Instrument;

/// A message that failed so often is given up, and lies among the dead letters with its reason.
const MAX_RECEIVES: u32 = 15;
/// A delivery stands for what a person asked for, and nothing else brings it back: it outlives about three days of an outage,
/// as long as GitHub itself would send it again.
const MAX_DELIVERY_RECEIVES: u32 = 1000;
/// One that was taken so often and never given up is answered by nobody: whoever takes it dies of it, or somebody else is always at it.
const MAX_TAKEN: u32 = 1000;
/// After which an attempt without room is looked at again.
const ROOM: Duration = Duration::from_secs(60);
/// The longest wait that the other side may ask for.
const MAX_WAIT: Duration = Duration::from_secs(2 * 3600);

/// What is to be said to the queue about a message.
pub(super) enum Outcome {
    Done,
    /// It waits for room, which is no failure.
    Aside,
    Later(Duration, String),
    Never(String),
}

/// Runs that this process is at work on.
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<RunId, Weak<tokio::sync::Mutex<()>>>>);

impl Locks {
    /// The lock of a run in this process.
    fn of(&self, id: &RunId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(id).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(id.clone(), Arc::downgrade(&lock));
        lock
    }
}

/// Handles a delivery or a run. One that is at somebody else's is looked at again after `again`.
pub(super) async fn handle(app: &App, locks: &Locks, message: &Leased, again: Duration) -> Outcome {
    if message.receives > MAX_TAKEN {
        return Outcome::Never(format!("it was taken {} times and never answered", message.receives));
    }
    let result = match message.lane {
        Lane::Deliveries => match Delivery::from_bytes(&message.body) {
            Ok(delivery) => {
                let span = tracing::info_span!("delivery", delivery = %delivery.id);
                intake::handle(app, &delivery).instrument(span).await
            }
            Err(error) => return Outcome::Never(format!("not a delivery: {error}")),
        },
        Lane::Runs => {
            let Some(id) = std::str::from_utf8(&message.body).ok().and_then(RunId::parse) else {
                return Outcome::Never("not the id of a run".to_owned());
            };
            let lock = locks.of(&id);
            // Another handler is at it: to wait for it here would take a place from other runs.
            let Ok(_only) = lock.try_lock() else {
                return Outcome::Later(again, "this worker is at it".to_owned());
            };
            match effects::advance(app, &id).await {
                Ok(Advanced::Idle) => Ok(()),
                Ok(Advanced::Again) => return Outcome::Later(again, "another worker has it".to_owned()),
                Err(error) => Err(error),
            }
        }
        Lane::Launches => Ok(()),
    };
    result.map_or_else(|error| failed(message, &error), |()| Outcome::Done)
}

fn most(lane: Lane) -> u32 {
    if lane == Lane::Deliveries { MAX_DELIVERY_RECEIVES } else { MAX_RECEIVES }
}

/// What is to become of a message whose handler failed.
pub(super) fn failed(message: &Leased, error: &AppError) -> Outcome {
    let delivery = message.lane == Lane::Deliveries;
    // A key that was changed on GitHub's side and not yet here is mended by a person, with the deliveries still there.
    let mendable =
        error.may_heal() || delivery && matches!(error, AppError::Forge(ForgeError::Unauthorized(_)));
    if !mendable || message.receives >= most(message.lane) {
        return Outcome::Never(error.to_string());
    }
    let asked = error.retry_after().and_then(|wait| Duration::try_from(wait).ok());
    let backoff = Duration::from_secs(1 << message.receives.min(8));
    Outcome::Later(asked.unwrap_or(backoff).min(MAX_WAIT), error.to_string())
}

/// What is to become of an attempt that could not be launched.
pub(super) fn not_launched(message: &Leased, attempt: &AttemptId, error: &AppError) -> Outcome {
    if error.waits_for_room() {
        tracing::info!(%attempt, %error, "waits for room");
        return Outcome::Aside;
    }
    tracing::warn!(%attempt, %error, "could not launch");
    failed(message, error)
}

/// Puts an attempt to the end of the line, under another key: waiting is no failure, and must not count as one. It ends with the
/// attempt's time in the queue, which is the run's.
async fn line_up_again(app: &App, message: &Leased) -> Result<(), QueueError> {
    let minute = app.clock.now().as_second() / 60;
    let name = message.key.split('@').next().unwrap_or_default();
    let key = format!("{name}@{minute}");
    app.queue.push(message.lane, &key, message.body.clone(), ROOM).await?;
    app.queue.ack(&message.receipt).await
}

/// Says it to the queue, and says whether the queue heard it.
pub(super) async fn answer(app: &App, message: &Leased, outcome: &Outcome) -> bool {
    let queue = &app.queue;
    let (lane, key) = (message.lane.as_str(), message.key.as_str());
    let answered = match outcome {
        Outcome::Done => queue.ack(&message.receipt).await,
        Outcome::Aside => line_up_again(app, message).await,
        Outcome::Later(delay, reason) => {
            tracing::debug!(lane, key, reason, receives = message.receives, "put back");
            queue.nack(&message.receipt, *delay, reason).await
        }
        Outcome::Never(reason) => {
            tracing::error!(lane, key, reason, receives = message.receives, "given up, now a dead letter");
            queue.bury(&message.receipt, reason).await
        }
    };
    match answered {
        Ok(()) => true,
        Err(error) => {
            // It comes back when its lease is over; handling it again changes nothing.
            tracing::warn!(lane, key, %error, "could not answer the queue");
            false
        }
    }
}

/// Works while the message stays ours.
pub(super) async fn keep_leased<T>(
    app: &App,
    message: &Leased,
    visibility: Duration,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    let mut renew = tokio::time::interval(visibility / 3);
    renew.tick().await;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = renew.tick() => {
                if let Err(error) = app.queue.extend(&message.receipt, visibility).await {
                    tracing::warn!(lane = message.lane.as_str(), key = %message.key, %error, "could not keep the lease");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Receipt;
    use jiff::SignedDuration;

    #[test]
    fn no_delivery_is_given_up_while_it_may_still_succeed() {
        let unavailable = || AppError::Forge(ForgeError::Unavailable("no answer".to_owned()));
        let unauthorized = || AppError::Forge(ForgeError::Unauthorized("bad key".to_owned()));
        let asked = || AppError::Forge(ForgeError::RateLimited { retry_after: SignedDuration::MAX });
        let bug = || AppError::Bug("x".to_owned());
        // Lane, receives, error, and the seconds to wait; none: given up.
        for (lane, receives, error, wait) in [
            (Lane::Deliveries, 1, unavailable(), Some(2)),
            (Lane::Deliveries, 500, unavailable(), Some(256)),
            (Lane::Deliveries, 500, unauthorized(), Some(256)),
            (Lane::Deliveries, 3, asked(), Some(7200)),
            (Lane::Deliveries, 1000, unavailable(), None),
            (Lane::Deliveries, 1, bug(), None),
            (Lane::Launches, 14, AppError::Queue(QueueError::LeaseLost), Some(256)),
            (Lane::Launches, 15, unavailable(), None),
            (Lane::Launches, 1, unauthorized(), None),
        ] {
            let receipt = Receipt(String::new());
            let message = Leased { receipt, lane, key: String::new(), body: Vec::new(), receives };
            let found = match failed(&message, &error) {
                Outcome::Later(wait, _) => Some(wait.as_secs()),
                _ => None,
            };
            assert_eq!(found, wait, "{lane:?} {receives} {error}");
        }
    }
}
