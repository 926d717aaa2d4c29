//! The contract of the port `workspaces`, on remotes in a local folder and on the loopback forge over HTTP.

mod room;

use super::forge::Hub;
use cloud_code::adapters::git::{GitWorkspaces, WorkspaceConfig};
use cloud_code::ports::{
    Change, Checkout, Forge, PreparedWorkspace, Remote, RemoteAccess, SecretText, WorkspaceError, Workspaces,
};
use cloud_code_git::{Oid, bundle, stage};
use cloud_code_model::ids::{AttemptId, RunId};
use cloud_code_model::policy::ChangePolicy;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BRANCH: &str = "cloud-code/issue-7";
const SECRET: &str = "hunter2-hunter2-hunter2";

/// A remote as other people move it.
enum Place {
    Folder(tempfile::TempDir),
    Forge(Box<Hub>),
}

impl Place {
    fn folder() -> Self {
        let place = Self::empty_folder();
        place.commit("main", "README.md", "# shop\n");
        place
    }

    fn empty_folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).initial_head("main");
        git2::Repository::init_opts(folder.path(), &options).unwrap();
        Self::Folder(folder)
    }

    async fn forge() -> Self {
        Self::Forge(Box::new(Hub::start().await))
    }

    async fn remote(&self, access: RemoteAccess) -> Remote {
        match self {
            Self::Folder(folder) => Remote {
                url: folder.path().to_str().unwrap().to_owned(),
                key: "local/acme/shop".to_owned(),
                token: None,
            },
            Self::Forge(hub) => hub.adapter.remote(&hub.repository, access).await.unwrap(),
        }
    }

    /// Puts a file on a branch, which is made from nothing, or from `main`, where it is not there.
    fn commit(&self, branch: &str, path: &str, text: &str) -> String {
        match self {
            Self::Folder(folder) => {
                let repository = git2::Repository::open(folder.path()).unwrap();
                let tip = |name: &str| {
                    let found = repository.find_reference(&format!("refs/heads/{name}")).ok()?;
                    Some(found.peel_to_commit().unwrap())
                };
                let parent = tip(branch).or_else(|| tip("main"));
                let mut index = git2::Index::new().unwrap();
                if let Some(parent) = &parent {
                    index.read_tree(&parent.tree().unwrap()).unwrap();
                }
                let entry = git2::IndexEntry {
                    ctime: git2::IndexTime::new(0, 0),
                    mtime: git2::IndexTime::new(0, 0),
                    dev: 0,
                    ino: 0,
                    mode: 0o100_644,
                    uid: 0,
                    gid: 0,
                    file_size: 0,
                    id: repository.blob(text.as_bytes()).unwrap(),
                    flags: 0,
                    flags_extended: 0,
                    path: path.as_bytes().to_vec(),
                };
                index.add(&entry).unwrap();
                let tree = repository.find_tree(index.write_tree_to(&repository).unwrap()).unwrap();
                let person = git2::Signature::now("Ann", "ann@example.com").unwrap();
                let parents: Vec<_> = parent.iter().collect();
                let id =
                    repository.commit(None, &person, &person, "a person's commit", &tree, &parents).unwrap();
                repository.reference(&format!("refs/heads/{branch}"), id, true, "test").unwrap();
                id.to_string()
            }
            Self::Forge(hub) => hub.forge.commit_file("acme/shop", branch, path, text).unwrap(),
        }
    }

    fn tip(&self, branch: &str) -> Option<String> {
        match self {
            Self::Folder(folder) => {
                let repository = git2::Repository::open(folder.path()).unwrap();
                let found = repository.find_reference(&format!("refs/heads/{branch}")).ok()?;
                Some(found.target().unwrap().to_string())
            }
            Self::Forge(hub) => hub.forge.branch_tip("acme/shop", branch).unwrap(),
        }
    }

    fn rename_default_branch(&self, to: &str) {
        match self {
            Self::Folder(folder) => {
                let repository = git2::Repository::open(folder.path()).unwrap();
                repository
                    .find_reference("refs/heads/main")
                    .unwrap()
                    .rename(&format!("refs/heads/{to}"), true, "")
                    .unwrap();
                repository.set_head(&format!("refs/heads/{to}")).unwrap();
            }
            Self::Forge(hub) => hub.forge.rename_default_branch("acme/shop", to).unwrap(),
        }
    }
}

/// A place, and workspaces for it.
struct Bench {
    place: Place,
    data: tempfile::TempDir,
    workspaces: GitWorkspaces,
}

impl Bench {
    fn new(place: Place) -> Self {
        let data = tempfile::tempdir().unwrap();
        let workspaces = GitWorkspaces::new(data.path(), WorkspaceConfig::default());
        Self { place, data, workspaces }
    }

    /// The same data folder, after a restart.
    fn restarted(&self) -> GitWorkspaces {
        GitWorkspaces::new(self.data.path(), WorkspaceConfig::default())
    }

    async fn prepare(&self, number: u32) -> Result<PreparedWorkspace, WorkspaceError> {
        self.prepare_from(number, None).await
    }

    async fn prepare_from(
        &self,
        number: u32,
        from: Option<&str>,
    ) -> Result<PreparedWorkspace, WorkspaceError> {
        let remote = self.place.remote(RemoteAccess::Read).await;
        let checkout = Checkout {
            attempt: attempt(number),
            remote,
            from: from.map(str::to_owned),
            branch: BRANCH.to_owned(),
        };
        self.workspaces.prepare(&checkout).await
    }

    async fn examine(
        &self,
        number: u32,
        base: &str,
        bundle: Vec<u8>,
    ) -> Result<Option<Change>, WorkspaceError> {
        let policy = ChangePolicy { max_files: 3, max_bytes: 100_000, ..ChangePolicy::default() };
        let remote = self.place.remote(RemoteAccess::Read).await;
        let secrets = [SecretText::new(SECRET), SecretText::new("short")];
        self.workspaces.examine(&attempt(number), &remote, base, BRANCH, bundle, &policy, &secrets).await
    }

    /// A whole attempt that makes these commits, each of files with their new text (none: removed).
    async fn attempt(&self, number: u32, commits: &[Commit<'_>]) -> Result<Option<Change>, WorkspaceError> {
        let workspace = self.prepare(number).await.unwrap();
        let bundle = work(&workspace, commits);
        self.examine(number, &workspace.base, bundle).await
    }

    async fn push(&self, number: u32, change: &Change, ours: &[&str]) -> Result<(), WorkspaceError> {
        let remote = self.place.remote(RemoteAccess::Write).await;
        let ours: Vec<String> = ours.iter().map(|id| (*id).to_owned()).collect();
        self.workspaces.push(&attempt(number), &remote, BRANCH, change, &ours).await
    }
}

/// A message, and files.
type Commit<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

fn attempt(number: u32) -> AttemptId {
    AttemptId { run: RunId::derive("d-1", "w"), job: "implement".to_owned(), number }
}

/// What an agent does: commits, and a bundle.
fn work(workspace: &PreparedWorkspace, commits: &[Commit<'_>]) -> Vec<u8> {
    let author = stage::Author { name: "agent".to_owned(), email: "agent@example.com".to_owned() };
    for (message, files) in commits {
        for (path, text) in *files {
            let file = workspace.path.join(path);
            match text {
                Some(text) => {
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(&file, text).unwrap();
                }
                None => std::fs::remove_file(&file).unwrap(),
            }
        }
        stage::commit_all(&workspace.path, message, &author, &[]).unwrap().unwrap();
    }
    let head = stage::head(&workspace.path).unwrap().unwrap();
    let base = Oid::from_str(&workspace.base).unwrap();
    let out = workspace.path.join(".git/changes.bundle");
    bundle::write(&workspace.path, base, head, &format!("refs/heads/{BRANCH}"), &out).unwrap();
    std::fs::read(out).unwrap()
}

const ONE_FILE: &[Commit<'_>] =
    &[("Add a cart\n\nIt holds things.", &[("src/cart.rs", Some("fn cart() {}\n"))])];

#[tokio::test]
async fn a_checkout_stands_at_the_default_branch_and_starts_over_when_asked_again() {
    for place in [Place::folder(), Place::forge().await] {
        let bench = Bench::new(place);
        let first = bench.prepare(1).await.unwrap();
        assert_eq!(Some(&first.base), bench.place.tip("main").as_ref());
        assert_eq!((first.default_branch.as_str(), first.existing.as_deref()), ("main", None));
        assert_eq!(std::fs::read_to_string(first.path.join("README.md")).unwrap(), "# shop\n");
        assert!(first.path.is_absolute() && first.path.starts_with(bench.data.path()));
        assert!(first.objects.0.join("pack").is_dir());
        assert_eq!(first.objects.0, first.objects.1);
        let config = std::fs::read_to_string(first.path.join(".git/config")).unwrap();
        assert!(!config.contains("ghs_") && !config.contains("x-access-token"), "{config}");

        std::fs::write(first.path.join("junk"), "junk").unwrap();
        let newer = bench.place.commit("main", "README.md", "# shop 2\n");
        let again = bench.prepare(1).await.unwrap();
        assert_eq!(again.base, newer);
        assert!(!again.path.join("junk").exists());
    }
}

#[tokio::test]
async fn objects_may_be_seen_elsewhere_in_a_container() {
    let bench = Bench::new(Place::folder());
    let inside = PathBuf::from("/cloud-code/objects");
    let config = WorkspaceConfig { objects_inside: Some(inside.clone()), ..WorkspaceConfig::default() };
    let workspaces = GitWorkspaces::new(bench.data.path(), config);
    let remote = bench.place.remote(RemoteAccess::Read).await;
    let checkout = Checkout { attempt: attempt(1), remote, from: None, branch: BRANCH.to_owned() };
    let prepared = workspaces.prepare(&checkout).await.unwrap();
    assert_eq!(prepared.objects.1, inside);
    let alternates = std::fs::read_to_string(prepared.path.join(".git/objects/info/alternates")).unwrap();
    assert_eq!(alternates, "/cloud-code/objects\n");
}

#[tokio::test]
async fn a_branch_can_be_started_from_and_a_missing_one_is_said_to_be_missing() {
    for place in [Place::folder(), Place::forge().await] {
        let bench = Bench::new(place);
        let tip = bench.place.commit(BRANCH, "early.txt", "early\n");
        let prepared = bench.prepare_from(1, Some(BRANCH)).await.unwrap();
        assert_eq!(
            (prepared.base.as_str(), prepared.existing.as_deref()),
            (tip.as_str(), Some(tip.as_str()))
        );
        let error = bench.prepare_from(2, Some("gone")).await.unwrap_err();
        assert!(
            matches!(&error, WorkspaceError::NotFound(text) if text.contains("no branch gone")),
            "{error}"
        );
        assert!(!error.may_heal());
    }
    let error = Bench::new(Place::empty_folder()).prepare(1).await.unwrap_err();
    assert!(matches!(&error, WorkspaceError::NotFound(text) if text.contains("is empty")), "{error}");
}

#[tokio::test]
async fn the_remote_may_rename_its_default_branch() {
    for place in [Place::folder(), Place::forge().await] {
        let bench = Bench::new(place);
        bench.prepare(1).await.unwrap();
        bench.place.rename_default_branch("trunk");
        let tip = bench.place.commit("trunk", "new.txt", "new\n");
        let prepared = bench.prepare(2).await.unwrap();
        assert_eq!((prepared.default_branch.as_str(), prepared.base), ("trunk", tip));
    }
}

#[tokio::test]
async fn attempts_are_prepared_at_the_same_time() {
    let bench = Arc::new(Bench::new(Place::folder()));
    let all = (1..=6).map(|number| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.prepare(number).await.unwrap().path })
    });
    let mut paths = futures::future::try_join_all(all).await.unwrap();
    paths.dedup();
    assert_eq!(paths.len(), 6);
    assert!(paths.iter().all(|path| path.join("README.md").exists()));
}

#[tokio::test]
async fn a_change_is_described_shown_and_pushed_also_after_a_restart() {
    for place in [Place::folder(), Place::forge().await] {
        let bench = Bench::new(place);
        let change = bench.attempt(1, ONE_FILE).await.unwrap().unwrap();
        assert_eq!(change.commits, ["Add a cart"]);
        assert_eq!((change.files.len(), change.insertions, change.deletions), (1, 1, 0));
        assert_eq!(change.files[0].path, "src/cart.rs");
        assert!(change.diffstat.contains("1 file changed"), "{}", change.diffstat);
        // The workspace is not needed any more, whatever became of it.
        std::fs::remove_dir_all(
            bench.data.path().join(format!("attempts/{}/implement/1/workspace", attempt(1).run)),
        )
        .unwrap();
        let restarted = bench.restarted();
        let diff = restarted.diff(&attempt(1), &change, 10_000).await.unwrap();
        assert!(diff.contains("+fn cart() {}"), "{diff}");
        assert!(restarted.diff(&attempt(1), &change, 20).await.unwrap().len() <= 20);
        let remote = bench.place.remote(RemoteAccess::Write).await;
        restarted.push(&attempt(1), &remote, BRANCH, &change, &[]).await.unwrap();
        assert_eq!(bench.place.tip(BRANCH).as_ref(), Some(&change.head));
        bench.push(1, &change, &[]).await.unwrap();

        bench.workspaces.discard(&attempt(1)).await.unwrap();
        bench.workspaces.discard(&attempt(1)).await.unwrap();
        bench.push(1, &change, &[]).await.expect("it stands there already");
        let error = bench.workspaces.diff(&attempt(1), &change, 100).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::NotFound(_)), "{error}");
    }
}

#[tokio::test]
async fn a_branch_is_replaced_only_where_we_left_it() {
    for place in [Place::folder(), Place::forge().await] {
        let bench = Bench::new(place);
        let first = bench.attempt(1, ONE_FILE).await.unwrap().unwrap();
        bench.push(1, &first, &[]).await.unwrap();
        let second =
            bench.attempt(2, &[("Another way", &[("src/basket.rs", Some("fn basket() {}\n"))])]).await;
        let second = second.unwrap().unwrap();
        let error = bench.push(2, &second, &[]).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::Moved(_)), "{error}");
        bench.push(2, &second, &["0000000000000000000000000000000000000000", &first.head]).await.unwrap();
        assert_eq!(bench.place.tip(BRANCH).as_ref(), Some(&second.head));

        let theirs = bench.place.commit(BRANCH, "src/basket.rs", "// mine now\n");
        let third = bench.attempt(3, &[("Third", &[("a", Some("a\n"))])]).await.unwrap().unwrap();
        let error = bench.push(3, &third, &[&first.head, &second.head]).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("cloud-code/issue-7 has commits that are not ours"), "{text}");
        assert_eq!(bench.place.tip(BRANCH), Some(theirs));
    }
}

#[tokio::test]
async fn no_change_is_no_change() {
    let bench = Bench::new(Place::folder());
    let base = bench.prepare(1).await.unwrap().base;
    let mut empty = format!("# v2 git bundle\n-{base} x\n{base} refs/heads/{BRANCH}\n\n").into_bytes();
    empty.extend_from_slice(b"PACK\0\0\0\x02\0\0\0\0");
    empty.extend_from_slice(&[0; 20]);
    assert_eq!(bench.examine(1, &base, empty).await.unwrap(), None);
    let there_and_back: &[Commit<'_>] = &[("there", &[("a", Some("a"))]), ("and back", &[("a", None)])];
    assert_eq!(bench.attempt(2, there_and_back).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_not_acceptable_is_refused_and_never_pushed() {
    let place = Place::folder();
    place.commit("main", ".github/workflows/ci.yml", "on: push\n");
    let bench = Bench::new(place);
    let encoded = {
        use base64::Engine as _;
        format!(
            "auth = {}\n",
            base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{SECRET}"))
        )
    };
    let (raw, message) = (format!("key = {SECRET}\n"), format!("Use {SECRET}"));
    let name = format!("docs/{SECRET}.md");
    let large = (0..40_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect::<String>();
    let table: &[(&str, &[Commit<'_>], &str)] = &[
        (
            "protected",
            &[("x", &[(".github/workflows/new.yml", Some("on: push\n"))])],
            ".github/workflows/new.yml",
        ),
        ("by case", &[("x", &[(".Cloud-Code/a.yml", Some("a"))])], ".Cloud-Code/a.yml"),
        ("deleted", &[("x", &[(".github/workflows/ci.yml", None)])], ".github/workflows/ci.yml"),
        (
            "moved out",
            &[("x", &[(".github/workflows/ci.yml", None), ("ci.yml", Some("on: push\n"))])],
            ".github/workflows/ci.yml",
        ),
        (
            "restored",
            &[
                ("x", &[(".github/workflows/ci.yml", Some("on: pull_request\n")), ("a", Some("a"))]),
                ("y", &[(".github/workflows/ci.yml", Some("on: push\n"))]),
            ],
            ".github/workflows/ci.yml",
        ),
        (
            "too many",
            &[("x", &[("a", Some("a")), ("b", Some("b")), ("c", Some("c")), ("d", Some("d"))])],
            "3 files",
        ),
        ("too large", &[("x", &[("a", Some(&large))])], "at most 100000"),
        ("secret", &[("x", &[("src/key.rs", Some(&raw))])], "src/key.rs contains the value of a secret"),
        (
            "encoded secret",
            &[("x", &[("src/key.rs", Some(&encoded))])],
            "src/key.rs contains the value of a secret",
        ),
        (
            "secret taken back",
            &[("x", &[("a", Some(&raw))]), ("y", &[("a", Some("none\n"))])],
            "a contains the value of a secret",
        ),
        ("secret in a message", &[(&message, &[("a", Some("a"))])], "message of commit"),
        ("secret in a name", &[("x", &[(&name, Some("a"))])], "a file's name in commit"),
    ];
    for (number, (what, commits, expected)) in (1..).zip(table) {
        let error = bench.attempt(number, commits).await.expect_err(what);
        let text = error.to_string();
        assert!(matches!(error, WorkspaceError::Rejected(_)), "{what}: {text}");
        assert!(text.contains(expected) && text.contains("nothing was pushed"), "{what}: {text}");
        assert!(!text.contains(SECRET), "{what}");
        let change = Change {
            base: String::new(),
            head: "1111111111111111111111111111111111111111".to_owned(),
            commits: Vec::new(),
            files: Vec::new(),
            insertions: 0,
            deletions: 0,
            diffstat: String::new(),
        };
        assert!(matches!(bench.push(number, &change, &[]).await, Err(WorkspaceError::NotFound(_))), "{what}");
    }
    assert_eq!(bench.place.tip(BRANCH), None);
    let many: Vec<String> = (0..7).map(|n| format!(".cloud-code/{n}.yml")).collect();
    let files: Vec<_> = many.iter().take(6).map(|path| (path.as_str(), Some("a"))).collect();
    let workspace = bench.prepare(90).await.unwrap();
    let bundle =
        work(&workspace, &[("x", &files[..3]), ("y", &[(files[0].0, None), (files[3].0, Some("b"))])]);
    let text = bench.examine(90, &workspace.base, bundle).await.unwrap_err().to_string();
    assert_eq!(
        text,
        "the change touches .cloud-code/0.yml, .cloud-code/1.yml, .cloud-code/2.yml, .cloud-code/3.yml: \
         changes under .cloud-code/ are not accepted; nothing was pushed"
    );
}

#[tokio::test]
async fn rubbish_is_rejected_without_a_panic() {
    let bench = Bench::new(Place::folder());
    let workspace = bench.prepare(1).await.unwrap();
    let good = work(&workspace, ONE_FILE);
    for cut in [0, 1, 10, 60, good.len() / 2, good.len() - 1] {
        let error = bench.examine(1, &workspace.base, good[..cut].to_vec()).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::Rejected(_)), "{cut}: {error}");
    }
    let scratch = bench.data.path().join(format!("attempts/{}/implement/1/scratch", attempt(1).run));
    let left = std::fs::read_dir(scratch).map(Iterator::count).unwrap_or_default();
    assert_eq!(left, 0, "throw-away repositories are thrown away");
}

#[tokio::test]
async fn access_and_outages_are_told_apart() {
    let bench = Bench::new(Place::forge().await);
    let change = bench.attempt(1, ONE_FILE).await.unwrap().unwrap();
    let read_only = bench.place.remote(RemoteAccess::Read).await;
    let error = bench.workspaces.push(&attempt(1), &read_only, BRANCH, &change, &[]).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Refused(_)), "{error}");
    let token = read_only.token.clone().unwrap();
    assert!(!error.to_string().contains(token.reveal()));
    let wrong = Remote { token: Some(SecretText::new("ghs_wrong")), ..read_only.clone() };
    let checkout = Checkout { attempt: attempt(2), remote: wrong, from: None, branch: BRANCH.to_owned() };
    let error = bench.workspaces.prepare(&checkout).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Refused(_)), "{error}");

    let write = bench.place.remote(RemoteAccess::Write).await;
    let Place::Forge(hub) = &bench.place else { panic!("a forge was made") };
    hub.forge.stop();
    let error = bench.workspaces.push(&attempt(1), &write, BRANCH, &change, &[]).await.unwrap_err();
    assert!(error.may_heal(), "{error}");

    let gone = Remote { url: "/nowhere/at/all".to_owned(), key: "local/acme/gone".to_owned(), token: None };
    let checkout = Checkout { attempt: attempt(3), remote: gone, from: None, branch: BRANCH.to_owned() };
    let error = bench.workspaces.prepare(&checkout).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::NotFound(_)), "{error}");
    assert!(!Path::new("/nowhere").exists());
}
