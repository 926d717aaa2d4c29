//! The loops of a worker: deliveries, runs, launches, and the sweep.

use crate::app::effects::{self, Advanced};
use crate::app::launch::{self, Launched};
use crate::app::{App, AppError, intake, sweep, watch};
use crate::metrics::ATTEMPTS_ACTIVE;
use crate::ports::{Delivery, ForgeError, Lane, Leased, RunFilter, StoreError};
use cloud_code_model::ids::{AttemptId, RunId};
use cloud_code_model::run::RunStatus;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// How long a message is ours; renewed while its handler works, so that only a dead worker's messages wait this long.
const VISIBILITY: Duration = Duration::from_secs(20);
/// How long one call waits for a message.
const WAIT: Duration = Duration::from_secs(10);
/// A message that failed so often is given up, and lies among the dead letters with its reason.
const MAX_RECEIVES: u32 = 15;

/// A delivery stands for what a person asked for, and nothing else brings it back: it outlives about three days of an outage,
/// as long as GitHub itself would send it again.
const MAX_DELIVERY_RECEIVES: u32 = 1000;
/// The longest wait that the other side may ask for.
const MAX_WAIT: Duration = Duration::from_secs(2 * 3600);

/// Deliveries handled at once. They wait for the forge and for the disk, whose commits they share.
const DECIDERS: usize = 8;
/// Runs whose outboxes are executed at once. They wait for the forge, which gets one write at a time of each installation.
const EXECUTORS: usize = 16;

/// Handlers that work at once on each lane (launches: one a free slot).
#[derive(Debug, Clone, Copy)]
pub struct WorkerOptions {
    /// Attempts that run at once.
    pub concurrency: usize,
    /// Between two sweeps.
    pub sweep: Duration,
}

/// A worker that runs until its token is cancelled.
pub struct Worker {
    tracker: TaskTracker,
    stop: CancellationToken,
}

struct Shared {
    app: Arc<App>,
    stop: CancellationToken,
    tracker: TaskTracker,
    active: AtomicUsize,
    slot_freed: Notify,
    concurrency: usize,
    locks: Mutex<HashMap<RunId, Weak<tokio::sync::Mutex<()>>>>,
    watched: Mutex<HashSet<AttemptId>>,
}

impl Worker {
    /// Starts the loops. Containers that outlived an earlier worker are found again first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn start(app: Arc<App>, options: WorkerOptions) -> Result<Self, AppError> {
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let shared = Arc::new(Shared {
            app,
            stop: stop.clone(),
            tracker: tracker.clone(),
            active: AtomicUsize::new(0),
            slot_freed: Notify::new(),
            concurrency: options.concurrency.max(1),
            locks: Mutex::default(),
            watched: Mutex::default(),
        });
        adopt(&shared).await?;
        tracker.spawn(sweeping(Arc::clone(&shared), options.sweep));
        tracker.spawn(launching(Arc::clone(&shared)));
        for _ in 0..DECIDERS {
            tracker.spawn(consuming(Arc::clone(&shared), Lane::Deliveries));
        }
        for _ in 0..EXECUTORS {
            tracker.spawn(consuming(Arc::clone(&shared), Lane::Runs));
        }
        Ok(Self { tracker, stop })
    }

    /// Takes no more work, and waits up to `patience` for what is at hand. Containers live on.
    pub async fn stop(self, patience: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_err() {
            tracing::warn!("work was still at hand; it is taken up again at the next start");
        }
    }
}

/// Finds the attempts that were running when the last worker ended.
async fn adopt(shared: &Arc<Shared>) -> Result<(), AppError> {
    let mut filter = RunFilter { status: Some(RunStatus::InProgress), limit: 200, ..RunFilter::default() };
    loop {
        let page = shared.app.store.list(&filter).await?;
        for row in page.items {
            let stored = match shared.app.store.load(&row.id).await {
                Err(error @ StoreError::Corrupt(_)) => {
                    tracing::error!(run = %row.id, %error, "a run could not be read");
                    continue;
                }
                other => other?,
            };
            let Some(stored) = stored else { continue };
            for attempt in stored.run.live_attempts() {
                shared.take_slot();
                tracing::info!(run = %attempt.run, job = %attempt.job, attempt = attempt.number, "found again");
                shared.tracker.spawn(watching(Arc::clone(shared), attempt));
            }
        }
        match page.next {
            Some(next) => filter.cursor = Some(next),
            None => return Ok(()),
        }
    }
}

async fn consuming(shared: Arc<Shared>, lane: Lane) {
    while let Some(leased) = next(&shared, lane, 1).await {
        for message in leased {
            let work = handle(&shared, &message);
            let outcome = keep_leased(&shared, &message, work).await;
            answer(&shared, &message, outcome).await;
        }
    }
}

/// Waits for messages; `None` when the worker stops. A queue that does not answer is asked again after a moment.
async fn next(shared: &Shared, lane: Lane, max: usize) -> Option<Vec<Leased>> {
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => None,
        leased = shared.app.queue.lease(lane, max, VISIBILITY, WAIT) => match leased {
            Ok(leased) => Some(leased),
            Err(error) => {
                tracing::error!(lane = lane.as_str(), %error, "the queue does not answer");
                tokio::select! {
                    () = shared.stop.cancelled() => None,
                    () = tokio::time::sleep(Duration::from_secs(1)) => Some(Vec::new()),
                }
            }
        },
    }
}

/// What is to be said to the queue about a message.
enum Outcome {
    Done,
    Later(Duration, String),
    Never(String),
}

async fn handle(shared: &Shared, message: &Leased) -> Outcome {
    let result = match message.lane {
        Lane::Deliveries => match Delivery::from_bytes(&message.body) {
            Ok(delivery) => {
                let span = tracing::info_span!("delivery", delivery = %delivery.id);
                intake::handle(&shared.app, &delivery).instrument(span).await
            }
            Err(error) => return Outcome::Never(format!("not a delivery: {error}")),
        },
        Lane::Runs => {
            let Some(id) = std::str::from_utf8(&message.body).ok().and_then(RunId::parse) else {
                return Outcome::Never("not the id of a run".to_owned());
            };
            let lock = shared.lock(&id);
            // Another handler is at it: to wait for it here would take a place from other runs.
            let Ok(_only) = lock.try_lock() else {
                return Outcome::Later(Duration::from_millis(500), "this worker is at it".to_owned());
            };
            match effects::advance(&shared.app, &id).await {
                Ok(Advanced::Idle) => Ok(()),
                Ok(Advanced::Again) => {
                    return Outcome::Later(Duration::from_millis(500), "another worker has it".to_owned());
                }
                Err(error) => Err(error),
            }
        }
        Lane::Launches => Ok(()),
    };
    result.map_or_else(|error| failed(message, &error), |()| Outcome::Done)
}

fn failed(message: &Leased, error: &AppError) -> Outcome {
    let delivery = message.lane == Lane::Deliveries;
    // A key that was changed on GitHub's side and not yet here is mended by a person, with the deliveries still there.
    let mendable =
        error.may_heal() || delivery && matches!(error, AppError::Forge(ForgeError::Unauthorized(_)));
    let most = if delivery { MAX_DELIVERY_RECEIVES } else { MAX_RECEIVES };
    if !mendable || message.receives >= most {
        return Outcome::Never(error.to_string());
    }
    let asked = error.retry_after().and_then(|wait| Duration::try_from(wait).ok());
    let backoff = Duration::from_secs(1 << message.receives.min(8));
    Outcome::Later(asked.unwrap_or(backoff).min(MAX_WAIT), error.to_string())
}

async fn answer(shared: &Shared, message: &Leased, outcome: Outcome) {
    let queue = &shared.app.queue;
    let (lane, key) = (message.lane.as_str(), message.key.as_str());
    let answered = match &outcome {
        Outcome::Done => queue.ack(&message.receipt).await,
        Outcome::Later(delay, reason) => {
            tracing::debug!(lane, key, reason, receives = message.receives, "put back");
            queue.nack(&message.receipt, *delay, reason).await
        }
        Outcome::Never(reason) => {
            tracing::error!(lane, key, reason, receives = message.receives, "given up, now a dead letter");
            queue.bury(&message.receipt, reason).await
        }
    };
    if let Err(error) = answered {
        // It comes back when its lease is over; handling it again changes nothing.
        tracing::warn!(lane, key, %error, "could not answer the queue");
    }
}

/// Works while the message stays ours.
async fn keep_leased<T>(shared: &Shared, message: &Leased, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let mut renew = tokio::time::interval(VISIBILITY / 3);
    renew.tick().await;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = renew.tick() => {
                if let Err(error) = shared.app.queue.extend(&message.receipt, VISIBILITY).await {
                    tracing::warn!(lane = message.lane.as_str(), key = %message.key, %error, "could not keep the lease");
                }
            }
        }
    }
}

async fn launching(shared: Arc<Shared>) {
    loop {
        let freed = shared.slot_freed.notified();
        let free = shared.concurrency.saturating_sub(shared.active.load(Ordering::SeqCst));
        if free == 0 {
            tokio::select! {
                () = shared.stop.cancelled() => return,
                () = freed => continue,
            }
        }
        let Some(leased) = next(&shared, Lane::Launches, free).await else { return };
        for message in leased {
            shared.take_slot();
            shared.tracker.spawn(launching_one(Arc::clone(&shared), message));
        }
    }
}

async fn launching_one(shared: Arc<Shared>, message: Leased) {
    let Ok(attempt) = serde_json::from_slice::<AttemptId>(&message.body) else {
        answer(&shared, &message, Outcome::Never("not an attempt".to_owned())).await;
        shared.free_slot();
        return;
    };
    let span =
        tracing::info_span!("launch", run = %attempt.run, job = %attempt.job, attempt = attempt.number);
    let work = launch::launch(&shared.app, &attempt, message.receives).instrument(span);
    match keep_leased(&shared, &message, work).await {
        Ok(Launched::Watch) => {
            answer(&shared, &message, Outcome::Done).await;
            watching(Arc::clone(&shared), attempt).await;
        }
        Ok(Launched::NotNeeded) => {
            answer(&shared, &message, Outcome::Done).await;
            shared.free_slot();
        }
        Err(error) => {
            tracing::warn!(%attempt, %error, "could not launch");
            let outcome = failed(&message, &error);
            answer(&shared, &message, outcome).await;
            shared.free_slot();
        }
    }
}

/// Watches an attempt until its container is over, and then frees its slot.
async fn watching(shared: Arc<Shared>, attempt: AttemptId) {
    let first = shared.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt.clone());
    if first {
        let span =
            tracing::info_span!("watch", run = %attempt.run, job = %attempt.job, attempt = attempt.number);
        let watched = async {
            while let Err(error) = watch::watch(&shared.app, &attempt).await {
                tracing::error!(%error, "the store does not answer");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = watched.instrument(span) => {}
        }
        shared.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
    }
    shared.free_slot();
}

async fn sweeping(shared: Arc<Shared>, every: Duration) {
    let mut marked = HashSet::new();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let started = Instant::now();
        match sweep::sweep(&shared.app, &mut marked).await {
            Ok(swept) => {
                let elapsed_ms = started.elapsed().as_secs_f64() * 1000.0;
                tracing::debug!(due = swept.due, removed = swept.removed, elapsed_ms, "swept");
            }
            Err(error) => tracing::error!(%error, "could not sweep"),
        }
    }
}

impl Shared {
    fn take_slot(&self) {
        self.active.fetch_add(1, Ordering::SeqCst);
        metrics::gauge!(ATTEMPTS_ACTIVE).increment(1.0);
    }

    fn free_slot(&self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
        metrics::gauge!(ATTEMPTS_ACTIVE).decrement(1.0);
        self.slot_freed.notify_one();
    }

    /// The lock of a run in this process.
    fn lock(&self, id: &RunId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(id).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(id.clone(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{QueueError, Receipt};
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
