//! Settings, read from the environment once, at the edge. Nothing else in the program reads the environment.

mod agents;
mod github;
mod server;
mod storage;
pub mod variables;

pub use agents::{AgentsConfig, RunnerKind};
pub use github::GitHubConfig;
pub use server::ServerConfig;
pub use storage::StorageConfig;

use std::collections::BTreeMap;
use variables::VARIABLES;

/// What is wrong with the environment: which variable, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct ConfigError {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong and what to do.
    pub problem: String,
}

/// The environment, as a map: tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's environment.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// The value of a variable that stands in [`VARIABLES`]; an empty one counts as unset; its default where it has one.
    fn get(&self, name: &'static str) -> Option<String> {
        let variable = VARIABLES.iter().find(|variable| variable.name == name);
        debug_assert!(variable.is_some(), "{name} is not in the table of variables");
        let set = self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        set.map(str::to_owned).or_else(|| variable?.default.map(str::to_owned))
    }

    /// What to log, and whether somebody chose it.
    pub fn log_filter(&self) -> (String, bool) {
        (self.get("LOG").unwrap_or_default(), self.0.get("LOG").is_some_and(|value| !value.trim().is_empty()))
    }

    /// `text` or `json`.
    pub fn log_format(&self) -> String {
        self.get("LOG_FORMAT").unwrap_or_default()
    }

    /// Where a person's programs keep what they can make anew: for `cloud-code run`.
    pub fn cache_dir(&self) -> Option<std::path::PathBuf> {
        let absolute =
            |name: &str| self.0.get(name).map(std::path::PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_CACHE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".cache")))
            .map(|dir| dir.join("cloud-code"))
    }

    /// For `cloud-code runs`: one of the server's tokens.
    pub fn client_token(&self) -> Option<String> {
        self.get("CLOUD_CODE_TOKEN")
    }

    /// Whether somebody wants no colours (no-color.org: set to anything but the empty text).
    pub fn no_colour(&self) -> bool {
        self.0.get("NO_COLOR").is_some_and(|value| !value.is_empty())
    }

    fn required(&self, name: &'static str) -> Result<String, ConfigError> {
        self.get(name).ok_or_else(|| {
            let meaning = VARIABLES
                .iter()
                .find(|variable| variable.name == name)
                .map_or("", |variable| variable.meaning);
            ConfigError { variable: name, problem: format!("it must be set: {meaning}") }
        })
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, ConfigError> {
        self.get(name)
            .map(|value| {
                value.parse().map_err(|_| ConfigError {
                    variable: name,
                    problem: format!("`{value}` is not {expected}"),
                })
            })
            .transpose()
    }

    fn flag(&self, name: &'static str) -> Result<bool, ConfigError> {
        match self.get(name).as_deref() {
            None | Some("false" | "0" | "no") => Ok(false),
            Some("true" | "1" | "yes") => Ok(true),
            Some(other) => {
                Err(ConfigError { variable: name, problem: format!("`{other}` is neither true nor false") })
            }
        }
    }

    fn list(&self, name: &'static str) -> Vec<String> {
        let value = self.get(name).unwrap_or_default();
        value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// All settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses and tokens.
    pub server: ServerConfig,
    /// The GitHub App.
    pub github: GitHubConfig,
    /// Where things are kept.
    pub storage: StorageConfig,
    /// Runners, agents and what they may do.
    pub agents: AgentsConfig,
}

impl Config {
    /// Reads everything.
    ///
    /// # Errors
    /// The first variable that is missing or wrong.
    pub fn read(env: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            server: ServerConfig::read(env)?,
            github: GitHubConfig::read(env)?,
            storage: StorageConfig::read(env)?,
            agents: AgentsConfig::read(env)?,
        })
    }
}
