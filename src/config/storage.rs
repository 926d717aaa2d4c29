//! Where things are kept.

use super::{ConfigError, Environment};
use crate::ports::SecretText;
use std::path::PathBuf;

/// Places.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Mirrors, workspaces, artifacts; absolute.
    pub data_dir: PathBuf,
    /// `sqlite:PATH`.
    pub database_url: String,
    /// Opens the sealed secrets; made once in `data_dir` when unset.
    pub secrets_key: Option<SecretText>,
}

impl StorageConfig {
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
        if !database_url.starts_with("sqlite:") {
            let scheme = database_url.split(':').next().unwrap_or_default();
            let problem = format!("`{scheme}:` is not supported by this version; use sqlite:PATH");
            return Err(ConfigError { variable: "DATABASE_URL", problem });
        }
        Ok(Self {
            data_dir,
            database_url,
            secrets_key: env.get("CLOUD_CODE_SECRETS_KEY").map(SecretText::new),
        })
    }
}
