//! Secrets in HashiCorp Vault, or in what speaks its HTTP API (OpenBao), in a KV engine of version 1 or 2.
//!
//! Each secret is an entry of its own, `PATH/KIND/SCOPE/NAME` with the one key `value`, where KIND is `org`, `repo` or `env`, as in
//! Secrets Manager: no scope's names begin another's. One entry a name, and not one a scope with names as its keys, because
//! - two that set different names at once can't lose each other's, without check-and-set or a lock;
//! - names are listed without a value crossing the wire, and a policy may let somebody list, or set, who may not read;
//! - deleting a name removes its metadata too, and with it every older version of the value; in a shared entry the older versions of
//!   all the other names would have to go, or the deleted value would stay readable in them.
//!
//! The token is renewed, or a new one asked for, when it is used (`session.rs`); a renewable VAULT_TOKEN is also kept alive while
//! nobody uses it. Values are not remembered: what is changed in Vault counts from then on.
//!
//! Vault is asked over TLS, or over loopback; see `config/vault.rs`. No value and no token is in an error or in the log.

mod answer;
mod engine;
mod http;
mod session;

use crate::ports::{Scope, SecretError, SecretName, SecretStore, SecretText};
use answer::{Answer, unavailable};
use async_trait::async_trait;
use engine::Engine;
use http::{Http, Request};
use serde_json::{Value, json};
use session::{Doubt, Session};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// As long as a value may be wherever secrets are kept; Vault itself takes more.
const MAX_VALUE: usize = 65_536;
/// The key of an entry that holds the value.
const KEY: &str = "value";
/// How often a write is tried that others come before, where the engine demands check-and-set.
const CAS_TRIES: u32 = 10;

/// Where Vault is, and who we are there.
#[derive(Debug, Clone)]
pub struct VaultConfig {
    /// Its address, without a slash at the end.
    pub url: String,
    /// The namespace, in Vault Enterprise and HCP.
    pub namespace: Option<String>,
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `MOUNT` or `MOUNT/PATH`; Vault is asked which part is the mount.
    pub path: String,
    /// The version of the KV engine, where Vault must not be asked; the mount is then the first part of `path`.
    pub kv: Option<KvVersion>,
    /// How we log in.
    pub login: Login,
}

/// A KV engine's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvVersion {
    /// Unversioned.
    One,
    /// Versioned.
    Two,
}

/// How we log in.
#[derive(Debug, Clone)]
pub enum Login {
    /// With a token that somebody made.
    Token(Credential),
    /// By an AppRole.
    AppRole {
        /// Where the auth method is mounted, below `auth/`.
        mount: String,
        /// The role's id.
        role_id: String,
        /// The secret that goes with it.
        secret_id: Credential,
    },
}

/// A secret of ours, as text or in a file; the file is read whenever it is needed, since Vault Agent writes it anew.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The text.
    Text(SecretText),
    /// The file.
    File(PathBuf),
}

/// The secret store.
pub struct Vault {
    http: Arc<Http>,
    session: Arc<Session>,
    path: String,
    kv: Option<KvVersion>,
    engine: OnceCell<Engine>,
}

impl Vault {
    /// Secrets below this path; nothing is asked of Vault yet.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`] when the file of certificates can't be read or holds none.
    pub fn new(config: VaultConfig) -> Result<Self, SecretError> {
        let http = Arc::new(Http::new(config.url, config.namespace, config.ca_file.as_deref())?);
        let session = Arc::new(Session::new(Arc::clone(&http), config.login));
        Ok(Self { http, session, path: config.path, kv: config.kv, engine: OnceCell::new() })
    }

    /// The engine, found out once.
    async fn engine(&self) -> Result<&Engine, SecretError> {
        self.engine
            .get_or_try_init(|| async {
                let Some(version) = self.kv else { return self.find_engine().await };
                let (mount, prefix) = self.path.split_once('/').unwrap_or((&self.path, ""));
                Ok(Engine::new(version, mount, prefix))
            })
            .await
    }

    /// Asks which engine the path is in, as Vault's own command line does before it reads or writes:
    /// `GET sys/internal/ui/mounts/PATH` (command/kv_helpers.go in hashicorp/vault).
    async fn find_engine(&self) -> Result<Engine, SecretError> {
        let path = format!("sys/internal/ui/mounts/{}", self.path);
        let answer = self.call(Request::get(path)).await?;
        match answer.status {
            200 => Engine::find(&self.path, &answer).map_err(|problem| unavailable(self.http.url(), problem)),
            404 => Err(unavailable(
                self.http.url(),
                "it does not say which version its KV engine has; add ?kv=1 or ?kv=2 to SECRETS_URL",
            )),
            403 => {
                let mount = self.path.split('/').next().unwrap_or_default();
                let hint = format!(
                    "there is no engine at `{mount}` (`vault secrets enable -path={mount} kv-v2` makes one), or the policy has nothing \
                     below it (docs/secrets.md has one that does)"
                );
                Err(self.denied("sys/internal/ui/mounts", &hint).await)
            }
            _ => Err(self.refused(&answer, &self.path)),
        }
    }

    /// A call with our token; where Vault does not take that, once more with a new one, if there is a new one to be had.
    async fn call(&self, request: Request) -> Result<Answer, SecretError> {
        let token = self.session.token().await?;
        let answer = self.http.send(&request, Some(token.text())).await?;
        if answer.status != 403 {
            return Ok(answer);
        }
        match self.session.doubted(&token).await? {
            Doubt::Replaced(fresh) => self.http.send(&request, Some(fresh.text())).await,
            Doubt::Stays => Ok(answer),
        }
    }

    /// An error for a permission that is lacking, or for a token that is over.
    async fn denied(&self, path: &str, hint: &str) -> SecretError {
        let problem = match self.session.lives().await {
            Ok(true) => format!("permission denied on {path}: {hint}"),
            Ok(false) => self.session.over(path, hint),
            Err(error) => return error,
        };
        unavailable(self.http.url(), problem)
    }

    fn refused(&self, answer: &Answer, path: &str) -> SecretError {
        unavailable(self.http.url(), format!("{path}: {}", answer.explain()))
    }

    /// An answer that is neither success nor absence, as an error.
    async fn failed(&self, answer: &Answer, path: &str, capability: &str) -> SecretError {
        if answer.status == 403 {
            let hint = format!(
                "the policy needs `path \"{path}\" {{ capabilities = [\"{capability}\"] }}`, or one for all below it"
            );
            return self.denied(path, &hint).await;
        }
        self.refused(answer, path)
    }

    /// Writes to an engine whose entries demand check-and-set: the version that is there now has to be named.
    async fn set_checked(&self, engine: &Engine, name: &str, value: &SecretText) -> Result<(), SecretError> {
        let (data, metadata) = (engine.data(name), engine.metadata(name));
        for _ in 0..CAS_TRIES {
            let found = self.call(Request::get(metadata.clone())).await?;
            let version = match found.status {
                200 => found.data()["current_version"].as_u64().unwrap_or_default(),
                404 if found.is_absence() => 0,
                _ => return Err(self.failed(&found, &metadata, "read").await),
            };
            let body = json!({ "data": { KEY: value.reveal() }, "options": { "cas": version } });
            let answer = self.call(Request::post(data.clone(), body)).await?;
            match answer.status {
                200..=299 => return Ok(()),
                400 if answer.says("did not match the current version") => {}
                _ => return Err(self.failed(&answer.without(value), &data, "update").await),
            }
        }
        Err(unavailable(self.http.url(), format!("{data} is changed by others all the time; try again")))
    }

    async fn listed(&self, folder: &str) -> Result<Vec<String>, SecretError> {
        let answer = self.call(Request::list(folder.to_owned())).await?;
        match answer.status {
            200 => {
                let keys = answer.data()["keys"].as_array().cloned().unwrap_or_default();
                Ok(keys.into_iter().filter_map(|key| key.as_str().map(str::to_owned)).collect())
            }
            // "If the list result is an empty set, Vault responds with status code 404" (api-docs/index).
            404 if answer.is_absence() => Ok(Vec::new()),
            _ => Err(self.failed(&answer, folder, "list").await),
        }
    }
}

/// Within the path, the folder of a scope's names.
fn folder(scope: &Scope) -> String {
    let kind = match scope {
        Scope::Organisation(_) => "org",
        Scope::Repository(_) => "repo",
        Scope::Environment(..) => "env",
    };
    format!("{kind}/{scope}/")
}

fn entry(scope: &Scope, name: &SecretName) -> String {
    format!("{}{name}", folder(scope))
}

#[async_trait]
impl SecretStore for Vault {
    async fn get(&self, scope: &Scope, name: &SecretName) -> Result<Option<SecretText>, SecretError> {
        let engine = self.engine().await?;
        let path = engine.data(&entry(scope, name));
        let answer = self.call(Request::get(path.clone())).await?;
        match answer.status {
            200 => {}
            404 if answer.is_absence() => return Ok(None),
            _ => return Err(self.failed(&answer, &path, "read").await),
        }
        match engine.content(answer.data()).get(KEY).and_then(Value::as_str) {
            Some(value) => Ok(Some(SecretText::new(value))),
            None => Err(SecretError::Sealed(format!(
                "Vault at {}: {path} has no text under the key `{KEY}`; write it with `cloud-code secrets set {scope} {name}`",
                self.http.url()
            ))),
        }
    }

    async fn set(&self, scope: &Scope, name: &SecretName, value: &SecretText) -> Result<(), SecretError> {
        let length = value.reveal().len();
        if length > MAX_VALUE {
            return Err(SecretError::Unavailable(format!(
                "{name} has {length} bytes; a secret may have at most {MAX_VALUE}"
            )));
        }
        let engine = self.engine().await?;
        let name = entry(scope, name);
        let path = engine.data(&name);
        let body = engine.body(json!({ KEY: value.reveal() }));
        let answer = self.call(Request::post(path.clone(), body)).await?;
        match answer.status {
            200..=299 => Ok(()),
            400 if answer.says("check-and-set parameter required") => {
                self.set_checked(engine, &name, value).await
            }
            _ => Err(self.failed(&answer.without(value), &path, "create\", \"update").await),
        }
    }

    /// Whether it was there is asked without its value. One whose last version somebody deleted with `vault kv delete` still has a
    /// name and old values: those are removed.
    async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, SecretError> {
        let engine = self.engine().await?;
        let path = engine.metadata(&entry(scope, name));
        let there = match engine.version {
            KvVersion::One => {
                let names = self.listed(&engine.metadata(&folder(scope))).await?;
                names.iter().any(|listed| listed == name.as_str())
            }
            KvVersion::Two => {
                let found = self.call(Request::get(path.clone())).await?;
                match found.status {
                    200 => true,
                    404 if found.is_absence() => false,
                    _ => return Err(self.failed(&found, &path, "read").await),
                }
            }
        };
        if !there {
            return Ok(false);
        }
        let answer = self.call(Request::delete(path.clone())).await?;
        match answer.status {
            200..=299 => Ok(true),
            404 if answer.is_absence() => Ok(false),
            _ => Err(self.failed(&answer, &path, "delete").await),
        }
    }

    async fn list(&self, scope: &Scope) -> Result<Vec<SecretName>, SecretError> {
        let folder = self.engine().await?.metadata(&folder(scope));
        let listed = self.listed(&folder).await?;
        // What is no name of ours, such as `lower` or `sub/`, was put there by somebody else.
        let ours = |key: &String| SecretName::parse(key).filter(|name| name.as_str() == key);
        let mut names: Vec<SecretName> = listed.iter().filter_map(ours).collect();
        names.sort();
        Ok(names)
    }

    /// Lists the path's folder, and asks what else the token may do there.
    async fn check(&self) -> Result<String, SecretError> {
        let engine = self.engine().await?;
        self.listed(&engine.metadata("")).await?;
        let example = "repo/owner/name/NAME";
        let (data, metadata) = (engine.data(example), engine.metadata(example));
        let body = json!({ "paths": [data, metadata] });
        let answer = self.call(Request::post("sys/capabilities-self".to_owned(), body)).await?;
        let mut may_set = String::new();
        // The policy `default` lets every token ask; where it was left out, the list above has to be enough.
        if answer.status == 200 {
            let may = |path: &str, capability: &str| {
                let of_path = answer.data()[path].as_array().or_else(|| answer.json()[path].as_array());
                of_path.is_some_and(|all| all.iter().any(|one| one == "root" || one == capability))
            };
            for (path, capability) in [(&data, "read"), (&metadata, "list")] {
                if !may(path, capability) {
                    let below = path.trim_end_matches(example);
                    let problem = format!(
                        "the token may not {capability} below {below}: its policy needs `path \"{below}*\" {{ capabilities = \
                         [\"{capability}\"] }}` (docs/secrets.md has the whole policy)"
                    );
                    return Err(unavailable(self.http.url(), problem));
                }
            }
            let sets = may(&data, "create") && may(&data, "update");
            may_set = format!("; this token may{} set secrets", if sets { "" } else { " not" });
        }
        let life = self.session.life().await;
        Ok(format!("Vault at {}, {engine}{may_set}{life}", self.http.url()))
    }
}
