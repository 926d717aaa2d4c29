//! Runners, agents and what they may do.

use super::{ConfigError, Environment};
use crate::app::Settings;
use crate::ports::Limits;
use cloud_code_model::cli;
use cloud_code_model::network::{AllowList, Network, host_of};
use cloud_code_model::policy::ChangePolicy;
use cloud_code_model::run::Timing;

/// Where jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerKind {
    /// Docker containers.
    Docker,
    /// Child processes: no sandbox.
    Process,
}

impl std::str::FromStr for RunnerKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "docker" => Ok(Self::Docker),
            "process" => Ok(Self::Process),
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
    /// What containers reach.
    pub network: Network,
    /// `NAME:ADDRESS` for containers.
    pub docker_extra_hosts: Vec<String>,
    /// Jobs at once.
    pub concurrency: usize,
    /// What the use cases need.
    pub settings: Settings,
}

impl AgentsConfig {
    /// Reads only this part: `cloud-code run` needs no GitHub App.
    ///
    /// # Errors
    /// The first variable that is wrong.
    pub fn read(env: &Environment) -> Result<Self, ConfigError> {
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
            launch_tries: env.parsed("LAUNCH_TRIES", positive)?.unwrap_or(6).max(1),
            ..Settings::default()
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let concurrency = env.number("CONCURRENCY", 1..=10_000)?.unwrap_or(cores);
        Ok(Self {
            runner: env.parsed("RUNNER", "`docker` or `process`")?.unwrap_or(RunnerKind::Docker),
            docker_host: env.get("DOCKER_HOST"),
            docker_network: env.get("DOCKER_NETWORK"),
            network: network(env, &settings)?,
            docker_extra_hosts: env.list("DOCKER_EXTRA_HOSTS"),
            concurrency,
            settings,
        })
    }
}

/// What containers reach: where that is restricted, the LLM servers that the settings name are allowed besides the list.
fn network(env: &Environment, settings: &Settings) -> Result<Network, ConfigError> {
    match env.get("NETWORK").as_deref() {
        Some("none") => return Ok(Network::None),
        Some("open") => return Ok(Network::Open),
        Some("restricted") | None => {}
        Some(other) => {
            let problem = format!("`{other}` is not `none`, `restricted` or `open`");
            return Err(ConfigError { variable: "NETWORK", problem });
        }
    }
    let urls = settings.agent_env.iter().filter(|(name, _)| name.ends_with("_BASE_URL"));
    let hosts = urls.filter_map(|(_, url)| host_of(url)).chain(env.list("NETWORK_ALLOW"));
    let hosts: Vec<String> = hosts.collect();
    AllowList::parse(hosts.iter().map(String::as_str))
        .map(Network::Restricted)
        .map_err(|error| ConfigError { variable: "NETWORK_ALLOW", problem: error.to_string() })
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
