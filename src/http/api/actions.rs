//! Approves, rejects, runs again; ends one job.
//!
//! A token stands for the operator. Whoever approves or rejects is named in the call, and has to be a reviewer of the environment who did not
//! start the run: a holder of a token is trusted to name the right person.

use super::query::{Params, RunPath};
use super::view::ApiActed;
use crate::http::Shared;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::state::{ActOutcome, Action};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

/// Who it was, where a token has no person's name.
const BY: &str = "an API client";

/// Which job, and who.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ReviewParams {
    /// The job's key.
    job: String,
    /// The reviewer's login.
    by: String,
}

/// What runs again.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct RerunParams {
    /// `failed` (the default): what failed and what needs that; `all`: everything.
    jobs: Option<String>,
}

/// Which job.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct JobParams {
    /// The job's key.
    job: String,
}

/// Lets a job pass its environment.
#[utoipa::path(
    post, path = "/runs/{id}/approve", operation_id = "approveJob", tag = "runs", security(("token" = [])), params(
        ("id" = String, Path, description = "The run's id", example = "r-0123456789abcdef0123"), ReviewParams),
    responses(
        (status = 202, description = "It goes on", body = ApiActed),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "There is no such run", body = ErrorBody),
        (status = 409, description = "It waits for no approval, or this person may not", body = ErrorBody),
        (status = 503, description = "The store is down", body = ErrorBody),
    )
)]
pub(super) async fn approve(
    State(state): State<Shared>,
    run: RunPath,
    Params(params): Params<ReviewParams>,
) -> Result<Response, ApiError> {
    act(&state, run, Action::Approve { job: params.job }, &params.by).await
}

/// Does not let a job pass its environment: it fails.
#[utoipa::path(
    post, path = "/runs/{id}/reject", operation_id = "rejectJob", tag = "runs", security(("token" = [])), params(
        ("id" = String, Path, description = "The run's id", example = "r-0123456789abcdef0123"), ReviewParams),
    responses(
        (status = 202, description = "It failed", body = ApiActed),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "There is no such run", body = ErrorBody),
        (status = 409, description = "It waits for no approval, or this person may not", body = ErrorBody),
        (status = 503, description = "The store is down", body = ErrorBody),
    )
)]
pub(super) async fn reject(
    State(state): State<Shared>,
    run: RunPath,
    Params(params): Params<ReviewParams>,
) -> Result<Response, ApiError> {
    act(&state, run, Action::Reject { job: params.job }, &params.by).await
}

/// Runs again what is over.
#[utoipa::path(
    post, path = "/runs/{id}/rerun", operation_id = "rerunRun", tag = "runs", security(("token" = [])), params(
        ("id" = String, Path, description = "The run's id", example = "r-0123456789abcdef0123"), RerunParams),
    responses(
        (status = 202, description = "It runs again", body = ApiActed),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "There is no such run", body = ErrorBody),
        (status = 409, description = "It has not ended, or nothing of it failed", body = ErrorBody),
        (status = 503, description = "The store is down", body = ErrorBody),
    )
)]
pub(super) async fn rerun(
    State(state): State<Shared>,
    run: RunPath,
    Params(params): Params<RerunParams>,
) -> Result<Response, ApiError> {
    let all = match params.jobs.as_deref() {
        None | Some("failed") => false,
        Some("all") => true,
        Some(_) => return Err(ApiError::bad_request("jobs must be failed or all")),
    };
    act(&state, run, Action::Rerun { all }, BY).await
}

/// Ends one job.
#[utoipa::path(
    post, path = "/runs/{id}/cancel-job", operation_id = "cancelJob", tag = "runs", security(("token" = [])), params(
        ("id" = String, Path, description = "The run's id", example = "r-0123456789abcdef0123"), JobParams),
    responses(
        (status = 202, description = "The job will end", body = ApiActed),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "There is no such run", body = ErrorBody),
        (status = 409, description = "There is no such job, or it has ended", body = ErrorBody),
        (status = 503, description = "The store is down", body = ErrorBody),
    )
)]
pub(super) async fn cancel_job(
    State(state): State<Shared>,
    run: RunPath,
    Params(params): Params<JobParams>,
) -> Result<Response, ApiError> {
    act(&state, run, Action::CancelJob { job: params.job }, BY).await
}

async fn act(state: &Shared, RunPath(id): RunPath, action: Action, by: &str) -> Result<Response, ApiError> {
    match state.canceller.act(&id, action, by).await? {
        ActOutcome::Done => {
            let body = ApiActed { run: id.to_string(), outcome: "accepted".to_owned() };
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        ActOutcome::Refused(why) => Err(ApiError::new(StatusCode::CONFLICT, "conflict", why)),
        ActOutcome::NotFound => Err(ApiError::not_found(format!("there is no run {id}"))),
    }
}
