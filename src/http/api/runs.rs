//! Reads runs.

use super::query::{Params, RunPath};
use super::view::{ApiRun, ApiRunList, ApiRunRow};
use crate::http::Shared;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::state::HttpState;
use crate::ports::{Page, RunFilter, RunSummary};
use axum::Json;
use axum::extract::State;
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Run, RunStatus};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which runs to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListParams {
    /// Only of this repository, `owner/name`.
    repository: Option<String>,
    /// Only these: `queued`, `in_progress` or `completed`.
    #[param(value_type = Option<String>)]
    status: Option<RunStatus>,
    /// Where the page before this one ended: its `next`.
    cursor: Option<String>,
    /// At most so many, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
}

/// Letters of a cursor or a repository's name, at most.
const MAX_TEXT: usize = 512;

pub(in crate::http) async fn read_page(
    state: &HttpState,
    params: ListParams,
) -> Result<Page<RunSummary>, ApiError> {
    let limit = params.limit.unwrap_or(50);
    if !(1..=200).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit must be 1 to 200, and is {limit}")));
    }
    if let Some(repository) = &params.repository {
        let halves = repository.split_once('/');
        if repository.len() > MAX_TEXT
            || !halves.is_some_and(|(owner, name)| !owner.is_empty() && !name.is_empty())
        {
            return Err(ApiError::bad_request("repository must have the form owner/name"));
        }
    }
    if params.cursor.as_ref().is_some_and(|cursor| cursor.is_empty() || cursor.len() > MAX_TEXT) {
        return Err(ApiError::bad_request("cursor must be the field next of the page before"));
    }
    let filter =
        RunFilter { repository: params.repository, status: params.status, cursor: params.cursor, limit };
    Ok(state.store.list(&filter).await?)
}

pub(in crate::http) async fn find(state: &HttpState, id: &RunId) -> Result<Run, ApiError> {
    let stored = state.store.load(id).await?;
    stored.map(|stored| stored.run).ok_or_else(|| ApiError::not_found(format!("there is no run {id}")))
}

/// Lists runs, newest first.
#[utoipa::path(
    get, path = "/runs", operation_id = "listRuns", tag = "runs", params(ListParams), security(("token" = [])),
    responses(
        (status = 200, description = "A page of runs", body = ApiRunList),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 403, description = "The server has no token", body = ErrorBody),
        (status = 503, description = "The store is down", body = ErrorBody),
    )
)]
pub(super) async fn list(
    State(state): State<Shared>,
    Params(params): Params<ListParams>,
) -> Result<Json<ApiRunList>, ApiError> {
    let page = read_page(&state, params).await?;
    Ok(Json(ApiRunList { runs: page.items.iter().map(ApiRunRow::of).collect(), next: page.next }))
}

/// Shows a run.
#[utoipa::path(
    get, path = "/runs/{id}", operation_id = "showRun", tag = "runs", security(("token" = [])),
    params(("id" = String, Path, description = "The run's id", example = "r-0123456789abcdef0123")),
    responses(
        (status = 200, description = "The run", body = ApiRun),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "There is no such run", body = ErrorBody),
        (status = 503, description = "The store is down", body = ErrorBody),
    )
)]
pub(super) async fn show(
    State(state): State<Shared>,
    RunPath(id): RunPath,
) -> Result<Json<ApiRun>, ApiError> {
    Ok(Json(ApiRun::of(&find(&state, &id).await?)))
}
