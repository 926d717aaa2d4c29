//! What the environment says to the agent, read once at the start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use cloud_code_model::prices::{Prices, PricesError};

/// Settings of the agent. Every field but the first two has a default that fits production; the environment variables
/// exist for tests and for odd images.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The checkout in which `.cloud-code/tasking.yaml` lies. `CLOUD_CODE_WORKSPACE`, else `/workspace`.
    pub workspace: PathBuf,
    /// Secrets by the names of their environment variables: the variables that `CLOUD_CODE_SECRETS` lists, with commas
    /// between them. They are masked wherever they appear, and given only to the steps that name them.
    pub secrets: BTreeMap<String, String>,
    /// The rest of the process's environment, which every step inherits.
    pub environment: BTreeMap<String, String>,
    /// Time between two heartbeats. `CLOUD_CODE_HEARTBEAT_SECONDS`, else 5.
    pub heartbeat: Duration,
    /// How a child is stopped.
    pub graces: Graces,
    /// Waits before a coding CLI is started again after a failure that can heal, one for each retry.
    /// `CLOUD_CODE_RETRY_SECONDS`, with commas, else `5,10,20`.
    pub retries: Vec<Duration>,
    /// Most bytes of the log, and most bytes of the transcript. `CLOUD_CODE_LOG_BYTES`, else 64 MiB.
    pub log_bytes: u64,
    /// The socket of the job's proxy, where its network is restricted. `CLOUD_CODE_PROXY`.
    pub proxy: Option<PathBuf>,
    /// What tokens cost with CLIs that do not say. `CLOUD_CODE_PRICES`, a file or the table itself, else the one that comes
    /// with the program.
    pub prices: Prices,
}

/// How long a child has at each stage of being stopped.
#[derive(Debug, Clone, Copy)]
pub struct Graces {
    /// From SIGINT to SIGTERM. `CLOUD_CODE_INTERRUPT_SECONDS`, else 7.5, as GitHub's runner has it.
    pub interrupt: Duration,
    /// From SIGTERM to SIGKILL. `CLOUD_CODE_TERMINATE_SECONDS`, else 2.5, as GitHub's runner has it.
    pub terminate: Duration,
    /// From a CLI's closing record to its being stopped. `CLOUD_CODE_LINGER_SECONDS`, else 5.
    pub linger: Duration,
}

/// A variable that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not a number that makes sense.
    #[error("{name}: expected {expected}, found `{found}`")]
    Number {
        /// The variable.
        name: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A price table that cannot be used.
    #[error("CLOUD_CODE_PRICES: {0}")]
    Prices(#[from] PricesError),
    /// A price table that cannot be read.
    #[error("CLOUD_CODE_PRICES: {path}: {source}")]
    PricesFile {
        /// Where it should lie.
        path: String,
        /// The system's error.
        source: io::Error,
    },
}

impl AgentConfig {
    /// Reads a process's environment.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable that cannot be used.
    pub fn from_env(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<AgentConfig, ConfigError> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let mut environment: BTreeMap<String, String> =
            variables.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        let names = environment.remove("CLOUD_CODE_SECRETS").unwrap_or_default();
        let mut secrets = BTreeMap::new();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if let Some(value) = environment.remove(name) {
                secrets.insert(name.to_owned(), value);
            }
        }
        let mut take = |name: &'static str| environment.remove(name).filter(|value| !value.is_empty());
        let workspace =
            take("CLOUD_CODE_WORKSPACE").map_or_else(|| PathBuf::from("/workspace"), PathBuf::from);
        let mut time = |name, default| take(name).map_or(Ok(default), |found| seconds(name, &found));
        let heartbeat = time("CLOUD_CODE_HEARTBEAT_SECONDS", Duration::from_secs(5))?;
        let graces = Graces {
            interrupt: time("CLOUD_CODE_INTERRUPT_SECONDS", Duration::from_millis(7500))?,
            terminate: time("CLOUD_CODE_TERMINATE_SECONDS", Duration::from_millis(2500))?,
            linger: time("CLOUD_CODE_LINGER_SECONDS", Duration::from_secs(5))?,
        };
        let retries = match take("CLOUD_CODE_RETRY_SECONDS") {
            None => vec![Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20)],
            Some(found) => {
                found.split(',').map(|wait| parse_seconds(wait.trim())).collect::<Option<_>>().ok_or(
                    ConfigError::Number {
                        name: "CLOUD_CODE_RETRY_SECONDS",
                        expected: "seconds from 0 to 86400 with commas between them",
                        found,
                    },
                )?
            }
        };
        let log_bytes = match take("CLOUD_CODE_LOG_BYTES") {
            None => 64 * 1024 * 1024,
            Some(found) => found.parse().map_err(|_| ConfigError::Number {
                name: "CLOUD_CODE_LOG_BYTES",
                expected: "a whole number of bytes",
                found,
            })?,
        };
        let proxy = take("CLOUD_CODE_PROXY").map(PathBuf::from);
        let prices = match take("CLOUD_CODE_PRICES") {
            None => Prices::builtin()?,
            Some(path) if path.starts_with('/') => {
                let text = fs::read_to_string(&path);
                Prices::parse(&text.map_err(|source| ConfigError::PricesFile { path, source })?)?
            }
            Some(table) => Prices::parse(&table)?,
        };
        Ok(AgentConfig {
            workspace,
            secrets,
            environment,
            // A report without pause would only wear the disk out.
            heartbeat: heartbeat.max(Duration::from_millis(20)),
            graces,
            retries,
            log_bytes,
            proxy,
            prices,
        })
    }
}

fn seconds(name: &'static str, found: &str) -> Result<Duration, ConfigError> {
    parse_seconds(found).ok_or_else(|| ConfigError::Number {
        name,
        expected: "seconds from 0 to 86400",
        found: found.to_owned(),
    })
}

fn parse_seconds(text: &str) -> Option<Duration> {
    text.parse::<f64>().ok().filter(|number| (0.0..=86_400.0).contains(number)).map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<AgentConfig, ConfigError> {
        AgentConfig::from_env(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn secrets_leave_the_environment() {
        let config =
            read(&[("A", "1"), ("B", "2"), ("C", "3"), ("CLOUD_CODE_SECRETS", "A, C,MISSING,")]).unwrap();
        assert_eq!(config.environment.keys().collect::<Vec<_>>(), ["B"]);
        assert_eq!(
            config.secrets.into_iter().collect::<Vec<_>>(),
            [("A".to_owned(), "1".to_owned()), ("C".to_owned(), "3".to_owned())]
        );
    }

    #[test]
    fn numbers_are_checked() {
        let config = read(&[("CLOUD_CODE_RETRY_SECONDS", "0.5, 1"), ("CLOUD_CODE_WORKSPACE", "/w")]).unwrap();
        assert_eq!(config.retries, [Duration::from_millis(500), Duration::from_secs(1)]);
        assert_eq!(config.graces.interrupt, Duration::from_millis(7500));
        let check = |name: &str, value: &str| {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        };
        check("CLOUD_CODE_HEARTBEAT_SECONDS", "soon");
        check("CLOUD_CODE_HEARTBEAT_SECONDS", "-1");
        check("CLOUD_CODE_LINGER_SECONDS", "NaN");
        check("CLOUD_CODE_RETRY_SECONDS", "1,,2");
        check("CLOUD_CODE_LOG_BYTES", "64M");
        check("CLOUD_CODE_PRICES", "/no/such/file");
    }

    #[test]
    fn prices_are_replaced() {
        let table = "models: { m: { input: 1, output: 2 } }";
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prices.yaml");
        fs::write(&file, table).unwrap();
        for value in [table, file.to_str().unwrap()] {
            let prices = read(&[("CLOUD_CODE_PRICES", value)]).unwrap().prices;
            assert_eq!(prices.models.keys().collect::<Vec<_>>(), ["m"]);
        }
        assert!(read(&[]).unwrap().prices.find("gpt-5").is_some());
        assert!(read(&[("CLOUD_CODE_PRICES", "models: 3")]).is_err());
    }
}
