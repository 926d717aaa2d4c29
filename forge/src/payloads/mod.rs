//! GitHub's JSON, built from the world. Every body has all the fields that GitHub's OpenAPI description requires, so
//! that a client which reads strictly can read the forge. `tests/openapi.rs` holds it to that.

mod account;
mod check;
mod commit;
mod event;
mod issue;
mod pull;
mod repository;

pub(crate) use issue::REACTIONS;

use base64::Engine;
use serde_json::Value;

use crate::clock::rfc3339;

/// A node id: opaque to clients, here the base64 of kind and number as GitHub's older ones are.
pub(crate) fn node_id(kind: &str, id: u64) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("0{}:{kind}{id}", kind.len()))
}

pub(crate) fn time(at: jiff::Timestamp) -> Value {
    Value::String(rfc3339(at))
}

pub(crate) fn time_or_null(at: Option<jiff::Timestamp>) -> Value {
    at.map_or(Value::Null, time)
}

/// Puts the fields of `more` (an object) into `body` (an object).
pub(crate) fn extend(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}
