//! Settings, read from the environment once, at the edge. Nothing else in the program reads the environment.

mod agents;
mod github;
mod places;
mod server;
mod storage;
pub mod variables;
mod vault;

pub use agents::{AgentsConfig, RunnerKind};
pub use github::GitHubConfig;
pub use places::{ArtifactsPlace, EcsCapacity, EcsPlace, QueuePlace, SecretsPlace};
pub use server::ServerConfig;
pub use storage::StorageConfig;
pub use vault::{VaultCredential, VaultLogin, VaultPlace};

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
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// Names only: among the values are secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// With further variables, which count less than those that are set.
    #[must_use]
    pub fn with(mut self, more: BTreeMap<String, String>) -> Self {
        for (name, value) in more {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// The Secrets Manager secrets that hold further variables, each as a JSON object.
    pub fn config_secrets(&self) -> Vec<String> {
        self.list("CONFIG_SECRET")
    }

    /// The process's environment.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// The value of a variable that stands in [`VARIABLES`] or is a CLI's; an empty one counts as unset; its default where it has one.
    fn get(&self, name: &'static str) -> Option<String> {
        let variable = VARIABLES.iter().find(|variable| variable.name == name);
        let of_cli = || cloud_code_model::cli::VARIABLES.iter().any(|variable| variable.name == name);
        debug_assert!(variable.is_some() || of_cli(), "{name} is not in the table of variables");
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

    /// A number within `range`. NaN is in no range.
    fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<T>,
    ) -> Result<Option<T>, ConfigError> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let parsed = self.parsed::<T>(name, &expected)?;
        match parsed {
            Some(number) if !range.contains(&number) => {
                Err(ConfigError { variable: name, problem: format!("{number} is not {expected}") })
            }
            number => Ok(number),
        }
    }

    /// An address of the web, without a slash at the end.
    fn address(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let problem = |problem: &str| ConfigError { variable: name, problem: problem.to_owned() };
        let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        match host {
            // The value stays out of the message: it may hold a password.
            Some(host) if host.contains('@') => {
                Err(problem("a user name or password can't stand in the address; take it out"))
            }
            Some(host) if !host.is_empty() && !value.contains(char::is_whitespace) => {
                Ok(Some(value.trim_end_matches('/').to_owned()))
            }
            _ => Err(problem(&format!(
                "`{value}` is no web address; write it with its scheme, as in https://cloud-code.example.com"
            ))),
        }
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
        let config = Self {
            server: ServerConfig::read(env)?,
            github: GitHubConfig::read(env)?,
            storage: StorageConfig::read(env)?,
            agents: AgentsConfig::read(env)?,
        };
        places::agree(&config.storage, &config.agents)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\\nc2VjcmV0\\n-----END RSA PRIVATE KEY-----";

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut env = BTreeMap::from([
            ("GITHUB_WEBHOOK_SECRET", "a secret of good length"),
            ("GITHUB_APP_ID", "1"),
            ("GITHUB_APP_NAME", "cloud-code"),
            ("GITHUB_PRIVATE_KEY", KEY),
            ("ANTHROPIC_API_KEY", "sk-very-secret"),
        ]);
        env.extend(changes.iter().copied());
        Config::read(&env.into_iter().collect())
    }

    #[test]
    fn every_mistake_is_told_by_its_variable() {
        assert!(read(&[]).is_ok());
        for (variable, value, expected) in [
            ("GITHUB_WEBHOOK_SECRET", "", "must be set"),
            ("GITHUB_WEBHOOK_SECRET", "short", "has 5 characters"),
            ("PUBLIC_URL", "cloud-code.example.com", "with its scheme"),
            ("PUBLIC_URL", "ftp://cloud-code.example.com", "with its scheme"),
            ("PUBLIC_URL", "https://", "with its scheme"),
            ("GITHUB_URL", "https://ann:hunter2@github.example.com", "a user name or password"),
            ("GITHUB_API_URL", "api.github.com", "with its scheme"),
            ("GITHUB_APP_ID", "Iv1.abc", "not its client id"),
            ("BUDGET_USD", "NaN", "is not a number from"),
            ("BUDGET_USD", "-1", "is not a number from"),
            ("BUDGET_USD", "inf", "is not a number from"),
            ("SILENCE_MINUTES", "0", "is not a number from"),
            ("LEASE_SECONDS", "9223372036854775807", "is not a number from"),
            ("AGENT_MEMORY_MB", "18446744073709551615", "is not a number from"),
            ("AGENT_MEMORY_MB", "1", "is not a number from"),
            ("AGENT_CPUS", "NaN", "is not a number from"),
            ("AGENT_PIDS", "0", "is not a number from"),
            ("CONCURRENCY", "0", "is not a number from"),
            ("PROTECTED_PATHS", "src/,/", "is no folder of a repository"),
            ("PROTECTED_PATHS", "*.yml", "patterns"),
            ("PROTECTED_PATHS", "a/../b", "is no folder of a repository"),
            ("NETWORK", "closed", "`none`, `restricted` or `open`"),
            ("NETWORK_ALLOW", "pypi,https://x", "`https://x` names no host"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err();
            assert_eq!(error.variable, variable, "{value}: {error}");
            assert!(error.problem.contains(expected), "{error} lacks {expected}");
            assert!(!error.problem.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_key_in_the_wrong_variable_is_not_shown() {
        let error = read(&[("GITHUB_PRIVATE_KEY", ""), ("GITHUB_PRIVATE_KEY_FILE", KEY)]).unwrap_err();
        assert!(error.problem.contains("GITHUB_PRIVATE_KEY"), "{error}");
        assert!(!error.to_string().contains("c2VjcmV0"), "{error}");
    }

    #[test]
    fn protected_paths_mean_what_they_say() {
        let config = read(&[("PROTECTED_PATHS", "/.github/, ./Makefile,infra//")]).unwrap();
        assert_eq!(config.agents.settings.policy.protected, [".github/", "Makefile/", "infra/"]);
        assert!(config.agents.settings.policy.protects(".github/workflows/ci.yml").is_some());
    }

    #[test]
    fn what_cannot_go_together_is_refused() {
        const SQS: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/cloud-code";
        let aws = [
            ("DATABASE_URL", "dynamodb://cloud-code"),
            ("QUEUE_URL", SQS),
            ("ARTIFACTS_URL", "s3://cloud-code"),
            ("SECRETS_URL", "secretsmanager://cloud-code"),
            ("RUNNER", "ecs"),
            ("ECS_CLUSTER", "c"),
            ("ECS_SUBNETS", "subnet-1,subnet-2"),
            ("ECS_LINKS_ROLE", "arn:aws:iam::123456789012:role/links"),
            ("ECS_LOG_GROUP", "/cloud-code/agents"),
        ];
        let with = |changes: &[(&'static str, &'static str)]| {
            let mut all: Vec<(&str, &str)> = aws.to_vec();
            all.extend(changes);
            read(&all)
        };
        let config = with(&[]).unwrap();
        let table = "cloud-code".to_owned();
        let queue = QueuePlace::Sqs { url: SQS.to_owned(), table: table.clone(), bucket: table.clone() };
        assert_eq!((config.storage.queue, config.storage.table), (queue, Some(table)));
        // SQS with Docker and SQLite; S3 artifacts with Docker and SQLite.
        let mixed = format!("{SQS}?table=t&bucket=b");
        assert!(read(&[("QUEUE_URL", &mixed)]).unwrap().storage.needs_aws());
        assert!(read(&[("ARTIFACTS_URL", "s3://b")]).unwrap().storage.needs_aws());
        assert!(!read(&[]).unwrap().storage.needs_aws());
        for (changes, variable, words) in [
            (&[("QUEUE_URL", "")][..], "QUEUE_URL", "is no queue"),
            (&[("DATABASE_URL", "")], "QUEUE_URL", "?table=TABLE"),
            (&[("ARTIFACTS_URL", "")], "QUEUE_URL", "256 KB"),
            (
                &[("QUEUE_URL", "https://sqs.x.amazonaws.com/1/q?table=t&bucket=b"), ("ARTIFACTS_URL", "")],
                "ARTIFACTS_URL",
                "disk is not",
            ),
            (&[("QUEUE_URL", ""), ("DATABASE_URL", "")], "DATABASE_URL", "remembers its tasks"),
            (&[("QUEUE_URL", "redis://localhost")], "QUEUE_URL", "SQS queues"),
            (
                &[("QUEUE_URL", "https://sqs.x.amazonaws.com/1/q?tabel=t")],
                "QUEUE_URL",
                "`tabel` is not known",
            ),
            (&[("DATABASE_URL", "dynamodb://a b")], "DATABASE_URL", "no table's name"),
            (&[("DATABASE_URL", "postgres://u:hunter2@h/d")], "DATABASE_URL", "not supported"),
            (&[("ARTIFACTS_URL", "s3://b/prefix")], "ARTIFACTS_URL", "s3://BUCKET"),
            (&[("ARTIFACTS_URL", "gs://b")], "ARTIFACTS_URL", "s3://BUCKET"),
            (&[("SECRETS_URL", "secretsmanager://")], "SECRETS_URL", "can't begin"),
            (&[("SECRETS_URL", "keychain:kv")], "SECRETS_URL", "secretsmanager://"),
            (&[("ECS_SUBNETS", "")], "ECS_SUBNETS", "subnets"),
            (&[("ECS_CLUSTER", "")], "ECS_CLUSTER", "must be set"),
            (&[("ECS_CAPACITY", "cheap")], "ECS_CAPACITY", "spot-or-on-demand"),
        ] {
            let error = with(changes).unwrap_err();
            assert_eq!(error.variable, variable, "{changes:?}: {error}");
            assert!(error.problem.contains(words), "{error} lacks {words}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debugging_shows_no_secret() {
        let config = read(&[("API_TOKENS", "0123456789abcdef-token")]).unwrap();
        let environment: Environment = [("ANTHROPIC_API_KEY", "sk-very-secret")].into_iter().collect();
        let text = format!("{config:?} {environment:?}");
        for secret in ["sk-very-secret", "c2VjcmV0", "0123456789abcdef-token", "a secret of good length"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}
