//! Answers that say what went wrong: `{"error": {"code", "message"}}`.

use crate::ports::{ArtifactError, StoreError};
use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Seconds after which a caller may try again when a part of us is down.
const RETRY_AFTER_SECONDS: &str = "10";

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// For programs; stable.
    #[schema(example = "not_found")]
    pub code: String,
    /// For people: what, where, and what to do.
    pub message: String,
}

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    code: &'static str,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "this path does not take this method; the header Allow lists those it takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the request's body is over {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }
}

/// 503 with `Retry-After`.
pub(super) fn retry_later(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
}

impl From<StoreError> for ApiError {
    /// The caller learns which part is down; the details are for the log, which may name paths and hosts.
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request failed at the store");
        match error {
            StoreError::Unavailable(_) => {
                retry_later("the store of runs is unavailable; see the server's log")
            }
            StoreError::Corrupt(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "unreadable",
                "the store holds something that this version can't read; see the server's log",
            ),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        tracing::error!(%error, "a request failed at the artifacts");
        match error {
            ArtifactError::Unavailable(_) => {
                retry_later("the artifacts are unavailable; see the server's log")
            }
            ArtifactError::TooLarge { .. } | ArtifactError::NotAFile { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "refused_artifact",
                format!("what the attempt left there is not shown: {error}"),
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: ErrorDetail { code: self.code.to_owned(), message: self.message } };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}
