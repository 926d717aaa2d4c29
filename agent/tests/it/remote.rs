//! An attempt that shares no disk with the orchestrator: what it leaves in the storage, and when.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use cloud_code_forge::{Forge, ForgeConfig};
use cloud_code_model::task::{Conclusion, Grant, GrantedCheckout, Report, Status};

use crate::harness::Lab;

const PATIENCE: Duration = Duration::from_secs(60);
const SHOP: &str = "acme/shop";

/// The storage, and whoever hands out the role: keeps every version of what is put.
#[derive(Default)]
struct Storage {
    objects: Mutex<BTreeMap<String, Vec<Vec<u8>>>>,
    put: Condvar,
}

impl Storage {
    fn start(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let storage = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let storage = Arc::clone(&storage);
                thread::spawn(move || while storage.answer(&stream).is_some() {});
            }
        });
        address
    }

    /// Answers one request; `None` when there is none any more.
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        reader.read_line(&mut head).ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, words.next()?.trim_start_matches('/').to_owned());
        let mut objects = self.objects.lock().unwrap();
        let found = objects.get(&path).and_then(|versions| versions.last()).cloned();
        let (status, answer) = match (method, found) {
            ("GET", Some(bytes)) => ("200 OK", bytes),
            ("GET", None) => ("404 Not Found", Vec::new()),
            ("PUT", _) => {
                objects.entry(path).or_default().push(body);
                self.put.notify_all();
                ("200 OK", Vec::new())
            }
            _ => ("204 No Content", Vec::new()),
        };
        drop(objects);
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", answer.len());
        (&mut &*stream).write_all(&[head.as_bytes(), &answer].concat()).ok()
    }

    fn keep(&self, path: &str, bytes: Vec<u8>) {
        self.objects.lock().unwrap().insert(path.to_owned(), vec![bytes]);
    }

    fn reports(&self) -> Vec<Report> {
        let objects = self.objects.lock().unwrap();
        let versions = objects.get("out/reporting.yaml").cloned().unwrap_or_default();
        versions.iter().map(|bytes| Report::parse(bytes, 1 << 20).unwrap()).collect()
    }

    /// Waits until there were so many reports.
    fn await_reports(&self, count: usize) {
        let objects = self.objects.lock().unwrap();
        let fewer = |objects: &mut BTreeMap<String, Vec<Vec<u8>>>| {
            objects.get("out/reporting.yaml").map_or(0, Vec::len) < count
        };
        let waited = self.put.wait_timeout_while(objects, PATIENCE, fewer).unwrap().1;
        assert!(!waited.timed_out(), "there were no {count} reports");
    }
}

/// A way to `target` that nothing gets through before `ready` returns.
fn gate(target: SocketAddr, ready: impl Fn() + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            ready();
            let far = TcpStream::connect(target).unwrap();
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    address
}

/// Runs an attempt whose repository lies at this address, to its end.
fn run(lab: Lab, storage: &Arc<Storage>, storage_at: SocketAddr, forge_at: SocketAddr, base: &str) {
    let link = |name: &str| (name.to_owned(), format!("http://{storage_at}/out/{name}"));
    let grant = Grant {
        version: 1,
        attempt: "cloud-code-r-1-implement-1".to_owned(),
        expires_at: jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1),
        get: BTreeMap::from([("tasking.yaml".to_owned(), format!("http://{storage_at}/in/tasking.yaml"))]),
        put: ["reporting.yaml", "log.txt", "transcript.jsonl", "changes.bundle", "session.tar.gz"]
            .map(link)
            .into(),
        secrets: BTreeMap::new(),
        checkout: Some(GrantedCheckout {
            url: format!("http://{forge_at}/{SHOP}.git"),
            key: "github.com/acme/shop".to_owned(),
            token: None,
            base: base.to_owned(),
            branch: "cloud-code/issue-42".to_owned(),
        }),
    };
    let tasking = lab.tasking("- run: echo fixed > fixed.txt", "").replace(&lab.base, base);
    storage.keep("in/tasking.yaml", tasking.into_bytes());
    storage.keep("grant", serde_json::to_vec(&grant).unwrap());
    storage.keep("role", br#"{"AccessKeyId":"a","SecretAccessKey":"s"}"#.to_vec());
    let workspace = lab.beside("there");
    let lab = lab
        .env("CLOUD_CODE_WORKSPACE", workspace.to_str().unwrap())
        .env("CLOUD_CODE_HEARTBEAT_SECONDS", "0.02")
        .env("CLOUD_CODE_GRANT", &format!("http://{storage_at}/grant"))
        .env("CLOUD_CODE_GRANT_REGION", "eu-west-1")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("http://{storage_at}/role"));
    let output = lab.start().wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// All reports are the attempt's own, each has a greater number than the one before, and those before the first step say so.
#[track_caller]
fn check_order(reports: &[Report], early: usize) {
    for report in reports {
        assert_eq!((report.run.as_str(), report.job.as_str(), report.attempt), ("r-1", "implement", 1));
    }
    let numbers: Vec<u64> = reports.iter().map(|report| report.sequence).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    for report in &reports[..early] {
        assert!(report.status == Status::Queued && report.tasks.is_empty(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_checkout_is_no_silence() {
    let forge = Forge::start(ForgeConfig::default()).await.unwrap();
    forge.create_repo(SHOP, &[("README.md", "# shop\n")], "main", false).unwrap();
    let base = forge.branch_tip(SHOP, "main").unwrap().unwrap();
    let storage = Arc::new(Storage::default());
    let storage_at = storage.start();
    // Nothing of the repository comes before the attempt has told four times that it is there.
    let waiting = Arc::clone(&storage);
    let forge_at = gate(forge.address(), move || waiting.await_reports(4));
    run(Lab::new(), &storage, storage_at, forge_at, &base);
    let reports = storage.reports();
    check_order(&reports, 4);
    let last = reports.last().unwrap();
    assert_eq!((last.status, last.conclusion), (Status::Completed, Some(Conclusion::Success)), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_fails_is_told_after_the_signs_of_life() {
    let forge = Forge::start(ForgeConfig::default()).await.unwrap();
    let storage = Arc::new(Storage::default());
    let storage_at = storage.start();
    let waiting = Arc::clone(&storage);
    let forge_at = gate(forge.address(), move || waiting.await_reports(2));
    run(Lab::new(), &storage, storage_at, forge_at, &"9f2c".repeat(10));
    let reports = storage.reports();
    check_order(&reports, 2);
    let last = reports.last().unwrap();
    assert_eq!((last.status, last.conclusion), (Status::Completed, Some(Conclusion::Failure)), "{last:?}");
    assert!(last.message.as_deref().unwrap_or_default().contains("could not be checked out"), "{last:?}");
}
