//! Logs of the functions: one JSON object a line on standard output, which Lambda takes to CloudWatch.

use crate::config::Environment;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries that speak of requests, and so of credentials, at lower levels.
const QUIET: &str =
    "aws_config=warn,aws_runtime=warn,aws_sdk=warn,aws_smithy_runtime=warn,octocrab=off,hyper=warn,ureq=warn";

/// Starts logging as LOG says.
pub(super) fn start(env: &Environment) -> anyhow::Result<()> {
    let (level, _) = env.log_filter();
    let directives = if level.contains('=') || level.contains(',') {
        level
    } else {
        format!("warn,cloud_code={level},cloud_code_git={level}")
    };
    // No filter by spans and their fields, as the program itself has it: that brings regular expressions, a tenth of the webhook.
    let filter: Targets =
        format!("{directives},{QUIET}").parse().map_err(|error| anyhow::anyhow!("LOG: {error}"))?;
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}
