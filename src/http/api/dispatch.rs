//! Starts workflows.

use crate::http::Shared;
use crate::http::error::{ApiError, ErrorBody, retry_later};
use crate::http::state::{DispatchError, DispatchOutcome, WorkflowDispatch};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is to start.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiDispatch {
    /// The workflow: its path, its file's name, or its name.
    #[schema(example = "release.yml")]
    pub workflow: String,
    /// Its inputs by name: texts, numbers or booleans.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub inputs: serde_json::Map<String, serde_json::Value>,
    /// The login of whoever wants it, who must be allowed to write to the repository; nobody in particular where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The run that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiDispatched {
    /// Its id.
    #[schema(example = "r-0123456789abcdef0123")]
    pub run: String,
}

/// Starts a workflow that takes `workflow_dispatch`, of the repository's default branch. Asking twice starts two runs.
#[utoipa::path(
    post, path = "/repositories/{owner}/{name}/dispatches", operation_id = "dispatchWorkflow", tag = "runs",
    security(("token" = [])), request_body = ApiDispatch,
    params(("owner" = String, Path, description = "The repository's owner"), ("name" = String, Path, description = "The repository's name")),
    responses(
        (status = 201, description = "The run", body = ApiDispatched),
        (status = 400, description = "The body is not as it should be", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "There is no such repository, or no such workflow in it", body = ErrorBody),
        (status = 409, description = "The workflow can't start so: its file, the inputs, or who wants it", body = ErrorBody),
        (status = 503, description = "The store or the forge is down", body = ErrorBody),
    )
)]
pub(super) async fn dispatch(
    State(state): State<Shared>,
    Path((owner, name)): Path<(String, String)>,
    body: Result<Json<ApiDispatch>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(ApiDispatch { workflow, inputs, by }) =
        body.map_err(|rejection| ApiError::bad_request(format!("the body: {}", rejection.body_text())))?;
    match state.canceller.dispatch(WorkflowDispatch { owner, name, workflow, inputs, by }).await {
        Ok(DispatchOutcome::Started(run)) => {
            Ok((StatusCode::CREATED, Json(ApiDispatched { run: run.to_string() })).into_response())
        }
        Ok(DispatchOutcome::Refused(why)) => Err(ApiError::new(StatusCode::CONFLICT, "conflict", why)),
        Ok(DispatchOutcome::NotFound(why)) => Err(ApiError::not_found(why)),
        Err(DispatchError::Store(error)) => Err(error.into()),
        Err(DispatchError::Other(error)) => {
            tracing::error!(error, "a workflow could not be started");
            Err(retry_later("the workflow could not be started now; see the server's log"))
        }
    }
}
