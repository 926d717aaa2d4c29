//! HTTP under Lambda: the webhook by itself, so that it begins quickly, and everything else.

use super::{Function, complete, logging};
use crate::config::{Environment, GitHubConfig, ServerConfig, StorageConfig};
use crate::entry::aws::{self, Aws};
use crate::entry::health::AppHealth;
use crate::http::{self, HttpParts, HttpState};
use crate::ports::{Clock, SystemClock};
use anyhow::Context;
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The webhook's router. It knows the queue and nothing else: no run, no forge.
///
/// # Errors
/// The first setting that is missing or wrong.
pub async fn webhook() -> anyhow::Result<Router> {
    let env = Environment::of_process();
    logging::start(&env)?;
    webhook_with(env, &Aws::load().await).await
}

/// With these settings, and what the secrets that they name add.
///
/// # Errors
/// The first setting that is missing or wrong.
pub async fn webhook_with(env: Environment, aws: &Aws) -> anyhow::Result<Router> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let storage = StorageConfig::read(&env)?;
    let queue = aws::queue(aws, &storage, &clock).context("QUEUE_URL: a function needs SQS")?;
    // Side by side: GitHub waits for all that a cold start does.
    let (env, warm) = tokio::join!(complete(env, aws), queue.warm());
    if let Err(error) = warm {
        tracing::warn!(%error, "could not open a connection before the first event");
    }
    let secret = GitHubConfig::webhook_secret_of(&env?)?;
    Ok(http::webhooks(Arc::new(queue), clock, &secret)?)
}

/// The router of API and pages.
///
/// # Errors
/// The first setting that is missing or wrong.
pub async fn console() -> anyhow::Result<Router> {
    let function = Function::load().await?;
    console_with(&function, crate::metrics::install()?)
}

/// On this function.
///
/// # Errors
/// When a secret is empty.
pub fn console_with(function: &Function, metrics: PrometheusHandle) -> anyhow::Result<Router> {
    let app = &function.app;
    let server: &ServerConfig = &function.config.server;
    let health = Arc::new(AppHealth(Arc::clone(app)));
    // An answer that goes on for long would run into the gateway's limit of 30 s: a log that is followed ends where it is, and the
    // reader asks again.
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let state = HttpState::new(HttpParts {
        queue: Arc::clone(&app.queue),
        store: Arc::clone(&app.store),
        artifacts: Arc::clone(&app.artifacts),
        clock: Arc::clone(&app.clock),
        webhook_secret: function.config.github.webhook_secret.clone(),
        api_tokens: server.api_tokens.clone(),
        health: Arc::clone(&health) as _,
        metrics,
        canceller: health,
        shutdown,
    })?;
    Ok(http::router(state))
}
