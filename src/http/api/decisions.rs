//! Reads what was decided about deliveries.

use super::query::Params;
use super::view::{ApiDecision, ApiDecisionList};
use crate::http::Shared;
use crate::http::error::{ApiError, ErrorBody};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

/// How many to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DecisionParams {
    /// At most so many, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
}

/// Lists the latest decisions about deliveries, newest first: what started a run, what was refused or ignored, and why.
#[utoipa::path(
    get, path = "/decisions", operation_id = "listDecisions", tag = "decisions", params(DecisionParams),
    security(("token" = [])),
    responses(
        (status = 200, description = "The decisions", body = ApiDecisionList),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 503, description = "The store is down", body = ErrorBody),
    )
)]
pub(super) async fn list(
    State(state): State<Shared>,
    Params(params): Params<DecisionParams>,
) -> Result<Json<ApiDecisionList>, ApiError> {
    let limit = params.limit.unwrap_or(50);
    if !(1..=200).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit must be 1 to 200, and is {limit}")));
    }
    let decisions = state.store.decisions(limit).await?;
    Ok(Json(ApiDecisionList { decisions: decisions.into_iter().map(ApiDecision::of).collect() }))
}
