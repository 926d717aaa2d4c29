//! Secrets that are changed, or not to be had, while an attempt runs.

use super::World;
use async_trait::async_trait;
use cloud_code::adapters::memory::MemorySecrets;
use cloud_code::app::launch::launch;
use cloud_code::app::{Given, watch};
use cloud_code::ports::{Artifact, Scope, SecretError, SecretName, SecretStore, SecretText};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{AttemptState, Run};
use jiff::SignedDuration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A store that can be switched off.
#[derive(Default)]
struct Moody {
    inner: MemorySecrets,
    down: AtomicBool,
}

#[async_trait]
impl SecretStore for Moody {
    async fn get(&self, scope: &Scope, name: &SecretName) -> Result<Option<SecretText>, SecretError> {
        match self.down.load(Ordering::Relaxed) {
            true => Err(SecretError::Unavailable("switched off".to_owned())),
            false => self.inner.get(scope, name).await,
        }
    }
    async fn set(&self, scope: &Scope, name: &SecretName, value: &SecretText) -> Result<(), SecretError> {
        self.inner.set(scope, name, value).await
    }
    async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, SecretError> {
        self.inner.delete(scope, name).await
    }
    async fn list(&self, scope: &Scope) -> Result<Vec<SecretName>, SecretError> {
        self.inner.list(scope).await
    }
    async fn check(&self) -> Result<String, SecretError> {
        self.inner.check().await
    }
}

const OLD: &str = "the-value-at-the-launch";
const NEW: &str = "the-value-afterwards";

struct Case {
    world: World,
    secrets: Arc<Moody>,
    run: Run,
    attempt: AttemptId,
}

impl Case {
    /// An attempt that was launched with [`OLD`], while the store has [`NEW`] by now.
    async fn new() -> Self {
        let mut world = World::new();
        let secrets = Arc::<Moody>::default();
        world.app.secrets = Arc::clone(&secrets) as _;
        let case = Self {
            run: world.run("d").await,
            attempt: world.run("d").await.attempt_id("implement", 1),
            world,
            secrets,
        };
        case.set(OLD).await;
        launch(&case.world.app, &case.attempt, 1).await.unwrap();
        case.set(NEW).await;
        case
    }

    async fn set(&self, value: &str) {
        let (scope, name) =
            (Scope::parse("acme/shop").unwrap(), SecretName::parse("ANTHROPIC_API_KEY").unwrap());
        self.secrets.set(&scope, &name, &SecretText::new(value)).await.unwrap();
    }

    /// The attempt reports, and is looked at.
    async fn reports(&self, sequence: u64, end: &str) {
        let text = format!(
            "version: 1\nrun: {}\njob: implement\nattempt: 1\nsequence: {sequence}\nat: 2027-01-15T08:00:00Z\n{end}\nmessage: 'it saw {OLD} and {NEW}'\n",
            self.run.id
        );
        self.world.app.artifacts.write(&self.attempt, Artifact::Report, text.as_bytes()).await.unwrap();
        watch::look(&self.world.app, &self.attempt).await.unwrap();
    }

    async fn stored(&self) -> cloud_code_model::run::Attempt {
        self.world.stored(&self.run).await.attempt(&self.attempt).unwrap().clone()
    }
}

const RUNS: &str = "status: in_progress";
const DONE: &str = "status: completed\nconclusion: no_changes";

#[tokio::test]
async fn a_value_that_was_changed_in_mid_run_is_masked_as_is_the_new_one() {
    let case = Case::new().await;
    case.reports(1, RUNS).await;
    assert!(!case.stored().await.report.unwrap().message.unwrap().contains(OLD));
    case.reports(2, DONE).await;
    let attempt = case.stored().await;
    assert_eq!(attempt.report.unwrap().message.as_deref(), Some("it saw *** and ***"));
}

#[tokio::test]
async fn a_store_that_is_down_is_not_noticed_by_what_was_launched_before() {
    let case = Case::new().await;
    case.secrets.down.store(true, Ordering::Relaxed);
    case.reports(1, DONE).await;
    let attempt = case.stored().await;
    assert_eq!(attempt.state, AttemptState::Done);
    assert!(attempt.report.unwrap().message.unwrap().starts_with("it saw *** and"));
}

/// After a restart what was given is not known. Nothing is told that can't be masked; the lease is renewed by reports that grow, and by those
/// alone; the end is told when the store is back.
#[tokio::test]
async fn after_a_restart_an_attempt_outlives_a_store_that_is_down() {
    let mut case = Case::new().await;
    case.reports(1, RUNS).await;
    case.world.app.given = Given::default();
    case.secrets.down.store(true, Ordering::Relaxed);
    let lease = |attempt: &cloud_code_model::run::Attempt| attempt.lease_until.unwrap();
    let mut last = lease(&case.stored().await);
    for sequence in 2..6 {
        case.world.clock.advance(SignedDuration::from_secs(80));
        case.reports(sequence, RUNS).await;
        let attempt = case.stored().await;
        assert!(lease(&attempt) > last, "report {sequence}");
        assert_eq!(attempt.report.as_ref().unwrap().sequence, 1, "nothing of it was told");
        last = lease(&attempt);
    }
    let deadline = case.stored().await.deadline;
    // The container ends; its last report waits.
    case.world.runner.finish(&case.attempt, 0);
    case.world.clock.advance(SignedDuration::from_secs(80));
    case.reports(6, DONE).await;
    let attempt = case.stored().await;
    assert_eq!((attempt.state, attempt.conclusion), (AttemptState::Running, None));
    assert!(lease(&attempt) > last);
    assert_eq!(attempt.deadline, deadline, "its time limit stands");
    case.secrets.down.store(false, Ordering::Relaxed);
    watch::look(&case.world.app, &case.attempt).await.unwrap();
    let attempt = case.stored().await;
    assert_eq!(attempt.state, AttemptState::Done);
    assert!(attempt.report.unwrap().message.unwrap().ends_with("and ***"));
}
