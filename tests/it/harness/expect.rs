//! Waiting for what should happen, and saying what happened instead.

use super::{PATIENCE, SHOP, World};
use cloud_code::http::api::view::{ApiDecision, ApiRun};
use cloud_code_forge::{Comment, PullView};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Between two looks at the server, which can't be waited for as the forge can.
const BETWEEN: Duration = Duration::from_millis(50);

impl World {
    /// Waits for a comment of ours on this issue that contains all of these, and counts it as expected.
    #[track_caller]
    pub(crate) fn expect_comment<'a>(
        &'a self,
        number: u64,
        needles: &'a [&'a str],
    ) -> impl Future<Output = Comment> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let own = self.own_login();
            let found = self.forge.wait_for(
                |world| {
                    let comments = world.comments(SHOP, number).ok()?;
                    comments.into_iter().find(|comment| {
                        comment.author == own && needles.iter().all(|needle| comment.body.contains(needle))
                    })
                },
                PATIENCE,
            );
            match found.await {
                Ok(comment) => {
                    self.expected.lock().unwrap().insert(comment.id);
                    comment
                }
                Err(_) => {
                    let what = format!("{caller}: no comment on #{number} with {needles:?}");
                    panic!("{what}\n{}", self.diagnosis().await)
                }
            }
        }
    }

    /// Counts all comments of ours on this issue that contain this as expected.
    pub(crate) fn expect_all_comments(&self, number: u64, needle: &str) {
        let own = self.own_login();
        for comment in self.forge.comments(SHOP, number).unwrap() {
            if comment.author == own && comment.body.contains(needle) {
                self.expected.lock().unwrap().insert(comment.id);
            }
        }
    }

    /// Waits for the open pull request that says it fixes this issue.
    pub(crate) async fn expect_pull(&self, number: u64) -> PullView {
        let fixes = format!("Fixes #{number}\n");
        let found = self.forge.wait_for(
            |world| {
                let pulls = world.pulls(SHOP).ok()?;
                pulls.into_iter().find(|pull| pull.open && pull.body.contains(&fixes))
            },
            PATIENCE,
        );
        match found.await {
            Ok(pull) => pull,
            Err(_) => panic!("no pull request for #{number}\n{}", self.diagnosis().await),
        }
    }

    /// Waits until the issue has exactly these labels of ours.
    pub(crate) async fn expect_labels(&self, number: u64, wanted: &[&str]) {
        let ours = |labels: Vec<String>| -> Vec<String> {
            labels.into_iter().filter(|label| label.starts_with("cloud-code:")).collect()
        };
        let found = self
            .forge
            .wait_for(
                |world| world.labels(SHOP, number).ok().filter(|labels| ours(labels.clone()) == wanted),
                PATIENCE,
            )
            .await;
        if found.is_err() {
            let labels = self.forge.labels(SHOP, number).unwrap_or_default();
            panic!("#{number} has the labels {labels:?}, not {wanted:?}\n{}", self.diagnosis().await);
        }
    }

    /// Waits for a decision with this outcome whose reason contains this text.
    pub(crate) async fn expect_decision(&self, outcome: &str, reason: &str) -> ApiDecision {
        let what = format!("a decision `{outcome}` because of {reason:?}");
        self.until(&what, async || {
            let decisions = self.decisions().await;
            decisions.into_iter().find(|made| made.outcome == outcome && made.reason.contains(reason))
        })
        .await
    }

    /// Waits until the newest run of this issue is over with this conclusion.
    pub(crate) async fn expect_conclusion(&self, number: u64, conclusion: &str) -> ApiRun {
        let run = self.expect_run(number, "an end", |run| run.conclusion.is_some()).await;
        if run.conclusion.as_deref() != Some(conclusion) {
            let (id, reason) = (&run.id, run.reason.as_deref().unwrap_or_default());
            let ended = run.conclusion.as_deref().unwrap_or_default();
            let diagnosis = self.diagnosis().await;
            panic!("run {id} of #{number} ended with {ended} ({reason}), not with {conclusion}\n{diagnosis}");
        }
        run
    }

    /// Waits until the newest run of this issue is so.
    pub(crate) async fn expect_run(&self, number: u64, what: &str, so: impl Fn(&ApiRun) -> bool) -> ApiRun {
        let what = format!("{what} of the run of #{number}");
        self.until(&what, async || self.runs_of(number).await.into_iter().next().filter(|run| so(run))).await
    }

    /// Looks again and again until something is found.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        panic!("waited in vain for {what}\n{}", self.diagnosis().await);
    }

    /// The texts that a comment has had, oldest first, as the forge was given them.
    pub(crate) fn comment_texts(&self, number: u64, id: u64) -> Vec<String> {
        let posted = format!("/repos/{SHOP}/issues/{number}/comments");
        let edited = format!("/repos/{SHOP}/issues/comments/{id}");
        let mut texts = Vec::new();
        for request in self.forge.requests() {
            let answer: serde_json::Value = serde_json::from_str(&request.response).unwrap_or_default();
            let ours = match request.method.as_str() {
                "POST" => request.path == posted && answer["id"] == id,
                "PATCH" => request.path == edited && request.status == 200,
                _ => false,
            };
            if ours {
                let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
                texts.push(body["body"].as_str().unwrap().to_owned());
            }
        }
        texts
    }

    /// The text of a file on a branch.
    pub(crate) fn file(&self, branch: &str, path: &str) -> Option<String> {
        let content = self.forge.read_file(SHOP, branch, path).unwrap();
        content.map(|content| String::from_utf8_lossy(&content).into_owned())
    }

    /// Branches that we made.
    pub(crate) fn our_branches(&self) -> Vec<String> {
        let branches = self.forge.branches(SHOP).unwrap();
        branches.into_iter().filter(|branch| branch.starts_with("cloud-code/")).collect()
    }

    /// Nothing was pushed and no pull request opened.
    pub(crate) fn assert_nothing_published(&self) {
        assert_eq!(self.our_branches(), Vec::<String>::new());
        assert_eq!(self.forge.pulls(SHOP).unwrap().len(), 0);
    }

    pub(super) fn own_login(&self) -> String {
        self.forge.app().bot_login()
    }

    /// How things stand, for a failed test.
    pub(crate) async fn diagnosis(&self) -> String {
        let mut out = String::new();
        for issue in self.forge.look(|world| world.issues(SHOP)).unwrap_or_default() {
            let _ = writeln!(out, "#{} {:?} {:?}", issue.number, issue.title, issue.labels);
            for comment in self.forge.comments(SHOP, issue.number).unwrap_or_default() {
                let _ = writeln!(out, "  {}: {}", comment.author, comment.body.replace('\n', "\n    "));
            }
        }
        if self.server.is_some() {
            for run in self.runs().await {
                let _ = writeln!(
                    out,
                    "{} #{} {} {:?} {:?}",
                    run.id, run.subject.number, run.status, run.conclusion, run.reason
                );
                for entry in &run.history {
                    let _ = writeln!(out, "    {} {}", entry.at, entry.what);
                }
                for pending in &run.pending {
                    let _ = writeln!(
                        out,
                        "    pending {} ×{} {:?}",
                        pending.effect, pending.tries, pending.error
                    );
                }
            }
            for made in self.decisions().await {
                let _ = writeln!(
                    out,
                    "decision {} {:?} {} {:?}",
                    made.event, made.subject, made.outcome, made.reason
                );
            }
        }
        let _ = writeln!(out, "--- log\n{}", self.log.tail(40));
        out
    }
}
