//! Use cases at awkward moments, on the adapters in memory.

mod schedules;
mod secrets;

use async_trait::async_trait;
use cloud_code::adapters::memory::{
    ManualClock, MemoryArtifacts, MemoryQueue, MemoryRunner, MemorySecrets, MemoryStore,
};
use cloud_code::adapters::vps::folder::FolderForge;
use cloud_code::app::launch::{Launched, launch};
use cloud_code::app::{App, Settings, cancel, effects, intake, sweep};
use cloud_code::ports::{
    Change, Checkout, Clock, Decision, Delivery, Issue, Page, PreparedWorkspace, Remote, RunFilter,
    RunSummary, Saved, Schedules, SecretText, Store, StoreError, Stored, WorkspaceError, Workspaces,
};
use cloud_code_model::ids::{AttemptId, RunId};
use cloud_code_model::policy::ChangePolicy;
use cloud_code_model::run::{
    Conclusion, Group, Input, NewRun, Repository, Run, Subject, Timing, Trigger, WorkflowRef, step,
};
use cloud_code_model::workflow;
use jiff::{SignedDuration, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Checkouts that are names only. While one is made, the run may be cancelled.
#[derive(Default)]
struct Names {
    cancels: Mutex<Option<Arc<Fragile>>>,
    made: Mutex<Vec<AttemptId>>,
}

#[async_trait]
impl Workspaces for Names {
    async fn prepare(&self, checkout: &Checkout) -> Result<PreparedWorkspace, WorkspaceError> {
        self.made.lock().unwrap().push(checkout.attempt.clone());
        let store = self.cancels.lock().unwrap().clone();
        if let Some(store) = store {
            let Stored { mut run, version } = store.load(&checkout.attempt.run).await.unwrap().unwrap();
            let now = run.created_at;
            step(&mut run, Input::Cancel { by: "ann".to_owned(), replaced_by: None, force: false }, now);
            store.save(&run, version).await.unwrap();
        }
        Ok(PreparedWorkspace {
            path: PathBuf::from("/nowhere"),
            objects: (PathBuf::from("/objects"), PathBuf::from("/objects")),
            fetch: None,
            base: "b".to_owned(),
            default_branch: "main".to_owned(),
            existing: None,
        })
    }

    async fn examine(
        &self,
        _: &AttemptId,
        _: &Remote,
        _: &str,
        _: &str,
        _: Vec<u8>,
        _: &ChangePolicy,
        _: &[SecretText],
    ) -> Result<Option<Change>, WorkspaceError> {
        Ok(None)
    }

    async fn push(
        &self,
        _: &AttemptId,
        _: &Remote,
        _: &str,
        _: &Change,
        _: &[String],
    ) -> Result<(), WorkspaceError> {
        Ok(())
    }

    async fn diff(&self, _: &AttemptId, _: &Change, _: usize) -> Result<String, WorkspaceError> {
        Ok(String::new())
    }

    async fn discard(&self, attempt: &AttemptId) -> Result<(), WorkspaceError> {
        self.made.lock().unwrap().retain(|made| made != attempt);
        Ok(())
    }
}

/// A store with one row that can't be read.
#[derive(Default)]
struct Fragile {
    inner: MemoryStore,
    broken: Mutex<Option<RunId>>,
}

#[async_trait]
impl Store for Fragile {
    async fn create(&self, run: &Run, semantic_key: &str) -> Result<Saved, StoreError> {
        self.inner.create(run, semantic_key).await
    }
    async fn load(&self, id: &RunId) -> Result<Option<Stored>, StoreError> {
        if self.broken.lock().unwrap().as_ref() == Some(id) {
            return Err(StoreError::Corrupt(format!("run {id}")));
        }
        self.inner.load(id).await
    }
    async fn save(&self, run: &Run, version: u64) -> Result<Saved, StoreError> {
        self.inner.save(run, version).await
    }
    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, StoreError> {
        self.inner.list(filter).await
    }
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RunId>, StoreError> {
        self.inner.due(now, limit).await
    }
    async fn group(&self, repository: &str, name: &str) -> Result<(Group, u64), StoreError> {
        self.inner.group(repository, name).await
    }
    async fn save_group(
        &self,
        repository: &str,
        name: &str,
        group: &Group,
        version: u64,
    ) -> Result<bool, StoreError> {
        self.inner.save_group(repository, name, group, version).await
    }
    async fn schedules(&self, key: &str) -> Result<Option<(Schedules, u64)>, StoreError> {
        self.inner.schedules(key).await
    }
    async fn save_schedules(&self, schedules: &Schedules, version: u64) -> Result<bool, StoreError> {
        self.inner.save_schedules(schedules, version).await
    }
    async fn schedules_due(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.schedules_due(now, limit).await
    }
    async fn active_on(&self, repository: &str, subject: u64) -> Result<Vec<RunId>, StoreError> {
        self.inner.active_on(repository, subject).await
    }
    async fn record(&self, decision: &Decision) -> Result<(), StoreError> {
        self.inner.record(decision).await
    }
    async fn decisions(&self, limit: usize) -> Result<Vec<Decision>, StoreError> {
        self.inner.decisions(limit).await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }
}

struct World {
    app: App,
    store: Arc<Fragile>,
    runner: Arc<MemoryRunner>,
    workspaces: Arc<Names>,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        Self::of(Path::new("/nowhere"))
    }

    /// A world whose repository is this folder.
    fn of(folder: &Path) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap()));
        let (store, runner, workspaces) =
            (Arc::<Fragile>::default(), Arc::<MemoryRunner>::default(), Arc::<Names>::default());
        let issue = Issue {
            number: 7,
            title: "Greet".to_owned(),
            body: String::new(),
            author: "ann".to_owned(),
            url: String::new(),
            open: true,
            is_pull: false,
            from_fork: false,
            branches: None,
            labels: Vec::new(),
        };
        let app = App {
            store: Arc::clone(&store) as _,
            queue: Arc::new(MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>)),
            runner: Arc::clone(&runner) as _,
            artifacts: Arc::new(MemoryArtifacts::default()),
            workspaces: Arc::clone(&workspaces) as _,
            forge: Arc::new(FolderForge::new(folder, "main", issue)),
            secrets: Arc::new(MemorySecrets::new()),
            clock: Arc::clone(&clock) as _,
            worker: "w".to_owned(),
            settings: Settings::default(),
            given: cloud_code::app::Given::default(),
            saved: tokio::sync::broadcast::channel(16).0,
        };
        Self { app, store, runner, workspaces, clock }
    }

    /// A run of the issue, in a group.
    async fn run(&self, delivery: &str) -> Run {
        self.clock.advance(SignedDuration::from_secs(1));
        let new = NewRun {
            repository: Repository {
                owner: "acme".into(),
                name: "shop".into(),
                installation: 1,
                default_branch: "main".into(),
            },
            subject: Subject { number: 7, title: "Greet".into(), url: String::new() },
            workflow: WorkflowRef { path: "built-in:implement".into(), name: "implement".into() },
            trigger: Trigger {
                delivery: delivery.into(),
                event: "issues".into(),
                action: "labeled".into(),
                actor: "ann".into(),
            },
            concurrency: None,
            branch: "cloud-code/issue-7".into(),
            context: serde_json::json!({}),
            vars: serde_json::Value::Null,
            timing: Timing::default(),
            inputs: serde_json::Value::Null,
            plan: workflow::implement().plan,
        };
        let run = Run::new(new, self.clock.now());
        self.store.create(&run, delivery).await.unwrap();
        run
    }

    async fn stored(&self, run: &Run) -> Run {
        self.store.inner.load(&run.id).await.unwrap().unwrap().run
    }

    /// `/cloud-code cancel`, now.
    fn cancel_command(&self) -> Delivery {
        let payload = serde_json::json!({
            "action": "created",
            "issue": { "number": 7, "updated_at": "x" },
            "comment": { "id": 1, "body": "/cloud-code cancel" },
            "repository": { "name": "shop", "owner": { "login": "acme" } },
            "sender": { "login": "ann", "type": "User" },
        });
        let envelope = serde_json::json!({
            "id": "c", "event": "issue_comment", "received_at": self.clock.now(), "payload": payload,
        });
        Delivery::from_bytes(envelope.to_string().as_bytes()).unwrap()
    }
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_its_workspace_is_made_starts_no_container() {
    let world = World::new();
    let run = world.run("d").await;
    *world.workspaces.cancels.lock().unwrap() = Some(Arc::clone(&world.store));
    let attempt = run.attempt_id("implement", 1);
    assert_eq!(launch(&world.app, &attempt, 1).await.unwrap(), Launched::NotNeeded);
    assert!(world.runner.launched().is_empty());
    assert!(world.workspaces.made.lock().unwrap().is_empty());
    assert_eq!(world.stored(&run).await.conclusion, Some(Conclusion::Cancelled));
}

#[tokio::test]
async fn what_a_launch_that_was_torn_off_left_behind_is_removed() {
    let world = World::new();
    let run = world.run("d").await;
    let attempt = run.attempt_id("implement", 1);
    // A checkout was made, then the server was killed, and the run was cancelled before the launch was tried again.
    world.workspaces.made.lock().unwrap().push(attempt.clone());
    cancel::cancel(&world.app, &run.id, "ann", false).await.unwrap();
    assert_eq!(launch(&world.app, &attempt, 2).await.unwrap(), Launched::NotNeeded);
    assert!(world.workspaces.made.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_run_that_cannot_be_read_does_not_keep_the_others_from_ending() {
    let world = World::new();
    let (broken, other) = (world.run("a").await, world.run("b").await);
    *world.store.broken.lock().unwrap() = Some(broken.id.clone());
    world.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(sweep::wake_due(&world.app).await.unwrap(), 2);
    assert_eq!(world.stored(&other).await.conclusion, Some(Conclusion::TimedOut));
    let late = world.run("c").await;
    intake::handle(&world.app, &world.cancel_command()).await.unwrap();
    assert_eq!(world.stored(&late).await.conclusion, Some(Conclusion::Cancelled));
}

#[tokio::test]
async fn a_cancel_that_is_handled_again_spares_what_was_asked_for_since() {
    let world = World::new();
    let before = world.run("a").await;
    let command = world.cancel_command();
    intake::handle(&world.app, &command).await.unwrap();
    let since = world.run("b").await;
    intake::handle(&world.app, &command).await.unwrap();
    assert_eq!(world.stored(&before).await.conclusion, Some(Conclusion::Cancelled));
    assert_eq!(world.stored(&since).await.cancel, None);
}

#[tokio::test]
async fn a_container_that_is_being_set_up_keeps_its_lease_and_not_for_ever() {
    let world = World::new();
    let run = world.run("d").await;
    let attempt = run.attempt_id("implement", 1);
    world.runner.set_slow(true);
    assert_eq!(launch(&world.app, &attempt, 1).await.unwrap(), Launched::Watch);
    // As a sweeper does it each minute. A lease is 90 s.
    let minute = async || {
        world.clock.advance(SignedDuration::from_mins(1));
        sweep::wake_due(&world.app).await.unwrap();
        effects::advance(&world.app, &run.id).await.unwrap();
    };
    for n in 0..14 {
        minute().await;
        let run = world.stored(&run).await;
        assert_eq!(run.jobs[0].attempts[0].stopping, None, "after {n} min");
    }
    assert_eq!(world.runner.running(), std::slice::from_ref(&attempt));
    for _ in 0..4 {
        minute().await;
    }
    assert_eq!(world.runner.stopped(), [attempt]);
    let run = world.stored(&run).await;
    assert_eq!(run.conclusion, Some(Conclusion::Failure));
    assert!(run.reason.as_deref().unwrap_or_default().contains("within 15 minutes"), "{:?}", run.reason);
}
