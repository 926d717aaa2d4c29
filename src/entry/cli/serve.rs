//! `cloud-code serve` and `migrate`.

use super::{CommandResult, logging, print_line};
use crate::config::{Config, Environment, StorageConfig};
use crate::entry::vps::{self, Server, ServerOptions};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Serves until SIGTERM or SIGINT.
pub(super) async fn serve(env: &Environment) -> CommandResult {
    logging::start(env, false)?;
    let config = Config::read(env)?;
    let _held = vps::take_over(&config.storage).await?;
    let app = Arc::new(vps::app(&config).await?);
    let options = ServerOptions::new(&config, crate::metrics::install()?);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = Server::start(app, options).await?;
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: taking no more work; running containers live on"),
        _ = int.recv() => tracing::info!("SIGINT: taking no more work; running containers live on"),
    }
    server.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the database once, which brings it up to date.
pub(super) async fn migrate(env: &Environment) -> CommandResult {
    logging::start(env, true)?;
    let storage = StorageConfig::read(env)?;
    vps::migrate(&storage).await?;
    print_line(&format!("{} is up to date", storage.database_url))?;
    Ok(ExitCode::SUCCESS)
}
