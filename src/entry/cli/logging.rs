//! Logs, on standard error: standard output belongs to what a command prints.

use crate::config::Environment;
use tracing_subscriber::EnvFilter;

/// Never more than this of libraries that log bodies, headers or environments; octocrab only says again what we say.
const QUIET: &str = "bollard=warn,octocrab=off,hyper=warn,h2=warn,ureq=warn,ureq_proto=warn,rustls=warn,tower_http=off,sqlx=warn";

/// Starts logging as LOG and LOG_FORMAT say, `quiet` unless LOG is set: the commands for people show progress instead.
///
/// # Errors
/// When LOG is no filter or LOG_FORMAT is unknown.
pub(super) fn start(env: &Environment, quiet: bool) -> anyhow::Result<()> {
    let level = match env.log_filter() {
        (filter, true) => filter,
        (_, false) if quiet => "error".to_owned(),
        (default, false) => default,
    };
    // The libraries underneath speak of connections at info; ours are the events that matter. octocrab calls every answer
    // that is no success an error, where the adapter handles it, and says so where it can't.
    let directives = if level.contains('=') || level.contains(',') {
        level
    } else {
        format!("warn,octocrab=off,cloud_code={level},cloud_code_git={level}")
    };
    // bollard logs what Docker answers, a container's environment with its secrets included, below info.
    let directives = format!("{directives},{QUIET}");
    let filter = EnvFilter::try_new(&directives).map_err(|error| anyhow::anyhow!("LOG: {error}"))?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match env.log_format().as_str() {
        "json" => builder.json().flatten_event(true).init(),
        "text" => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        other => anyhow::bail!("LOG_FORMAT: `{other}` is neither text nor json"),
    }
    Ok(())
}
