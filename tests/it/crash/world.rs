//! A forge, and a `cloud-code serve` beside it that can be killed and started again on the same folder and address.

use cloud_code::adapters::vps::sql::Database;
use cloud_code::ports::{Decision, Lane, Queue, RunFilter, Store, SystemClock};
use cloud_code_forge::{Forge, ForgeConfig, Role, Webhook};
use cloud_code_model::run::Run;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

pub(super) const REPOSITORY: &str = "acme/greeter";
pub(super) const TOKEN: &str = "a-token-of-sixteen-or-more";
pub(super) const WEBHOOK_SECRET: &str = "webhook-secret-of-the-crash-tests";
/// For all that takes no more than a moment on an idle machine; these tests run several at a time.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks at what sends no signal when it changes: another process's files.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct World {
    pub(super) forge: Forge,
    pub(super) dir: TempDir,
    pub(super) address: SocketAddr,
    env: BTreeMap<String, String>,
    server: Option<Child>,
    starts: usize,
}

impl World {
    /// A repository whose workflow's agent step is this shell command. No server yet.
    pub(super) async fn new(command: &str) -> Self {
        Self::with_workflow(&workflow(command)).await
    }

    pub(super) async fn with_workflow(workflow: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("cloud-code-crash-").tempdir().unwrap();
        let forge = Forge::start(ForgeConfig::default()).await.unwrap();
        forge.create_user("ada");
        let files = [("greet.sh", "echo hello\n"), (".cloud-code/implement.yml", workflow)];
        forge.create_repo(REPOSITORY, &files, "main", true).unwrap();
        forge.set_permission(REPOSITORY, "ada", Some(Role::Write)).unwrap();
        forge.install_app(REPOSITORY).unwrap();
        let address = address();
        let mut world = Self { forge, dir, address, env: BTreeMap::new(), server: None, starts: 0 };
        world.send_webhooks();
        // Nobody listens yet: the ping fails, as it may.
        world.forge.await_deliveries().await.unwrap();
        let app = world.forge.app();
        for (name, value) in [
            ("LISTEN_ADDR", address.to_string()),
            ("API_TOKENS", TOKEN.to_owned()),
            ("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
            ("GITHUB_URL", world.forge.url()),
            ("GITHUB_API_URL", world.forge.api_url()),
            ("GITHUB_APP_ID", app.id.to_string()),
            ("GITHUB_APP_NAME", app.slug),
            ("GITHUB_PRIVATE_KEY", world.forge.app_private_key().unwrap()),
            ("DATA_DIR", world.data_dir().display().to_string()),
            ("RUNNER", "process".to_owned()),
            ("CONCURRENCY", "2".to_owned()),
            ("LOG", "info,cloud_code=debug".to_owned()),
        ] {
            world.set(name, &value);
        }
        // Images of another name than the usual, e.g. while they are being worked on.
        if let Ok(prefix) = std::env::var("CLOUD_CODE_TEST_IMAGES") {
            world.set("AGENT_IMAGE_PREFIX", &prefix);
        }
        world
    }

    /// Makes the forge send webhooks here.
    pub(super) fn send_webhooks(&self) {
        self.forge.set_webhook(Some(Webhook {
            url: format!("http://{}/webhooks/github/", self.address),
            secret: WEBHOOK_SECRET.to_owned(),
        }));
    }

    /// A setting of the server, from its next start on.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A path below the test's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log_file(&self) -> PathBuf {
        self.path("server.log")
    }

    /// What all servers so far have logged.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// A server's process with this world's settings.
    pub(super) fn command(&self) -> Command {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloud-code"));
        command.arg("serve").env_clear().envs(&self.env);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        command
    }

    /// Another command of the program, with this world's settings.
    pub(super) fn program(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cloud-code"));
        command.args(arguments).env_clear().envs(&self.env);
        command
    }

    /// Starts the server and waits until it answers.
    pub(super) async fn start(&mut self) {
        assert!(self.server.is_none(), "a server runs already");
        self.starts += 1;
        self.server = Some(self.command().spawn().unwrap());
        let begun = Instant::now();
        while http(self.address, "GET", "/healthz", "", b"").await.is_none_or(|(status, _)| status != 200) {
            if let Some(status) = self.server.as_mut().unwrap().try_wait().unwrap() {
                panic!("the server ended at its start ({status}):\n{}", tail(&self.log()));
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not answer:\n{}", tail(&self.log()));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub(super) async fn kill(&mut self) {
        let mut server = self.server.take().expect("a server");
        server.kill().await.unwrap();
    }

    pub(super) fn signal(&self, signal: Signal) {
        let id = self.server.as_ref().and_then(Child::id).expect("a server");
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    /// Waits until the server has ended by itself.
    pub(super) async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let mut server = self.server.take().expect("a server");
        match tokio::time::timeout(patience, server.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("the server has not ended after {patience:?}:\n{}", tail(&self.log())),
        }
    }

    /// SIGTERM; the server has to end well within `patience`.
    pub(super) async fn terminate(&mut self, patience: Duration) {
        self.signal(Signal::TERM);
        let status = self.ended(patience).await;
        assert!(status.success(), "after SIGTERM the server ended with {status}:\n{}", tail(&self.log()));
    }

    /// Opens an issue.
    pub(super) fn issue(&self) -> u64 {
        let body = "The greeting lacks a name.";
        self.forge.open_issue(REPOSITORY, "ada", "Greet people by name", body).unwrap()
    }

    /// Opens an issue and labels it; returns its number.
    pub(super) fn labelled_issue(&self) -> u64 {
        let number = self.issue();
        self.forge.label_issue(REPOSITORY, "ada", number, "cloud-code").unwrap();
        number
    }

    /// Waits until the issue has this label.
    pub(super) async fn labelled(&self, number: u64, label: &str) {
        let has = |world: &cloud_code_forge::World| {
            world.labels(REPOSITORY, number).ok()?.iter().any(|have| have == label).then_some(())
        };
        if self.forge.wait_for(has, PATIENCE).await.is_err() {
            let comments = self.forge.comments(REPOSITORY, number).unwrap();
            let comments: Vec<_> = comments.into_iter().map(|comment| comment.body).collect();
            panic!("no label {label} on #{number}; its comments: {comments:#?}\n{}", tail(&self.log()));
        }
    }

    /// Waits for something that sends no signal.
    pub(super) async fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}:\n{}", tail(&self.log()));
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) async fn database(&self) -> Database {
        let default = format!("sqlite:{}", self.data_dir().join("cloud-code.db").display());
        let url = self.env.get("DATABASE_URL").cloned().unwrap_or(default);
        Database::open(&url, Arc::new(SystemClock)).await.unwrap()
    }

    /// Waits until nothing is left to do: queue empty, outboxes empty, every run over; returns the runs and the decisions.
    pub(super) async fn quiet(&self) -> (Vec<Run>, Vec<Decision>) {
        self.forge.await_deliveries().await.unwrap();
        let database = self.database().await;
        let (store, queue) = (database.store(), database.queue());
        let begun = Instant::now();
        loop {
            let mut busy = Vec::new();
            for lane in Lane::ALL {
                let depth = queue.depth(lane).await.unwrap();
                assert_eq!(
                    depth.dead,
                    0,
                    "dead letters on {}: {:?}",
                    lane.as_str(),
                    queue.dead(lane, 9).await
                );
                if depth.waiting + depth.leased > 0 {
                    busy.push(format!("{}: {depth:?}", lane.as_str()));
                }
            }
            let mut runs = Vec::new();
            for row in store.list(&RunFilter { limit: 100, ..RunFilter::default() }).await.unwrap().items {
                let run = store.load(&row.id).await.unwrap().unwrap().run;
                if !run.is_over() || !run.outbox.is_empty() {
                    busy.push(format!("{}: {:?} {:?}", run.id, run.status, run.outbox));
                }
                runs.push(run);
            }
            if busy.is_empty() {
                let decisions = store.decisions(100).await.unwrap();
                database.close().await;
                return (runs, decisions);
            }
            assert!(begun.elapsed() < PATIENCE, "still busy: {busy:#?}\n{}", tail(&self.log()));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Exactly one run, and of each of its effects exactly one; nothing is left of it on this machine.
    pub(super) async fn exactly_one_pull(&self, number: u64) -> Run {
        let (mut runs, _) = self.quiet().await;
        assert_eq!(runs.len(), 1, "runs: {runs:#?}");
        let run = runs.remove(0);
        let conclusion = run.conclusion.map(cloud_code_model::run::Conclusion::as_str);
        assert_eq!(conclusion, Some("success"), "{:?}\n{}", run.reason, tail(&self.log()));
        let mut branches = self.forge.branches(REPOSITORY).unwrap();
        branches.sort();
        assert_eq!(branches, [format!("cloud-code/issue-{number}"), "main".to_owned()]);
        let pulls = self.forge.pulls(REPOSITORY).unwrap();
        assert_eq!(pulls.len(), 1, "{pulls:#?}");
        assert!(pulls[0].body.contains(&format!("Fixes #{number}")), "{}", pulls[0].body);
        let comments = self.forge.comments(REPOSITORY, number).unwrap();
        assert_eq!(comments.len(), 1, "{comments:#?}");
        assert!(comments[0].body.contains("**Done.**"), "{}", comments[0].body);
        let checks = self.forge.check_runs(REPOSITORY, &pulls[0].head_sha).unwrap();
        assert_eq!(checks.len(), 1, "{checks:#?}");
        let labels = self.forge.labels(REPOSITORY, number).unwrap();
        assert_eq!(labels, ["cloud-code", "cloud-code:done"]);
        self.nothing_left();
        run
    }

    /// No checkout, and no process besides the server.
    pub(super) fn nothing_left(&self) {
        let server = self.server.as_ref().and_then(Child::id);
        let left: Vec<_> =
            processes(self.dir.path()).into_iter().filter(|(id, _)| Some(*id) != server).collect();
        assert!(left.is_empty(), "processes are left: {left:?}");
        let checkouts = self.workspaces();
        assert!(checkouts.is_empty(), "checkouts are left: {checkouts:?}");
    }

    /// The checkouts that are there.
    pub(super) fn workspaces(&self) -> Vec<PathBuf> {
        fs::read_dir(self.data_dir().join("attempts"))
            .into_iter()
            .flatten()
            .flat_map(|run| fs::read_dir(run.unwrap().path()).unwrap())
            .flat_map(|job| fs::read_dir(job.unwrap().path()).unwrap())
            .map(|attempt| attempt.unwrap().path().join("workspace"))
            .filter(|path| path.exists())
            .collect()
    }

    /// Calls the server's API; the status and the body.
    pub(super) async fn api(&self, method: &str, path: &str) -> (u16, String) {
        let headers = format!("authorization: Bearer {TOKEN}\r\n");
        http(self.address, method, path, &headers, b"").await.expect("the server's answer")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What a failed test leaves running would disturb the next ones.
        for (id, _) in processes(self.dir.path()) {
            if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(id, Signal::KILL);
            }
        }
    }
}

/// A workflow with one agent step, played by a shell command, and without an `on:` besides the label.
pub(super) fn workflow(command: &str) -> String {
    let lines: String = command.lines().map(|line| format!("            {line}\n")).collect();
    format!(
        "name: implement\non:\n  issues: {{ types: [labeled] }}\njobs:\n  implement:\n    timeout-minutes: 5\n    steps:\n      \
         - id: fix\n        uses: agent\n        with:\n          cli: script\n          command: |\n{lines}"
    )
}

/// An address of this machine's own that nobody else has: outgoing connections take their ports from 127.0.0.1.
pub(super) fn address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, 64 | (high & 63), low, next], 8080))
}

/// One request; `None` when nobody listens or the connection breaks.
pub(super) async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// Processes that have this folder in their environment, with their command lines; zombies have none.
fn processes(dir: &Path) -> Vec<(u32, String)> {
    let needle = dir.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        if environment.windows(needle.len()).any(|window| window == needle) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((id, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

/// The end of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
