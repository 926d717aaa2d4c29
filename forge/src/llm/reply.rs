//! How a turn goes over the wire: whole, as a stream, broken off, late, or as an error.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::Value;

use super::script::{Due, Turn};
use super::wire::{Asked, Wire};

pub(super) type Body = UnsyncBoxBody<Bytes, Dropped>;

/// The connection is to be closed here.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection is closed on purpose")]
pub(super) struct Dropped;

/// Answers a conversation with what is due.
pub(super) async fn speak(
    wire: Wire,
    asked: &Asked,
    due: &Due,
    status: u16,
) -> Result<Response<Body>, Dropped> {
    match &due.turn {
        Turn::RateLimited { retry_after } => {
            let body = wire.error(429, "This request would exceed your account's rate limit.");
            let mut reply = json_reply(429, &body)?;
            let value = retry_after.to_string().parse().map_err(|_| Dropped)?;
            reply.headers_mut().insert("retry-after", value);
            Ok(reply)
        }
        Turn::Overloaded => json_reply(status, &wire.error(status, "Overloaded")),
        Turn::Unauthorized => json_reply(401, &wire.error(401, "Incorrect API key provided")),
        Turn::Status { message, .. } => json_reply(status, &wire.error(status, message)),
        Turn::Hang { seconds } => {
            tokio::time::sleep(Duration::from_secs(*seconds)).await;
            Err(Dropped)
        }
        Turn::DropStream => {
            let mut events = wire.events(&asked.model, &due.next_text).unwrap_or_default();
            events.truncate(events.len() / 2);
            stream(events, true)
        }
        turn if asked.stream => stream(wire.events(&asked.model, turn).unwrap_or_default(), false),
        turn => json_reply(200, &wire.whole(&asked.model, turn).unwrap_or_default()),
    }
}

fn stream(events: Vec<String>, broken: bool) -> Result<Response<Body>, Dropped> {
    let frames = events.into_iter().map(|event| Ok(Frame::data(Bytes::from(event))));
    let end = broken.then_some(Err(Dropped));
    // A pause before the break, so that what was said so far is not lost in a buffer.
    let frames = futures::stream::iter(frames.chain(end)).then(|frame| async {
        tokio::task::yield_now().await;
        frame
    });
    let body = StreamBody::new(frames).boxed_unsync();
    let reply = Response::builder().header("content-type", "text/event-stream; charset=utf-8");
    reply.header("cache-control", "no-cache").body(body).map_err(|_| Dropped)
}

pub(super) fn json_reply(status: u16, body: &Value) -> Result<Response<Body>, Dropped> {
    let body =
        Full::new(Bytes::from(body.to_string())).map_err(|never: Infallible| match never {}).boxed_unsync();
    let reply = Response::builder().status(status).header("content-type", "application/json");
    reply
        .header("request-id", format!("req_{}", uuid::Uuid::new_v4().simple()))
        .body(body)
        .map_err(|_| Dropped)
}
