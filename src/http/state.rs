//! What the router needs of the rest of the program.

use super::auth::Tokens;
use super::signature::WebhookKey;
use crate::ports::{Artifacts, Clock, Queue, SecretText, Store, StoreError};
use async_trait::async_trait;
use cloud_code_model::ids::RunId;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The variable that holds the API tokens, separated by commas; named in answers.
pub const TOKENS_VARIABLE: &str = "API_TOKENS";

/// How one part of the program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHealth {
    /// Its name: `store`, `queue`, `runner`, …
    pub name: String,
    /// Whether it can be used now.
    pub ok: bool,
    /// What it is, or what is wrong with it, for people. Never a secret.
    pub detail: String,
}

/// Looks at all parts.
#[async_trait]
pub trait Health: Send + Sync {
    /// The parts as they are now.
    async fn parts(&self) -> Vec<PartHealth>;
}

/// What became of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It is recorded; the run will end.
    Accepted,
    /// The run had ended before.
    AlreadyOver,
    /// There is no such run.
    NotFound,
}

/// What else may be wished of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// End one job.
    CancelJob {
        /// Its key.
        job: String,
    },
    /// Let a job pass its environment.
    Approve {
        /// Its key.
        job: String,
    },
    /// Do not let a job pass its environment.
    Reject {
        /// Its key.
        job: String,
    },
    /// Run again what is over.
    Rerun {
        /// All of it; else only what failed and what needs that.
        all: bool,
    },
}

/// What became of such a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActOutcome {
    /// It is done.
    Done,
    /// It can't be done; why, for people.
    Refused(String),
    /// There is no such run.
    NotFound,
}

/// A wish that a workflow starts.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowDispatch {
    /// The repository's owner.
    pub owner: String,
    /// The repository's name.
    pub name: String,
    /// The workflow: its path, its file's name or its name.
    pub workflow: String,
    /// Its inputs.
    pub inputs: serde_json::Map<String, serde_json::Value>,
    /// Who wants it, where somebody is named.
    pub by: Option<String>,
}

/// What became of such a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DispatchOutcome {
    /// The run.
    Started(RunId),
    /// It can't be done; why, for people.
    Refused(String),
    /// There is no such repository or workflow; which, for people.
    NotFound(String),
}

/// Why nothing became of it.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another part, or the forge; for the log.
    #[error("{0}")]
    Other(String),
}

/// Ends runs, starts them, and does what else people want of them.
#[async_trait]
pub trait Cancel: Send + Sync {
    /// Does something to a run on the wish of `by`.
    async fn act(&self, run: &RunId, action: Action, by: &str) -> Result<ActOutcome, StoreError>;

    /// Records the wish of `by` to end a run; forced, also those jobs of it that say `if: always()`.
    async fn cancel(&self, run: &RunId, by: &str, force: bool) -> Result<CancelOutcome, StoreError>;

    /// Starts a workflow.
    async fn dispatch(&self, wish: WorkflowDispatch) -> Result<DispatchOutcome, DispatchError>;
}

/// The parts of an [`HttpState`].
pub struct HttpParts {
    /// Takes the deliveries.
    pub queue: Arc<dyn Queue>,
    /// Has the runs.
    pub store: Arc<dyn Store>,
    /// Has logs and transcripts.
    pub artifacts: Arc<dyn Artifacts>,
    /// Says when a delivery came, and how old a run is.
    pub clock: Arc<dyn Clock>,
    /// The secret that GitHub signs with.
    pub webhook_secret: SecretText,
    /// Tokens that open the API and the pages; none: both are closed.
    pub api_tokens: Vec<SecretText>,
    /// Answers `/readyz`.
    pub health: Arc<dyn Health>,
    /// Answers `/metrics`; from [`crate::metrics::install`].
    pub metrics: PrometheusHandle,
    /// Cancels runs.
    pub canceller: Arc<dyn Cancel>,
    /// Ends the answers that would go on for long (followed logs), so that the server can stop.
    pub shutdown: CancellationToken,
}

/// Why the router can't be made: the operator's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// An empty secret would let everybody sign.
    #[error("GITHUB_WEBHOOK_SECRET is empty; set it to the secret of the GitHub App's webhook")]
    EmptyWebhookSecret,
    /// An empty token would let everybody in.
    #[error("{TOKENS_VARIABLE} holds an empty token; take the stray comma out, or unset it to close the API")]
    EmptyToken,
}

/// What takes deliveries in. Nothing else is needed for it.
pub(super) struct Inlet {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) key: WebhookKey,
    pub(super) large_bodies: Semaphore,
}

impl Inlet {
    pub(super) fn new(
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        secret: &SecretText,
    ) -> Result<Self, StateError> {
        let key = WebhookKey::new(secret).ok_or(StateError::EmptyWebhookSecret)?;
        Ok(Self { queue, clock, key, large_bodies: Semaphore::new(super::webhook::LARGE_BODIES) })
    }
}

/// What the handlers share. Secrets are held only as keyed or hashed state.
pub struct HttpState {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) store: Arc<dyn Store>,
    pub(super) artifacts: Arc<dyn Artifacts>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inlet: Arc<Inlet>,
    pub(super) tokens: Tokens,
    pub(super) health: Arc<dyn Health>,
    pub(super) metrics: PrometheusHandle,
    pub(super) canceller: Arc<dyn Cancel>,
    pub(super) shutdown: CancellationToken,
}

impl HttpState {
    /// Takes the parts.
    ///
    /// # Errors
    /// When a secret is empty.
    pub fn new(parts: HttpParts) -> Result<Self, StateError> {
        let inlet = Inlet::new(Arc::clone(&parts.queue), Arc::clone(&parts.clock), &parts.webhook_secret)?;
        Ok(Self {
            inlet: Arc::new(inlet),
            queue: parts.queue,
            store: parts.store,
            artifacts: parts.artifacts,
            clock: parts.clock,
            tokens: Tokens::new(&parts.api_tokens).ok_or(StateError::EmptyToken)?,
            health: parts.health,
            metrics: parts.metrics,
            canceller: parts.canceller,
            shutdown: parts.shutdown,
        })
    }
}
