//! A world for a test: a small GitHub on loopback, and the real program as a server beside it. Tests read like a
//! conversation, wait for what they expect, and end with [`World::finish`], which looks for what must not be left behind.

mod api;
mod ending;
mod expect;
mod options;
mod processes;
mod server;
pub(crate) mod small_vault;
pub(crate) mod tmpfs;
pub(crate) mod vault;

pub(crate) use options::{Options, Workflow, indented};
pub(crate) use server::{Log, ServerProcess, program, signal};

use cloud_code_forge::{Forge, ForgeConfig, Role, Webhook};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// The repository.
pub(crate) const SHOP: &str = "acme/shop";
/// For the API and the pages.
pub(crate) const API_TOKEN: &str = "api-token-of-the-tests-4711";
/// Signs deliveries.
pub(crate) const WEBHOOK_SECRET: &str = "webhook-secret-of-the-tests-4711";
/// Given to agents that ask for it by name.
pub(crate) const LLM_KEY: &str = "sk-ant-key-of-the-tests-4711";
/// Shell that waits for [`World::go`].
pub(crate) const WAIT_FOR_GO: &str = "until [ -f \"$TMPDIR/../../../../go\" ]; do sleep 0.05; done";
/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A forge and a server.
pub(crate) struct World {
    pub(crate) forge: Forge,
    pub(crate) log: Log,
    server: Option<ServerProcess>,
    options: Options,
    env: Vec<(String, String)>,
    dir: tempfile::TempDir,
    /// Our comments that the test expected.
    expected: Mutex<BTreeSet<u64>>,
    /// Secrets of this world that must show up nowhere.
    secrets: Vec<String>,
    finished: bool,
}

impl World {
    /// Starts both. In the repository, ann and wes may write, tri may triage, and ron may read.
    pub(crate) async fn start(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let forge =
            Forge::start(ForgeConfig { data_dir: Some(dir.path().join("forge")), ..ForgeConfig::default() });
        let forge = forge.await.unwrap();
        let files: Vec<_> = options.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let files = if options.empty { &[][..] } else { &files };
        forge.create_repo(SHOP, files, &options.default_branch, true).unwrap();
        for (login, role) in
            [("ann", Role::Write), ("wes", Role::Maintain), ("tri", Role::Triage), ("ron", Role::Read)]
        {
            forge.set_permission(SHOP, login, Some(role)).unwrap();
        }
        forge.install_app(SHOP).unwrap();
        let key = forge.app_private_key().unwrap();
        let app = forge.app();
        let mut env: Vec<(String, String)> = [
            ("LISTEN_ADDR", "127.0.0.1:0".to_owned()),
            ("LOG", "debug".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
            ("API_TOKENS", API_TOKEN.to_owned()),
            ("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
            ("GITHUB_URL", forge.url()),
            ("GITHUB_API_URL", forge.api_url()),
            ("GITHUB_APP_ID", app.id.to_string()),
            ("GITHUB_APP_NAME", app.slug),
            ("GITHUB_PRIVATE_KEY", key.clone()),
            ("ANTHROPIC_API_KEY", LLM_KEY.to_owned()),
            ("DATA_DIR", dir.path().join("server").display().to_string()),
            ("RUNNER", "process".to_owned()),
            ("CONCURRENCY", "2".to_owned()),
            ("SWEEP_SECONDS", "1".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        for (name, value) in &options.env {
            env.retain(|(known, _)| known != name);
            env.push((name.clone(), value.clone()));
        }
        let mut secrets: Vec<String> = [API_TOKEN, WEBHOOK_SECRET, LLM_KEY].map(str::to_owned).into();
        secrets.extend(key.lines().filter(|line| line.len() > 40).map(str::to_owned));
        let mut world = Self {
            forge,
            log: Log::default(),
            server: None,
            options,
            env,
            dir,
            expected: Mutex::default(),
            secrets,
            finished: false,
        };
        world.start_server().await;
        world
    }

    /// Starts the server, at the address that it had before.
    pub(crate) async fn start_server(&mut self) {
        assert!(self.server.is_none(), "the server runs");
        let home = self.dir.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let server = ServerProcess::start(&home, &self.env, &self.log).await;
        let address = server.address();
        self.server = Some(server);
        if self.setting("LISTEN_ADDR").ends_with(":0") {
            self.set("LISTEN_ADDR", &address.to_string());
            self.forge.set_webhook(Some(self.webhook()));
        }
    }

    /// Stops the server as an operator does.
    pub(crate) async fn stop_server(&mut self) {
        self.server.take().expect("the server runs").stop().await;
    }

    /// Where deliveries go.
    pub(crate) fn webhook(&self) -> Webhook {
        let url = format!("http://{}/webhooks/github/", self.setting("LISTEN_ADDR"));
        Webhook { url, secret: WEBHOOK_SECRET.to_owned() }
    }

    /// A setting of the server.
    pub(crate) fn setting(&self, name: &str) -> &str {
        self.env.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Changes a setting, for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// One more secret that must show up nowhere.
    pub(crate) fn keep_secret(&mut self, value: &str) {
        self.secrets.push(value.to_owned());
    }

    /// The world's own folder: `home`, `forge`, `server`, and whatever a test puts there.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The server's data folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    /// Lets the scripts go on that wait for it.
    pub(crate) fn go(&self) {
        std::fs::write(self.dir.path().join("go"), "").unwrap();
    }
}

/// What people do.
impl World {
    /// Ann opens an issue.
    pub(crate) fn open_issue(&self, title: &str, body: &str) -> u64 {
        self.forge.open_issue(SHOP, "ann", title, body).unwrap()
    }

    /// Ann puts the label on it that starts a run.
    pub(crate) fn label(&self, number: u64) {
        self.label_as("ann", number, "cloud-code");
    }

    /// Somebody puts a label on it.
    pub(crate) fn label_as(&self, who: &str, number: u64, label: &str) {
        self.forge.label_issue(SHOP, who, number, label).unwrap();
    }

    /// Somebody comments.
    pub(crate) fn comment(&self, who: &str, number: u64, body: &str) -> u64 {
        self.forge.comment(SHOP, who, number, body).unwrap()
    }

    /// Ann opens an issue and labels it.
    pub(crate) fn ask(&self, title: &str, body: &str) -> u64 {
        let number = self.open_issue(title, body);
        self.label(number);
        number
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.finished && !std::thread::panicking() {
            panic!("the test did not end with world.finish().await");
        }
    }
}
