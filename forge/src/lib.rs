//! A small GitHub that lives on loopback: repositories with real git behind them, issues, pull requests, checks, an app
//! with its installation tokens, and signed webhooks. `cloud-code demo` runs against it, and so do the integration
//! tests. It is state, not canned answers: what one request changes, the next one sees.
//!
//! | module | what |
//! | --- | --- |
//! | `state` | the world and its rules |
//! | `payloads` | GitHub's JSON, built from the world |
//! | `http`, `server` | the API and git over HTTP, authentication, faults, the record of requests |
//! | `git_store` | bare repositories through libgit2 |
//! | `webhooks` | deliveries out |
//! | `drive` | what a test or the demo does, in a user's words |
//! | [`llm`] | a scripted LLM server, for the coding CLIs |
//! | `openapi` | checks the traffic against GitHub's own description (feature `openapi`) |
//!
//! It must never be reachable from outside: it answers on loopback unless told otherwise, and has no users' passwords.
#![recursion_limit = "256"]

mod clock;
mod drive;
mod error;
mod faults;
mod git_store;
mod http;
mod keys;
pub mod llm;
#[cfg(feature = "openapi")]
mod openapi;
mod payloads;
mod record;
mod server;
mod state;
mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use clock::ForgeClock;
pub use error::{ForgeError, Result};
pub use faults::{Fault, Matcher, Pause, When};
#[cfg(feature = "openapi")]
pub use openapi::{OpenApi, OpenApiError};
pub use record::ApiRequest;
pub use state::{
    Access, App, CheckRun, Comment, Installation, Issue, Label, Permissions, Pull, PullView, Reaction, Repo,
    Role, Token, User, UserKind, VariableScope, World,
};
pub use webhooks::{Delivery, Outcome, Webhook, signature};

use keys::AppKey;
use server::Inner;
use state::Urls;

/// The app that the forge knows.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// The app's id.
    pub id: u64,
    /// The name in addresses; its account is `slug[bot]`.
    pub slug: String,
    /// The id that newer JWTs carry as `iss`.
    pub client_id: String,
    /// The public half of its key, in PEM; None: the forge makes a pair, see [`Forge::app_private_key`].
    pub public_key_pem: Option<String>,
    /// Who owns the app.
    pub owner: String,
}

impl Default for AppConfig {
    fn default() -> Self {
        Self {
            id: 4_242,
            slug: "cloud-code".into(),
            client_id: "Iv23liforge0000demo0".into(),
            public_key_pem: None,
            owner: "forge-owner".into(),
        }
    }
}

/// How a forge is started.
#[derive(Debug, Clone)]
pub struct ForgeConfig {
    /// Where repositories are kept; None: a folder that goes when the forge does.
    pub data_dir: Option<PathBuf>,
    /// Where it listens.
    pub bind: SocketAddr,
    /// What the API's paths begin with: nothing, or `/api/v3` as on an Enterprise Server.
    pub api_prefix: String,
    /// The app.
    pub app: AppConfig,
    /// Where webhooks go; may be set later by [`Forge::set_webhook`].
    pub webhook: Option<Webhook>,
    /// The forge's clock.
    pub clock: ForgeClock,
}

impl Default for ForgeConfig {
    fn default() -> Self {
        Self {
            data_dir: None,
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_prefix: String::new(),
            app: AppConfig::default(),
            webhook: None,
            clock: ForgeClock::default(),
        }
    }
}

/// A running forge. It stops when it is dropped.
pub struct Forge {
    inner: Arc<Inner>,
    address: SocketAddr,
    urls: Urls,
    clock: ForgeClock,
    stop: watch::Sender<bool>,
    sender: tokio::task::JoinHandle<()>,
    _temporary: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for Forge {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Forge").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Forge {
    /// Starts a forge on the caller's tokio runtime.
    ///
    /// # Errors
    /// Where the address cannot be had, the folder cannot be made, or the app's key is no RSA key in PEM.
    pub async fn start(config: ForgeConfig) -> Result<Self> {
        let temporary = match &config.data_dir {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(ForgeError::io("making a temporary folder"))?),
        };
        let data_dir = match (&config.data_dir, &temporary) {
            (Some(dir), _) => dir.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => std::env::temp_dir(),
        };
        std::fs::create_dir_all(&data_dir)
            .map_err(ForgeError::io(format!("making {}", data_dir.display())))?;
        let listener = TcpListener::bind(config.bind).await;
        let listener = listener.map_err(ForgeError::io(format!("listening on {}", config.bind)))?;
        let address = listener.local_addr().map_err(ForgeError::io("asking for the address"))?;
        let key = match &config.app.public_key_pem {
            Some(pem) => AppKey::from_public_pem(pem)?,
            None => AppKey::generate()?,
        };
        let html = format!("http://{address}");
        let urls = Urls { api: format!("{html}{}", config.api_prefix), html };
        let app = App {
            id: config.app.id,
            slug: config.app.slug,
            client_id: config.app.client_id,
            owner: config.app.owner,
            created_at: config.clock.now(),
        };
        let world = World::new(config.clock.clone(), urls.clone(), data_dir, app);
        let (queue, queued) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner::new(world, queue, key, config.api_prefix));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server::run(Arc::clone(&inner), listener, stopped));
        let sender = tokio::spawn(webhooks::run_sender(Arc::clone(&inner), queued));
        let forge = Self { inner, address, urls, clock: config.clock, stop, sender, _temporary: temporary };
        if let Some(webhook) = config.webhook {
            forge.set_webhook(Some(webhook));
        }
        Ok(forge)
    }

    /// The root of the API, for `GITHUB_API_URL`; no slash at the end.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.urls.api.clone()
    }

    /// The root of pages and of git, for `GITHUB_URL`; no slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        self.urls.html.clone()
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The app's private key in PEM (PKCS #8), where the forge made the pair.
    #[must_use]
    pub fn app_private_key(&self) -> Option<String> {
        self.inner.private_pem().map(str::to_owned)
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> App {
        self.inner.look(|world| world.app.clone())
    }

    /// Puts the forge's clock forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.inner.change(|_| ());
    }

    /// Waits until `look` finds something in the world, looking again after every change.
    ///
    /// # Errors
    /// [`ForgeError::TimedOut`] when nothing was found in that time.
    pub async fn wait_for<T>(&self, look: impl FnMut(&World) -> Option<T>, timeout: Duration) -> Result<T> {
        let mut look = look;
        let mut changes = self.inner.watch();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.inner.look(&mut look) {
                    return Some(found);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(timeout, found).await.ok().flatten().ok_or(ForgeError::TimedOut(timeout))
    }

    /// Stops listening and sending. Dropping the forge does the same.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        self.sender.abort();
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.stop();
    }
}
