//! Takes GitHub's webhook calls: verify, queue durably, answer. Nothing else: no database of runs, no call to GitHub.
//!
//! 202 is said only once the queue has the delivery. The body is read once, held once, and copied once, into the queue.

use super::error::{ApiError, retry_later};
use super::signature::{self, Rejection, VerifiedDelivery};
use super::state::Inlet;
use crate::metrics::{DELIVERIES, WEBHOOK_DURATION};
use crate::ports::{Lane, Pushed};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// GitHub sends no payload over 25 MB.
const MAX_BODY: usize = 25 * 1024 * 1024;

/// Nearly every payload is smaller. Larger ones are read a few at a time, since anybody may send one: nobody is asked for a
/// signature before the end of the body.
const SMALL_BODY: usize = 256 * 1024;

/// Large bodies in memory at once.
pub(super) const LARGE_BODIES: usize = 4;

/// [`crate::ports::Delivery`], borrowed.
#[derive(Serialize)]
struct Envelope<'a> {
    id: &'a str,
    event: &'a str,
    received_at: Timestamp,
    payload: &'a RawValue,
}

/// What is answered when all is well.
enum Taken {
    Pong(VerifiedDelivery),
    Queued(VerifiedDelivery, Pushed),
}

/// Why it was not taken.
enum Refusal {
    Rejected(Rejection),
    TooLarge,
    /// The caller went away, or sent nonsense on the wire.
    Broken,
    Unavailable,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// `POST /webhooks/github`
pub(super) async fn receive(State(inlet): State<Arc<Inlet>>, request: Request) -> Response {
    let started = Instant::now();
    let (outcome, response) = answer(take(&inlet, request).await);
    ::metrics::counter!(DELIVERIES, "outcome" => outcome).increment(1);
    ::metrics::histogram!(WEBHOOK_DURATION).record(started.elapsed().as_secs_f64());
    response
}

async fn take(inlet: &Inlet, request: Request) -> Result<Taken, Refusal> {
    let (parts, body) = request.into_parts();
    let signature = signature::signature(&parts.headers)?;
    let (body, _turn) = read(&parts.headers, body, &inlet.large_bodies).await?;
    let delivery = signature::verify(&inlet.key, signature, &parts.headers, body)?;
    if delivery.event() == "ping" {
        return Ok(Taken::Pong(delivery));
    }
    let envelope =
        envelope(&delivery, inlet.clock.now()).map_err(|error| Rejection::NotJson(error.to_string()))?;
    match inlet.queue.push(Lane::Deliveries, delivery.id(), envelope, Duration::ZERO).await {
        Ok(pushed) => Ok(Taken::Queued(delivery, pushed)),
        Err(error) => {
            tracing::error!(delivery = delivery.id(), %error, "a delivery could not be queued and was refused");
            Err(Refusal::Unavailable)
        }
    }
}

/// Reads a body. A large one waits for its turn, which lasts until what is returned beside it is dropped; the time limit of
/// all requests ends a wait that gets long.
async fn read<'s>(
    headers: &HeaderMap,
    body: Body,
    large: &'s Semaphore,
) -> Result<(Bytes, Option<SemaphorePermit<'s>>), Refusal> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Refusal::TooLarge);
    }
    let mut body = Limited::new(body, MAX_BODY);
    let mut read =
        BytesMut::with_capacity(announced.map_or(0, |length| length.min(SMALL_BODY as u64) as usize));
    let mut turn = None;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Err(error) if error.is::<LengthLimitError>() => return Err(Refusal::TooLarge),
            Err(_) => return Err(Refusal::Broken),
        }
        if turn.is_none() && read.len() > SMALL_BODY {
            turn = Some(large.acquire().await.map_err(|_| Refusal::Unavailable)?);
        }
    }
    Ok((read.freeze(), turn))
}

fn envelope(delivery: &VerifiedDelivery, received_at: Timestamp) -> Result<Vec<u8>, serde_json::Error> {
    let payload: &RawValue = serde_json::from_slice(delivery.payload())?;
    let mut bytes = Vec::with_capacity(payload.get().len() + 384);
    let envelope = Envelope { id: delivery.id(), event: delivery.event(), received_at, payload };
    serde_json::to_writer(&mut bytes, &envelope)?;
    Ok(bytes)
}

fn answer(taken: Result<Taken, Refusal>) -> (&'static str, Response) {
    match taken {
        Ok(Taken::Pong(delivery)) => {
            ("ping", Json(serde_json::json!({ "pong": true, "delivery": delivery.id() })).into_response())
        }
        Ok(Taken::Queued(delivery, pushed)) => {
            let duplicate = pushed == Pushed::Duplicate;
            let body = Json(serde_json::json!({ "delivery": delivery.id(), "duplicate": duplicate }));
            (if duplicate { "duplicate" } else { "accepted" }, (StatusCode::ACCEPTED, body).into_response())
        }
        Err(Refusal::Rejected(rejection)) => {
            let status = rejection.status();
            let (outcome, code) = match status {
                StatusCode::UNAUTHORIZED => ("unauthorized", "signature"),
                _ => ("invalid", "invalid_delivery"),
            };
            tracing::warn!(reason = %rejection, "a webhook call was refused");
            (outcome, ApiError::new(status, code, rejection.to_string()).into_response())
        }
        Err(Refusal::TooLarge) => ("too_large", ApiError::too_large(MAX_BODY).into_response()),
        Err(Refusal::Broken) => {
            ("invalid", ApiError::bad_request("the request's body broke off").into_response())
        }
        Err(Refusal::Unavailable) => {
            let message = "the delivery could not be stored and was not accepted; redeliver it later";
            ("unavailable", retry_later(message).into_response())
        }
    }
}
