//! A world's end: everything is waited for, and then nothing may be left behind.

use super::{SHOP, World};
use cloud_code_forge::{Comment, OpenApi};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a world may take to come to rest: a write that failed is tried again after 2, 4, 8 … seconds.
const REST: Duration = Duration::from_secs(120);

impl World {
    /// Ends the world, and fails on anything that should not be.
    pub(crate) async fn finish(mut self) {
        self.finished = true;
        self.forge.await_deliveries().await.unwrap();
        if self.server.is_none() {
            self.start_server().await;
        }
        let pool = self.database().await;
        self.rest(&pool).await;
        let shown = self.shown().await;
        let mut problems = self.queue_problems(&pool).await;
        pool.close().await;
        self.stop_server().await;
        problems
            .extend(self.processes().into_iter().map(|process| format!("a process is left: {process:?}")));
        problems.extend(self.folder_problems());
        problems.extend(self.comment_problems());
        problems.extend(self.log_problems());
        problems.extend(self.leaks(&shown));
        problems.extend(self.openapi_problems());
        assert!(problems.is_empty(), "{}\n--- log\n{}", problems.join("\n"), self.log.tail(60));
    }

    /// Waits until the server has nothing to do.
    pub(crate) async fn settle(&self) {
        let pool = self.database().await;
        self.rest(&pool).await;
        pool.close().await;
    }

    /// The server's database, to look at.
    pub(crate) async fn database(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new()
            .filename(self.data_dir().join("cloud-code.db"))
            .busy_timeout(Duration::from_secs(10));
        SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
    }

    /// Waits until the server has nothing to do: no message, no run, no effect.
    pub(crate) async fn rest(&self, pool: &SqlitePool) {
        let end = Instant::now() + REST;
        let mut left = Vec::new();
        while Instant::now() < end {
            left = busy(pool).await;
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not come to rest: {left:?}\n{}", self.diagnosis().await);
    }

    async fn queue_problems(&self, pool: &SqlitePool) -> Vec<String> {
        let dead: Vec<(String, String, Option<String>)> =
            sqlx::query_as("SELECT lane, key, reason FROM messages WHERE state = 'dead'")
                .fetch_all(pool)
                .await
                .unwrap();
        dead.into_iter().map(|letter| format!("a dead letter is left: {letter:?}")).collect()
    }

    /// Workspaces, quarantines, scratch repositories and processes' folders are removed; what was kept stays.
    fn folder_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for attempt in attempts(&self.data_dir()) {
            for entry in fs::read_dir(&attempt).unwrap().flatten() {
                if entry.file_name() != "kept" {
                    problems.push(format!("a folder is left: {}", entry.path().display()));
                }
            }
        }
        for left in fs::read_dir(self.data_dir().join("processes")).into_iter().flatten().flatten() {
            problems.push(format!("a folder is left: {}", left.path().display()));
        }
        problems
    }

    /// Our comments, each of which the test must have expected.
    fn comment_problems(&self) -> Vec<String> {
        let (own, expected) = (self.own_login(), self.expected.lock().unwrap());
        let repo = self.forge.look(|world| world.repository(SHOP)).unwrap();
        let ours: Vec<Comment> =
            repo.comments.values().filter(|comment| comment.author == own).cloned().collect();
        let mut problems = Vec::new();
        let mut markers: BTreeMap<String, usize> = BTreeMap::new();
        for comment in &ours {
            if !expected.contains(&comment.id) {
                problems
                    .push(format!("nobody expected this comment on #{}: {}", comment.issue, comment.body));
            }
            if let Some(marker) = comment.body.lines().find(|line| line.starts_with("<!-- cloud-code:")) {
                *markers.entry(marker.to_owned()).or_default() += 1;
            }
        }
        let twice = markers.into_iter().filter(|(_, count)| *count > 1);
        problems.extend(twice.map(|(marker, count)| format!("{count} comments have the marker {marker}")));
        problems
    }

    fn log_problems(&self) -> Vec<String> {
        let text = self.log.text();
        let bad = |line: &&str| line.contains("\"level\":\"ERROR\"") || line.contains("panicked at");
        text.lines().filter(bad).map(|line| format!("the server logged an error: {line}")).collect()
    }

    /// The pages and API answers, while there is a server.
    async fn shown(&self) -> Vec<(String, String)> {
        let mut paths: Vec<String> =
            ["/", "/metrics", "/readyz", "/api/v1/runs?limit=200", "/api/v1/decisions?limit=200"]
                .map(str::to_owned)
                .into();
        for run in self.runs().await {
            assert_eq!(run.status, "completed", "{run:?}");
            paths.push(format!("/runs/{}", run.id));
            paths.push(format!("/api/v1/runs/{}", run.id));
            for job in run.jobs.iter().filter(|job| !job.attempts.is_empty()) {
                for part in ["logs", "transcript"] {
                    paths.push(format!("/api/v1/runs/{}/{part}?job={}", run.id, job.key));
                }
            }
        }
        let mut shown = Vec::new();
        for path in paths {
            let answer = self.http("GET", &path).await;
            assert!(matches!(answer.status, 200 | 404), "{path}: {} {}", answer.status, answer.body);
            shown.push((path, answer.body));
        }
        shown
    }

    /// Places where a secret shows.
    fn leaks(&self, shown: &[(String, String)]) -> Vec<String> {
        let mut secrets = self.secrets.clone();
        secrets.extend(self.forge.token_secrets());
        let searched = aho_corasick::AhoCorasick::new(&secrets).unwrap();
        let mut problems = Vec::new();
        let mut look = |place: &str, content: &[u8]| {
            if let Some(found) = searched.find(content) {
                problems
                    .push(format!("{place} contains the secret {:?}", secrets[found.pattern().as_usize()]));
            }
        };
        for (path, body) in shown {
            look(path, body.as_bytes());
        }
        look("the log", self.log.text().as_bytes());
        let repo = self.forge.look(|world| world.repository(SHOP)).unwrap();
        for comment in repo.comments.values() {
            look(&format!("a comment on #{}", comment.issue), comment.body.as_bytes());
        }
        for issue in repo.issues.values() {
            look(&format!("#{}", issue.number), format!("{} {:?}", issue.title, issue.body).as_bytes());
        }
        for check in repo.checks.values() {
            look("a check run", format!("{check:?}").as_bytes());
        }
        for request in self.forge.requests() {
            look(&format!("{} {}", request.method, request.path), request.body.as_bytes());
            look("a path or query", format!("{}?{}", request.path, request.query).as_bytes());
        }
        for file in files(&self.data_dir()) {
            look(&file.display().to_string(), &fs::read(&file).unwrap_or_default());
        }
        problems
    }

    fn openapi_problems(&self) -> Vec<String> {
        static DESCRIPTION: OnceLock<OpenApi> = OnceLock::new();
        let Some(path) = &self.options.openapi else { return Vec::new() };
        let description = DESCRIPTION.get_or_init(|| OpenApi::read(path).unwrap());
        self.forge.openapi_violations(description)
    }
}

async fn busy(pool: &SqlitePool) -> Vec<String> {
    let messages: Vec<(String, String, String)> =
        sqlx::query_as("SELECT lane, key, state FROM messages WHERE state IN ('ready', 'delayed', 'leased')")
            .fetch_all(pool)
            .await
            .unwrap();
    let runs: Vec<(String, String)> =
        sqlx::query_as("SELECT id, status FROM runs WHERE status <> 'completed' OR due_at IS NOT NULL")
            .fetch_all(pool)
            .await
            .unwrap();
    let messages = messages.into_iter().map(|message| format!("{message:?}"));
    messages.chain(runs.into_iter().map(|run| format!("{run:?}"))).collect()
}

/// `attempts/RUN/JOB/NUMBER`.
fn attempts(data_dir: &Path) -> Vec<PathBuf> {
    let mut level = vec![data_dir.join("attempts")];
    for _ in 0..3 {
        let below =
            |dir: &PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        level = level.iter().flat_map(below).collect();
    }
    level
}

/// All files below a folder; symbolic links are not followed.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
