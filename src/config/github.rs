//! The GitHub App.

use super::{ConfigError, Environment};
use crate::ports::SecretText;

/// Characters of the webhook's secret: who guesses it starts runs.
const MIN_SECRET: usize = 16;

/// Who we are on GitHub, and which GitHub.
#[derive(Debug, Clone)]
pub struct GitHubConfig {
    /// Web address, no slash at the end.
    pub web_url: String,
    /// API address, no slash at the end.
    pub api_url: String,
    /// The App's id.
    pub app_id: u64,
    /// The App's slug.
    pub slug: String,
    /// The App's private key, PEM.
    pub private_key: SecretText,
    /// Verifies deliveries.
    pub webhook_secret: SecretText,
}

impl GitHubConfig {
    /// Reads only the webhook's secret: whoever takes deliveries in needs no more.
    ///
    /// # Errors
    /// When it is missing or can be guessed.
    pub fn webhook_secret_of(env: &Environment) -> Result<SecretText, ConfigError> {
        let webhook_secret = env.required("GITHUB_WEBHOOK_SECRET")?;
        let length = webhook_secret.chars().count();
        if length < MIN_SECRET {
            let problem = format!(
                "it has {length} characters, which can be guessed; set one of at least {MIN_SECRET} here and in the App's \
                 settings, such as `openssl rand -hex 24` makes"
            );
            return Err(ConfigError { variable: "GITHUB_WEBHOOK_SECRET", problem });
        }
        Ok(SecretText::new(webhook_secret))
    }

    pub(super) fn read(env: &Environment) -> Result<Self, ConfigError> {
        let webhook_secret = Self::webhook_secret_of(env)?;
        let web_url = env.address("GITHUB_URL")?.unwrap_or_default();
        let api_url = env.address("GITHUB_API_URL")?.unwrap_or_else(|| match web_url.as_str() {
            "https://github.com" => "https://api.github.com".to_owned(),
            other => format!("{other}/api/v3"),
        });
        env.required("GITHUB_APP_ID")?;
        let app_id =
            env.parsed("GITHUB_APP_ID", "a number: the App's id, not its client id")?.unwrap_or_default();
        Ok(Self {
            web_url,
            api_url,
            app_id,
            slug: env.required("GITHUB_APP_NAME")?,
            private_key: private_key(env)?,
            webhook_secret,
        })
    }
}

fn private_key(env: &Environment) -> Result<SecretText, ConfigError> {
    let (variable, pem) = match (env.get("GITHUB_PRIVATE_KEY"), env.get("GITHUB_PRIVATE_KEY_FILE")) {
        (Some(pem), _) => ("GITHUB_PRIVATE_KEY", pem.replace("\\n", "\n")),
        (None, Some(file)) if file.contains("-----BEGIN") => {
            let problem = "it holds a key, not a file's path; set GITHUB_PRIVATE_KEY to the key instead";
            return Err(ConfigError { variable: "GITHUB_PRIVATE_KEY_FILE", problem: problem.to_owned() });
        }
        (None, Some(file)) => {
            let read = std::fs::read_to_string(&file).map_err(|error| ConfigError {
                variable: "GITHUB_PRIVATE_KEY_FILE",
                problem: format!("`{file}` can't be read: {error}"),
            })?;
            ("GITHUB_PRIVATE_KEY_FILE", read)
        }
        (None, None) => {
            let problem = "it, or GITHUB_PRIVATE_KEY_FILE, must be set: the GitHub App's private key, from the App's settings page";
            return Err(ConfigError { variable: "GITHUB_PRIVATE_KEY", problem: problem.to_owned() });
        }
    };
    if !pem.contains("PRIVATE KEY-----") {
        let problem =
            "this is no PEM private key (it has no line `-----BEGIN … PRIVATE KEY-----`)".to_owned();
        return Err(ConfigError { variable, problem });
    }
    Ok(SecretText::new(pem))
}
