//! The Lambda functions: what each does with an event. Their shells are in `functions/`.
//!
//! | function | events | does |
//! | --- | --- | --- |
//! | webhook | `POST /webhooks/github` of the HTTP API | verifies, queues, answers |
//! | dispatcher | the queues `deliveries` and `launches` | decides; starts attempts when there is room |
//! | reporter | the queue `runs`; the queue `reports`, into which S3 tells of reports and EventBridge of stopped tasks | looks at attempts, executes runs' effects |
//! | sweeper | EventBridge, each minute | what time alone brings about (schedules too), what an event missed, grants that run out |
//! | console | all other paths of the HTTP API | API and pages; starts workflows |
//!
//! Each is made once a process, before the first event: settings are read, secrets fetched, connections opened.

mod event;
mod lanes;
mod logging;
mod reports;
mod sweeper;
mod web;

pub use event::{BatchResponse, Failure, QueueEvent, QueueRecord};
pub use lanes::Lanes;
pub use reports::Reporter;
pub use sweeper::Sweeper;
pub use web::{console, console_with, webhook, webhook_with};

use super::aws::{self, Aws};
use crate::adapters::aws::secrets_manager::SecretsManager;
use crate::adapters::aws::sqs::SqsQueue;
use crate::app::App;
use crate::config::{Config, Environment};
use crate::ports::{Clock, Lane, SystemClock};
use anyhow::Context;
use cloud_code_model::ids::RunId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::broadcast;

/// What every function has.
pub struct Function {
    app: Arc<App>,
    queue: Arc<SqsQueue>,
    config: Config,
}

/// The function's environment, with what the secrets that it names add.
async fn environment(aws: &Aws) -> anyhow::Result<Environment> {
    complete(Environment::of_process(), aws).await
}

/// An environment, with what the secrets that it names add.
///
/// # Errors
/// When one of them can't be read, or is no JSON object of texts.
pub async fn complete(env: Environment, aws: &Aws) -> anyhow::Result<Environment> {
    let mut env = env;
    for name in env.config_secrets() {
        env = env.with(secret_variables(aws, &name).await?);
    }
    Ok(env)
}

/// The variables that a secret holds.
async fn secret_variables(aws: &Aws, name: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let secret = SecretsManager::new(aws, "").read(name).await.context("CONFIG_SECRET")?;
    let secret = secret.with_context(|| format!("CONFIG_SECRET: there is no secret {name}"))?;
    // A parser's error could repeat a part of what it read.
    serde_json::from_str(secret.reveal())
        .map_err(|_| anyhow::anyhow!("CONFIG_SECRET: {name} is no JSON object of texts"))
}

impl Function {
    /// Reads the settings, starts logging and opens connections.
    ///
    /// # Errors
    /// The first setting that is missing or wrong.
    pub async fn load() -> anyhow::Result<Self> {
        let aws = Aws::load().await;
        let env = environment(&aws).await?;
        logging::start(&env)?;
        let function = Self::with(&Config::read(&env)?, &aws, Arc::new(SystemClock))?;
        function.warm().await;
        Ok(function)
    }

    /// With these settings, and this time for leases and deadlines.
    ///
    /// # Errors
    /// When a part is not on AWS: a function has no disk to keep anything on.
    pub fn with(config: &Config, aws: &Aws, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let storage = &config.storage;
        let store =
            aws::store(aws, storage, &clock).context("DATABASE_URL: a function needs dynamodb://TABLE")?;
        let queue = aws::queue(aws, storage, &clock).context("QUEUE_URL: a function needs SQS")?;
        let artifacts =
            aws::artifacts(aws, storage).context("ARTIFACTS_URL: a function needs s3://BUCKET")?;
        let secrets =
            aws::secrets(aws, storage).context("SECRETS_URL: a function needs secretsmanager://PREFIX")?;
        let (runner, workspaces) = aws::runner(aws, storage, &config.agents, &storage.data_dir, &clock)?;
        // GitHub looks at the machine's own time.
        let forge = super::github::forge(config, Arc::new(SystemClock))?;
        let queue = Arc::new(queue);
        let app = App {
            store: Arc::new(store),
            queue: Arc::clone(&queue) as _,
            runner: Arc::new(runner),
            artifacts: Arc::new(artifacts),
            workspaces: Arc::new(workspaces),
            forge: Arc::new(forge),
            secrets: Arc::new(secrets),
            clock,
            // No two processes of Lambda have the same, and none comes back.
            worker: format!("lambda-{}", uuid::Uuid::new_v4()),
            settings: config.agents.settings.clone(),
            given: crate::app::Given::default(),
            saved: broadcast::channel(1024).0,
        };
        Ok(Self { app: Arc::new(app), queue, config: config.clone() })
    }

    /// Opens the connections that the first event would wait for. Lambda gives a whole core while a function begins, whatever its
    /// memory.
    async fn warm(&self) {
        let nobody = RunId::derive("nobody", "nothing");
        let (table, queue) = tokio::join!(self.app.store.load(&nobody), self.queue.warm());
        if let Err(error) = table.map(drop).map_err(anyhow::Error::from).and(queue.map_err(Into::into)) {
            tracing::warn!(%error, "could not open a connection before the first event");
        }
    }

    /// Sends attempts again that were put aside for want of room. What fails is done by the next sweep.
    async fn unpark(&self, max: usize) {
        if let Err(error) = self.queue.unpark(Lane::Launches, max).await {
            tracing::warn!(%error, "attempts that wait for room could not be sent again");
        }
    }

    /// The use cases.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }
}
