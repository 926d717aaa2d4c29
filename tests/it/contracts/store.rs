//! The contract of the port `store`.

use super::queue::sqlite::execute;
use cloud_code::adapters::memory::MemoryStore;
use cloud_code::adapters::vps::sql::Database;
use cloud_code::ports::{
    Decision, RunFilter, RunSummary, Saved, ScheduledLine, Schedules, Store, StoreError, Stored, SystemClock,
};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{
    Conclusion, Effect, Group, Input, NewRun, Repository, Run, RunStatus, Subject, Timing, Trigger,
    WorkflowRef, step,
};
use cloud_code_model::workflow::plan::ConcurrencyWish;
use cloud_code_model::workflow::{self, Queue, Schedule};
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

struct Fixture {
    store: Arc<dyn Store>,
    /// Where its files are, until the end of the test.
    _folder: Option<TempDir>,
}

async fn memory() -> Fixture {
    Fixture { store: Arc::new(MemoryStore::new()), _folder: None }
}

async fn open(path: &Path) -> Database {
    Database::open(&format!("sqlite:{}", path.display()), Arc::new(SystemClock)).await.unwrap()
}

async fn sqlite() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("s.db")).await.store();
    Fixture { store: Arc::new(store), _folder: Some(folder) }
}

#[tokio::test]
async fn in_memory() {
    suite(memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    suite(sqlite).await;
}

#[cfg(feature = "aws")]
mod on_dynamodb {
    use super::*;
    use cloud_code::adapters::aws::dynamodb::DynamoStore;

    async fn dynamo() -> Fixture {
        let aws = crate::aws::Aws::new().await.unwrap();
        aws.make_table().await;
        let store = DynamoStore::new(&aws.clients(), &aws.name, Arc::new(SystemClock));
        Fixture { store: Arc::new(store), _folder: None }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract() {
        if crate::aws::Aws::new().await.is_some() {
            suite(dynamo).await;
        }
    }

    /// A run that is too large for one item lies in several, and old ones go.
    #[tokio::test]
    async fn large_runs_are_kept_in_parts() {
        let Some(aws) = crate::aws::Aws::new().await else { return };
        aws.make_table().await;
        let store = DynamoStore::new(&aws.clients(), &aws.name, Arc::new(SystemClock));
        let mut large = run("d1", "acme/shop", None, 0);
        large.context = serde_json::json!({ "noise": super::super::queue::sqlite::noise(500_000) });
        assert_eq!(store.create(&large, "key").await.unwrap(), Saved::At(1));
        assert_eq!(store.load(&large.id).await.unwrap().unwrap().run, large);
        large.comment = Some(7);
        assert_eq!(store.save(&large, 1).await.unwrap(), Saved::At(2));
        assert_eq!(store.save(&large, 1).await.unwrap(), Saved::Conflict(large.id.clone()));
        assert_eq!(store.load(&large.id).await.unwrap().unwrap().run, large);
        let items = || async {
            let client = aws_sdk_dynamodb::Client::new(&aws.config);
            client.scan().table_name(&aws.name).send().await.unwrap().count
        };
        let with_parts = items().await;
        assert!(with_parts > 2, "{with_parts}");
        large.context = serde_json::json!({});
        assert_eq!(store.save(&large, 2).await.unwrap(), Saved::At(3));
        assert_eq!(store.load(&large.id).await.unwrap().unwrap().run, large);
        assert_eq!(items().await, 3, "the run, its semantic key, and its place on the issue");
    }

    /// AWS did it and the answer was lost: the SDK asks again, and hears that the version is another.
    #[tokio::test]
    async fn a_save_whose_answer_is_lost_is_saved() {
        let Some(aws) = crate::aws::Aws::new().await else { return };
        aws.make_table().await;
        let aws = aws.named(&aws.name);
        let store = DynamoStore::new(&aws.clients(), &aws.name, Arc::new(SystemClock));
        for (delivery, bytes) in [("small", 10), ("large", 500_000)] {
            let mut run = run(delivery, "acme/shop", None, 0);
            run.context = serde_json::json!({ "noise": super::super::queue::sqlite::noise(bytes) });
            let lose = async |action: &str| {
                let fault = serde_json::json!({
                    "service": "dynamodb", "action": action, "code": "InternalServerError", "status": 500,
                    "times": 1, "after": true, "prefix": aws.name,
                });
                aws.test("fault", fault).await;
            };
            lose("TransactWriteItems").await;
            assert_eq!(store.create(&run, delivery).await.unwrap(), Saved::At(1), "{delivery}");
            run.comment = Some(7);
            lose("UpdateItem").await;
            assert_eq!(store.save(&run, 1).await.unwrap(), Saved::At(2), "{delivery}");
            assert_eq!(store.load(&run.id).await.unwrap().unwrap().run, run, "{delivery}");
            assert_eq!(store.save(&run, 1).await.unwrap(), Saved::Conflict(run.id.clone()), "{delivery}");
            assert_eq!(store.load(&run.id).await.unwrap().unwrap().run, run, "{delivery}");
        }
    }
}

async fn suite<F: Future<Output = Fixture>>(make: impl Fn() -> F) {
    a_run_is_made_once(make().await).await;
    a_run_is_saved_with_its_outbox(make().await).await;
    one_save_of_a_version_wins(make().await).await;
    the_longest_due_comes_first(make().await).await;
    lists_are_filtered(make().await).await;
    lists_come_in_pages(make().await).await;
    groups_are_saved_by_compare_and_set(make().await).await;
    schedules_are_saved_by_compare_and_set(make().await).await;
    decisions_replace_each_other(make().await).await;
    make().await.store.check().await.unwrap();
}

fn at(seconds: i64) -> Timestamp {
    "2026-11-23T01:02:03.000000001Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// A run, made `created` seconds after the beginning.
fn run(delivery: &str, repository: &str, group: Option<&str>, created: i64) -> Run {
    let (owner, name) = repository.split_once('/').unwrap();
    let new = NewRun {
        repository: Repository {
            owner: owner.to_owned(),
            name: name.to_owned(),
            installation: 7,
            default_branch: "main".to_owned(),
        },
        subject: Subject {
            number: 42, title: format!("Title of {delivery} — ünïcode"), url: String::new()
        },
        workflow: WorkflowRef { path: "built-in:implement".to_owned(), name: "implement".to_owned() },
        trigger: Trigger {
            delivery: delivery.to_owned(),
            event: "issues".to_owned(),
            action: "labeled".to_owned(),
            actor: "ada".to_owned(),
        },
        concurrency: group.map(|group| ConcurrencyWish {
            group: group.to_owned(),
            cancel_in_progress: false,
            queue: Queue::Single,
        }),
        branch: "cloud-code/issue-42".to_owned(),
        context: serde_json::json!({ "event": { "n": 1 } }),
        vars: serde_json::Value::Null,
        timing: Timing::default(),
        inputs: serde_json::Value::Null,
        plan: workflow::implement().plan,
    };
    Run::new(new, at(created))
}

/// Ends a run, its outbox included.
fn end(run: &mut Run, seconds: i64) {
    step(run, Input::Cancel { by: "ada".to_owned(), replaced_by: None, force: false }, at(seconds));
    for outgoing in run.outbox.clone() {
        step(run, Input::EffectDone { id: outgoing.id }, at(seconds));
    }
    assert!(run.is_over() && run.due_at().is_none());
}

async fn create(f: &Fixture, run: &Run) {
    assert_eq!(f.store.create(run, run.id.as_str()).await.unwrap(), Saved::At(1));
}

async fn a_run_is_made_once(f: Fixture) {
    let first = run("d1", "acme/shop", None, 0);
    assert_eq!(f.store.load(&first.id).await.unwrap(), None);
    assert_eq!(f.store.create(&first, "key").await.unwrap(), Saved::At(1));
    assert_eq!(f.store.load(&first.id).await.unwrap(), Some(Stored { run: first.clone(), version: 1 }));

    assert_eq!(
        f.store.create(&first, "key").await.unwrap(),
        Saved::Conflict(first.id.clone()),
        "the same again"
    );
    assert_eq!(
        f.store.create(&first, "other key").await.unwrap(),
        Saved::Conflict(first.id.clone()),
        "its id is taken"
    );
    let second = run("d2", "acme/shop", None, 1);
    assert_eq!(
        f.store.create(&second, "key").await.unwrap(),
        Saved::Conflict(first.id.clone()),
        "its semantic key is taken"
    );
    assert_eq!(f.store.load(&second.id).await.unwrap(), None);
    // The key of the failed create stayed free.
    assert_eq!(f.store.create(&second, "other key").await.unwrap(), Saved::At(1));
    let third = run("d3", "acme/shop", None, 1);
    let answers = futures::future::join_all((0..8).map(|_| f.store.create(&third, "third"))).await;
    let made = answers.into_iter().map(Result::unwrap).filter(|answer| *answer == Saved::At(1)).count();
    assert_eq!(made, 1);
}

async fn a_run_is_saved_with_its_outbox(f: Fixture) {
    let mut saved = run("d1", "acme/shop", None, 0);
    create(&f, &saved).await;
    let done = saved.outbox.iter().find(|outgoing| outgoing.effect == Effect::Tell).unwrap().id;
    step(&mut saved, Input::EffectDone { id: done }, at(5));
    step(&mut saved, Input::Commented { id: 99 }, at(5));
    assert_eq!(f.store.save(&saved, 1).await.unwrap(), Saved::At(2));
    let stored = f.store.load(&saved.id).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.run.comment, stored.run.outbox.len()), (2, Some(99), 1));
    assert_eq!(stored.run, saved, "every field, times to the nanosecond");
}

async fn one_save_of_a_version_wins(f: Fixture) {
    let mut first = run("d1", "acme/shop", None, 0);
    assert_eq!(
        f.store.save(&first, 1).await.unwrap(),
        Saved::Conflict(first.id.clone()),
        "it was never made"
    );
    create(&f, &first).await;
    let second = first.clone();
    first.comment = Some(1);
    assert_eq!(f.store.save(&first, 1).await.unwrap(), Saved::At(2));
    assert_eq!(f.store.save(&second, 1).await.unwrap(), Saved::Conflict(first.id.clone()));
    assert_eq!(f.store.save(&second, 3).await.unwrap(), Saved::Conflict(first.id.clone()));
    assert_eq!(f.store.load(&first.id).await.unwrap().unwrap().run.comment, Some(1));
    let answers = futures::future::join_all((0..16).map(|_| f.store.save(&first, 2))).await;
    let won = answers.into_iter().map(Result::unwrap).filter(|answer| *answer == Saved::At(3)).count();
    assert_eq!(won, 1);
}

async fn the_longest_due_comes_first(f: Fixture) {
    let mut late = run("late", "acme/shop", None, 20);
    let early = run("early", "acme/shop", None, 10);
    let mut over = run("over", "acme/shop", None, 0);
    for run in [&late, &early, &over] {
        create(&f, run).await;
    }
    end(&mut over, 1);
    f.store.save(&over, 1).await.unwrap();
    let due = |now: Timestamp, limit: usize| {
        let store = Arc::clone(&f.store);
        async move { store.due(now, limit).await.unwrap() }
    };
    let ids = |runs: &[&Run]| runs.iter().map(|run| run.id.clone()).collect::<Vec<_>>();
    assert!(due(at(9), 10).await.is_empty());
    assert!(due(at(10) - SignedDuration::from_nanos(1), 10).await.is_empty());
    assert_eq!(due(at(10), 10).await, ids(&[&early]));
    assert_eq!(due(at(99), 10).await, ids(&[&early, &late]));
    assert_eq!(due(at(99), 1).await, ids(&[&early]));
    // A run whose effects are done waits for its own timers only.
    for outgoing in late.outbox.clone() {
        step(&mut late, Input::EffectDone { id: outgoing.id }, at(21));
    }
    f.store.save(&late, 1).await.unwrap();
    assert_eq!(due(at(99), 10).await, ids(&[&early]));
    assert_eq!(due(late.due_at().unwrap(), 10).await, ids(&[&early, &late]));
}

async fn lists_are_filtered(f: Fixture) {
    let shop = run("a", "acme/shop", None, 1);
    let mut over = run("b", "acme/shop", None, 2);
    let site = run("c", "acme/site", None, 3);
    for run in [&shop, &over, &site] {
        create(&f, run).await;
    }
    end(&mut over, 4);
    f.store.save(&over, 1).await.unwrap();
    let list = |repository: Option<&str>, status: Option<RunStatus>| {
        let filter = RunFilter { repository: repository.map(str::to_owned), status, ..RunFilter::default() };
        let store = Arc::clone(&f.store);
        async move { store.list(&filter).await.unwrap().items }
    };
    let rows = |runs: &[&Run]| runs.iter().map(|run| RunSummary::of(run)).collect::<Vec<_>>();
    assert_eq!(list(None, None).await, rows(&[&site, &over, &shop]));
    assert_eq!(list(Some("acme/shop"), None).await, rows(&[&over, &shop]));
    assert_eq!(list(Some("acme/shop"), Some(RunStatus::Queued)).await, rows(&[&shop]));
    let completed = list(None, Some(RunStatus::Completed)).await;
    assert_eq!(completed, rows(&[&over]));
    assert_eq!(
        (completed[0].conclusion, completed[0].finished_at),
        (Some(Conclusion::Cancelled), Some(at(4)))
    );
    assert!(list(Some("acme/nothing"), None).await.is_empty());
    let active = async |repository, subject| f.store.active_on(repository, subject).await.unwrap();
    assert_eq!(active("acme/shop", shop.subject.number).await, std::slice::from_ref(&shop.id));
    assert_eq!(active("acme/site", site.subject.number).await, [site.id]);
    assert!(active("acme/shop", shop.subject.number + 1).await.is_empty());
    let mut over = shop.clone();
    end(&mut over, 5);
    f.store.save(&over, 1).await.unwrap();
    assert!(active("acme/shop", shop.subject.number).await.is_empty());
}

async fn lists_come_in_pages(f: Fixture) {
    // Several with one time: the id decides.
    let mut all: Vec<Run> =
        (0..7).map(|number| run(&format!("d{number}"), "acme/shop", None, number / 3)).collect();
    for run in &all {
        create(&f, run).await;
    }
    all.sort_by_key(|run| std::cmp::Reverse((run.created_at, run.id.clone())));
    let mut filter = RunFilter { repository: Some("acme/shop".to_owned()), limit: 3, ..RunFilter::default() };
    let mut seen = Vec::new();
    let mut pages = Vec::new();
    loop {
        let page = f.store.list(&filter).await.unwrap();
        pages.push(page.items.len());
        seen.extend(page.items.into_iter().map(|row| row.id));
        // New runs do not shift the pages.
        create(&f, &run(&format!("new{}", pages.len()), "acme/shop", None, 100)).await;
        match page.next {
            Some(next) => filter.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(pages, [3, 3, 1]);
    assert_eq!(seen, all.iter().map(|run| run.id.clone()).collect::<Vec<_>>());
    for cursor in ["", "nonsense", "1.r-zz", "'; DROP TABLE runs; --"] {
        let filter = RunFilter { cursor: Some(cursor.to_owned()), ..RunFilter::default() };
        let page = f.store.list(&filter).await.unwrap();
        assert_eq!(
            (page.items.len(), page.next),
            (10, None),
            "a cursor that is none begins at the start: {cursor}"
        );
    }
    for number in 0..50 {
        create(&f, &run(&format!("more{number}"), "acme/site", None, 200)).await;
    }
    let default = f.store.list(&RunFilter::default()).await.unwrap();
    assert_eq!((default.items.len(), default.next.is_some()), (50, true));
    let most = f.store.list(&RunFilter { limit: 100_000, ..RunFilter::default() }).await.unwrap();
    assert_eq!((most.items.len(), most.next), (60, None));
}

async fn groups_are_saved_by_compare_and_set(f: Fixture) {
    let wish = ConcurrencyWish { group: "g".to_owned(), cancel_in_progress: true, queue: Queue::Single };
    let (mut group, version) = f.store.group("acme/shop", "g").await.unwrap();
    assert_eq!((group.entries.len(), version), (0, 0), "one that was never saved is empty");
    let first = run("d1", "acme/shop", None, 0);
    assert!(group.enter(&first.id, 7, &wish));
    assert!(f.store.save_group("acme/shop", "g", &group, 0).await.unwrap());
    assert!(
        !f.store.save_group("acme/shop", "g", &Group::default(), 0).await.unwrap(),
        "somebody was faster"
    );
    assert_eq!(f.store.group("acme/shop", "g").await.unwrap(), (group.clone(), 1));
    assert_eq!(f.store.group("acme/other", "g").await.unwrap().1, 0, "groups are a repository's own");
    assert!(group.leave(&first.id, 7));
    assert!(f.store.save_group("acme/shop", "g", &group, 1).await.unwrap());
    assert_eq!(
        f.store.group("acme/shop", "g").await.unwrap(),
        (Group::default(), 2),
        "an empty one keeps its version"
    );
    // Of many at once each gets in, in some order.
    let enter = |n: u64| {
        let (store, run, wish) = (&f.store, &first.id, &wish);
        async move {
            loop {
                let (mut group, version) = store.group("acme/shop", "many").await.unwrap();
                group.enter(run, n, wish);
                if store.save_group("acme/shop", "many", &group, version).await.unwrap() {
                    return;
                }
            }
        }
    };
    futures::future::join_all((0..20).map(enter)).await;
    assert_eq!(f.store.group("acme/shop", "many").await.unwrap().0.entries.len(), 20);
}

async fn schedules_are_saved_by_compare_and_set(f: Fixture) {
    let of = |name: &str, next: &[i64], refresh: Option<i64>| Schedules {
        repository: run("d", name, None, 0).repository,
        lines: next
            .iter()
            .map(|seconds| ScheduledLine {
                workflow: ".cloud-code/nightly.yml".to_owned(),
                schedule: Schedule {
                    cron: "0 3 * * *".to_owned(),
                    timezone: Some("Europe/London".to_owned()),
                },
                next: at(*seconds),
            })
            .collect(),
        refresh_at: refresh.map(at),
    };
    assert_eq!(f.store.schedules("acme/shop").await.unwrap(), None);
    let shop = of("Acme/Shop", &[20, 10], Some(100));
    assert_eq!(shop.key(), "acme/shop");
    assert!(!f.store.save_schedules(&shop, 3).await.unwrap(), "a version that never was");
    assert!(f.store.save_schedules(&shop, 0).await.unwrap());
    assert!(!f.store.save_schedules(&of("acme/shop", &[], None), 0).await.unwrap(), "somebody was faster");
    assert_eq!(f.store.schedules("acme/shop").await.unwrap(), Some((shop.clone(), 1)));
    assert!(f.store.save_schedules(&of("acme/tool", &[5], None), 0).await.unwrap());
    assert!(f.store.save_schedules(&of("acme/docs", &[], Some(7)), 0).await.unwrap());
    assert!(f.store.save_schedules(&of("acme/none", &[], None), 0).await.unwrap());
    for (seconds, limit, expected) in [
        (4, 10, &[][..]),
        (5, 10, &["acme/tool"]),
        (9, 10, &["acme/tool", "acme/docs"]),
        (10, 10, &["acme/tool", "acme/docs", "acme/shop"]),
        (10, 2, &["acme/tool", "acme/docs"]),
    ] {
        assert_eq!(f.store.schedules_due(at(seconds), limit).await.unwrap(), expected, "{seconds} {limit}");
    }
    // What has no time any more is due no more, and its version goes on.
    assert!(f.store.save_schedules(&of("acme/tool", &[], None), 1).await.unwrap());
    assert!(!f.store.save_schedules(&of("acme/tool", &[1], None), 1).await.unwrap());
    assert_eq!(f.store.schedules_due(at(9), 10).await.unwrap(), ["acme/docs"]);
    assert_eq!(f.store.schedules("acme/tool").await.unwrap().unwrap().1, 2);
    assert!(f.store.save_schedules(&of("acme/tool", &[1], None), 2).await.unwrap());
    assert_eq!(f.store.schedules_due(at(1), 10).await.unwrap(), ["acme/tool"]);
}

async fn decisions_replace_each_other(f: Fixture) {
    let now = Timestamp::now();
    let decision = |delivery: &str, seconds: i64, outcome: &str| Decision {
        delivery: delivery.to_owned(),
        at: now + SignedDuration::from_secs(seconds),
        event: "issues".to_owned(),
        repository: Some("acme/shop".to_owned()),
        subject: Some(u64::MAX),
        actor: None,
        outcome: outcome.to_owned(),
        reason: "because".to_owned(),
        runs: vec![RunId::derive("d", "w")],
    };
    for (delivery, seconds, outcome) in [("d1", 1, "ignored"), ("d2", 2, "refused"), ("d1", 3, "started")] {
        f.store.record(&decision(delivery, seconds, outcome)).await.unwrap();
    }
    let expected = [decision("d1", 3, "started"), decision("d2", 2, "refused")];
    assert_eq!(f.store.decisions(10).await.unwrap(), expected);
    assert_eq!(f.store.decisions(1).await.unwrap(), expected[..1]);
}

#[tokio::test]
async fn sqlite_keeps_runs_and_drops_old_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let kept = run("d1", "acme/shop", Some("g"), 0);
    let database = open(&path).await;
    database.store().create(&kept, "key").await.unwrap();
    database.close().await;
    let database = open(&path).await;
    let store = database.store();
    assert_eq!(store.load(&kept.id).await.unwrap(), Some(Stored { run: kept.clone(), version: 1 }));
    assert_eq!(
        store.create(&run("d2", "acme/shop", None, 0), "key").await.unwrap(),
        Saved::Conflict(kept.id.clone())
    );

    let now = Timestamp::now();
    for (delivery, days) in [("old", 31), ("young", 29), ("new", 0)] {
        let decision = Decision {
            delivery: delivery.to_owned(),
            at: now - SignedDuration::from_hours(days * 24),
            event: "ping".to_owned(),
            repository: None,
            subject: None,
            actor: None,
            outcome: "ignored".to_owned(),
            reason: String::new(),
            runs: Vec::new(),
        };
        store.record(&decision).await.unwrap();
    }
    let left: Vec<String> =
        store.decisions(10).await.unwrap().into_iter().map(|decision| decision.delivery).collect();
    assert_eq!(left, ["new", "young"]);

    execute(&path, "UPDATE runs SET run = '{\"id\": \"r-1\"}'").await;
    assert!(matches!(store.load(&kept.id).await, Err(StoreError::Corrupt(_))));
    assert_eq!(
        store.list(&RunFilter::default()).await.unwrap().items,
        [RunSummary::of(&kept)],
        "lists need no JSON"
    );
    execute(&path, "UPDATE runs SET status = 'from a newer version'").await;
    assert!(matches!(store.list(&RunFilter::default()).await, Err(StoreError::Corrupt(_))));
    database.close().await;
    assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.load(&kept.id).await, Err(StoreError::Unavailable(_))));
}
