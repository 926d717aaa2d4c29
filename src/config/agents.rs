//! Runners, agents and what they may do.

use super::places::EcsPlace;
use super::{ConfigError, Environment};
use crate::app::Settings;
use crate::ports::Limits;
use cloud_code_model::cli;
use cloud_code_model::network::AllowList;
use cloud_code_model::policy::ChangePolicy;
use cloud_code_model::run::Timing;
use std::time::Duration;

/// Where jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerKind {
    /// Docker containers.
    Docker,
    /// Child processes: no sandbox.
    Process,
    /// Fargate tasks.
    Ecs,
}

impl std::str::FromStr for RunnerKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "docker" => Ok(Self::Docker),
            "process" => Ok(Self::Process),
            "ecs" => Ok(Self::Ecs),
            _ => Err(()),
        }
    }
}

/// Runners and the choices about runs.
#[derive(Debug, Clone)]
pub struct AgentsConfig {
    /// Where jobs run.
    pub runner: RunnerKind,
    /// The Docker daemon.
    pub docker_host: Option<String>,
    /// The network that containers join.
    pub docker_network: Option<String>,
    /// `NAME:ADDRESS` for containers.
    pub docker_extra_hosts: Vec<String>,
    /// Where Fargate tasks run; there exactly when they are the runner.
    pub ecs: Option<EcsPlace>,
    /// Jobs at once.
    pub concurrency: usize,
    /// Bytes to be kept free on the disk with checkouts, as far as mirrors that nobody uses take them.
    pub free_bytes: Option<u64>,
    /// What the use cases need.
    pub settings: Settings,
}

impl AgentsConfig {
    /// Reads only this part: `cloud-code run` needs no GitHub App.
    ///
    /// # Errors
    /// The first variable that is wrong.
    pub fn read(env: &Environment) -> Result<Self, ConfigError> {
        let runner = env.parsed("RUNNER", "`docker`, `process` or `ecs`")?.unwrap_or(RunnerKind::Docker);
        let positive = "a number above 0";
        let memory_mb: u64 = env.number("AGENT_MEMORY_MB", 16..=1 << 24)?.unwrap_or(4096);
        let limits = Limits {
            memory_bytes: memory_mb << 20,
            cpus: env.number("AGENT_CPUS", 0.01..=4096.0)?.unwrap_or(2.0),
            pids: env.number("AGENT_PIDS", 1..=1 << 22)?.unwrap_or(1024),
            ..Limits::default()
        };
        let default_cli = env.get("DEFAULT_CLI").unwrap_or_default();
        if cli::find(&default_cli).is_none() {
            let problem = format!("there is no CLI `{default_cli}`; known are {}", cli::names());
            return Err(ConfigError { variable: "DEFAULT_CLI", problem });
        }
        let protected = env.list("PROTECTED_PATHS").into_iter().map(|path| protected(&path));
        let policy = ChangePolicy {
            max_files: env.parsed("MAX_CHANGED_FILES", positive)?.unwrap_or(100),
            max_bytes: env.parsed("MAX_CHANGE_BYTES", positive)?.unwrap_or(4 << 20),
            protected: protected.collect::<Result<_, _>>()?,
            closes: None,
        };
        let cli_names = cli::ALL
            .iter()
            .flat_map(|cli| cli.secrets.iter().chain(cli.settings))
            .chain(&["CLOUD_CODE_PRICES"]);
        let settings = Settings {
            label: env.get("LABEL").unwrap_or_default(),
            default_cli,
            image_prefix: env.get("AGENT_IMAGE_PREFIX").unwrap_or_default(),
            image_tag: env.get("AGENT_IMAGE_TAG").unwrap_or_default(),
            limits,
            timing: Timing {
                lease_seconds: env.number("LEASE_SECONDS", 1..=86_400)?.unwrap_or(90).max(10),
                ..Timing::default()
            },
            policy,
            draft: env.flag("DRAFT_PULL_REQUESTS")?,
            public_url: env.address("PUBLIC_URL")?,
            allowed_bots: env.list("ALLOWED_BOTS"),
            author: (
                env.get("COMMIT_AUTHOR_NAME").unwrap_or_default(),
                env.get("COMMIT_AUTHOR_EMAIL").unwrap_or_default(),
            ),
            budget_usd: env.number("BUDGET_USD", 0.01..=1_000_000.0)?,
            silence_minutes: env.number("SILENCE_MINUTES", 0.01..=50_400.0)?.unwrap_or(10.0),
            agent_env: cli_names.filter_map(|name| Some(((*name).to_owned(), env.get(name)?))).collect(),
            network: env.parsed("NETWORK", "`none`, `restricted` or `open`")?.unwrap_or_default(),
            network_allow: network_allow(env)?,
            // Each look at a Fargate task is three requests that are paid for and counted.
            watch_interval: match runner {
                RunnerKind::Ecs => Duration::from_secs(5),
                RunnerKind::Docker | RunnerKind::Process => Settings::default().watch_interval,
            },
            redelivery_every: Duration::from_secs(
                60 * env.number::<u64>("REDELIVERY_MINUTES", 0..=24 * 60)?.unwrap_or(5),
            ),
            launch_tries: env.parsed("LAUNCH_TRIES", positive)?.unwrap_or(6).max(1),
            ..Settings::default()
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let concurrency = env.number("CONCURRENCY", 1..=10_000)?.unwrap_or(cores);
        Ok(Self {
            runner,
            ecs: (runner == RunnerKind::Ecs).then(|| EcsPlace::read(env)).transpose()?,
            docker_host: env.get("DOCKER_HOST"),
            docker_network: env.get("DOCKER_NETWORK"),
            docker_extra_hosts: env.list("DOCKER_EXTRA_HOSTS"),
            concurrency,
            free_bytes: env.number::<u64>("MIRROR_FREE_MB", 0..=1 << 30)?.map(|megabytes| megabytes << 20),
            settings,
        })
    }
}

/// Presets and patterns, and the hosts of the addresses that CLIs are given.
fn network_allow(env: &Environment) -> Result<AllowList, ConfigError> {
    let mut allow = AllowList::default();
    allow
        .add_operators(env.list("NETWORK_ALLOW"))
        .map_err(|error| ConfigError { variable: "NETWORK_ALLOW", problem: error.to_string() })?;
    let settings = cli::ALL.iter().flat_map(|cli| cli.settings);
    for url in settings.filter(|name| name.ends_with("_BASE_URL")).filter_map(|name| env.get(name)) {
        allow.add_url(&url);
    }
    allow.dedup();
    Ok(allow)
}

/// A folder or file as [`ChangePolicy::protected`] has it. One that no path of a repository can lie in would protect nothing.
fn protected(path: &str) -> Result<String, ConfigError> {
    let fault =
        |problem: &str| ConfigError { variable: "PROTECTED_PATHS", problem: format!("`{path}` {problem}") };
    if path.contains(['*', '?', '[']) {
        return Err(fault("looks like one of the patterns that are not known here; name a folder or a file"));
    }
    let inner = path.trim_start_matches("./").trim_matches('/');
    if inner.is_empty() || inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(fault(
            "is no folder of a repository; name it from the repository's root, as in .github/workflows/",
        ));
    }
    Ok(format!("{inner}/"))
}
