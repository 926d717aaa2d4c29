//! The contract of the port `queue`.

use cloud_code::adapters::memory::{ManualClock, MemoryQueue};
use cloud_code::adapters::vps::sql::{Database, DatabaseError};
use cloud_code::ports::{Clock, Depth, Lane, Leased, Pushed, Queue, QueueError, Receipt, Store, SystemClock};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
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

#[tokio::test]
async fn sqlite_keeps_what_was_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/q.db");
    let database = open(&path).await;
    let queue = database.queue();
    for key in ["waiting", "leased", "done", "dead"] {
        queue.push(Lane::Runs, key, key.as_bytes().to_vec(), NO_WAIT).await.unwrap();
    }
    for leased in queue.lease(Lane::Runs, 4, MINUTE, NO_WAIT).await.unwrap() {
        match leased.key.as_str() {
            "waiting" => queue.nack(&leased.receipt, NO_WAIT, "not yet").await.unwrap(),
            "done" => queue.ack(&leased.receipt).await.unwrap(),
            "dead" => queue.bury(&leased.receipt, "no use").await.unwrap(),
            _ => {}
        }
    }
    database.close().await;
    assert!(matches!(
        queue.push(Lane::Runs, "late", Vec::new(), NO_WAIT).await,
        Err(QueueError::Unavailable(_))
    ));

    let queue = open(&path).await.queue();
    assert_eq!(queue.depth(Lane::Runs).await.unwrap(), Depth { waiting: 1, leased: 1, dead: 1 });
    for key in ["waiting", "leased", "done", "dead"] {
        assert_eq!(
            queue.push(Lane::Runs, key, Vec::new(), NO_WAIT).await.unwrap(),
            Pushed::Duplicate,
            "{key}"
        );
    }
    let [leased] = queue.lease(Lane::Runs, 9, MINUTE, NO_WAIT).await.unwrap().try_into().unwrap();
    assert_eq!(leased.body, b"waiting");
}

/// Two handles on one file are two processes as far as the queue knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_is_shared_by_processes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.db");
    let (one, other) = tokio::join!(open(&path), open(&path));
    let (one, other) = (one.queue(), other.queue());
    let waiting = {
        let other = other.clone();
        tokio::spawn(async move { other.lease(Lane::Runs, 1, MINUTE, LONG).await.unwrap() })
    };
    one.push(Lane::Runs, "k", Vec::new(), NO_WAIT).await.unwrap();
    let began = Instant::now();
    assert_eq!(tokio::time::timeout(LONG, waiting).await.unwrap().unwrap().len(), 1);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    let pushes = (0..50).map(|number| {
        let queue = if number % 2 == 0 { one.clone() } else { other.clone() };
        async move { queue.push(Lane::Runs, &format!("k{}", number / 2), Vec::new(), NO_WAIT).await.unwrap() }
    });
    let answers = futures::future::join_all(pushes).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Pushed::New).count(), 25);
    let (a, b) = tokio::join!(
        one.lease(Lane::Runs, 25, MINUTE, NO_WAIT),
        other.lease(Lane::Runs, 25, MINUTE, NO_WAIT)
    );
    let keys: Vec<String> = a.unwrap().into_iter().chain(b.unwrap()).map(|leased| leased.key).collect();
    assert_eq!(keys.len(), 25);
    assert_eq!(keys.into_iter().collect::<HashSet<_>>().len(), 25);
}

#[tokio::test]
async fn what_is_wrong_with_a_database_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let open = |url: String| async move { Database::open(&url, Arc::new(SystemClock)).await.err().unwrap() };

    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = open(url(&folder.path().join("file/q.db"))).await;
    assert!(matches!(&error, DatabaseError::Unusable { .. }), "{error}");
    assert!(error.to_string().starts_with("DATABASE_URL: the database "), "{error}");

    std::fs::write(folder.path().join("text.db"), "this is no database, whatever its name may say of it")
        .unwrap();
    let error = open(url(&folder.path().join("text.db"))).await.to_string();
    assert!(error.contains("file is not a database"), "{error}");

    for bad in ["mysql://u:pw@host/db", "sqlite::memory:", "sqlite:", "/data/q.db"] {
        let error = open(bad.to_owned()).await;
        assert!(matches!(&error, DatabaseError::Url { .. }), "{bad}: {error}");
        assert!(!error.to_string().contains("pw"), "{error}");
    }

    let path = folder.path().join("newer.db");
    let database = Database::open(&url(&path), Arc::new(SystemClock)).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    database.close().await;
    execute(
        &path,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', TRUE, x'00', 0)",
    )
    .await;
    let error = open(url(&path)).await;
    assert!(matches!(&error, DatabaseError::Newer { migration: 9999, .. }), "{error}");
}

pub(super) async fn execute(path: &Path, sql: &'static str) {
    use sqlx::Connection;
    let mut connection = sqlx::SqliteConnection::connect(&url(path)).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Set in the child process: the database it pushes into until it is killed.
const CHILD: &str = "CLOUD_CODE_TEST_PUSHES_INTO";

/// Not a test by itself: the child of the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushing_child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let queue = open(Path::new(&path)).await.queue();
    let pushers: Vec<_> = (0..8)
        .map(|pusher| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let key = format!("{pusher}-{number}");
                    queue.push(Lane::Deliveries, &key, vec![7; 5000], NO_WAIT).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "pushed {key}").unwrap();
                    out.flush().unwrap();
                }
            })
        })
        .collect();
    futures::future::join_all(pushers).await;
}

#[tokio::test]
async fn a_killed_process_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "contracts::queue::pushing_child", "--nocapture"])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    for line in lines {
        // A line is one small write into the pipe, so that a kill cuts none in two.
        let Ok(line) = line else { break };
        if let Some(at) = line.find("pushed ") {
            acknowledged.push(line[at + "pushed ".len()..].to_owned());
        }
        if acknowledged.len() == 500 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 500, "only {} pushes: the child failed", acknowledged.len());

    let queue = open(&path).await.queue();
    let mut kept = HashSet::new();
    loop {
        let leased = queue.lease(Lane::Deliveries, 200, MINUTE, NO_WAIT).await.unwrap();
        if leased.is_empty() {
            break;
        }
        for message in leased {
            assert_eq!(message.body, [7; 5000]);
            kept.insert(message.key);
        }
    }
    let lost: Vec<_> = acknowledged.iter().filter(|key| !kept.contains(*key)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

/// A small file system of its own, gone at the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(options: &str, folder: &Path) -> bool {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).output();
        mount.is_ok_and(|output| output.status.success())
    }

    /// `None` where this user may not mount; on CI that is a failure.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Self::mount("size=3m", folder.path());
        assert!(mounted || std::env::var_os("CI").is_none(), "CI must be able to mount a tmpfs");
        mounted.then_some(Self(folder))
    }

    fn grow(&self) {
        assert!(Self::mount("remount,size=64m", self.0.path()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What can't be unmounted is left to whoever looks after the machine.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Bytes that can't be packed.
pub(super) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_accepts_nothing_and_heals() {
    let Some(disk) = SmallDisk::new() else {
        println!("skipped: mounting a tmpfs needs root");
        return;
    };
    let path = disk.0.path().join("q.db");
    let database = open(&path).await;
    let queue = database.queue();
    let mut accepted = Vec::new();
    for round in 0..50 {
        let pushes = (0..4).map(|number| {
            let (queue, key) = (queue.clone(), format!("{round}-{number}"));
            async move { (key.clone(), queue.push(Lane::Deliveries, &key, noise(50_000), NO_WAIT).await) }
        });
        let mut refused = false;
        for (key, answer) in futures::future::join_all(pushes).await {
            match answer {
                Ok(pushed) => {
                    assert_eq!(pushed, Pushed::New);
                    accepted.push(key);
                }
                Err(QueueError::Unavailable(reason)) => {
                    assert!(reason.contains("full") || reason.contains("disk I/O"), "{reason}");
                    refused = true;
                }
                Err(other) => panic!("{other}"),
            }
        }
        if refused {
            break;
        }
    }
    assert!(accepted.len() < 100, "the disk never filled up");
    assert!(matches!(
        queue.push(Lane::Deliveries, "more", noise(500_000), NO_WAIT).await,
        Err(QueueError::Unavailable(_))
    ));

    disk.grow();
    assert_eq!(queue.push(Lane::Deliveries, "more", noise(500_000), NO_WAIT).await.unwrap(), Pushed::New);
    database.store().check().await.unwrap();
    accepted.push("more".to_owned());
    database.close().await;

    let queue = open(&path).await.queue();
    let kept = queue.lease(Lane::Deliveries, 1000, MINUTE, NO_WAIT).await.unwrap();
    let kept: HashSet<String> = kept.into_iter().map(|leased| leased.key).collect();
    assert_eq!(kept, accepted.into_iter().collect::<HashSet<_>>(), "what was accepted, and nothing else");
}
