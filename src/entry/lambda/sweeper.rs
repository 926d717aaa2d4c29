//! Once a minute: what time alone brings about, and what an event missed.

use super::Function;
use crate::app::{sweep, watch};
use cloud_code_model::ids::AttemptId;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The sweeper.
pub struct Sweeper {
    function: Function,
    /// Containers without an attempt at the last sweep. A new process begins without any, and so waits a minute longer.
    marked: Mutex<HashSet<AttemptId>>,
}

/// What one sweep found, for whoever reads the function's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Runs that were due.
    pub due: usize,
    /// Runs that were started by the clock.
    pub fired: usize,
    /// Orphans removed.
    pub removed: usize,
    /// Attempts looked at.
    pub looked_at: usize,
}

impl Sweeper {
    /// See [`Function::load`].
    ///
    /// # Errors
    /// The first setting that is missing or wrong.
    pub async fn load() -> anyhow::Result<Self> {
        Ok(Self::new(Function::load().await?))
    }

    /// On this function.
    pub fn new(function: Function) -> Self {
        Self { function, marked: Mutex::default() }
    }

    /// Sweeps.
    ///
    /// # Errors
    /// When the store or the queue does not answer.
    pub async fn sweep(&self) -> anyhow::Result<Swept> {
        let app = Arc::clone(&self.function.app);
        // First what only this can do: all else has another chance.
        let swept = sweep::sweep(&app, &mut *self.marked.lock().await).await?;
        let mut looked_at = 0;
        let listed = app.runner.list().await?;
        let running = listed.iter().filter(|listed| listed.running).count();
        let room = self.function.config.agents.concurrency.saturating_sub(running);
        if room > 0 {
            self.function.unpark(room).await;
        }
        for listed in listed {
            match watch::look(&app, &listed.attempt).await {
                Ok(()) => looked_at += 1,
                Err(error) => {
                    tracing::warn!(attempt = %listed.attempt, %error, "could not look at the attempt")
                }
            }
        }
        let sweep::Swept { due, fired, removed } = swept;
        tracing::debug!(due, fired, removed, looked_at, "swept");
        Ok(Swept { due, fired, removed, looked_at })
    }
}
