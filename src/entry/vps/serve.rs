//! The server: HTTP and a worker in one process.

use super::AppHealth;
use crate::app::App;
use crate::config::Config;
use crate::entry::worker::{Worker, WorkerOptions};
use crate::http::{self, HttpParts, HttpState};
use crate::ports::SecretText;
use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a stop waits for what is at hand: below the 30 s after which Docker and systemd lose patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server needs besides its use cases.
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Verifies deliveries.
    pub webhook_secret: SecretText,
    /// For the API and the pages.
    pub api_tokens: Vec<SecretText>,
    /// The worker's.
    pub worker: WorkerOptions,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
}

impl ServerOptions {
    /// As the settings have them.
    pub fn new(config: &Config, metrics: PrometheusHandle) -> Self {
        Self {
            listen: config.server.listen,
            webhook_secret: config.github.webhook_secret.clone(),
            api_tokens: config.server.api_tokens.clone(),
            worker: WorkerOptions { concurrency: config.agents.concurrency, sweep: config.server.sweep },
            metrics,
        }
    }
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    http: JoinHandle<std::io::Result<()>>,
    worker: Worker,
}

impl Server {
    /// Binds the address, finds running containers again, and starts.
    ///
    /// # Errors
    /// When the address can't be bound or the store does not answer.
    pub async fn start(app: Arc<App>, options: ServerOptions) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("LISTEN_ADDR: can't listen on {}", options.listen))?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let health = Arc::new(AppHealth(Arc::clone(&app)));
        let state = HttpState::new(HttpParts {
            queue: Arc::clone(&app.queue),
            store: Arc::clone(&app.store),
            artifacts: Arc::clone(&app.artifacts),
            clock: Arc::clone(&app.clock),
            webhook_secret: options.webhook_secret,
            api_tokens: options.api_tokens,
            health: Arc::clone(&health) as _,
            metrics: options.metrics,
            canceller: health,
            shutdown: stop.clone(),
        })?;
        let router = http::router(state);
        let stopped = stop.clone().cancelled_owned();
        let http =
            tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        let worker = Worker::start(app, options.worker).await?;
        tracing::info!(%address, "listening");
        Ok(Self { address, stop, http, worker })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more work and ends; running containers live on.
    ///
    /// # Errors
    /// When the HTTP side had failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let http = self.http;
        let abort = http.abort_handle();
        let (served, ()) = tokio::join!(tokio::time::timeout(PATIENCE, http), self.worker.stop(PATIENCE));
        match served {
            Ok(joined) => joined.context("the HTTP task")?.context("HTTP")?,
            Err(_) => abort.abort(),
        }
        Ok(())
    }
}
