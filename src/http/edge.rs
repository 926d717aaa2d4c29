//! What every request passes: a time limit, a request id, security headers, and one debug line.
//!
//! The line has method, path template, status and time; never a body, a query or an Authorization header.

use super::error::{ApiError, retry_later};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::time::{Duration, Instant};

/// Bytes of a request's body at most, the webhook's apart.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// GitHub gives a webhook 10 s; nothing else may take longer either. A stream's time counts only until it begins.
const TIME_LIMIT: Duration = Duration::from_secs(10);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No script, no frame, no form; the one style sheet is ours.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn edge(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let logged = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), request.extensions().get::<MatchedPath>().cloned()));
    let mut response = if oversized(&request) {
        ApiError::too_large(BODY_LIMIT).into_response()
    } else {
        match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => retry_later("the request took longer than 10 seconds").into_response(),
        }
    };
    if let Some((method, path)) = logged {
        tracing::debug!(
            %method,
            path = path.as_ref().map_or("-", MatchedPath::as_str),
            status = response.status().as_u16(),
            elapsed_ms = started.elapsed().as_secs_f64() * 1000.0,
            request_id = id.to_str().unwrap_or_default(),
            "request answered"
        );
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The caller's id where it is sane, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    if let Some(given) = headers.get(REQUEST_ID).filter(sane) {
        return given.clone();
    }
    let mut buffer = uuid::Uuid::encode_buffer();
    let made = uuid::Uuid::new_v4().simple().encode_lower(&mut buffer);
    HeaderValue::from_str(made).unwrap_or(HeaderValue::from_static("unknown"))
}

/// The webhook looks after its own, larger limit. Nothing else reads a body, so that the announced length is all to check.
fn oversized(request: &Request) -> bool {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    length > BODY_LIMIT as u64 && !request.uri().path().starts_with("/webhooks/")
}
