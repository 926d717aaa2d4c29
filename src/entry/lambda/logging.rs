//! Logs of the functions: one JSON object a line on standard output, which Lambda takes to CloudWatch.

use crate::config::Environment;
use tracing_subscriber::EnvFilter;

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
    let filter = EnvFilter::try_new(format!("{directives},{QUIET}"))
        .map_err(|error| anyhow::anyhow!("LOG: {error}"))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).json();
    subscriber
        .flatten_event(true)
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}
