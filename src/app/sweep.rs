//! Once a minute: what time alone brings about, and what a crash left behind.

use super::{App, AppError, schedules, update};
use crate::ports::{Lane, StoreError, Stored};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::Input;
use std::collections::HashSet;
use std::time::Duration;

/// Runs looked at in one sweep.
const BATCH: usize = 500;

/// What one sweep found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Runs that were due.
    pub due: usize,
    /// Runs that were started by the clock.
    pub fired: usize,
    /// Orphans removed.
    pub removed: usize,
}

/// Sweeps. `marked` is the sweeper's memory: containers without a live attempt at the last sweep. Only what is found so
/// twice in a row is removed, since a container may be a moment older than its record.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn sweep(app: &App, marked: &mut HashSet<AttemptId>) -> Result<Swept, AppError> {
    let due = wake_due(app).await?;
    let fired = schedules::fire_due(app).await?;
    let removed = match orphans(app, marked).await {
        Ok(removed) => removed,
        Err(error) => {
            // Runs must end also while the runner is gone.
            tracing::warn!(%error, "could not look for orphans");
            0
        }
    };
    app.queue.prune().await?;
    Ok(Swept { due, fired, removed })
}

/// Lets time pass for all runs that are due, and wakes whoever executes their effects.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn wake_due(app: &App) -> Result<usize, AppError> {
    let now = app.clock.now();
    let due = app.store.due(now, BATCH).await?;
    for id in &due {
        let ticked = match update::apply(app, id, &[Input::Tick]).await {
            // One that can't be read any more must not keep the others from ending.
            Err(error) if !error.may_heal() => {
                tracing::error!(run = %id, %error, "a run could not be swept");
                continue;
            }
            other => other?,
        };
        let Some(Stored { run, version }) = ticked else { continue };
        if run.next_due_effect(now).is_some() {
            // The message that the save pushed may be lost; this key is new each minute.
            let key = format!("{id}@{version}/{}", now.as_second() / 60);
            app.queue.push(Lane::Runs, &key, id.as_str().as_bytes().to_vec(), Duration::ZERO).await?;
        }
    }
    Ok(due.len())
}

/// Looks at all containers: what those that are wanted need, they get; those that nobody wants go.
async fn orphans(app: &App, marked: &mut HashSet<AttemptId>) -> Result<usize, AppError> {
    let mut found = HashSet::new();
    let mut removed = 0;
    for listed in app.runner.list().await? {
        let id = listed.attempt;
        let run = match app.store.load(&id.run).await {
            // What it wants of its container is not known: it is left alone.
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(attempt = %id, %error, "a container's run could not be read");
                continue;
            }
            other => other?.map(|stored| stored.run),
        };
        let wanted = run
            .as_ref()
            .and_then(|run| run.attempt(&id))
            .is_some_and(|attempt| attempt.state != cloud_code_model::run::AttemptState::Done);
        let discarding = run.as_ref().is_some_and(|run| !run.outbox.is_empty());
        if wanted && listed.running {
            app.runner.renew(&id).await?;
        }
        if wanted || discarding {
            continue;
        }
        if marked.contains(&id) {
            tracing::warn!(attempt = %id, "removing an orphan");
            app.runner.remove(&id).await?;
            app.workspaces.discard(&id).await?;
            removed += 1;
        } else {
            found.insert(id);
        }
    }
    *marked = found;
    Ok(removed)
}
