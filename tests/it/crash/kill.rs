//! SIGKILL at every stage of a run, and a new server on the same folder: exactly one of everything comes of it.

use super::world::{PATIENCE, REPOSITORY, World};
use cloud_code_forge::{Matcher, When};
use futures::{StreamExt, stream};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const CHANGE: &str = "echo 'echo hello, ${1:-world}' > greet.sh\necho 'Greets by name now.'";

/// Trials at a time: each waits more than it works.
const AT_ONCE: usize = 4;

/// A new server takes up what was at hand at once; this is far more than a busy machine makes of that, and less than any
/// lease or sweep.
const RECOVERY: Duration = Duration::from_secs(18);

/// What a trial tells about itself.
struct Trial {
    name: String,
    reached: bool,
    recovery: Duration,
}

/// Starts again after the kill and looks at what came of it.
async fn recover(mut world: World, number: u64, name: String, reached: bool) -> Trial {
    let begun = Instant::now();
    if reached {
        world.start().await;
    }
    world.labelled(number, "cloud-code:done").await;
    world.exactly_one_pull(number).await;
    let recovery = begun.elapsed();
    assert!(!world.log().contains("panicked"), "{name}: {}", world.log());
    world.terminate(PATIENCE).await;
    Trial { name, reached, recovery }
}

async fn at_request(skip: usize, when: When) -> Trial {
    let mut world = World::new(CHANGE).await;
    world.start().await;
    let mut pause = world.forge.pause_at(Matcher::any("*"), skip, when);
    let number = world.labelled_issue();
    let done = |world: &cloud_code_forge::World| {
        world.labels(REPOSITORY, number).ok()?.iter().any(|label| label == "cloud-code:done").then_some(())
    };
    let reached = tokio::select! {
        () = pause.reached() => true,
        // This run got by with fewer requests.
        done = world.forge.wait_for(done, PATIENCE) => { done.unwrap(); false }
    };
    let held = world
        .forge
        .requests()
        .last()
        .map(|last| format!("{} {}", last.method, last.path))
        .unwrap_or_default();
    if reached {
        world.kill().await;
    }
    drop(pause);
    recover(world, number, format!("{when:?} request {skip} (near {held})"), reached).await
}

async fn requests_of_a_clean_run() -> usize {
    let mut world = World::new(CHANGE).await;
    world.start().await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:done").await;
    world.exactly_one_pull(number).await;
    let requests = world.forge.requests().len();
    world.terminate(PATIENCE).await;
    requests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn at_every_request_to_the_forge() {
    // Telling is coalesced, so that a quick run tells less often: the fewest requests are what every run makes.
    let mut requests = usize::MAX;
    for _ in 0..3 {
        requests = requests.min(requests_of_a_clean_run().await);
    }
    assert!((15..80).contains(&requests), "a clean run took {requests} requests to the forge");

    let trials: Vec<_> = (0..requests).flat_map(|n| [(n, When::Before), (n, When::After)]).collect();
    let planned = trials.len();
    let done: Vec<Trial> =
        stream::iter(trials).map(|(n, when)| at_request(n, when)).buffer_unordered(AT_ONCE).collect().await;

    let reached = done.iter().filter(|trial| trial.reached).count();
    assert!(reached * 10 >= planned * 7, "only {reached} of {planned} kills came about");
    let slowest = done.iter().max_by_key(|trial| trial.recovery).unwrap();
    println!("{reached} kills; slowest recovery {:?}: {}", slowest.recovery, slowest.name);
    assert!(slowest.recovery < RECOVERY, "{} took {:?} to recover", slowest.name, slowest.recovery);
}

#[tokio::test(flavor = "multi_thread")]
async fn just_after_the_webhook_was_accepted() {
    let mut world = World::new(CHANGE).await;
    world.start().await;
    let number = world.labelled_issue();
    let accepted = |world: &cloud_code_forge::World| {
        let labeled = |delivery: &&cloud_code_forge::Delivery| delivery.action.as_deref() == Some("labeled");
        let delivery = world.deliveries().iter().find(labeled)?;
        delivery.outcome.as_ref().map(|outcome| outcome.status_code)
    };
    assert_eq!(world.forge.wait_for(accepted, PATIENCE).await.unwrap(), 202);
    world.kill().await;
    let trial = recover(world, number, "after 202".to_owned(), true).await;
    assert!(trial.recovery < RECOVERY, "{:?}", trial.recovery);
}

/// An agent that says when it has begun, and waits to be let go.
fn waiting(world_dir: &str) -> String {
    format!(": > {world_dir}/begun\nwhile [ ! -e {world_dir}/go ]; do sleep 0.02; done\n{CHANGE}")
}

/// A folder for the signals between test and agent: it has to be known before the world is.
fn signals() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    (dir, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_agent_runs() {
    let (dir, path) = signals();
    let mut world = World::new(&waiting(&path)).await;
    world.start().await;
    let number = world.labelled_issue();
    world.until("the agent's start", || dir.path().join("begun").exists().then_some(())).await;
    world.kill().await;
    // The agent lives on, ends, and is found by the next server.
    fs::write(dir.path().join("go"), "").unwrap();
    world.until("the agent's final report", || completed(&world.workspaces())).await;
    let trial = recover(world, number, "while the agent runs".to_owned(), true).await;
    assert!(trial.recovery < RECOVERY, "{:?}", trial.recovery);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_agent_runs_and_it_still_does_afterwards() {
    let (dir, path) = signals();
    let mut world = World::new(&waiting(&path)).await;
    world.start().await;
    let number = world.labelled_issue();
    world.until("the agent's start", || dir.path().join("begun").exists().then_some(())).await;
    // Else the kill may come before the launch is on record, and the launch itself finds the agent.
    world.labelled(number, "cloud-code:running").await;
    world.kill().await;
    world.start().await;
    world.until("the agent to be found again", || world.log().contains("found again").then_some(())).await;
    assert_eq!(attempts_active(&world).await, "1");
    fs::write(dir.path().join("go"), "").unwrap();
    world.labelled(number, "cloud-code:done").await;
    let run = world.exactly_one_pull(number).await;
    assert_eq!(run.jobs[0].attempts.len(), 1, "{run:#?}");
    let end = Instant::now() + PATIENCE;
    while attempts_active(&world).await != "0" {
        assert!(Instant::now() < end, "the attempt still counts as active");
        tokio::task::yield_now().await;
    }
    world.terminate(PATIENCE).await;
}

/// The gauge, as text.
async fn attempts_active(world: &World) -> String {
    let (_, text) = world.api("GET", "/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix("cloud_code_attempts_active "));
    value.unwrap_or_else(|| panic!("no gauge in {text}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn just_after_the_agents_final_report() {
    let mut world = World::new(CHANGE).await;
    world.start().await;
    let number = world.labelled_issue();
    world.until("the agent's final report", || completed(&world.workspaces())).await;
    world.kill().await;
    let trial = recover(world, number, "after the final report".to_owned(), true).await;
    assert!(trial.recovery < RECOVERY, "{:?}", trial.recovery);
}

/// Whether the attempt's report is the final one.
fn completed(workspaces: &[PathBuf]) -> Option<()> {
    let report = fs::read_to_string(workspaces.first()?.join(".cloud-code/reporting.yaml")).ok()?;
    report.lines().any(|line| line == "status: completed").then_some(())
}
