//! Runners, agents and what they may do.

use super::{ConfigError, Environment};
use crate::app::Settings;
use crate::ports::Limits;
use cloud_code_model::cli;
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
        let memory_mb: u64 = env.parsed("AGENT_MEMORY_MB", "a number of MiB")?.unwrap_or(4096);
        let limits = Limits {
            memory_bytes: memory_mb << 20,
            cpus: env.parsed("AGENT_CPUS", positive)?.unwrap_or(2.0),
            pids: env.parsed("AGENT_PIDS", positive)?.unwrap_or(1024),
            ..Limits::default()
        };
        if memory_mb < 16 || limits.cpus <= 0.0 || limits.pids == 0 {
            let problem = "AGENT_MEMORY_MB must be 16 or more, AGENT_CPUS and AGENT_PIDS above 0".to_owned();
            return Err(ConfigError { variable: "AGENT_MEMORY_MB", problem });
        }
        let default_cli = env.get("DEFAULT_CLI").unwrap_or_default();
        if cli::find(&default_cli).is_none() {
            let problem = format!("there is no CLI `{default_cli}`; known are {}", cli::names());
            return Err(ConfigError { variable: "DEFAULT_CLI", problem });
        }
        let protected =
            env.list("PROTECTED_PATHS").into_iter().map(|path| format!("{}/", path.trim_end_matches('/')));
        let policy = ChangePolicy {
            max_files: env.parsed("MAX_CHANGED_FILES", positive)?.unwrap_or(100),
            max_bytes: env.parsed("MAX_CHANGE_BYTES", positive)?.unwrap_or(4 << 20),
            protected: protected.collect(),
        };
        let cli_names = cli::ALL.iter().flat_map(|cli| cli.secrets.iter().chain(cli.settings));
        let settings = Settings {
            label: env.get("LABEL").unwrap_or_default(),
            default_cli,
            image_prefix: env.get("AGENT_IMAGE_PREFIX").unwrap_or_default(),
            image_tag: env.get("AGENT_IMAGE_TAG").unwrap_or_default(),
            limits,
            timing: Timing {
                lease_seconds: env.parsed("LEASE_SECONDS", "a number of seconds")?.unwrap_or(90).max(10),
                ..Timing::default()
            },
            policy,
            draft: env.flag("DRAFT_PULL_REQUESTS")?,
            public_url: env.get("PUBLIC_URL").map(|url| url.trim_end_matches('/').to_owned()),
            allowed_bots: env.list("ALLOWED_BOTS"),
            author: (
                env.get("COMMIT_AUTHOR_NAME").unwrap_or_default(),
                env.get("COMMIT_AUTHOR_EMAIL").unwrap_or_default(),
            ),
            budget_usd: env.parsed("BUDGET_USD", positive)?,
            silence_minutes: env.parsed("SILENCE_MINUTES", positive)?.unwrap_or(10.0),
            agent_env: cli_names.filter_map(|name| Some(((*name).to_owned(), env.get(name)?))).collect(),
            launch_tries: env.parsed("LAUNCH_TRIES", positive)?.unwrap_or(6).max(1),
            ..Settings::default()
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let concurrency = env.parsed("CONCURRENCY", positive)?.unwrap_or(cores);
        if concurrency == 0 {
            return Err(ConfigError { variable: "CONCURRENCY", problem: "must be at least 1".to_owned() });
        }
        Ok(Self {
            runner: env.parsed("RUNNER", "`docker` or `process`")?.unwrap_or(RunnerKind::Docker),
            docker_host: env.get("DOCKER_HOST"),
            docker_network: env.get("DOCKER_NETWORK"),
            docker_extra_hosts: env.list("DOCKER_EXTRA_HOSTS"),
            concurrency,
            settings,
        })
    }
}
