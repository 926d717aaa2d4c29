//! Deliveries that the forge says failed: nobody answered it, because the server was down or a function was throttled.
//!
//! GitHub does not send them again by itself, only when it is asked to. Every few minutes the sweep queues a delivery of our own, whose id is
//! derived from the time, so that of many sweepers one looks; a worker that starts looks at once, since it may have been away. What is to be
//! sent again is queued under the failed call's own number: it is asked for once, however often it is found. It then comes in under its old
//! id, which the queue knows if it was taken after all.

use super::{App, AppError};
use crate::ports::{Delivery, FailedDelivery, ForgeError, Lane, Pushed, Source};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The event by which the forge is asked what failed.
const LOOK: &str = "failed_deliveries";
/// The event by which one is asked for again.
const AGAIN: &str = "redelivery";

/// After its second failure a delivery is asked for again so much later.
const PATIENCE_SECONDS: i64 = 300;
/// GitHub sends nothing again that is older.
const LOOKBACK: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Deliveries asked for after one look; the next look finds the others.
const MAX_AT_ONCE: usize = 100;
/// A delivery that failed so often, over most of a day, is left alone: its receiver does not want it.
const MAX_TRIES: u32 = 10;

/// What every installation of the App is told, and nothing follows from.
const UNUSED: [&str; 1] = ["ping"];

/// Whether the last look was refused: said once, not every few minutes.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Lets somebody look, where nobody has for some minutes.
///
/// # Errors
/// When the queue does not answer.
pub async fn look_soon(app: &App) -> Result<(), AppError> {
    let every = i64::try_from(app.settings.redelivery_every.as_secs()).unwrap_or(i64::MAX);
    let Some(turn) = app.clock.now().as_second().checked_div(every) else { return Ok(()) };
    queue(app, format!("failed-deliveries-{turn}"), LOOK, &json!({})).await.map(drop)
}

/// Lets somebody look now: this process was away until now.
///
/// # Errors
/// When the queue does not answer.
pub async fn look_now(app: &App) -> Result<(), AppError> {
    let now = app.clock.now().as_millisecond();
    queue(app, format!("failed-deliveries-{}-{now}", app.worker), LOOK, &json!({})).await.map(drop)
}

/// Handles a delivery of ours that is about failed deliveries; `None` where it is about something else.
pub(super) async fn handle(app: &App, delivery: &Delivery) -> Option<Result<(), AppError>> {
    match delivery.event.as_str() {
        _ if delivery.source != Source::Ourselves => None,
        LOOK => Some(look(app).await),
        AGAIN => Some(again(app, delivery).await),
        _ => None,
    }
}

async fn look(app: &App) -> Result<(), AppError> {
    let now = app.clock.now();
    let since = now.saturating_sub(LOOKBACK).unwrap_or(Timestamp::MIN);
    let failed = match app.forge.failed_deliveries(since).await {
        Ok(failed) => failed,
        // The next look is not far away.
        Err(error) if error.may_heal() => {
            tracing::info!(%error, "the forge does not say now which deliveries failed");
            return Ok(());
        }
        Err(error) => {
            if !REFUSED.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    %error,
                    "the forge does not say which deliveries failed: what comes while this server is down is lost"
                );
            }
            return Ok(());
        }
    };
    REFUSED.store(false, Ordering::Relaxed);
    let mut due: Vec<_> = failed.into_iter().filter(|failed| is_due(failed, now)).collect();
    due.sort_by_key(|failed| failed.last_at);
    for FailedDelivery { call, id, event, tries, .. } in due.into_iter().take(MAX_AT_ONCE) {
        let wish = json!({ "call": call, "delivery": id });
        if queue(app, format!("redelivery-{call}"), AGAIN, &wish).await? == Pushed::New {
            tracing::info!(delivery = id, event, tries, "a delivery failed, and is asked for again");
        }
    }
    Ok(())
}

/// The first failure is made up for at once; after that, each costs twice the patience of the one before.
fn is_due(failed: &FailedDelivery, now: Timestamp) -> bool {
    if failed.tries >= MAX_TRIES || UNUSED.contains(&failed.event.as_str()) {
        return false;
    }
    let wait = failed.tries.checked_sub(2).map_or(0, |doubled| PATIENCE_SECONDS << doubled);
    now.duration_since(failed.last_at) >= SignedDuration::from_secs(wait)
}

#[derive(Deserialize)]
struct Wish {
    call: u64,
    delivery: String,
}

async fn again(app: &App, wish: &Delivery) -> Result<(), AppError> {
    let Wish { call, delivery } = serde_json::from_str(wish.payload.get())
        .map_err(|error| AppError::Bug(format!("a wish of our own: {error}")))?;
    match app.forge.redeliver(call).await {
        Err(error @ (ForgeError::NotFound(_) | ForgeError::Forbidden(_) | ForgeError::Invalid(_))) => {
            tracing::warn!(delivery, %error, "the forge does not send a delivery again");
            Ok(())
        }
        other => Ok(other?),
    }
}

async fn queue(app: &App, id: String, event: &str, payload: &Value) -> Result<Pushed, AppError> {
    if app.settings.redelivery_every.is_zero() || !app.forge.remembers_deliveries() {
        return Ok(Pushed::Duplicate);
    }
    let bug = |error: serde_json::Error| AppError::Bug(format!("an event of our own: {error}"));
    let payload = serde_json::value::to_raw_value(payload).map_err(bug)?;
    let received_at = app.clock.now();
    let delivery = Delivery { id, event: event.to_owned(), received_at, source: Source::Ourselves, payload };
    let bytes = delivery.to_bytes().map_err(bug)?;
    Ok(app.queue.push(Lane::Deliveries, &delivery.id, bytes, Duration::ZERO).await?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn failures_are_made_up_for_at_once_and_then_ever_more_rarely() {
        let last_at = Timestamp::from_second(1_700_000_000).unwrap();
        let due = |event: &str, tries, minutes| {
            let failed =
                FailedDelivery { call: 1, id: "g".to_owned(), event: event.to_owned(), tries, last_at };
            is_due(&failed, last_at + SignedDuration::from_mins(minutes))
        };
        for (tries, minutes) in [(1, 0), (2, 5), (3, 10), (4, 20), (9, 640)] {
            assert!(due("issues", tries, minutes), "{tries}");
            assert!(minutes == 0 || !due("issues", tries, minutes - 1), "{tries}");
        }
        assert!(!due("issues", MAX_TRIES, 100_000));
        assert!(!due("ping", 1, 100_000));
    }
}
