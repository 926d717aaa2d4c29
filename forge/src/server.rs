//! The HTTP server around the world: takes requests off the wire, authenticates them, lets planned faults speak, runs
//! the handler, writes down what was said.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::faults::{self, Fault, When};
use crate::http::{self, ApiError, Call, Caller, Reply, decode, pairs};
use crate::keys::{AppKey, verify_jwt};
use crate::record::ApiRequest;
use crate::state::World;

/// Requests an hour that an installation has; fewer for those without credentials.
const LIMIT: u64 = 5_000;
const ANONYMOUS_LIMIT: u64 = 60;

/// What the server, the sender and the driving API share.
pub(crate) struct Inner {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
    sender: mpsc::UnboundedSender<u64>,
    key: AppKey,
    prefix: String,
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
struct Dropped;

impl Inner {
    pub(crate) fn new(world: World, sender: mpsc::UnboundedSender<u64>, key: AppKey, prefix: String) -> Self {
        Self { world: Mutex::new(world), changed: watch::Sender::new(0), sender, key, prefix }
    }

    pub(crate) fn private_pem(&self) -> Option<&str> {
        self.key.private_pem.as_deref()
    }

    /// Changes the world; afterwards waiters look again, and webhooks go out.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock();
        let result = change(&mut world);
        let queued = std::mem::take(&mut world.outbox);
        drop(world);
        for id in queued {
            // A stopped forge has no sender any more, and nobody who waits for the webhook.
            let _ = self.sender.send(id);
        }
        self.changed.send_modify(|version| *version += 1);
        result
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.lock())
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections until told to stop.
pub(crate) async fn run(inner: Arc<Inner>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the forge could not accept a connection");
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
            // A client that went away, or a connection that was dropped on purpose, is no error here.
            tokio::select! { _ = connection => (), _ = stop.changed() => () }
        });
    }
}

/// A request, read whole.
struct Asked {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let raw = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let is_gzip = parts.headers.get("content-encoding").is_some_and(|value| value == "gzip");
    let body = if is_gzip { unzip(&raw) } else { Ok(raw) };
    let path = parts.uri.path().to_owned();
    let asked = Asked {
        method: parts.method.to_string(),
        path: path.strip_prefix(&inner.prefix).unwrap_or(&path).to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.unwrap_or_default(),
    };
    let (fault, pause, latency) = inner.change(|world| {
        let fault = faults::take(&mut world.faults, &asked.method, &asked.path);
        let pause = faults::take_pause(&mut world.pauses, &asked.method, &asked.path);
        (fault, pause, world.latency)
    });
    let pause = match pause {
        Some(pause) if pause.when == When::Before => {
            pause.hold().await;
            return Err(Dropped);
        }
        other => other,
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let (before, after) = match fault {
        Some(Fault::Hang(time)) => {
            tokio::time::sleep(time).await;
            (None, None)
        }
        Some(late @ (Fault::AfterEffect(_) | Fault::DropAfterEffect)) => (None, Some(late)),
        other => (other, None),
    };
    let served = tokio::task::spawn_blocking(move || {
        let faulted = before.is_some() || after.is_some();
        let (reply, caller, permission, git) = match before {
            Some(fault) => (instead(&inner, &fault, &asked), "not asked".to_owned(), None, false),
            None => serve(&inner, &asked),
        };
        let reply = match after {
            None => reply,
            Some(Fault::AfterEffect(status)) => Some(ApiError::new(status, "Server Error").into_reply()),
            Some(_) => None,
        };
        record(&inner, asked, reply.as_ref(), caller, permission, git, faulted);
        reply
    });
    let reply = served.await.ok().flatten().ok_or(Dropped)?;
    if let Some(pause) = pause {
        pause.hold().await;
        return Err(Dropped);
    }
    let mut response = Response::builder().status(reply.status);
    if !reply.media.is_empty() {
        response = response.header("content-type", reply.media);
    }
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(reply.body)).map_err(|_| Dropped)
}

fn unzip(raw: &[u8]) -> std::io::Result<Bytes> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(raw).read_to_end(&mut out)?;
    Ok(out.into())
}

/// The answer of a fault that keeps the request from being served.
fn instead(inner: &Inner, fault: &Fault, asked: &Asked) -> Option<Reply> {
    let now = inner.look(World::now).as_second();
    match fault {
        Fault::Status(status, body) => {
            let media = if body.starts_with(['{', '[']) { http::JSON } else { "text/html; charset=utf-8" };
            Some(Reply::text(*status, media, body.clone()))
        }
        Fault::RateLimited { retry_after } => {
            let reset = now + i64::try_from(retry_after.as_secs()).unwrap_or(3_600);
            let message = format!("API rate limit exceeded for installation. Path: {}", asked.path);
            let reply = ApiError::new(403, message).into_reply();
            Some(limited(reply, LIMIT, LIMIT, reset))
        }
        Fault::SecondaryLimit { retry_after } => {
            let message =
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
            let reply = ApiError::new(403, message).into_reply();
            Some(match retry_after {
                Some(time) => reply.header("retry-after", time.as_secs().to_string()),
                None => reply,
            })
        }
        _ => None,
    }
}

fn limited(reply: Reply, limit: u64, used: u64, reset: i64) -> Reply {
    reply
        .header("x-ratelimit-limit", limit.to_string())
        .header("x-ratelimit-remaining", limit.saturating_sub(used).to_string())
        .header("x-ratelimit-used", used.to_string())
        .header("x-ratelimit-reset", reset.to_string())
        .header("x-ratelimit-resource", "core")
}

type Served = (Option<Reply>, String, Option<String>, bool);

fn serve(inner: &Inner, asked: &Asked) -> Served {
    let header = asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let query = pairs(&asked.query);
    let caller = inner.look(|world| authenticate(inner, world, header));
    let who = match &caller {
        Ok(caller) => inner.look(|world| describe(world, caller)),
        Err(_) => "bad credentials".to_owned(),
    };
    let git = inner.look(|world| {
        http::plan_git(world, &asked.method, &asked.path, &query, caller.as_ref().map_err(|_| ()))
    });
    if let Some((planned, permission)) = git {
        let reply = match planned {
            Ok(request) => http::serve_git(inner, &request, &asked.body),
            Err(refusal) => refusal,
        };
        return (Some(reply), who, Some(permission), true);
    }
    let (reply, permission) = match caller {
        Err(message) => (ApiError::new(401, message).into_reply(), None),
        Ok(caller) => serve_api(inner, asked, query, caller),
    };
    (Some(reply), who, permission, false)
}

fn serve_api(
    inner: &Inner,
    asked: &Asked,
    query: Vec<(String, String)>,
    caller: Caller,
) -> (Reply, Option<String>) {
    let body = if asked.body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&asked.body) };
    let accept =
        asked.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let segments: Vec<String> = asked.path.trim_matches('/').split('/').map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    inner.change(|world| {
        let (limit, used, reset) = world.count(&caller, asked.path != "/rate_limit");
        if used > limit {
            let error =
                ApiError::new(403, format!("API rate limit exceeded for {}", describe(world, &caller)));
            return (limited(error.into_reply(), limit, used, reset), None);
        }
        let Ok(body) = body else { return (ApiError::new(400, "Problems parsing JSON").into_reply(), None) };
        let path = asked.path.clone();
        let mut call = Call { world, caller, query, body, accept, path, asked: None };
        let reply = http::route(&mut call, &asked.method, &segments).unwrap_or_else(ApiError::into_reply);
        let mut reply = limited(reply, limit, used, reset)
            .header("x-github-request-id", uuid::Uuid::new_v4().simple().to_string())
            .header("x-github-media-type", "github.v3; format=json");
        if let Some(asked) = &call.asked {
            reply = reply.header("x-accepted-github-permissions", asked.clone());
        }
        (reply, call.asked)
    })
}

/// Who the `Authorization` header says; the error is GitHub's message.
fn authenticate(inner: &Inner, world: &World, header: Option<&str>) -> Result<Caller, &'static str> {
    const BAD: &str = "Bad credentials";
    let Some(header) = header else { return Ok(Caller::Anonymous) };
    let (scheme, value) = header.split_once(' ').ok_or(BAD)?;
    let secret = match scheme.to_lowercase().as_str() {
        "bearer" | "token" => value.trim().to_owned(),
        "basic" => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).map_err(|_| BAD)?;
            let pair = String::from_utf8(decoded).map_err(|_| BAD)?;
            pair.split_once(':').ok_or(BAD)?.1.to_owned()
        }
        _ => return Err(BAD),
    };
    if let Some(token) = world.tokens.get(&secret) {
        let installation = world.installations.get(&token.installation).ok_or(BAD)?;
        let alive = token.expires_at > world.now() && installation.suspended_at.is_none();
        return if alive { Ok(Caller::Installation(Box::new(token.clone()))) } else { Err(BAD) };
    }
    if secret.matches('.').count() == 2 && secret.starts_with("ey") {
        let app = &world.app;
        verify_jwt(&inner.key, &secret, app.id, &app.client_id, world.now().as_second())?;
        return Ok(Caller::App);
    }
    Err(BAD)
}

fn describe(world: &World, caller: &Caller) -> String {
    match caller {
        Caller::Anonymous => "anonymous".into(),
        Caller::App => "app".into(),
        Caller::Installation(token) => {
            let names = match &token.repositories {
                None => "all".to_owned(),
                Some(ids) => {
                    let names: Vec<_> = ids
                        .iter()
                        .filter_map(|id| world.repo_by_id(*id))
                        .map(|repo| repo.full_name())
                        .collect();
                    names.join(" ")
                }
            };
            let permissions: Vec<_> = token
                .permissions
                .iter()
                .map(|(name, access)| format!("{name}={}", access.as_str()))
                .collect();
            format!("installation {} [{names}] {}", token.installation, permissions.join(","))
        }
    }
}

fn record(
    inner: &Inner,
    asked: Asked,
    reply: Option<&Reply>,
    caller: String,
    permission: Option<String>,
    git: bool,
    faulted: bool,
) {
    let text = |bytes: &Bytes| if git { String::new() } else { String::from_utf8_lossy(bytes).into_owned() };
    let headers = asked
        .headers
        .iter()
        .filter(|(name, _)| *name != AUTHORIZATION)
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = text(&asked.body);
    let mut response = reply.map(|reply| text(&reply.body)).unwrap_or_default();
    if asked.path.ends_with("/access_tokens") {
        // The one answer that has to show a secret: what is written down must not be where a test finds it.
        let hide = |world: &World| {
            world.tokens.keys().fold(response.clone(), |text, key| text.replace(key, "ghs_***"))
        };
        response = inner.look(hide);
    }
    inner.change(|world| {
        let at = world.now();
        world.requests.push(ApiRequest {
            at,
            method: asked.method,
            path: asked.path,
            query: asked.query,
            headers,
            body,
            caller,
            permission,
            status: reply.map_or(0, |reply| reply.status),
            response_type: reply.map(|reply| reply.media.to_owned()).unwrap_or_default(),
            response,
            faulted,
            git,
        });
    });
}

impl World {
    /// Limit, requests used in this hour, and when it ends (seconds since 1970).
    pub(crate) fn rate(&self, caller: &Caller) -> (u64, u64, i64) {
        let (key, limit) = match caller {
            Caller::Anonymous => ("anonymous".to_owned(), ANONYMOUS_LIMIT),
            Caller::App => ("app".to_owned(), LIMIT),
            Caller::Installation(token) => (token.installation.to_string(), LIMIT),
        };
        let hour = self.now().as_second() / 3_600;
        let used = self.used.get(&key).filter(|(then, _)| *then == hour).map_or(0, |(_, used)| *used);
        (limit, used, (hour + 1) * 3_600)
    }

    /// Counts a request, if it counts.
    fn count(&mut self, caller: &Caller, counts: bool) -> (u64, u64, i64) {
        let (limit, used, reset) = self.rate(caller);
        let used = used + u64::from(counts);
        let key = match caller {
            Caller::Anonymous => "anonymous".to_owned(),
            Caller::App => "app".to_owned(),
            Caller::Installation(token) => token.installation.to_string(),
        };
        self.used.insert(key, (reset / 3_600 - 1, used));
        (limit, used, reset)
    }
}
