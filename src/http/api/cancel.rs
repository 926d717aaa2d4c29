//! Cancels a run.

use super::query::{Params, RunPath};
use super::view::ApiCancelled;
use crate::http::Shared;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::state::CancelOutcome;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

/// Who it was, in the run's history and on the issue: a token has no person's name.
const BY: &str = "an API client";

/// How it ends.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct CancelParams {
    /// Ends also jobs that would go on all the same (`if: always()`), of a run that is being cancelled already too.
    #[serde(default)]
    force: bool,
}

/// Ends a run. Asking again, or for a run that has ended, changes nothing.
#[utoipa::path(
    post, path = "/runs/{id}/cancel", operation_id = "cancelRun", tag = "runs", security(("token" = [])),
    params(("id" = String, Path, description = "The run's id", example = "r-0123456789abcdef0123"), CancelParams),
    responses(
        (status = 202, description = "The run will end", body = ApiCancelled),
        (status = 200, description = "The run had ended before", body = ApiCancelled),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "There is no such run", body = ErrorBody),
        (status = 503, description = "The store is down", body = ErrorBody),
    )
)]
pub(super) async fn cancel(
    State(state): State<Shared>,
    RunPath(id): RunPath,
    Params(CancelParams { force }): Params<CancelParams>,
) -> Result<Response, ApiError> {
    let (status, outcome) = match state.canceller.cancel(&id, BY, force).await? {
        CancelOutcome::Accepted => (StatusCode::ACCEPTED, "accepted"),
        CancelOutcome::AlreadyOver => (StatusCode::OK, "already_over"),
        CancelOutcome::NotFound => return Err(ApiError::not_found(format!("there is no run {id}"))),
    };
    let body = ApiCancelled { run: id.to_string(), outcome: outcome.to_owned() };
    Ok((status, Json(body)).into_response())
}
