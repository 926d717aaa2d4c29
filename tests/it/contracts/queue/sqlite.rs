//! What only the queue on SQLite does: it outlives its process, is shared by several, and says what is wrong with its file or disk.

use super::{LONG, MINUTE, NO_WAIT, open, url};
use cloud_code::adapters::vps::sql::{Database, DatabaseError};
use cloud_code::ports::{Depth, Lane, Pushed, Queue, QueueError, Store, SystemClock};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

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

pub(in crate::contracts) async fn execute(path: &Path, sql: &'static str) {
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
        .args(["--exact", "contracts::queue::sqlite::pushing_child", "--nocapture"])
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
pub(in crate::contracts) fn noise(bytes: usize) -> Vec<u8> {
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
