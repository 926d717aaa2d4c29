//! The contract of the port `queue`.

pub(super) mod sqlite;

use cloud_code::adapters::memory::{ManualClock, MemoryQueue};
use cloud_code::adapters::vps::sql::Database;
use cloud_code::ports::{Clock, Depth, Lane, Leased, Pushed, Queue, QueueError, Receipt, SystemClock};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NO_WAIT: Duration = Duration::ZERO;
const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(30);

struct Fixture {
    queue: Arc<dyn Queue>,
    clock: Arc<ManualClock>,
    /// Where its files are, until the end of the test.
    _folder: Option<TempDir>,
    /// Time passes there too.
    #[cfg(feature = "aws")]
    aws: Option<crate::aws::Aws>,
    /// Whether `prune` is what forgets keys.
    prunes: bool,
    /// Whether messages that are hidden for a while are told from leased ones.
    exact: bool,
}

impl Fixture {
    async fn push(&self, lane: Lane, key: &str) -> Pushed {
        self.queue.push(lane, key, format!("body of {key}").into_bytes(), NO_WAIT).await.unwrap()
    }

    async fn lease(&self, lane: Lane, max: usize) -> Vec<Leased> {
        self.queue.lease(lane, max, MINUTE, NO_WAIT).await.unwrap()
    }

    async fn keys(&self, lane: Lane, max: usize) -> Vec<String> {
        self.lease(lane, max).await.into_iter().map(|leased| leased.key).collect()
    }

    async fn depth(&self, waiting: u64, leased: u64, dead: u64) {
        let depth = self.queue.depth(Lane::Runs).await.unwrap();
        if self.exact {
            assert_eq!(depth, Depth { waiting, leased, dead });
        } else {
            assert_eq!((depth.waiting + depth.leased, depth.dead), (waiting + leased, dead));
        }
    }

    async fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
        #[cfg(feature = "aws")]
        if let Some(aws) = &self.aws {
            aws.advance(seconds).await;
        }
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2026-11-23T01:02:03Z".parse::<Timestamp>().unwrap()))
}

async fn memory() -> Fixture {
    let clock = clock();
    fixture(Arc::new(MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>)), clock, None)
}

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

async fn open(path: &Path) -> Database {
    Database::open(&url(path), Arc::new(SystemClock)).await.unwrap()
}

async fn sqlite() -> Fixture {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let database = Database::open(&url(&folder.path().join("q.db")), Arc::clone(&clock) as Arc<dyn Clock>)
        .await
        .unwrap();
    fixture(Arc::new(database.queue()), clock, Some(folder))
}

fn fixture(queue: Arc<dyn Queue>, clock: Arc<ManualClock>, folder: Option<TempDir>) -> Fixture {
    Fixture {
        queue,
        clock,
        _folder: folder,
        #[cfg(feature = "aws")]
        aws: None,
        prunes: true,
        exact: true,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory() {
    suite(memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    suite(sqlite).await;
}

#[cfg(feature = "aws")]
mod on_sqs {
    use super::*;
    use cloud_code::adapters::aws::sqs::SqsQueue;

    async fn sqs() -> Fixture {
        let aws = crate::aws::Aws::with_storage().await.unwrap();
        let clock = clock();
        let queue = SqsQueue::new(&aws.clients(), aws.queue(), Arc::clone(&clock) as Arc<dyn Clock>);
        Fixture { aws: Some(aws), prunes: false, exact: false, ..fixture(Arc::new(queue), clock, None) }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract() {
        if crate::aws::Aws::new().await.is_some() {
            suite(sqs).await;
        }
    }
}

async fn suite<F: Future<Output = Fixture>>(make: impl Fn() -> F) {
    a_key_is_taken_once(make().await).await;
    many_pushes_of_one_key(make().await).await;
    the_oldest_comes_first(make().await).await;
    lanes_are_independent(make().await).await;
    leases_run_out(make().await).await;
    a_lease_is_extended(make().await).await;
    a_nack_delays(make().await).await;
    a_delayed_push_waits(make().await).await;
    the_dead_stay_dead(make().await).await;
    keys_are_forgotten_after_a_week(make().await).await;
    nobody_gets_the_same_message(make().await).await;
    a_push_wakes_who_waits(make().await).await;
    a_nack_wakes_who_waits(make().await).await;
    waiting_ends(make().await).await;
    strange_receipts_are_lost(make().await).await;
}

async fn a_key_is_taken_once(f: Fixture) {
    assert_eq!(f.push(Lane::Runs, "k").await, Pushed::New);
    assert_eq!(f.queue.push(Lane::Runs, "k", b"other".to_vec(), NO_WAIT).await.unwrap(), Pushed::Duplicate);
    let [leased] = f.lease(Lane::Runs, 10).await.try_into().unwrap();
    assert_eq!((leased.lane, leased.key.as_str(), leased.receives), (Lane::Runs, "k", 1));
    assert_eq!(leased.body, b"body of k", "the first push counts");
    assert_eq!(f.push(Lane::Runs, "k").await, Pushed::Duplicate, "while it is leased");
    f.queue.ack(&leased.receipt).await.unwrap();
    assert!(matches!(f.queue.ack(&leased.receipt).await, Err(QueueError::LeaseLost)), "done twice");
    assert_eq!(f.push(Lane::Runs, "k").await, Pushed::Duplicate, "after it was done");
    assert!(f.lease(Lane::Runs, 10).await.is_empty());
    f.depth(0, 0, 0).await;
}

async fn many_pushes_of_one_key(f: Fixture) {
    let pushes = (0..64).map(|_| f.push(Lane::Deliveries, "same"));
    let answers = futures::future::join_all(pushes).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Pushed::New).count(), 1);
    assert_eq!(f.keys(Lane::Deliveries, 100).await, ["same"]);
}

async fn the_oldest_comes_first(f: Fixture) {
    for key in ["c", "a", "d", "b"] {
        f.push(Lane::Runs, key).await;
    }
    assert_eq!(f.keys(Lane::Runs, 2).await, ["c", "a"]);
    assert_eq!(f.keys(Lane::Runs, 2).await, ["d", "b"]);
    // Expired ones come back at their old places, before younger ones.
    f.push(Lane::Runs, "e").await;
    f.advance(61).await;
    assert_eq!(f.keys(Lane::Runs, 9).await, ["c", "a", "d", "b", "e"]);
}

async fn lanes_are_independent(f: Fixture) {
    for lane in Lane::ALL {
        assert_eq!(f.push(lane, "k").await, Pushed::New, "{lane:?}");
    }
    assert_eq!(f.keys(Lane::Runs, 9).await, ["k"]);
    assert_eq!(f.queue.depth(Lane::Launches).await.unwrap().waiting, 1);
    assert_eq!(f.keys(Lane::Launches, 9).await, ["k"]);
    assert_eq!(f.keys(Lane::Deliveries, 9).await, ["k"]);
}

async fn leases_run_out(f: Fixture) {
    f.push(Lane::Runs, "k").await;
    let [first] = f.lease(Lane::Runs, 1).await.try_into().unwrap();
    f.advance(59).await;
    assert!(f.lease(Lane::Runs, 1).await.is_empty());
    f.depth(0, 1, 0).await;
    f.advance(1).await;
    f.depth(1, 0, 0).await;
    let [second] = f.lease(Lane::Runs, 1).await.try_into().unwrap();
    assert_eq!((second.receives, second.body.as_slice()), (2, b"body of k".as_slice()));
    assert_ne!(first.receipt, second.receipt);
    for answer in [
        f.queue.ack(&first.receipt).await,
        f.queue.extend(&first.receipt, MINUTE).await,
        f.queue.nack(&first.receipt, NO_WAIT, "late").await,
        f.queue.bury(&first.receipt, "late").await,
    ] {
        assert!(matches!(answer, Err(QueueError::LeaseLost)), "{answer:?}");
    }
    f.queue.ack(&second.receipt).await.unwrap();
}

async fn a_lease_is_extended(f: Fixture) {
    f.push(Lane::Runs, "k").await;
    let [leased] = f.lease(Lane::Runs, 1).await.try_into().unwrap();
    f.advance(50).await;
    f.queue.extend(&leased.receipt, MINUTE).await.unwrap();
    f.advance(59).await;
    assert!(f.lease(Lane::Runs, 1).await.is_empty());
    f.queue.ack(&leased.receipt).await.unwrap();
    assert!(matches!(f.queue.extend(&leased.receipt, MINUTE).await, Err(QueueError::LeaseLost)));
}

async fn a_nack_delays(f: Fixture) {
    f.push(Lane::Runs, "k").await;
    let [first] = f.lease(Lane::Runs, 1).await.try_into().unwrap();
    f.queue.nack(&first.receipt, Duration::from_secs(10), "busy").await.unwrap();
    assert!(matches!(f.queue.ack(&first.receipt).await, Err(QueueError::LeaseLost)), "given back");
    f.depth(1, 0, 0).await;
    f.advance(9).await;
    assert!(f.lease(Lane::Runs, 1).await.is_empty());
    f.advance(1).await;
    let [second] = f.lease(Lane::Runs, 1).await.try_into().unwrap();
    assert_eq!(second.receives, 2);
    f.queue.nack(&second.receipt, NO_WAIT, "again").await.unwrap();
    assert!(matches!(f.queue.ack(&second.receipt).await, Err(QueueError::LeaseLost)), "given back");
    let [third] = f.lease(Lane::Runs, 1).await.try_into().unwrap();
    assert_eq!(third.receives, 3);
}

async fn a_delayed_push_waits(f: Fixture) {
    f.queue.push(Lane::Runs, "later", Vec::new(), Duration::from_secs(5)).await.unwrap();
    f.push(Lane::Runs, "now").await;
    f.depth(2, 0, 0).await;
    assert_eq!(f.keys(Lane::Runs, 9).await, ["now"]);
    assert_eq!(f.push(Lane::Runs, "later").await, Pushed::Duplicate);
    f.advance(5).await;
    assert_eq!(f.keys(Lane::Runs, 9).await, ["later"]);
}

async fn the_dead_stay_dead(f: Fixture) {
    f.push(Lane::Runs, "k").await;
    let [leased] = f.lease(Lane::Runs, 1).await.try_into().unwrap();
    f.queue.bury(&leased.receipt, "no use").await.unwrap();
    assert!(matches!(f.queue.bury(&leased.receipt, "no use").await, Err(QueueError::LeaseLost)));
    f.depth(0, 0, 1).await;
    f.advance(30 * 24 * 3600).await;
    assert!(f.lease(Lane::Runs, 1).await.is_empty());
    assert_eq!(f.queue.prune().await.unwrap(), 0);
    f.depth(0, 0, 1).await;
    assert_eq!(f.push(Lane::Runs, "k").await, Pushed::Duplicate);

    // What an operator does with dead letters.
    let [dead] = f.queue.dead(Lane::Runs, 10).await.unwrap().try_into().unwrap();
    assert_eq!((dead.key.as_str(), dead.reason.as_str(), dead.receives), ("k", "no use", 1));
    assert!(f.queue.dead(Lane::Launches, 10).await.unwrap().is_empty());
    assert!(!f.queue.replay(Lane::Runs, "other").await.unwrap());
    assert!(f.queue.replay(Lane::Runs, "k").await.unwrap());
    assert!(!f.queue.replay(Lane::Runs, "k").await.unwrap());
    f.depth(1, 0, 0).await;
    let [again] = f.lease(Lane::Runs, 9).await.try_into().unwrap();
    assert_eq!(
        (again.key.as_str(), again.body.as_slice(), again.receives),
        ("k", b"body of k".as_slice(), 1)
    );
}

async fn keys_are_forgotten_after_a_week(f: Fixture) {
    for key in ["done", "waiting"] {
        f.push(Lane::Runs, key).await;
    }
    let [leased] = f.lease(Lane::Runs, 1).await.try_into().unwrap();
    f.queue.ack(&leased.receipt).await.unwrap();
    f.advance(7 * 24 * 3600 - 1).await;
    assert_eq!(f.queue.prune().await.unwrap(), 0);
    assert_eq!(f.push(Lane::Runs, "done").await, Pushed::Duplicate);
    f.advance(2).await;
    assert_eq!(f.queue.prune().await.unwrap(), u64::from(f.prunes));
    assert_eq!(f.push(Lane::Runs, "done").await, Pushed::New);
    assert_eq!(f.keys(Lane::Runs, 9).await, ["waiting", "done"]);
}

async fn nobody_gets_the_same_message(f: Fixture) {
    let pushes = (0..400).map(|number| {
        let queue = Arc::clone(&f.queue);
        async move { queue.push(Lane::Runs, &format!("k{number}"), Vec::new(), NO_WAIT).await.unwrap() }
    });
    futures::future::join_all(pushes).await;
    f.depth(400, 0, 0).await;
    let takers: Vec<_> = (0..8)
        .map(|_| {
            let queue = Arc::clone(&f.queue);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                loop {
                    let leased = queue.lease(Lane::Runs, 7, MINUTE, NO_WAIT).await.unwrap();
                    if leased.is_empty() {
                        return taken;
                    }
                    for message in leased {
                        queue.ack(&message.receipt).await.unwrap();
                        taken.push(message.key);
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for taker in takers {
        all.extend(taker.await.unwrap());
    }
    assert_eq!(all.len(), 400, "each once");
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 400, "and all of them");
    // SQS may have two copies of one, where an answer to the SDK was lost: the second is found to be over.
    f.advance(61).await;
    assert_eq!(f.keys(Lane::Runs, 9).await, [""; 0]);
    f.depth(0, 0, 0).await;
}

/// Starts a lease that waits, and returns once it does: it has been polled up to its wait.
async fn waiting(f: &Fixture) -> tokio::task::JoinHandle<Vec<Leased>> {
    let queue = Arc::clone(&f.queue);
    let (started, has_started) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        started.send(()).unwrap();
        queue.lease(Lane::Runs, 1, MINUTE, LONG).await.unwrap()
    });
    has_started.await.unwrap();
    task
}

async fn a_push_wakes_who_waits(f: Fixture) {
    let task = waiting(&f).await;
    let began = Instant::now();
    f.push(Lane::Runs, "k").await;
    let [leased] = tokio::time::timeout(LONG, task).await.unwrap().unwrap().try_into().unwrap();
    assert_eq!(leased.key, "k");
    assert!(began.elapsed() < Duration::from_millis(900), "woken, not found by a look now and then");
}

async fn a_nack_wakes_who_waits(f: Fixture) {
    f.push(Lane::Runs, "k").await;
    let [first] = f.lease(Lane::Runs, 1).await.try_into().unwrap();
    let task = waiting(&f).await;
    let began = Instant::now();
    f.queue.nack(&first.receipt, NO_WAIT, "again").await.unwrap();
    let [second] = tokio::time::timeout(LONG, task).await.unwrap().unwrap().try_into().unwrap();
    assert_eq!(second.receives, 2);
    assert!(began.elapsed() < Duration::from_millis(900), "woken, not found by a look now and then");
}

async fn waiting_ends(f: Fixture) {
    let began = Instant::now();
    let wait = Duration::from_millis(30);
    assert!(f.queue.lease(Lane::Runs, 1, MINUTE, wait).await.unwrap().is_empty());
    assert!(began.elapsed() >= wait);
    assert!(began.elapsed() < LONG);
}

async fn strange_receipts_are_lost(f: Fixture) {
    for text in ["", "x", "runs:1:nobody", "attic:1:k", "runs:one:k"] {
        let receipt = Receipt(text.to_owned());
        assert!(matches!(f.queue.ack(&receipt).await, Err(QueueError::LeaseLost)), "{text}");
    }
}

/// A delayed message shows by itself, without anybody's push: with the machine's own clock.
#[tokio::test]
async fn a_delay_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite: Arc<dyn Queue> = Arc::new(open(&folder.path().join("q.db")).await.queue());
    let memory: Arc<dyn Queue> = Arc::new(MemoryQueue::new(Arc::new(SystemClock)));
    for queue in [memory, sqlite] {
        queue.push(Lane::Runs, "k", Vec::new(), Duration::from_millis(40)).await.unwrap();
        let began = Instant::now();
        let leased = queue.lease(Lane::Runs, 1, MINUTE, LONG).await.unwrap();
        assert_eq!(leased.len(), 1);
        assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    }
}
