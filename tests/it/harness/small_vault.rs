//! A small Vault over HTTP, as state: tokens that run out and are revoked, an AppRole, a KV engine of either version with check-and-set
//! and deleted versions, namespaces, and troubles on demand. It follows Vault's documented API (website/content/api-docs in
//! hashicorp/vault: index, auth/token, auth/approle, secret/kv/kv-v1 and kv-v2, system/health, system/capabilities-self) and keeps
//! every request that it gets.

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and path, as in `GET secret/data/x`.
    pub(crate) what: String,
    pub(crate) token: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) body: Value,
}

/// A token's life.
#[derive(Debug, Clone, Default)]
pub(crate) struct SmallToken {
    /// Seconds, 0 for ever.
    pub(crate) ttl: u64,
    pub(crate) renewable: bool,
    /// Paths that begin with one of these it may not touch.
    pub(crate) denied: Vec<String>,
    /// Whether it has the policy `default`, which lets it look itself up.
    pub(crate) no_default: bool,
}

/// An answer out of turn.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) body: &'static str,
    pub(crate) location: Option<String>,
}

/// An entry of the KV engine: its versions, `None` for those that were deleted.
type Versions = Vec<Option<Value>>;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) mount: String,
    /// 1 or 2.
    pub(crate) kv: u8,
    /// Whether writes must name the version that they replace.
    pub(crate) cas_required: bool,
    pub(crate) namespace: Option<String>,
    pub(crate) entries: BTreeMap<String, Versions>,
    pub(crate) tokens: BTreeMap<String, SmallToken>,
    /// What the AppRole's tokens are like; the role is `role`, its secret `role-secret`.
    pub(crate) role: SmallToken,
    pub(crate) logins: usize,
    pub(crate) faults: VecDeque<Fault>,
    /// Answers every request, as a sealed Vault does.
    pub(crate) always: Option<Fault>,
    pub(crate) seen: Vec<Seen>,
}

#[derive(Clone)]
pub(crate) struct SmallVault {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    count: watch::Sender<usize>,
}

impl SmallVault {
    /// Starts one with a KV engine of this version at `mount`, and the token `root-token`.
    pub(crate) async fn start(kv: u8, mount: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            mount: mount.to_owned(),
            kv,
            tokens: BTreeMap::from([("root-token".to_owned(), SmallToken::default())]),
            ..State::default()
        };
        let vault = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::new(Mutex::new(state)),
            count: watch::Sender::new(0),
        };
        let app = axum::Router::new().fallback(answer).with_state(vault.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        vault
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked, in order; forgotten then.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().seen).into_iter().map(|seen| seen.what).collect()
    }

    /// Waits until something like this is asked.
    pub(crate) async fn wait_for(&self, what: &str) {
        let mut count = self.count.subscribe();
        let asked = count.wait_for(|_| self.state().seen.iter().any(|seen| seen.what == what));
        let asked = tokio::time::timeout(super::PATIENCE, asked).await;
        assert!(asked.is_ok(), "nobody asks {what}: {:?}", self.state().seen);
    }
}

fn errors(status: u16, texts: &[&str]) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, axum::Json(json!({ "errors": texts }))).into_response()
}

fn data(data: &Value) -> Response {
    axum::Json(json!({ "request_id": "r", "lease_id": "", "data": data, "warnings": null, "auth": null }))
        .into_response()
}

fn granted(token: &str, life: &SmallToken) -> Response {
    let auth = json!({ "client_token": token, "lease_duration": life.ttl, "renewable": life.renewable });
    axum::Json(json!({ "data": null, "auth": auth })).into_response()
}

async fn answer(
    Shared(vault): Shared<SmallVault>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let seen = Seen {
        what: format!("{method} {}", uri.path().strip_prefix("/v1/").unwrap_or("?")),
        token: header("x-vault-token"),
        namespace: header("x-vault-namespace"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let mut state = vault.state();
    state.seen.push(seen.clone());
    vault.count.send_modify(|count| *count += 1);
    let fault = state.faults.pop_front().or_else(|| state.always.clone());
    if let Some(fault) = fault {
        let mut response = (StatusCode::from_u16(fault.status).unwrap(), fault.body).into_response();
        if let Some(location) = fault.location {
            response.headers_mut().insert("location", location.parse().unwrap());
        }
        return response;
    }
    if state.namespace != seen.namespace {
        return errors(403, &["permission denied"]);
    }
    let path = uri.path().strip_prefix("/v1/").unwrap_or_default().to_owned();
    if path == "auth/approle/login" {
        return state.log_in(&seen.body);
    }
    let Some(life) = seen.token.as_ref().and_then(|token| state.tokens.get(token)).cloned() else {
        return errors(403, &["permission denied"]);
    };
    let own = ["auth/token/lookup-self", "auth/token/renew-self", "sys/capabilities-self"];
    let denied = life.denied.iter().any(|prefix| path.starts_with(prefix.as_str()));
    if denied || life.no_default && own.contains(&path.as_str()) {
        return errors(403, &["1 error occurred:\n\t* permission denied\n\n"]);
    }
    match (method.as_str(), path.as_str()) {
        ("GET", "auth/token/lookup-self") => {
            data(&json!({ "id": seen.token, "ttl": life.ttl, "renewable": life.renewable }))
        }
        ("POST", "auth/token/renew-self") if life.renewable => granted(&seen.token.unwrap(), &life),
        ("POST", "auth/token/renew-self") => errors(400, &["lease is not renewable"]),
        ("POST", "sys/capabilities-self") => {
            let paths = seen.body["paths"].as_array().unwrap();
            let capabilities = |path: &str| match life.denied.iter().any(|prefix| path.starts_with(prefix)) {
                true => json!(["deny"]),
                false => json!(["create", "delete", "list", "read", "update"]),
            };
            let of_paths = paths.iter().map(|path| path.as_str().unwrap());
            data(&of_paths.map(|path| (path.to_owned(), capabilities(path))).collect())
        }
        ("GET", path) if path.starts_with("sys/internal/ui/mounts/") => {
            let asked = path.trim_start_matches("sys/internal/ui/mounts/");
            if asked != state.mount && !asked.starts_with(&format!("{}/", state.mount)) {
                let text = "preflight capability check returned 403, please ensure client's policies grant access to path";
                return errors(403, &[text]);
            }
            let options = if state.kv == 2 { json!({ "version": "2" }) } else { Value::Null };
            data(&json!({ "path": format!("{}/", state.mount), "type": "kv", "options": options }))
        }
        (method, path) => match path.strip_prefix(&format!("{}/", state.mount)).map(str::to_owned) {
            Some(rest) if state.kv == 2 => state.versioned(method, &rest, &seen.body),
            Some(rest) => state.unversioned(method, &rest, &seen.body),
            None => errors(404, &[&format!("no handler for route \"{path}\". route entry not found.")]),
        },
    }
}

impl State {
    fn log_in(&mut self, body: &Value) -> Response {
        if body["role_id"] != "role" || body["secret_id"] != "role-secret" {
            return errors(400, &["invalid role or secret ID"]);
        }
        self.logins += 1;
        let token = format!("role-token-{}", self.logins);
        self.tokens.insert(token.clone(), self.role.clone());
        granted(&token, &self.role)
    }

    fn listed(&self, folder: &str) -> Response {
        let mut keys: Vec<String> = Vec::new();
        for path in self.entries.keys() {
            let Some(rest) = path.strip_prefix(folder) else { continue };
            let key = rest.split_once('/').map_or(rest.to_owned(), |(folder, _)| format!("{folder}/"));
            if keys.last() != Some(&key) {
                keys.push(key);
            }
        }
        if keys.is_empty() { errors(404, &[]) } else { data(&json!({ "keys": keys })) }
    }

    fn unversioned(&mut self, method: &str, path: &str, body: &Value) -> Response {
        match method {
            "LIST" => self.listed(path),
            "GET" => match self.entries.get(path).and_then(|versions| versions.last()) {
                Some(Some(content)) => data(content),
                _ => errors(404, &[]),
            },
            "POST" => {
                self.entries.insert(path.to_owned(), vec![Some(body.clone())]);
                StatusCode::NO_CONTENT.into_response()
            }
            "DELETE" => {
                self.entries.remove(path);
                StatusCode::NO_CONTENT.into_response()
            }
            _ => errors(405, &["unsupported operation"]),
        }
    }

    fn versioned(&mut self, method: &str, path: &str, body: &Value) -> Response {
        if let Some(path) = path.strip_prefix("metadata/") {
            return match (method, self.entries.get(path)) {
                ("LIST", _) => self.listed(path),
                ("GET", Some(versions)) => data(&json!({ "current_version": versions.len() })),
                ("GET", None) => errors(404, &[]),
                ("DELETE", _) => {
                    self.entries.remove(path);
                    StatusCode::NO_CONTENT.into_response()
                }
                _ => errors(405, &["unsupported operation"]),
            };
        }
        let Some(path) = path.strip_prefix("data/") else {
            let warning = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use.";
            return (StatusCode::NOT_FOUND, axum::Json(json!({ "errors": [], "warnings": [warning] })))
                .into_response();
        };
        match method {
            "GET" => match self.entries.get(path).map(|versions| (versions.len(), versions.last())) {
                Some((version, Some(Some(content)))) => {
                    data(&json!({ "data": content, "metadata": { "version": version, "deletion_time": "" } }))
                }
                Some((version, _)) => {
                    let metadata = json!({ "version": version, "deletion_time": "2026-11-23T00:00:00Z" });
                    let body = json!({ "data": { "data": null, "metadata": metadata } });
                    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
                }
                None => errors(404, &[]),
            },
            "POST" => {
                let current = self.entries.get(path).map_or(0, Vec::len);
                match body["options"]["cas"].as_u64() {
                    None if self.cas_required => {
                        return errors(400, &["check-and-set parameter required for this call"]);
                    }
                    Some(cas) if cas != current as u64 => {
                        return errors(400, &["check-and-set parameter did not match the current version"]);
                    }
                    _ => {}
                }
                self.entries.entry(path.to_owned()).or_default().push(Some(body["data"].clone()));
                data(&json!({ "version": current + 1 }))
            }
            _ => errors(405, &["unsupported operation"]),
        }
    }
}
