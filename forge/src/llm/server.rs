//! The HTTP side of the scripted LLM.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::reply::{Body, Dropped, json_reply, speak};
use super::script::{Due, Script, Turn};
use super::wire::{Asked, Wire};
use crate::error::{ForgeError, Result};

/// One request to the scripted LLM.
#[derive(Debug, Clone)]
pub struct LlmRequest {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The API; None where no conversation is held.
    pub wire: Option<Wire>,
    /// The key that it was made with, from `x-api-key`, `x-goog-api-key` or `authorization: Bearer`.
    pub key: Option<String>,
    /// All headers, lower case.
    pub headers: Vec<(String, String)>,
    /// The model asked for.
    pub model: String,
    /// What the user said before the LLM first spoke.
    pub prompt: String,
    /// The body.
    pub body: Value,
    /// It has tools: the conversation itself, not a side request.
    pub main: bool,
    /// The script's turn that was the answer; None for side requests and past the script's end.
    pub turn: Option<usize>,
    /// The status of the answer; 0 where the connection was closed without one.
    pub status: u16,
}

struct Inner {
    scripts: Vec<Script>,
    requests: Mutex<Vec<LlmRequest>>,
    /// Faults that a conversation has had: script, prompt, how often the LLM had spoken, index of the turn.
    seen: Mutex<HashSet<(usize, String, usize)>>,
    changed: watch::Sender<usize>,
}

/// A running scripted LLM. It stops when it is dropped.
pub struct LlmServer {
    inner: Arc<Inner>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for LlmServer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LlmServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl LlmServer {
    /// Starts one on loopback whose every conversation goes by this script.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start(turns: Vec<Turn>) -> Result<Self> {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), vec![Script { when: None, turns }]).await
    }

    /// Starts one at an address (containers reach only others than loopback); each conversation goes by the first
    /// script that is meant for it.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn bind(address: SocketAddr, scripts: Vec<Script>) -> Result<Self> {
        let listener =
            TcpListener::bind(address).await.map_err(ForgeError::io(format!("listening on {address}")))?;
        let address = listener.local_addr().map_err(ForgeError::io("asking for the address"))?;
        let inner = Arc::new(Inner {
            scripts,
            requests: Mutex::default(),
            seen: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(run(Arc::clone(&inner), listener, stopped));
        Ok(Self { inner, address, stop })
    }

    /// The root, for `ANTHROPIC_BASE_URL` and `GOOGLE_GEMINI_BASE_URL`; no slash at the end. OpenAI's base URL is this
    /// with `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<LlmRequest> {
        self.inner.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `look` finds something in the requests, looking again after each.
    ///
    /// # Errors
    /// [`ForgeError::TimedOut`] when nothing was found in that time.
    pub async fn wait_for<T>(
        &self,
        look: impl Fn(&[LlmRequest]) -> Option<T>,
        timeout: Duration,
    ) -> Result<T> {
        let mut changes = self.inner.changed.subscribe();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = look(&self.requests()) {
                    return Some(found);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(timeout, found).await.ok().flatten().ok_or(ForgeError::TimedOut(timeout))
    }

    /// Stops listening. Dropping does the same.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for LlmServer {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn run(inner: Arc<Inner>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the scripted LLM could not accept a connection");
                    continue;
                }
            },
            _ = stop.changed() => return,
        };
        let (inner, mut stop) = (Arc::clone(&inner), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&inner), request));
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // Clients come and go, and some connections are dropped on purpose: neither is an error here.
            tokio::select! { _ = connection => (), _ = stop.changed() => () }
        });
    }
}

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let (parts, body) = request.into_parts();
    let raw = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let body: Value = serde_json::from_slice(&raw).unwrap_or_default();
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let wire = Wire::of(method, path);
    let asked = wire.map(|wire| wire.read(path, &body, &inner.scripts));
    let due = match &asked {
        Some(asked) if asked.main => inner.due(asked).fitted(asked),
        _ => Due::beside(),
    };
    let status = match (&due.turn, wire) {
        (_, None) => beside(method, path, raw.len()).0,
        (Turn::RateLimited { .. }, _) => 429,
        (Turn::Overloaded, Some(wire)) => wire.overloaded(),
        (Turn::Unauthorized, _) => 401,
        (Turn::Status { status, .. }, _) => *status,
        (Turn::Hang { .. }, _) => 0,
        (Turn::Text { .. } | Turn::ToolUse { .. } | Turn::DropStream, _) => 200,
    };
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
    let headers = parts.headers.iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let main = asked.as_ref().is_some_and(|asked| asked.main);
    let of = |field: fn(&Asked) -> &String| asked.as_ref().map(field).cloned().unwrap_or_default();
    inner.record(LlmRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        wire,
        key: header("x-api-key").or(header("x-goog-api-key")).or(bearer),
        headers: headers.collect(),
        model: of(|asked| &asked.model),
        prompt: of(|asked| &asked.prompt),
        body,
        main,
        turn: if main { due.index } else { None },
        status,
    });
    match (wire, &asked) {
        (Some(wire), Some(asked)) => speak(wire, asked, &due, status).await,
        _ => {
            let (status, body) = beside(method, path, raw.len());
            json_reply(status, &body)
        }
    }
}

/// The harmless answer where no conversation is held; `length` is the request's in bytes.
fn beside(method: &str, path: &str, length: usize) -> (u16, Value) {
    match (method, path) {
        ("POST", "/v1/messages/count_tokens") => (200, json!({ "input_tokens": length / 4 })),
        ("POST", path) if path.ends_with(":countTokens") => (200, json!({ "totalTokens": length / 4 })),
        ("GET", "/v1/models") => (200, json!({ "object": "list", "data": [], "has_more": false })),
        ("GET" | "HEAD", "/") => (200, json!({})),
        _ => (404, Wire::Anthropic.error(404, "The scripted LLM has no such address")),
    }
}

impl Inner {
    fn due(&self, asked: &Asked) -> Due {
        let fits = |script: &&Script| script.when.as_ref().is_none_or(|text| asked.prompt.contains(text));
        let Some(script) = self.scripts.iter().find(fits) else {
            return Script::default().due(asked.spoken, |_| true);
        };
        let number = self.scripts.iter().position(|other| std::ptr::eq(other, script)).unwrap_or_default();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let due = script.due(asked.spoken, |index| seen.contains(&(number, asked.prompt.clone(), index)));
        if let Some(index) = due.index.filter(|_| !due.turn.says_something()) {
            seen.insert((number, asked.prompt.clone(), index));
        }
        due
    }

    fn record(&self, request: LlmRequest) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request);
        let count = requests.len();
        drop(requests);
        self.changed.send_replace(count);
    }
}
