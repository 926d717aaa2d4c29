//! One run against a local folder, with no server and no account.

use crate::adapters::disk::DiskArtifacts;
use crate::adapters::memory::{MemoryQueue, MemorySecrets, MemoryStore};
use crate::adapters::vps::folder::FolderForge;
use crate::app::App;
use crate::config::AgentsConfig;
use crate::ports::{Clock, Issue, SystemClock};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::broadcast;

/// What a local run works on.
#[derive(Debug)]
pub struct LocalRun<'a> {
    /// The repository's folder.
    pub folder: &'a Path,
    /// The branch that is checked out there.
    pub branch: &'a str,
    /// The issue.
    pub issue: Issue,
    /// Mirrors, workspaces, logs.
    pub data_dir: &'a Path,
}

/// Wires the use cases to a folder: runs live in memory, git and containers are real.
///
/// # Errors
/// When the data folder can't be made.
pub fn local(agents: &AgentsConfig, run: &LocalRun<'_>) -> anyhow::Result<App> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    super::make_private(run.data_dir)?;
    let (runner, workspaces) = super::runner(agents, run.data_dir)?;
    Ok(App {
        store: Arc::new(MemoryStore::new()),
        queue: Arc::new(MemoryQueue::new(Arc::clone(&clock))),
        runner,
        artifacts: Arc::new(DiskArtifacts::new(run.data_dir)),
        workspaces,
        forge: Arc::new(FolderForge::new(run.folder, run.branch, run.issue.clone())),
        secrets: Arc::new(MemorySecrets::new()),
        clock,
        worker: "local".to_owned(),
        settings: agents.settings.clone(),
        given: crate::app::Given::default(),
        saved: broadcast::channel(1024).0,
    })
}
