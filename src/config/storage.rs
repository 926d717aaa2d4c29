//! Where things are kept.

use super::places::{self, ArtifactsPlace, QueuePlace, SecretsPlace};
use super::{ConfigError, Environment};
use crate::ports::SecretText;
use std::path::PathBuf;

/// Places.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Mirrors, workspaces, artifacts; absolute.
    pub data_dir: PathBuf,
    /// `sqlite:PATH` or `dynamodb://TABLE`.
    pub database_url: String,
    /// The table in `database_url`, where it names one.
    pub table: Option<String>,
    /// Where the queue is.
    pub queue: QueuePlace,
    /// Where what attempts leave is kept.
    pub artifacts: ArtifactsPlace,
    /// Where secrets are.
    pub secrets: SecretsPlace,
    /// Opens the sealed secrets; made once in `data_dir` when unset.
    pub secrets_key: Option<SecretText>,
}

impl StorageConfig {
    /// The DynamoDB table that any part is in.
    pub fn any_table(&self) -> Option<&str> {
        match &self.queue {
            QueuePlace::Sqs { table, .. } => Some(self.table.as_deref().unwrap_or(table)),
            QueuePlace::Database => self.table.as_deref(),
        }
    }

    /// Whether any part is on AWS.
    pub fn needs_aws(&self) -> bool {
        self.any_table().is_some()
            || self.artifacts != ArtifactsPlace::Disk
            || matches!(self.secrets, SecretsPlace::SecretsManager { .. })
    }

    /// Reads only this part: `migrate` and `secrets` need no GitHub App.
    ///
    /// # Errors
    /// The first variable that is wrong.
    pub fn read(env: &Environment) -> Result<Self, ConfigError> {
        let data_dir = PathBuf::from(env.get("DATA_DIR").unwrap_or_default());
        let data_dir = std::path::absolute(&data_dir).map_err(|error| ConfigError {
            variable: "DATA_DIR",
            problem: format!("`{}` is no usable path: {error}", data_dir.display()),
        })?;
        let database_url = env
            .get("DATABASE_URL")
            .unwrap_or_else(|| format!("sqlite:{}", data_dir.join("cloud-code.db").display()));
        let table = places::table_of(&database_url)?;
        if table.is_none() && !database_url.starts_with("sqlite:") {
            let scheme = database_url.split(':').next().unwrap_or_default();
            let problem =
                format!("`{scheme}:` is not supported by this version; use sqlite:PATH or dynamodb://TABLE");
            return Err(ConfigError { variable: "DATABASE_URL", problem });
        }
        let artifacts = ArtifactsPlace::read(env)?;
        Ok(Self {
            data_dir,
            database_url,
            queue: QueuePlace::read(env, table.as_ref(), &artifacts)?,
            secrets: SecretsPlace::read(env)?,
            artifacts,
            table,
            secrets_key: env.get("CLOUD_CODE_SECRETS_KEY").map(SecretText::new),
        })
    }
}
