//! Addresses, tokens, logging.

use super::{ConfigError, Environment};
use crate::ports::SecretText;
use std::net::SocketAddr;
use std::time::Duration;

/// How the server is reached and what it says.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it is reached; no slash at the end.
    pub public_url: Option<String>,
    /// Tokens for the API and the pages.
    pub api_tokens: Vec<SecretText>,
    /// Between two sweeps.
    pub sweep: Duration,
}

impl ServerConfig {
    pub(super) fn read(env: &Environment) -> Result<Self, ConfigError> {
        let listen = env.parsed("LISTEN_ADDR", "an address and a port, such as 127.0.0.1:8080")?;
        let tokens = env.list("API_TOKENS");
        if tokens.iter().any(|token| token.len() < 16) {
            let problem =
                "a token has less than 16 characters; make one with `openssl rand -hex 24`".to_owned();
            return Err(ConfigError { variable: "API_TOKENS", problem });
        }
        Ok(Self {
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            public_url: env.address("PUBLIC_URL")?,
            api_tokens: tokens.into_iter().map(SecretText::new).collect(),
            sweep: Duration::from_secs(
                env.parsed("SWEEP_SECONDS", "a number of seconds")?.unwrap_or(60).max(1),
            ),
        })
    }
}
