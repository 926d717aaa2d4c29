//! The loops of a worker: deliveries, runs, launches, and the sweep.

use super::messages::{self, Locks, Outcome, answer, keep_leased};
use crate::app::launch::{self, Launched};
use crate::app::{App, AppError, sweep, watch};
use crate::metrics::ATTEMPTS_ACTIVE;
use crate::ports::{Lane, Leased, RunFilter, StoreError};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::RunStatus;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// How long a message is ours; renewed while its handler works, so that only a dead worker's messages wait this long.
const VISIBILITY: Duration = Duration::from_secs(20);
/// After which a run that somebody else is at is looked at again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long one call waits for a message.
const WAIT: Duration = Duration::from_secs(10);

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
    locks: Locks,
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
            locks: Locks::default(),
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
            let work = messages::handle(&shared.app, &shared.locks, &message, AGAIN);
            let outcome = keep_leased(&shared.app, &message, VISIBILITY, work).await;
            answer(&shared.app, &message, &outcome).await;
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
        answer(&shared.app, &message, &Outcome::Never("not an attempt".to_owned())).await;
        shared.free_slot();
        return;
    };
    let span =
        tracing::info_span!("launch", run = %attempt.run, job = %attempt.job, attempt = attempt.number);
    let work = launch::launch(&shared.app, &attempt, message.receives).instrument(span);
    match keep_leased(&shared.app, &message, VISIBILITY, work).await {
        Ok(Launched::Watch) => {
            answer(&shared.app, &message, &Outcome::Done).await;
            watching(Arc::clone(&shared), attempt).await;
        }
        Ok(Launched::NotNeeded) => {
            answer(&shared.app, &message, &Outcome::Done).await;
            shared.free_slot();
        }
        Err(error) => {
            let outcome = messages::not_launched(&message, &attempt, &error);
            answer(&shared.app, &message, &outcome).await;
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
                tracing::debug!(
                    due = swept.due,
                    fired = swept.fired,
                    removed = swept.removed,
                    elapsed_ms,
                    "swept"
                );
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
}
