//! One axum router: webhook, API, pages, health. The same under `serve` and under Lambda.
//!
//! It knows the ports and [`state::HttpState`], nothing behind them. It decides nothing about runs: a webhook is verified
//! and queued, what people want of runs is passed on, everything else only reads.

pub mod api;
mod auth;
mod edge;
mod error;
mod operations;
mod pages;
pub mod signature;
pub mod state;
mod strict_json;
mod webhook;

pub use api::openapi;
pub use state::{
    ActOutcome, Action, Cancel, CancelOutcome, DispatchError, DispatchOutcome, Health, HttpParts, HttpState,
    PartHealth, StateError, WorkflowDispatch,
};

use crate::ports::{Clock, Queue, SecretText};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use error::ApiError;
use state::Inlet;
use std::sync::Arc;

type Shared = Arc<HttpState>;

/// Only the route that takes deliveries in, and a sign of life.
///
/// # Errors
/// When the secret is empty.
pub fn webhooks(
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    secret: &SecretText,
) -> Result<Router, StateError> {
    Ok(Router::new()
        .route("/healthz", get(operations::healthz))
        .merge(inlet(Arc::new(Inlet::new(queue, clock, secret)?)))
        .fallback(async || ApiError::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(from_fn(edge::edge)))
}

/// GitHub is told the path with a slash; one without is a likely slip.
fn inlet<S: Clone + Send + Sync + 'static>(inlet: Arc<Inlet>) -> Router<S> {
    let receive = || post(webhook::receive);
    Router::new().route("/webhooks/github", receive()).route("/webhooks/github/", receive()).with_state(inlet)
}

/// All routes.
pub fn router(state: HttpState) -> Router {
    let shared = Arc::new(state);
    Router::new()
        .merge(api::router(&shared))
        .merge(pages::router(&shared))
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .layer(DefaultBodyLimit::max(edge::BODY_LIMIT))
        .merge(inlet(Arc::clone(&shared.inlet)))
        .fallback(async || ApiError::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(from_fn(edge::edge))
        .with_state(shared)
}
