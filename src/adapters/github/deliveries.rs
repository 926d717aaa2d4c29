//! The App's webhook calls, as GitHub remembers them for some days.
//!
//! Source: GitHub's REST documentation, "REST API endpoints for GitHub App webhooks": newest first, by cursor, and asked for as the App itself.

use super::GitHubForge;
use super::transport::{Call, Reply};
use crate::ports::{FailedDelivery, ForgeError};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Pages of 100 that are read of each kind: more deliveries in three days are looked at as far as that.
const MAX_PAGES: usize = 10;

/// Until when GitHub asked us not to ask again.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<Option<Timestamp>>);

#[derive(Debug, Deserialize)]
struct CallBody {
    id: u64,
    guid: String,
    event: String,
    delivered_at: Timestamp,
    status: String,
    status_code: i64,
}

impl CallBody {
    /// As GitHub's filter has it, which older Enterprise Servers do not know.
    fn arrived(&self) -> bool {
        (200..400).contains(&self.status_code) || self.status == "OK"
    }
}

impl GitHubForge {
    pub(super) async fn list_failed_deliveries(
        &self,
        since: Timestamp,
    ) -> Result<Vec<FailedDelivery>, ForgeError> {
        let mut failed = self.deliveries("failure", since).await?;
        failed.retain(|call| !call.arrived());
        let Some(oldest) = failed.iter().map(|call| call.delivered_at).min() else { return Ok(Vec::new()) };
        let arrived: HashSet<String> = self
            .deliveries("success", oldest)
            .await?
            .into_iter()
            .filter(CallBody::arrived)
            .map(|call| call.guid)
            .collect();
        let mut found: HashMap<String, FailedDelivery> = HashMap::new();
        for call in failed.into_iter().filter(|call| !arrived.contains(&call.guid)) {
            let known = found.entry(call.guid.clone()).or_insert_with(|| FailedDelivery {
                call: call.id,
                id: call.guid,
                event: call.event,
                tries: 0,
                last_at: call.delivered_at,
            });
            known.tries += 1;
            if (call.delivered_at, call.id) > (known.last_at, known.call) {
                (known.last_at, known.call) = (call.delivered_at, call.id);
            }
        }
        Ok(found.into_values().collect())
    }

    /// The calls of one outcome, newest first.
    async fn deliveries(&self, status: &str, since: Timestamp) -> Result<Vec<CallBody>, ForgeError> {
        let mut calls: Vec<CallBody> = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut call = Call::get("/app/hook/deliveries".to_owned());
            call = call.query("per_page", "100").query("status", status);
            if let Some(cursor) = &cursor {
                call = call.query("cursor", cursor);
            }
            let reply = self.ask_about_deliveries(&call).await?;
            let page: Vec<CallBody> = reply.read()?;
            let past = page.iter().any(|call| call.delivered_at < since);
            calls.extend(page.into_iter().filter(|call| call.delivered_at >= since));
            cursor = reply.cursor();
            if past || cursor.is_none() {
                break;
            }
        }
        Ok(calls)
    }

    pub(super) async fn ask_for_delivery(&self, call: u64) -> Result<(), ForgeError> {
        let call = Call::new(Method::POST, format!("/app/hook/deliveries/{call}/attempts"));
        self.ask_about_deliveries(&call).await.map(drop)
    }

    /// Asks, unless GitHub wanted to be left alone for a time that is not over.
    async fn ask_about_deliveries(&self, call: &Call) -> Result<Reply, ForgeError> {
        let quiet = || self.quiet.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if let Some(until) = quiet().filter(|until| *until > now) {
            return Err(ForgeError::RateLimited { retry_after: until.duration_since(now) });
        }
        let answer = self.tokens.as_app(call).await;
        if let Err(ForgeError::RateLimited { retry_after }) = &answer {
            *quiet() = now.checked_add(*retry_after).ok();
        }
        answer
    }
}
