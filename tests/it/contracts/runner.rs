//! What every runner does, on the memory, the process, the Docker and the ECS runner. What only one of them can show stands in its
//! own file.

mod desk;
mod docker;
#[cfg(feature = "aws")]
mod ecs;
mod process;

use async_trait::async_trait;
use cloud_code::adapters::memory::MemoryRunner;
use cloud_code::ports::{ContainerStatus, Launch, Limits, Network, Runner, RunnerError};
use cloud_code_model::ids::{AttemptId, RunId};
use std::time::Duration;

/// Long enough for a loaded machine; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A runner, and a way to play the agent in it. The agent prints `out` on stdout and `err` on stderr, and ends when it is told.
#[async_trait]
trait World: Send + Sync {
    fn runner(&self) -> &dyn Runner;
    /// What starts attempt `number`.
    fn to_launch(&self, number: u32) -> Launch;
    /// Waits until the agent of a launched attempt runs and has printed its lines.
    async fn ready(&self, attempt: &AttemptId);
    /// Lets the agent end.
    async fn finish(&self, attempt: &AttemptId, code: i64);
    /// How often the agent was started for the attempt.
    fn starts(&self, attempt: &AttemptId) -> usize;
}

fn attempt(run: &str, number: u32) -> AttemptId {
    AttemptId { run: RunId::derive(run, "workflow"), job: "fix-it_2".to_owned(), number }
}

fn exited(code: i64) -> ContainerStatus {
    ContainerStatus::Exited { code: Some(code), out_of_memory: false, detail: None }
}

/// The status once it is no longer `Running`. No runner tells when that comes, so that it is asked for.
async fn ended(runner: &dyn Runner, attempt: &AttemptId) -> ContainerStatus {
    let asking = async {
        loop {
            let status = runner.status(attempt).await.unwrap();
            if status != ContainerStatus::Running {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the attempt did not end")
}

async fn an_attempt_runs_once_and_is_found_again(world: &dyn World) {
    let (runner, launch) = (world.runner(), world.to_launch(1));
    let id = &launch.attempt;
    let starts = (0..4).map(|_| runner.launch(&launch));
    let names: Vec<String> = futures::future::try_join_all(starts).await.unwrap();
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    world.ready(id).await;
    assert_eq!(runner.status(id).await.unwrap(), ContainerStatus::Running);
    assert_eq!(world.starts(id), 1);

    world.finish(id, 7).await;
    assert_eq!(ended(runner, id).await, exited(7));
    assert_eq!(runner.launch(&launch).await.unwrap(), names[0]);
    assert_eq!(runner.status(id).await.unwrap(), exited(7), "an attempt that has ended was started again");
    assert_eq!(world.starts(id), 1);
}

async fn logs_are_kept_until_removal(world: &dyn World) {
    let (runner, launch) = (world.runner(), world.to_launch(2));
    let id = &launch.attempt;
    runner.launch(&launch).await.unwrap();
    world.ready(id).await;
    world.finish(id, 0).await;
    assert_eq!(ended(runner, id).await, exited(0));
    let all = String::from_utf8(runner.logs(id, 1000).await.unwrap()).unwrap();
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
    assert_eq!(runner.logs(id, 3).await.unwrap(), &all.as_bytes()[all.len() - 3..]);
    assert_eq!(runner.logs(id, 0).await.unwrap(), b"");

    runner.remove(id).await.unwrap();
    assert_eq!(runner.logs(id, 1000).await.unwrap(), b"");
    assert_eq!(runner.status(id).await.unwrap(), ContainerStatus::Missing);
    runner.remove(id).await.unwrap();
}

async fn stopping_ends_it(world: &dyn World) {
    let (runner, launch) = (world.runner(), world.to_launch(3));
    let id = &launch.attempt;
    runner.launch(&launch).await.unwrap();
    world.ready(id).await;
    runner.stop(id, PATIENCE).await.unwrap();
    // 128 and SIGINT's number: it ended at the first signal.
    assert_eq!(runner.status(id).await.unwrap(), exited(130));
    runner.stop(id, PATIENCE).await.unwrap();
    assert_eq!(runner.status(id).await.unwrap(), exited(130));
}

async fn what_is_missing_is_no_error(world: &dyn World) {
    let (runner, id) = (world.runner(), attempt("never launched", 1));
    assert_eq!(runner.status(&id).await.unwrap(), ContainerStatus::Missing);
    runner.stop(&id, PATIENCE).await.unwrap();
    runner.remove(&id).await.unwrap();
    assert_eq!(runner.logs(&id, 10).await.unwrap(), b"");
}

async fn a_list_has_them_all(world: &dyn World) {
    let runner = world.runner();
    let before = jiff::Timestamp::now();
    let launches = [world.to_launch(4), world.to_launch(5)];
    for launch in &launches {
        runner.launch(launch).await.unwrap();
        world.ready(&launch.attempt).await;
    }
    world.finish(&launches[0].attempt, 0).await;
    ended(runner, &launches[0].attempt).await;
    let mut listed = runner.list().await.unwrap();
    listed.retain(|listed| launches.iter().any(|launch| launch.attempt == listed.attempt));
    listed.sort_by(|a, b| a.attempt.cmp(&b.attempt));
    let seen: Vec<_> = listed.iter().map(|listed| (&listed.attempt, listed.running)).collect();
    assert_eq!(seen, [(&launches[0].attempt, false), (&launches[1].attempt, true)]);
    for entry in &listed {
        let age = entry.created_at.duration_since(before).as_secs();
        assert!((-2..60).contains(&age), "created {age} s after the launch");
    }
    // One that runs is killed by its removal.
    for launch in &launches {
        runner.remove(&launch.attempt).await.unwrap();
        assert_eq!(runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Missing);
    }
}

/// The suite.
async fn check(world: &dyn World) {
    an_attempt_runs_once_and_is_found_again(world).await;
    logs_are_kept_until_removal(world).await;
    stopping_ends_it(world).await;
    what_is_missing_is_no_error(world).await;
    a_list_has_them_all(world).await;
    world.runner().check().await.unwrap();
    assert!(world.runner().has_image(&world.to_launch(6).image).await.unwrap());
}

#[async_trait]
impl World for MemoryRunner {
    fn runner(&self) -> &dyn Runner {
        self
    }

    fn to_launch(&self, number: u32) -> Launch {
        Launch {
            attempt: attempt("memory", number),
            image: "image".to_owned(),
            workspace: "/workspace".into(),
            objects: None,
            fetch: None,
            env: Vec::new(),
            secrets: Vec::new(),
            limits: Limits::default(),
            network: Network::Open,
        }
    }

    async fn ready(&self, attempt: &AttemptId) {
        self.print(attempt, b"out\nerr\n");
    }

    async fn finish(&self, attempt: &AttemptId, code: i64) {
        Self::finish(self, attempt, code);
    }

    fn starts(&self, attempt: &AttemptId) -> usize {
        self.launched().iter().filter(|launch| launch.attempt == *attempt).count()
    }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    check(&MemoryRunner::default()).await;
}

#[tokio::test]
async fn memory_fails_as_it_is_told() {
    let runner = MemoryRunner::default();
    let launch = runner.to_launch(1);
    runner.fail_next(RunnerError::Failed("once".to_owned()));
    assert!(runner.launch(&launch).await.is_err());
    runner.launch(&launch).await.unwrap();
    runner.set_reachable(false);
    assert!(matches!(runner.status(&launch.attempt).await, Err(RunnerError::Unreachable(_))));
    runner.set_reachable(true);
    assert_eq!(runner.running(), std::slice::from_ref(&launch.attempt));
    runner.lose(&launch.attempt);
    assert_eq!(runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Missing);
    runner.remove_image("image");
    assert!(matches!(runner.launch(&launch).await, Err(RunnerError::ImageMissing { .. })));
}
