//! For whoever operates the server: is it alive, is it ready, how much is there to do.

use super::Shared;
use crate::metrics::QUEUE_DEPTH;
use crate::ports::Lane;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// 200 while the process lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 when every part can be used, else 503; lists the parts.
pub(super) async fn readyz(State(state): State<Shared>) -> Response {
    let parts = state.health.parts().await;
    let ready = parts.iter().all(|part| part.ok);
    let listed: Vec<_> =
        parts.iter().map(|part| json!({ "name": part.name, "ok": part.ok, "detail": part.detail })).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "parts": listed }))).into_response()
}

/// Prometheus's text format. The queue's depth is asked for now.
pub(super) async fn metrics(State(state): State<Shared>) -> Response {
    for lane in Lane::ALL {
        match state.queue.depth(lane).await {
            Ok(depth) => {
                for (name, count) in
                    [("waiting", depth.waiting), ("leased", depth.leased), ("dead", depth.dead)]
                {
                    ::metrics::gauge!(QUEUE_DEPTH, "lane" => lane.as_str(), "state" => name)
                        .set(count as f64);
                }
            }
            // The other metrics are wanted most when a part is down. NaN, since an old depth that still shows misleads.
            Err(error) => {
                tracing::error!(%error, lane = lane.as_str(), "the queue's depth could not be read");
                for name in ["waiting", "leased", "dead"] {
                    ::metrics::gauge!(QUEUE_DEPTH, "lane" => lane.as_str(), "state" => name).set(f64::NAN);
                }
            }
        }
    }
    state.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render())
        .into_response()
}
