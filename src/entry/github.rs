//! The forge, wherever the rest stands.

use crate::adapters::github::{GitHubConfig, GitHubForge, GitHubSetupError};
use crate::config::Config;
use crate::ports::Clock;
use std::sync::Arc;

/// GitHub as the settings name it.
///
/// # Errors
/// When the App's key is none.
pub(super) fn forge(config: &Config, clock: Arc<dyn Clock>) -> Result<GitHubForge, GitHubSetupError> {
    GitHubForge::new(GitHubConfig {
        api_url: config.github.api_url.clone(),
        web_url: config.github.web_url.clone(),
        app_id: config.github.app_id,
        slug: config.github.slug.clone(),
        private_key_pem: config.github.private_key.clone(),
        clock,
    })
}
