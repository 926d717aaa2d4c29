//! x
use super::CommandResult;
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {}
pub(super) async fn execute(_: DemoArgs, _: &crate::config::Environment) -> CommandResult { Ok(std::process::ExitCode::SUCCESS) }
