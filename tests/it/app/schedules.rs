//! Workflows that start by the clock, at awkward moments.

use super::World;
use cloud_code::app::{intake, schedules, sweep};
use cloud_code::ports::{Delivery, Lane, Schedules, Source};
use cloud_code_model::run::Run;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

const NIGHTLY: &str =
    "name: nightly\non: { schedule: [{ cron: '30 3 * * *' }] }\njobs: { a: { steps: [{ run: x }] } }\n";

/// A repository with this workflow in `.cloud-code/nightly.yml`.
fn folder(workflow: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".cloud-code")).unwrap();
    write(folder.path(), workflow);
    folder
}

fn write(folder: &Path, workflow: &str) {
    std::fs::write(folder.join(".cloud-code/nightly.yml"), workflow).unwrap();
}

fn push() -> Delivery {
    let payload = serde_json::json!({
        "ref": "refs/heads/main",
        "repository": { "name": "shop", "owner": { "login": "acme" }, "default_branch": "main" },
        "installation": { "id": 7 },
        "sender": { "login": "ann", "type": "User" },
    });
    delivery("push", payload)
}

fn delivery(event: &str, payload: serde_json::Value) -> Delivery {
    let envelope = serde_json::json!({
        "id": format!("d-{event}"), "event": event, "received_at": Timestamp::UNIX_EPOCH, "payload": payload,
    });
    Delivery::from_bytes(envelope.to_string().as_bytes()).unwrap()
}

impl World {
    async fn schedules(&self) -> Option<Schedules> {
        self.app.store.schedules("acme/shop").await.unwrap().map(|(schedules, _)| schedules)
    }

    /// Handles all deliveries that wait, and says how many there were.
    async fn deliveries(&self) -> usize {
        let mut handled = 0;
        loop {
            let hour = Duration::from_secs(3600);
            let leased = self.app.queue.lease(Lane::Deliveries, 10, hour, Duration::ZERO).await.unwrap();
            if leased.is_empty() {
                return handled;
            }
            for message in leased {
                let delivery = Delivery::from_bytes(&message.body).unwrap();
                assert_eq!(delivery.source, Source::Ourselves);
                intake::handle(&self.app, &delivery).await.unwrap();
                self.app.queue.ack(&message.receipt).await.unwrap();
                handled += 1;
            }
        }
    }

    /// The runs so far, oldest first.
    async fn all(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for row in self.app.store.list(&Default::default()).await.unwrap().items {
            runs.push(self.app.store.load(&row.id).await.unwrap().unwrap().run);
        }
        runs.reverse();
        runs
    }

    fn until(&self, at: &str) {
        let at: Timestamp = at.parse().unwrap();
        self.clock.advance(at.duration_since(self.app.clock.now()));
    }
}

/// 2027-01-15T08:00:00Z is the time at which the world begins.
#[tokio::test]
async fn a_line_that_is_due_makes_one_run() {
    let folder = folder(NIGHTLY);
    let world = World::of(folder.path());
    assert_eq!(world.schedules().await, None);
    intake::handle(&world.app, &push()).await.unwrap();
    let known = world.schedules().await.unwrap();
    assert_eq!(known.lines[0].workflow, ".cloud-code/nightly.yml");
    assert_eq!(known.lines[0].next.to_string(), "2027-01-16T03:30:00Z");
    world.until("2027-01-16T03:29:59Z");
    assert_eq!(schedules::fire_due(&world.app).await.unwrap(), 0);
    world.until("2027-01-16T03:30:40Z");
    assert_eq!(sweep::sweep(&world.app, &mut HashSet::new()).await.unwrap().fired, 1);
    assert_eq!(sweep::sweep(&world.app, &mut HashSet::new()).await.unwrap().fired, 0);
    assert_eq!(world.deliveries().await, 1);
    let runs = world.all().await;
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    assert_eq!((run.trigger.event.as_str(), run.trigger.actor.as_str()), ("schedule", "cloud-code"));
    assert_eq!(run.context["event_name"], "schedule");
    assert_eq!(run.context["event"]["schedule"], "30 3 * * *");
    assert_eq!(run.context["ref"], "refs/heads/main");
    assert_eq!(run.repository.installation, 7);
    assert_eq!(world.schedules().await.unwrap().lines[0].next.to_string(), "2027-01-17T03:30:00Z");
    let decision = &world.app.store.decisions(1).await.unwrap()[0];
    assert_eq!((decision.event.as_str(), decision.outcome.as_str()), ("schedule", "started"));
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_once() {
    let folder = folder(NIGHTLY);
    let world = World::of(folder.path());
    intake::handle(&world.app, &push()).await.unwrap();
    world.until("2027-02-01T00:00:00Z");
    // The day's look at the files is due as well.
    assert_eq!(schedules::fire_due(&world.app).await.unwrap(), 1);
    assert_eq!(world.deliveries().await, 2);
    assert_eq!(schedules::fire_due(&world.app).await.unwrap(), 0);
    assert_eq!(world.deliveries().await, 0);
    assert_eq!(world.all().await.len(), 1);
    let known = world.schedules().await.unwrap();
    assert_eq!(known.lines[0].next.to_string(), "2027-02-01T03:30:00Z");
    assert_eq!(known.refresh_at.unwrap().to_string(), "2027-02-02T00:00:00Z");
}

#[tokio::test]
async fn a_sweeper_that_is_torn_off_or_late_makes_no_second_run() {
    let folder = folder(NIGHTLY);
    let world = World::of(folder.path());
    intake::handle(&world.app, &push()).await.unwrap();
    let (before, version) = world.app.store.schedules("acme/shop").await.unwrap().unwrap();
    world.until("2027-01-16T03:30:00Z");
    assert_eq!(schedules::fire_due(&world.app).await.unwrap(), 1);
    assert_eq!(world.deliveries().await, 1);
    // As if it had ended between the queue and the store: what was due is due again.
    let (after, at) = world.app.store.schedules("acme/shop").await.unwrap().unwrap();
    assert_eq!((at, after.lines[0].next != before.lines[0].next), (version + 1, true));
    assert!(world.app.store.save_schedules(&before, at).await.unwrap());
    world.until("2027-01-16T03:34:00Z");
    assert_eq!(schedules::fire_due(&world.app).await.unwrap(), 0, "the queue knows it");
    assert_eq!(world.deliveries().await, 0);
    assert_eq!(world.all().await.len(), 1);
    // And the delivery, handled again, finds its run.
    assert_eq!(world.schedules().await.unwrap(), after);
}

#[tokio::test]
async fn two_sweepers_at_once_make_one_run() {
    let folder = folder(NIGHTLY);
    let world = World::of(folder.path());
    intake::handle(&world.app, &push()).await.unwrap();
    for day in 16..26 {
        world.until(&format!("2027-01-{day}T03:30:00Z"));
        let sweeps = futures::future::join_all((0..4).map(|_| schedules::fire_due(&world.app))).await;
        assert_eq!(sweeps.into_iter().map(Result::unwrap).sum::<usize>(), 1, "{day}");
        world.deliveries().await;
    }
    assert_eq!(world.all().await.len(), 10);
}

#[tokio::test]
async fn changes_of_the_file_count_from_the_push_on() {
    let folder = folder(NIGHTLY);
    let world = World::of(folder.path());
    intake::handle(&world.app, &push()).await.unwrap();
    // A line that stays keeps its time; another one begins.
    let two = NIGHTLY.replacen("[{", "[{ cron: '0 9 * * MON', timezone: Europe/Paris }, {", 1);
    write(folder.path(), &two);
    world.clock.advance(SignedDuration::from_hours(1));
    intake::handle(&world.app, &push()).await.unwrap();
    let next: Vec<_> =
        world.schedules().await.unwrap().lines.iter().map(|line| line.next.to_string()).collect();
    assert_eq!(next, ["2027-01-18T08:00:00Z", "2027-01-16T03:30:00Z"]);
    // One that was due and was then taken away starts nothing.
    world.until("2027-01-18T08:00:10Z");
    assert_eq!(schedules::fire_due(&world.app).await.unwrap(), 2);
    write(folder.path(), NIGHTLY);
    world.deliveries().await;
    let crons: Vec<_> =
        world.all().await.iter().map(|run| run.context["event"]["schedule"].clone()).collect();
    assert_eq!(crons, ["30 3 * * *"]);
    // Nothing is scheduled any more: nothing is due, however long.
    write(folder.path(), &NIGHTLY.replace("schedule: [{ cron: '30 3 * * *' }]", "workflow_dispatch: {}"));
    intake::handle(&world.app, &push()).await.unwrap();
    let known = world.schedules().await.unwrap();
    assert_eq!((known.lines.len(), known.due_at()), (0, None));
    world.until("2028-01-01T00:00:00Z");
    assert_eq!(schedules::fire_due(&world.app).await.unwrap(), 0);
}

#[tokio::test]
async fn where_the_app_is_installed_the_files_are_looked_at() {
    let folder = folder(NIGHTLY);
    let world = World::of(folder.path());
    for (event, payload) in [
        (
            "installation",
            serde_json::json!({ "action": "created", "repositories": [{ "full_name": "acme/shop" }] }),
        ),
        (
            "installation_repositories",
            serde_json::json!({ "repositories_added": [{ "full_name": "acme/tool" }] }),
        ),
    ] {
        let mut payload = payload;
        payload["installation"] = serde_json::json!({ "id": 9 });
        payload["sender"] = serde_json::json!({ "login": "ann", "type": "User" });
        intake::handle(&world.app, &delivery(event, payload.clone())).await.unwrap();
        intake::handle(&world.app, &delivery(event, payload)).await.unwrap();
        assert_eq!(world.deliveries().await, 1, "{event}");
    }
    for name in ["acme/shop", "acme/tool"] {
        let (known, _) = world.app.store.schedules(name).await.unwrap().unwrap();
        assert_eq!((known.lines.len(), known.repository.installation), (1, 9), "{name}");
    }
}

/// Whoever could sign a delivery could still not say that a time has come.
#[tokio::test]
async fn a_webhook_call_is_no_clock() {
    let folder = folder(NIGHTLY);
    let world = World::of(folder.path());
    let payload = serde_json::json!({
        "schedule": "30 3 * * *",
        "source": "ourselves",
        "repository": { "name": "shop", "owner": { "login": "acme" }, "default_branch": "main" },
        "sender": { "login": "cloud-code", "type": "Bot" },
    });
    for event in ["schedule", "schedules_refresh"] {
        intake::handle(&world.app, &delivery(event, payload.clone())).await.unwrap();
    }
    assert!(world.all().await.is_empty());
    assert_eq!(world.schedules().await, None);
}
