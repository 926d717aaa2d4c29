//! The forge port's GitHub adapter, against the stateful test GitHub over HTTP.

mod authority;
mod deliveries;

use cloud_code::adapters::github::{GitHubConfig, GitHubForge, GitHubSetupError};
use cloud_code::ports::{
    CheckAnnotation, CheckSpec, Clock, Forge as _, ForgeError, LabelChange, PullSpec, RemoteAccess,
    SecretText,
};
use cloud_code_forge::{
    Access, ApiRequest, Fault, Forge, ForgeClock, ForgeConfig, Matcher, Permissions, Role,
};
use cloud_code_model::policy::Permission;
use cloud_code_model::run::Repository;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const REPO: &str = "acme/shop";
const MARKER: &str = "<!-- cloud-code:run r-1 -->";

/// The adapter's clock is the forge's, so that both see time pass.
struct SharedClock(ForgeClock);

impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// A GitHub with one repository, and the adapter for it.
pub(super) struct Hub {
    pub(super) forge: Forge,
    pub(super) adapter: GitHubForge,
    pub(super) repository: Repository,
}

impl Hub {
    pub(super) async fn start() -> Self {
        Self::with(ForgeConfig::default(), None).await
    }

    async fn with(config: ForgeConfig, permissions: Option<Permissions>) -> Self {
        let clock = config.clock.clone();
        let forge = Forge::start(config).await.unwrap();
        forge.create_repo(REPO, &[("README.md", "# shop\n")], "main", false).unwrap();
        let installation = match permissions {
            Some(permissions) => forge.install_app_with(REPO, &permissions).unwrap(),
            None => forge.install_app(REPO).unwrap(),
        };
        let adapter = GitHubForge::new(GitHubConfig {
            api_url: format!("{}/", forge.api_url()),
            web_url: forge.url(),
            app_id: forge.app().id,
            slug: forge.app().slug,
            private_key_pem: SecretText::new(forge.app_private_key().unwrap()),
            clock: Arc::new(SharedClock(clock)),
        });
        let repository = Repository {
            owner: "acme".to_owned(),
            name: "shop".to_owned(),
            installation,
            default_branch: "main".to_owned(),
        };
        Self { forge, adapter: adapter.unwrap(), repository }
    }

    fn issue(&self) -> u64 {
        self.forge.open_issue(REPO, "ann", "The cart is empty", "It should not be.").unwrap()
    }

    async fn put_comment(&self, number: u64, known: Option<u64>, body: &str) -> Result<u64, ForgeError> {
        self.adapter.put_comment(&self.repository, number, MARKER, known, &format!("{MARKER}\n{body}")).await
    }

    fn comments(&self, number: u64) -> Vec<String> {
        self.forge.comments(REPO, number).unwrap().into_iter().map(|comment| comment.body).collect()
    }

    fn requests(&self, method: &str, path: &str) -> Vec<ApiRequest> {
        let wanted = |request: &ApiRequest| request.method == method && request.path.contains(path);
        self.forge.requests().into_iter().filter(wanted).collect()
    }

    fn minted(&self) -> usize {
        self.requests("POST", "/access_tokens").len()
    }

    fn pull_spec(&self) -> PullSpec {
        PullSpec {
            head: "cloud-code/issue-1".to_owned(),
            base: "main".to_owned(),
            title: "Fill the cart".to_owned(),
            body: "Fixes #1".to_owned(),
            draft: true,
        }
    }
}

fn check_spec(sha: &str) -> CheckSpec {
    CheckSpec {
        name: "Cloud Code / implement".to_owned(),
        sha: sha.to_owned(),
        external_id: "r-1/implement/1".to_owned(),
        conclusion: "success".to_owned(),
        title: "2 files changed".to_owned(),
        summary: "All is well.".to_owned(),
        details_url: Some("https://cloud-code.example/runs/r-1".to_owned()),
        annotations: Vec::new(),
    }
}

fn kind(error: &ForgeError) -> &'static str {
    match error {
        ForgeError::NotFound(_) => "not found",
        ForgeError::Forbidden(_) => "forbidden",
        ForgeError::Unauthorized(_) => "unauthorized",
        ForgeError::Invalid(_) => "invalid",
        ForgeError::RateLimited { .. } => "rate limited",
        ForgeError::Unavailable(_) => "unavailable",
    }
}

#[tokio::test]
async fn repositories_issues_and_pull_requests_are_read() {
    let hub = Hub::start().await;
    let info = hub.adapter.repository(&hub.repository).await.unwrap();
    assert_eq!((info.default_branch.as_str(), info.read_only), ("main", false));
    let number = hub.issue();
    hub.forge.label_issue(REPO, "acme", number, "cloud-code").unwrap();
    let issue = hub.adapter.issue(&hub.repository, number).await.unwrap();
    assert_eq!((issue.title.as_str(), issue.body.as_str()), ("The cart is empty", "It should not be."));
    assert_eq!((issue.author.as_str(), issue.open, issue.is_pull), ("ann", true, false));
    assert_eq!((issue.labels, issue.branches), (vec!["cloud-code".to_owned()], None));
    assert!(issue.url.starts_with(&hub.forge.url()), "{}", issue.url);
    hub.forge.close_issue(REPO, "ann", number).unwrap();
    assert!(!hub.adapter.issue(&hub.repository, number).await.unwrap().open);

    hub.forge.commit_file(REPO, "own", "a", "a").unwrap();
    let own = hub.forge.open_pull(REPO, "ann", "Own", "", "own").unwrap();
    let own = hub.adapter.issue(&hub.repository, own).await.unwrap();
    assert_eq!((own.is_pull, own.from_fork), (true, false));
    assert_eq!(own.branches, Some(("own".to_owned(), "main".to_owned())));
    let fork = hub.forge.fork_pull(REPO, "eve", "Fork", "", "b", "b").unwrap();
    let fork = hub.adapter.issue(&hub.repository, fork).await.unwrap();
    assert_eq!((fork.is_pull, fork.from_fork), (true, true));

    let error = hub.adapter.issue(&hub.repository, 999).await.unwrap_err();
    assert_eq!(kind(&error), "not found", "{error}");
    assert_eq!(hub.minted(), 1, "one token served all reads");
    assert_eq!(hub.adapter.own_login(), "cloud-code[bot]");
}

#[tokio::test]
async fn people_have_the_permission_that_github_gives_them() {
    let hub = Hub::start().await;
    for (login, role, expected) in [
        ("ada", Role::Admin, Permission::Admin),
        ("mia", Role::Maintain, Permission::Maintain),
        ("wes", Role::Write, Permission::Write),
        ("tia", Role::Triage, Permission::Triage),
        ("rob", Role::Read, Permission::Read),
    ] {
        hub.forge.set_permission(REPO, login, Some(role)).unwrap();
        assert_eq!(hub.adapter.permission(&hub.repository, login).await.unwrap(), expected, "{login}");
    }
    assert_eq!(hub.adapter.permission(&hub.repository, "nobody-here").await.unwrap(), Permission::None);

    hub.forge.set_permission(REPO, "wes", Some(Role::Read)).unwrap();
    let asked = || hub.requests("GET", "/collaborators/wes/permission").len();
    assert_eq!(hub.adapter.permission(&hub.repository, "WES").await.unwrap(), Permission::Write);
    assert_eq!(asked(), 1, "believed for a minute");
    hub.forge.advance(Duration::from_secs(61));
    assert_eq!(hub.adapter.permission(&hub.repository, "wes").await.unwrap(), Permission::Read);
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn the_last_comments_are_read_over_pages() {
    let hub = Hub::start().await;
    let number = hub.issue();
    assert!(hub.adapter.comments(&hub.repository, number).await.unwrap().is_empty());
    let mut written = 0;
    for (total, first, pages) in [(3, 1, 1), (150, 1, 2), (350, 151, 4)] {
        while written < total {
            written += 1;
            hub.forge.comment(REPO, "ann", number, &format!("number {written}")).unwrap();
        }
        let before = hub.requests("GET", "/comments").len();
        let comments = hub.adapter.comments(&hub.repository, number).await.unwrap();
        assert_eq!(comments.first().unwrap().body, format!("number {first}"));
        assert_eq!(comments.last().unwrap().body, format!("number {total}"));
        assert_eq!(comments.len(), total - first + 1);
        assert_eq!(hub.requests("GET", "/comments").len() - before, pages, "{total}");
    }
    let comment = &hub.adapter.comments(&hub.repository, number).await.unwrap()[0];
    assert_eq!((comment.author.as_str(), comment.by_bot), ("ann", false));
}

#[tokio::test]
async fn workflow_files_are_read_from_the_default_branch() {
    let hub = Hub::start().await;
    assert!(hub.adapter.workflows(&hub.repository).await.unwrap().is_empty());
    for (path, text) in [
        ("fix.yml", "name: fix # é\n"),
        ("a b.yaml", "name: ab\n"),
        ("tasking.yaml", "version: 1\n"),
        ("reporting.yaml", "version: 1\n"),
        ("README.md", "no\n"),
        ("folder.yml/x.yml", "no\n"),
    ] {
        hub.forge.commit_file(REPO, "main", &format!(".cloud-code/{path}"), text).unwrap();
    }
    hub.forge.commit_file(REPO, "other", ".cloud-code/other.yml", "name: other\n").unwrap();
    let files = hub.adapter.workflows(&hub.repository).await.unwrap();
    let found: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    assert_eq!(found, [(".cloud-code/a b.yaml", "name: ab\n"), (".cloud-code/fix.yml", "name: fix # é\n")]);

    hub.forge.commit_file(REPO, "main", ".cloud-code/big.yml", &"# much\n".repeat(40_000)).unwrap();
    let error = hub.adapter.workflows(&hub.repository).await.unwrap_err();
    assert!(
        matches!(&error, ForgeError::Invalid(text) if text.contains(".cloud-code/big.yml has 280000 bytes")),
        "{error}"
    );
}

#[tokio::test]
async fn one_comment_is_posted_and_edited_in_place() {
    let hub = Hub::start().await;
    let number = hub.issue();
    // A person who copies the marker does not own the comment.
    hub.forge.comment(REPO, "eve", number, &format!("{MARKER} mine")).unwrap();
    let id = hub.put_comment(number, None, "queued").await.unwrap();
    assert_eq!(hub.put_comment(number, Some(id), "running").await.unwrap(), id);
    assert_eq!(hub.put_comment(number, None, "done").await.unwrap(), id, "found by its marker");
    assert_eq!(hub.comments(number), [format!("{MARKER} mine"), format!("{MARKER}\ndone")]);

    let long = "x".repeat(70_000);
    hub.put_comment(number, Some(id), &long).await.unwrap();
    let body = hub.comments(number).pop().unwrap();
    assert!(body.chars().count() <= 65_536 && body.contains(MARKER) && body.contains("cut"));

    hub.forge.delete_comment(REPO, "ann", id).unwrap();
    assert_eq!(
        hub.put_comment(number, Some(id), "again").await.unwrap(),
        id,
        "what people deleted stays deleted"
    );
    assert_eq!(hub.comments(number).len(), 1);
}

#[tokio::test]
async fn our_comment_is_found_behind_many_others() {
    let hub = Hub::start().await;
    let number = hub.issue();
    for n in 0..150 {
        hub.forge.comment(REPO, "ann", number, &format!("number {n}")).unwrap();
    }
    let id = hub.put_comment(number, None, "queued").await.unwrap();
    assert_eq!(hub.put_comment(number, None, "done").await.unwrap(), id);
    assert_eq!(hub.comments(number).len(), 151);
}

#[tokio::test]
async fn labels_are_put_on_and_taken_off() {
    let hub = Hub::start().await;
    let number = hub.issue();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    hub.forge.label_issue(REPO, "ann", number, "bug").unwrap();
    for (add, remove, expected) in [
        (&["cloud-code:queued"][..], &[][..], &["bug", "cloud-code:queued"][..]),
        (
            &["cloud-code:running"],
            &["cloud-code:queued", "cloud-code:failed"],
            &["bug", "cloud-code:running"],
        ),
        (&[], &["cloud-code:running"], &["bug"]),
        (&[], &[], &["bug"]),
    ] {
        let change = LabelChange { add: names(add), remove: names(remove) };
        hub.adapter.change_labels(&hub.repository, number, &change).await.unwrap();
        assert_eq!(hub.forge.labels(REPO, number).unwrap(), names(expected));
    }
}

#[tokio::test]
async fn one_pull_request_is_opened_and_keeps_what_people_wrote() {
    let hub = Hub::start().await;
    hub.issue();
    let mut spec = hub.pull_spec();
    let error = hub.adapter.put_pull(&hub.repository, &spec).await.unwrap_err();
    assert_eq!(kind(&error), "invalid", "there is no branch yet: {error}");
    hub.forge.commit_file(REPO, &spec.head, "cart.rs", "fn cart() {}\n").unwrap();
    assert_eq!(hub.adapter.open_pull(&hub.repository, &spec.head).await.unwrap(), None);
    let pull = hub.adapter.put_pull(&hub.repository, &spec).await.unwrap();
    assert!(pull.draft && pull.url.starts_with(&hub.forge.url()));
    assert_eq!(hub.adapter.open_pull(&hub.repository, &spec.head).await.unwrap(), Some(pull.clone()));

    let body = hub.forge.issue(REPO, pull.number).unwrap().body.unwrap();
    assert_eq!(body, "<!-- cloud-code:begin -->\nFixes #1\n<!-- cloud-code:end -->");
    hub.forge
        .edit_issue(REPO, "ann", pull.number, Some("My title"), Some(&format!("Please look.\n\n{body}")))
        .unwrap();
    spec.title = "Another title".to_owned();
    spec.body = "Fixes #1, better".to_owned();
    assert_eq!(hub.adapter.put_pull(&hub.repository, &spec).await.unwrap(), pull);
    let issue = hub.forge.issue(REPO, pull.number).unwrap();
    assert_eq!(issue.title, "My title");
    let expected = "Please look.\n\n<!-- cloud-code:begin -->\nFixes #1, better\n<!-- cloud-code:end -->";
    assert_eq!(issue.body.as_deref(), Some(expected));
    let patched = hub.requests("PATCH", "/pulls/").len();
    hub.adapter.put_pull(&hub.repository, &spec).await.unwrap();
    assert_eq!(hub.requests("PATCH", "/pulls/").len(), patched, "nothing new, nothing written");
    assert_eq!(hub.forge.pulls(REPO).unwrap().len(), 1);
}

#[tokio::test]
async fn one_check_run_stands_on_a_commit() {
    let hub = Hub::start().await;
    let sha = hub.forge.branch_tip(REPO, "main").unwrap().unwrap();
    let mut spec = check_spec(&sha);
    let id = hub.adapter.put_check(&hub.repository, None, &spec).await.unwrap();
    spec.conclusion = "failure".to_owned();
    spec.summary = "é".repeat(70_000);
    assert_eq!(hub.adapter.put_check(&hub.repository, Some(id), &spec).await.unwrap(), id);
    assert_eq!(
        hub.adapter.put_check(&hub.repository, None, &spec).await.unwrap(),
        id,
        "found by its external id"
    );
    let other = CheckSpec { external_id: "r-2/implement/1".to_owned(), ..spec.clone() };
    assert_ne!(hub.adapter.put_check(&hub.repository, None, &other).await.unwrap(), id);
    let runs = hub.forge.check_runs(REPO, &sha).unwrap();
    let run = runs.iter().find(|run| run.id == id).unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!((run.status.as_str(), run.conclusion.as_deref()), ("completed", Some("failure")));
    assert!(run.summary.as_ref().unwrap().chars().count() <= 65_535);
    assert_eq!(run.details_url, spec.details_url);
}

#[tokio::test]
async fn a_check_runs_annotations_are_made_once() {
    let hub = Hub::start().await;
    let sha = hub.forge.branch_tip(REPO, "main").unwrap().unwrap();
    let annotation = |line: u32| CheckAnnotation {
        path: "cart.rs".to_owned(),
        first_line: line,
        last_line: line,
        columns: (line == 1).then_some((2, 3)),
        level: "warning".to_owned(),
        title: Some("clippy".to_owned()),
        message: format!("line {line}"),
    };
    let spec = CheckSpec { annotations: (1..=50).map(annotation).collect(), ..check_spec(&sha) };
    hub.forge.fail_next(Matcher::new("POST", "/repos/acme/shop/check-runs"), Fault::AfterEffect(502), 1);
    assert!(hub.adapter.put_check(&hub.repository, None, &spec).await.unwrap_err().may_heal());
    let id = hub.adapter.put_check(&hub.repository, None, &spec).await.unwrap();
    assert_eq!(hub.adapter.put_check(&hub.repository, Some(id), &spec).await.unwrap(), id);
    let runs = hub.forge.check_runs(REPO, &sha).unwrap();
    assert_eq!((runs.len(), runs[0].annotations.len()), (1, 50));
    let first = &runs[0].annotations[0];
    assert_eq!(
        (&first["path"], &first["start_line"], &first["end_column"]),
        (&"cart.rs".into(), &1.into(), &3.into())
    );
    assert_eq!((&first["message"], &first["annotation_level"]), (&"line 1".into(), &"warning".into()));
}

#[tokio::test]
async fn what_was_made_before_an_answer_was_lost_is_found() {
    for fault in [Fault::AfterEffect(502), Fault::DropAfterEffect] {
        let hub = Hub::start().await;
        let number = hub.issue();
        let spec = hub.pull_spec();
        let sha = hub.forge.commit_file(REPO, &spec.head, "cart.rs", "fn cart() {}\n").unwrap();
        for path in
            ["/repos/acme/shop/issues/*/comments", "/repos/acme/shop/pulls", "/repos/acme/shop/check-runs"]
        {
            hub.forge.fail_next(Matcher::new("POST", path), fault.clone(), 1);
        }
        let check = check_spec(&sha);
        for error in [
            hub.put_comment(number, None, "queued").await.unwrap_err(),
            hub.adapter.put_pull(&hub.repository, &spec).await.unwrap_err(),
            hub.adapter.put_check(&hub.repository, None, &check).await.unwrap_err(),
        ] {
            assert!(error.may_heal() && kind(&error) == "unavailable", "{error}");
        }
        hub.put_comment(number, None, "queued").await.unwrap();
        hub.adapter.put_pull(&hub.repository, &spec).await.unwrap();
        hub.adapter.put_check(&hub.repository, None, &check).await.unwrap();
        assert_eq!(hub.comments(number).len(), 1);
        assert_eq!(hub.forge.pulls(REPO).unwrap().len(), 1);
        assert_eq!(hub.forge.check_runs(REPO, &sha).unwrap().len(), 1);
        for path in ["/comments", "/pulls", "/check-runs"] {
            assert_eq!(hub.requests("POST", path).len(), 1, "{path}: posted once");
        }
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let hub = Hub::start().await;
    let path = "/repos/acme/shop";
    for (fault, expected, seconds) in [
        (Fault::RateLimited { retry_after: Duration::from_secs(120) }, "rate limited", Some(120)),
        (Fault::SecondaryLimit { retry_after: Some(Duration::from_secs(7)) }, "rate limited", Some(7)),
        (Fault::SecondaryLimit { retry_after: None }, "rate limited", Some(60)),
        (Fault::Status(500, "<html>".to_owned()), "unavailable", None),
        (Fault::DropConnection, "unavailable", None),
        (Fault::Status(403, r#"{"message":"Repository access blocked"}"#.to_owned()), "forbidden", None),
        (Fault::Status(404, r#"{"message":"Not Found"}"#.to_owned()), "not found", None),
        (Fault::Status(422, r#"{"message":"Validation Failed"}"#.to_owned()), "invalid", None),
        (Fault::Status(200, "not json".to_owned()), "unavailable", None),
    ] {
        let what = format!("{fault:?}");
        hub.forge.fail_next(Matcher::new("GET", path), fault, 1);
        let error = hub.adapter.repository(&hub.repository).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{what}: {error}");
        // The forge counts in whole seconds, so that one may have passed.
        let waited = error.retry_after().map(|wait| wait.as_secs());
        let near = waited.zip(seconds).is_some_and(|(waited, asked)| (asked - 1..=asked).contains(&waited));
        assert!(near || waited == seconds, "{what}: {waited:?}");
    }
    hub.adapter.repository(&hub.repository).await.unwrap();
    hub.forge.stop();
    let error = hub.adapter.repository(&hub.repository).await.unwrap_err();
    assert_eq!(kind(&error), "unavailable", "{error}");
}
