//! Webhooks out: signed as GitHub signs them, sent one after the other, each with its outcome kept. GitHub does not send
//! again by itself, and neither does this; a redelivery is asked for, and carries the same GUID.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::error::{ForgeError, Result};
use crate::server::Inner;
use crate::state::{Access, Actor, World};

/// GitHub waits this long for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where webhooks go.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The receiver's address, `http://…`.
    pub url: String,
    /// The secret that signs every body.
    pub secret: String,
}

/// One webhook call: what it says and what became of it. A redelivery is one of its own, with the same GUID.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The number of this delivery.
    pub id: u64,
    /// `X-GitHub-Delivery`.
    pub guid: String,
    /// `X-GitHub-Event`.
    pub event: String,
    /// The payload's `action`.
    pub action: Option<String>,
    /// The raw body.
    pub payload: Bytes,
    /// The installation it is for.
    pub installation: Option<u64>,
    /// The repository it is about.
    pub repository: Option<u64>,
    /// When it came about.
    pub at: Timestamp,
    /// Whether it was asked for a second time.
    pub redelivery: bool,
    /// None while it is under way; a delivery made while no receiver was set stays so and is not `waiting`.
    pub outcome: Option<Outcome>,
    /// To be sent, or being sent.
    pub waiting: bool,
}

impl Delivery {
    /// The payload as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

/// How a delivery ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The receiver's status; 502 where it could not be reached, 504 where it did not answer in 10 s.
    pub status_code: u16,
    /// `OK`, or what went wrong.
    pub status: String,
    /// How long it took.
    pub duration: Duration,
    /// The headers that were sent.
    pub request_headers: Vec<(String, String)>,
    /// The body of the answer.
    pub response: String,
}

impl World {
    /// Queues an event of a repository for the app, if it is installed there and may see such events.
    pub(crate) fn emit(
        &mut self,
        repo: &str,
        event: &str,
        action: Option<&str>,
        body: Value,
        _actor: &Actor,
    ) -> Result<()> {
        let repository = self.repo(repo)?;
        let id = repository.id;
        let Some(installation) = self.installation_of(repository) else { return Ok(()) };
        let is_pull = body.pointer("/issue/pull_request").is_some();
        let needed: &[&str] = match event {
            "issue_comment" if is_pull => &["issues", "pull_requests"],
            "issues" | "issue_comment" => &["issues"],
            "pull_request" => &["pull_requests"],
            "push" => &["contents"],
            "check_run" => &["checks"],
            _ => &["metadata"],
        };
        let granted =
            |name: &&str| installation.permissions.get(*name).is_some_and(|have| *have >= Access::Read);
        if installation.suspended_at.is_some() || !needed.iter().any(granted) {
            return Ok(());
        }
        let installation = installation.id;
        self.queue(event, action, &body, Some(installation), Some(id));
        Ok(())
    }

    /// Queues an event about the app itself.
    pub(crate) fn emit_app(
        &mut self,
        event: &str,
        action: Option<&str>,
        body: Value,
        installation: Option<u64>,
    ) {
        self.queue(event, action, &body, installation, None);
    }

    fn queue(
        &mut self,
        event: &str,
        action: Option<&str>,
        body: &Value,
        installation: Option<u64>,
        repository: Option<u64>,
    ) {
        let delivery = Delivery {
            id: self.fresh_id(),
            guid: uuid::Uuid::new_v4().to_string(),
            event: event.to_owned(),
            action: action.map(str::to_owned),
            payload: body.to_string().into(),
            installation,
            repository,
            at: self.now(),
            redelivery: false,
            outcome: None,
            waiting: self.webhook.is_some(),
        };
        if delivery.waiting {
            self.outbox.push(delivery.id);
        }
        self.deliveries.push(delivery);
    }

    /// A second delivery with the GUID and body of an earlier one; returns its id.
    pub(crate) fn copy_delivery(&mut self, id: u64) -> Result<u64> {
        let found = self.deliveries.iter().find(|delivery| delivery.id == id);
        let mut copy = found.cloned().ok_or_else(|| ForgeError::NotFound(format!("delivery {id}")))?;
        copy.id = self.fresh_id();
        copy.at = self.now();
        copy.redelivery = true;
        copy.outcome = None;
        copy.waiting = self.webhook.is_some();
        let id = copy.id;
        self.deliveries.push(copy);
        Ok(id)
    }
}

/// The value of `X-Hub-Signature-256` for a body.
#[must_use]
pub fn signature(secret: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length, so this cannot fail; an empty digest would be refused by every receiver.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Sends what the world queues, in order, until the forge stops.
pub(crate) async fn run_sender(inner: Arc<Inner>, mut queue: UnboundedReceiver<u64>) {
    while let Some(id) = queue.recv().await {
        send_one(&inner, id).await;
    }
}

/// Sends one delivery now and keeps its outcome.
pub(crate) async fn send_one(inner: &Inner, id: u64) {
    let found = inner.look(|world| {
        let delivery = world.deliveries.iter().find(|delivery| delivery.id == id).cloned();
        (delivery, world.webhook.clone(), world.hook_id, world.app.id)
    });
    let (Some(delivery), Some(webhook), hook, app) = found else { return };
    let headers = vec![
        ("Accept".to_owned(), "*/*".to_owned()),
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("User-Agent".to_owned(), "GitHub-Hookshot/0c1f0a7".to_owned()),
        ("X-GitHub-Delivery".to_owned(), delivery.guid.clone()),
        ("X-GitHub-Event".to_owned(), delivery.event.clone()),
        ("X-GitHub-Hook-ID".to_owned(), hook.to_string()),
        ("X-GitHub-Hook-Installation-Target-ID".to_owned(), app.to_string()),
        ("X-GitHub-Hook-Installation-Target-Type".to_owned(), "integration".to_owned()),
        ("X-Hub-Signature-256".to_owned(), signature(&webhook.secret, &delivery.payload)),
    ];
    let started = Instant::now();
    let answer = tokio::time::timeout(PATIENCE, post(&webhook.url, &headers, delivery.payload.clone())).await;
    let (status_code, status, response) = match answer {
        Err(_) => (504, "timed out".to_owned(), String::new()),
        Ok(Err(error)) => (502, format!("failed to connect to host: {error}"), String::new()),
        Ok(Ok((code, body))) if (200..300).contains(&code) => (code, "OK".to_owned(), body),
        Ok(Ok((code, body))) => (code, format!("Invalid HTTP Response: {code}"), body),
    };
    let outcome =
        Outcome { status_code, status, duration: started.elapsed(), request_headers: headers, response };
    inner.change(|world| {
        if let Some(delivery) = world.deliveries.iter_mut().find(|delivery| delivery.id == id) {
            delivery.outcome = Some(outcome);
            delivery.waiting = false;
        }
    });
}

/// What can go wrong while a webhook is sent; only its text is kept.
type Sent = std::result::Result<(u16, String), Box<dyn std::error::Error + Send + Sync>>;

async fn post(url: &str, headers: &[(String, String)], body: Bytes) -> Sent {
    let uri: hyper::Uri = url.parse()?;
    if uri.scheme_str() != Some("http") {
        return Err(format!("the forge sends webhooks to http:// addresses only, not {url}").into());
    }
    let host = uri.host().ok_or("the address has no host")?.trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    let mut request = Request::post(path).header("Host", uri.authority().map_or("", |a| a.as_str()));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = sender.send_request(request.body(Full::new(body))?).await?;
    let status = response.status().as_u16();
    let text = String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()).into_owned();
    driver.abort();
    Ok((status, text))
}

#[cfg(test)]
mod tests {
    #[test]
    fn signs_as_github_documents() {
        let signed = super::signature("It's a Secret to Everybody", b"Hello, World!");
        assert_eq!(signed, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }
}
