//! The contract of the port `artifacts`, and what a hostile attempt may try on the disk.

use cloud_code::adapters::disk::{DiskArtifacts, layout};
use cloud_code::adapters::memory::MemoryArtifacts;
use cloud_code::ports::{Artifact, ArtifactError, Artifacts};
use cloud_code_model::ids::{AttemptId, RunId};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const ALL: [Artifact; 8] = [
    Artifact::Tasking,
    Artifact::EarlierSession,
    Artifact::Session,
    Artifact::Report,
    Artifact::Bundle,
    Artifact::Log,
    Artifact::Transcript,
    Artifact::ContainerLog,
];

/// What the agent writes, and we keep.
const WRITTEN: [Artifact; 5] =
    [Artifact::Report, Artifact::Bundle, Artifact::Log, Artifact::Transcript, Artifact::Session];

struct Fixture {
    artifacts: Arc<dyn Artifacts>,
    /// Where its files are, until the end of the test.
    _folder: Option<TempDir>,
}

fn memory() -> Fixture {
    Fixture { artifacts: Arc::new(MemoryArtifacts::new()), _folder: None }
}

fn disk() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    Fixture { artifacts: Arc::new(DiskArtifacts::new(folder.path())), _folder: Some(folder) }
}

fn attempt(number: u32) -> AttemptId {
    AttemptId { run: RunId::derive("d", "w"), job: "implement".to_owned(), number }
}

#[tokio::test]
async fn in_memory() {
    suite(memory).await;
}

#[tokio::test]
async fn on_the_disk() {
    suite(disk).await;
}

#[cfg(feature = "aws")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_bucket() {
    if crate::aws::Aws::new().await.is_none() {
        return;
    }
    let made = std::sync::Mutex::new(Vec::new());
    for _ in 0..4 {
        let aws = crate::aws::Aws::new().await.unwrap();
        aws.make_bucket().await;
        made.lock().unwrap().push(aws);
    }
    suite(|| {
        let aws = made.lock().unwrap().pop().unwrap();
        let artifacts = cloud_code::adapters::aws::s3::S3Artifacts::new(&aws.clients(), &aws.name);
        Fixture { artifacts: Arc::new(artifacts), _folder: None }
    })
    .await;
}

async fn suite(make: impl Fn() -> Fixture) {
    files_come_back(make()).await;
    attempts_are_apart(make()).await;
    limits_hold(make()).await;
    a_file_is_followed(make()).await;
}

async fn files_come_back(f: Fixture) {
    for artifact in ALL {
        assert_eq!(f.artifacts.read(&attempt(1), artifact, 100).await.unwrap(), None, "{artifact:?}");
        f.artifacts.write(&attempt(1), artifact, b"first").await.unwrap();
        f.artifacts.write(&attempt(1), artifact, b"\0\xff").await.unwrap();
        assert_eq!(
            f.artifacts.read(&attempt(1), artifact, 100).await.unwrap().unwrap(),
            b"\0\xff",
            "{artifact:?}"
        );
    }
    f.artifacts.keep(&attempt(1)).await.unwrap();
    f.artifacts.keep(&attempt(1)).await.unwrap();
    f.artifacts.keep(&attempt(9)).await.unwrap();
    for artifact in ALL {
        assert_eq!(
            f.artifacts.read(&attempt(1), artifact, 100).await.unwrap().unwrap(),
            b"\0\xff",
            "{artifact:?}"
        );
    }
}

async fn attempts_are_apart(f: Fixture) {
    let other_job = AttemptId { job: "review".to_owned(), ..attempt(1) };
    f.artifacts.write(&attempt(1), Artifact::Report, b"one").await.unwrap();
    f.artifacts.write(&attempt(2), Artifact::Report, b"two").await.unwrap();
    f.artifacts.write(&other_job, Artifact::Report, b"other").await.unwrap();
    for (attempt, expected) in [(attempt(1), "one"), (attempt(2), "two"), (other_job, "other")] {
        let bytes = f.artifacts.read(&attempt, Artifact::Report, 100).await.unwrap().unwrap();
        assert_eq!(bytes, expected.as_bytes(), "{attempt}");
    }
}

async fn limits_hold(f: Fixture) {
    f.artifacts.write(&attempt(1), Artifact::Report, b"12345").await.unwrap();
    assert_eq!(f.artifacts.read(&attempt(1), Artifact::Report, 5).await.unwrap().unwrap(), b"12345");
    match f.artifacts.read(&attempt(1), Artifact::Report, 4).await {
        Err(ArtifactError::TooLarge { file: "reporting.yaml", size: 5, limit: 4 }) => {}
        other => panic!("{other:?}"),
    }
}

async fn a_file_is_followed(f: Fixture) {
    let from = |offset: u64, limit: u64| {
        let artifacts = Arc::clone(&f.artifacts);
        async move { artifacts.read_from(&attempt(1), Artifact::Log, offset, limit).await.unwrap() }
    };
    assert!(from(0, 10).await.is_empty());
    f.artifacts.write(&attempt(1), Artifact::Log, b"0123456789").await.unwrap();
    assert_eq!(from(0, 4).await, b"0123");
    assert_eq!(from(4, 100).await, b"456789");
    assert!(from(10, 100).await.is_empty());
    assert!(from(u64::from(u32::MAX), 100).await.is_empty());
    assert!(from(3, 0).await.is_empty());
}

/// A workspace on the disk, as an attempt sees it.
struct Workspace {
    folder: TempDir,
    artifacts: DiskArtifacts,
}

impl Workspace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self { artifacts: DiskArtifacts::new(folder.path()), folder };
        std::fs::create_dir_all(made.exchange()).unwrap();
        made
    }

    fn path(&self) -> PathBuf {
        layout::workspace_dir(self.folder.path(), &attempt(1))
    }

    fn exchange(&self) -> PathBuf {
        self.path().join(layout::EXCHANGE_DIR)
    }

    fn file(&self, artifact: Artifact) -> PathBuf {
        self.exchange().join(artifact.file_name())
    }

    fn kept(&self, artifact: Artifact) -> PathBuf {
        layout::kept_dir(self.folder.path(), &attempt(1)).join(artifact.file_name())
    }

    async fn read(&self, artifact: Artifact) -> Result<Option<Vec<u8>>, ArtifactError> {
        self.artifacts.read(&attempt(1), artifact, 1 << 20).await
    }
}

#[tokio::test]
async fn the_task_lies_in_the_workspace_for_every_user() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = DiskArtifacts::new(folder.path());
    artifacts.write(&attempt(1), Artifact::Tasking, b"version: 1").await.unwrap();
    let path = layout::workspace_dir(folder.path(), &attempt(1)).join(".cloud-code/tasking.yaml");
    assert_eq!(std::fs::read(&path).unwrap(), b"version: 1");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    let mut names =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.next().unwrap(), "tasking.yaml");
    assert_eq!(names.next(), None, "no temporary files stay");
}

/// Only root can make a workspace of somebody else's.
#[tokio::test]
async fn the_exchange_folder_belongs_to_whom_the_workspace_belongs() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let workspace = layout::workspace_dir(folder.path(), &attempt(1));
    std::fs::create_dir_all(&workspace).unwrap();
    if std::os::unix::fs::chown(&workspace, Some(12_345), Some(12_346)).is_err() {
        println!("skipped: giving a folder away needs root");
        return;
    }
    DiskArtifacts::new(folder.path()).write(&attempt(1), Artifact::Tasking, b"x").await.unwrap();
    let owner = std::fs::metadata(workspace.join(layout::EXCHANGE_DIR)).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (12_345, 12_346));
}

#[tokio::test]
async fn what_is_no_plain_file_is_refused() {
    type Trick = fn(&Path, &Path);
    let cases: [(&str, Trick); 7] = [
        ("a symbolic link", |file, outside| symlink(outside, file).unwrap()),
        ("a symbolic link", |file, _| symlink("nowhere", file).unwrap()),
        ("hard links", |file, outside| std::fs::hard_link(outside, file).unwrap()),
        ("a folder", |file, _| std::fs::create_dir(file).unwrap()),
        ("a named pipe", |file, _| assert!(Command::new("mkfifo").arg(file).status().unwrap().success())),
        ("a socket", |file, _| drop(UnixListener::bind(file).unwrap())),
        ("something else where a folder belongs", |file, _| {
            let (exchange, elsewhere) =
                (file.parent().unwrap(), file.ancestors().nth(4).unwrap().join("elsewhere"));
            std::fs::remove_dir(exchange).unwrap();
            std::fs::create_dir(&elsewhere).unwrap();
            std::fs::write(elsewhere.join(file.file_name().unwrap()), "stolen").unwrap();
            symlink(elsewhere, exchange).unwrap();
        }),
    ];
    for (what, trick) in cases {
        for artifact in WRITTEN {
            let w = Workspace::new();
            let outside = w.folder.path().join("outside");
            std::fs::write(&outside, "a secret of the host").unwrap();
            trick(&w.file(artifact), &outside);
            let patience = Duration::from_secs(10);
            let read = tokio::time::timeout(patience, w.read(artifact)).await.expect("it hangs");
            assert_refused(what, artifact, read.map(drop));
            let part = w.artifacts.read_from(&attempt(1), artifact, 0, 100).await;
            assert_refused(what, artifact, part.map(drop));
            tokio::time::timeout(patience, w.artifacts.keep(&attempt(1))).await.expect("it hangs").unwrap();
            assert!(!w.kept(artifact).exists(), "{what}: {artifact:?} was kept");
        }
    }
}

fn assert_refused(what: &str, artifact: Artifact, answer: Result<(), ArtifactError>) {
    match answer {
        Err(ArtifactError::NotAFile { detail, .. }) => assert!(detail.contains(what), "{what}: {detail}"),
        other => panic!("{what}: {artifact:?}: {other:?}"),
    }
}

#[tokio::test]
async fn a_workspace_that_is_a_link_is_not_followed() {
    let w = Workspace::new();
    let elsewhere = w.folder.path().join("elsewhere");
    std::fs::create_dir_all(elsewhere.join(layout::EXCHANGE_DIR)).unwrap();
    std::fs::write(elsewhere.join(layout::EXCHANGE_DIR).join("reporting.yaml"), "stolen").unwrap();
    std::fs::remove_dir_all(w.path()).unwrap();
    symlink(&elsewhere, w.path()).unwrap();
    assert!(matches!(w.read(Artifact::Report).await, Err(ArtifactError::NotAFile { .. })));
    assert!(w.artifacts.write(&attempt(1), Artifact::Tasking, b"x").await.is_err());
    assert!(!elsewhere.join(layout::EXCHANGE_DIR).join("tasking.yaml").exists());
}

#[tokio::test]
async fn a_task_is_not_written_through_links() {
    let w = Workspace::new();
    let outside = w.folder.path().join("outside");
    std::fs::write(&outside, "untouched").unwrap();
    symlink(&outside, w.file(Artifact::Tasking)).unwrap();
    w.artifacts.write(&attempt(1), Artifact::Tasking, b"task").await.unwrap();
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "untouched");
    assert_eq!(w.read(Artifact::Tasking).await.unwrap().unwrap(), b"task", "the link was replaced");

    std::fs::remove_dir_all(w.exchange()).unwrap();
    let elsewhere = w.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, w.exchange()).unwrap();
    let refused = w.artifacts.write(&attempt(1), Artifact::Tasking, b"task").await;
    assert!(matches!(refused, Err(ArtifactError::NotAFile { .. })), "{refused:?}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);

    std::fs::remove_file(w.exchange()).unwrap();
    std::fs::create_dir_all(w.file(Artifact::Tasking).join("full")).unwrap();
    let refused = w.artifacts.write(&attempt(1), Artifact::Tasking, b"task").await;
    assert!(matches!(refused, Err(ArtifactError::NotAFile { .. })), "{refused:?}");
}

#[tokio::test]
async fn sizes_are_believed_by_nobody() {
    let w = Workspace::new();
    // A hole of a terabyte takes no room on the disk.
    std::fs::File::create(w.file(Artifact::Bundle)).unwrap().set_len(1 << 40).unwrap();
    assert!(
        matches!(w.read(Artifact::Bundle).await, Err(ArtifactError::TooLarge { size, .. }) if size == 1 << 40)
    );
    let part = w.artifacts.read_from(&attempt(1), Artifact::Bundle, 1 << 39, 10).await.unwrap();
    assert_eq!(part, [0; 10]);
    w.artifacts.keep(&attempt(1)).await.unwrap();
    assert!(!w.kept(Artifact::Bundle).exists(), "a part of a bundle is worth nothing");
}

#[tokio::test]
async fn what_was_kept_is_out_of_reach() {
    let w = Workspace::new();
    for artifact in WRITTEN {
        std::fs::write(w.file(artifact), artifact.file_name()).unwrap();
    }
    w.artifacts.keep(&attempt(1)).await.unwrap();
    for artifact in WRITTEN {
        std::fs::write(w.file(artifact), "changed afterwards").unwrap();
        assert_eq!(w.read(artifact).await.unwrap().unwrap(), artifact.file_name().as_bytes());
    }
    w.artifacts.keep(&attempt(1)).await.unwrap();
    std::fs::remove_dir_all(w.path()).unwrap();
    w.artifacts.keep(&attempt(1)).await.unwrap();
    for artifact in WRITTEN {
        assert_eq!(w.read(artifact).await.unwrap().unwrap(), artifact.file_name().as_bytes());
    }
    let kept = layout::kept_dir(w.folder.path(), &attempt(1));
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), WRITTEN.len(), "no temporary files stay");
}

#[tokio::test]
async fn large_logs_are_cut_with_a_notice() {
    let w = Workspace::new();
    let check = |artifact: Artifact, mebibytes: u64, cut: bool| {
        let file = std::fs::File::create(w.file(artifact)).unwrap();
        file.set_len((mebibytes << 20) + u64::from(cut)).unwrap();
        let kept = w.kept(artifact);
        let artifacts = w.artifacts.clone();
        async move {
            artifacts.keep(&attempt(1)).await.unwrap();
            let bytes = std::fs::read(&kept).unwrap();
            let tail = String::from_utf8_lossy(&bytes[bytes.len() - 60..]).into_owned();
            assert_eq!(tail.contains("was not kept"), cut, "{artifact:?}: {tail}");
            assert_eq!(bytes.len() as u64 > mebibytes << 20, cut);
            std::fs::remove_file(&kept).unwrap();
        }
    };
    check(Artifact::Log, 16, false).await;
    check(Artifact::Log, 16, true).await;
    check(Artifact::Transcript, 32, false).await;
    check(Artifact::Transcript, 32, true).await;
}
