//! Sweeps, where one thing of many fails; and effects that kill whoever executes them.

use super::World;
use async_trait::async_trait;
use cloud_code::adapters::memory::MemoryRunner;
use cloud_code::app::effects::{self, Advanced};
use cloud_code::app::launch::{Launched, launch};
use cloud_code::app::{cancel, sweep};
use cloud_code::ports::{ContainerStatus, Launch, Listed, Runner, RunnerError};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{Conclusion, Effect, Outgoing, Run};
use jiff::SignedDuration;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A runner with one job that can't be renewed.
struct Stubborn {
    inner: Arc<MemoryRunner>,
    broken: AttemptId,
    renewed: Mutex<Vec<AttemptId>>,
}

#[async_trait]
impl Runner for Stubborn {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    async fn launch(&self, launch: &Launch) -> Result<String, RunnerError> {
        self.inner.launch(launch).await
    }
    async fn status(&self, attempt: &AttemptId) -> Result<ContainerStatus, RunnerError> {
        self.inner.status(attempt).await
    }
    async fn stop(&self, attempt: &AttemptId, patience: Duration) -> Result<(), RunnerError> {
        self.inner.stop(attempt, patience).await
    }
    async fn logs(&self, attempt: &AttemptId, max_bytes: usize) -> Result<Vec<u8>, RunnerError> {
        self.inner.logs(attempt, max_bytes).await
    }
    async fn remove(&self, attempt: &AttemptId) -> Result<(), RunnerError> {
        self.inner.remove(attempt).await
    }
    async fn list(&self) -> Result<Vec<Listed>, RunnerError> {
        self.inner.list().await
    }
    async fn check(&self) -> Result<String, RunnerError> {
        self.inner.check().await
    }
    async fn renew(&self, attempt: &AttemptId) -> Result<(), RunnerError> {
        if *attempt == self.broken {
            return Err(RunnerError::Failed("no grant".to_owned()));
        }
        self.renewed.lock().unwrap().push(attempt.clone());
        Ok(())
    }
    async fn has_image(&self, image: &str) -> Result<bool, RunnerError> {
        self.inner.has_image(image).await
    }
}

#[tokio::test]
async fn one_run_that_does_not_answer_now_does_not_keep_the_others_from_ending() {
    let world = World::new();
    let (first, other) = (world.run("a").await, world.run("b").await);
    *world.store.throttled.lock().unwrap() = Some(first.id.clone());
    world.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(sweep::wake_due(&world.app).await.unwrap(), 2);
    assert_eq!(world.stored(&other).await.conclusion, Some(Conclusion::TimedOut));
    // Where nothing answers any more, the sweep says so.
    world.store.gone.store(true, Ordering::Relaxed);
    let error = sweep::wake_due(&world.app).await.unwrap_err();
    assert!(error.may_heal() && error.to_string().contains("gone"), "{error}");
}

#[tokio::test]
async fn one_job_that_cannot_be_renewed_does_not_cost_the_others_what_they_need() {
    let mut world = World::new();
    for delivery in ["a", "b", "c"] {
        let attempt = world.run(delivery).await.attempt_id("implement", 1);
        assert_eq!(launch(&world.app, &attempt, 1).await.unwrap(), Launched::Watch);
    }
    let listed = world.runner.list().await.unwrap();
    let ids: Vec<AttemptId> = listed.into_iter().map(|listed| listed.attempt).collect();
    assert_eq!(ids.len(), 3);
    let (inner, broken) = (Arc::clone(&world.runner), ids[1].clone());
    let runner = Arc::new(Stubborn { inner, broken, renewed: Mutex::default() });
    world.app.runner = Arc::clone(&runner) as _;
    sweep::sweep(&world.app, &mut HashSet::new()).await.unwrap();
    assert_eq!(*runner.renewed.lock().unwrap(), [ids[0].clone(), ids[2].clone()]);
}

/// A cancelled run whose container can't be discarded: that never comes to an end.
async fn stuck(world: &World) -> Run {
    let run = world.run("d").await;
    let attempt = run.attempt_id("implement", 1);
    assert_eq!(launch(&world.app, &attempt, 1).await.unwrap(), Launched::Watch);
    cancel::cancel(&world.app, &run.id, "ann", true).await.unwrap();
    world.runner.finish(&attempt, 130);
    world.workspaces.hangs.store(true, Ordering::Relaxed);
    run
}

async fn discard(world: &World, run: &Run) -> Option<Outgoing> {
    let outbox = world.stored(run).await.outbox;
    outbox.into_iter().find(|outgoing| matches!(outgoing.effect, Effect::Discard { .. }))
}

/// Executes effects until they hang, and is killed then.
async fn killed(world: &World, run: &Run) {
    let advanced = async { while effects::advance(&world.app, &run.id).await.unwrap() == Advanced::Again {} };
    assert!(tokio::time::timeout(Duration::from_millis(100), advanced).await.is_err(), "it hangs");
    world.clock.advance(SignedDuration::from_mins(10));
}

#[tokio::test]
async fn an_effect_that_kills_whoever_executes_it_is_counted() {
    let world = World::new();
    let run = stuck(&world).await;
    for times in 1..=10 {
        killed(&world, &run).await;
        let outgoing = discard(&world, &run).await.unwrap();
        assert_eq!((outgoing.interrupted, outgoing.error), (times, None));
        // What else is to be done does not wait for it.
        assert!(times == 1 || world.stored(&run).await.outbox.len() == 1);
    }
    assert_eq!(effects::advance(&world.app, &run.id).await.unwrap(), Advanced::Idle);
    let outgoing = discard(&world, &run).await.unwrap();
    assert!(outgoing.error.unwrap().contains("10 times in the middle"));
    // Once it comes to an end, it is done.
    world.workspaces.hangs.store(false, Ordering::Relaxed);
    world.clock.advance(SignedDuration::from_mins(10));
    effects::advance(&world.app, &run.id).await.unwrap();
    assert!(world.stored(&run).await.outbox.is_empty());
}

#[tokio::test]
async fn an_effect_fails_in_order_when_the_entrys_time_for_it_is_over() {
    let mut world = World::new();
    world.app.settings.effect_limit = Duration::from_millis(50);
    let run = stuck(&world).await;
    assert_eq!(effects::advance(&world.app, &run.id).await.unwrap(), Advanced::Idle);
    let outgoing = discard(&world, &run).await.unwrap();
    assert_eq!((outgoing.tries, outgoing.interrupted), (1, 0));
    assert_eq!(outgoing.error.as_deref(), Some("no end after 0.05 s"));
}
