//! Once a minute: what time alone brings about, and what a crash left behind.

use super::{App, AppError, redeliveries, schedules, update};
use crate::ports::{Lane, Listed, StoreError, Stored};
use cloud_code_model::ids::{AttemptId, RunId};
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
    redeliveries::look_soon(app).await?;
    if let Err(error) = app.workspaces.make_room().await {
        tracing::warn!(%error, "could not make room for checkouts");
    }
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
        // One that can't be read or saved must not keep the others from ending.
        if let Err(error) = tick(app, id).await {
            tracing::error!(run = %id, %error, "a run could not be swept");
            unless_all_are_gone(app, &error).await?;
        }
    }
    Ok(due.len())
}

async fn tick(app: &App, id: &RunId) -> Result<(), AppError> {
    let now = app.clock.now();
    let Some(Stored { run, version }) = update::apply(app, id, &[Input::Tick]).await? else { return Ok(()) };
    if run.next_due_effect(now).is_some() {
        // The message that the save pushed may be lost; this key is new each minute.
        let key = format!("{id}@{version}/{}", now.as_second() / 60);
        app.queue.push(Lane::Runs, &key, id.as_str().as_bytes().to_vec(), Duration::ZERO).await?;
    }
    Ok(())
}

/// What failed for one thing may fail for it alone; where the store or the queue does not answer at all, the sweep ends.
pub(super) async fn unless_all_are_gone(app: &App, error: &AppError) -> Result<(), AppError> {
    match error {
        AppError::Store(StoreError::Unavailable(_)) => Ok(app.store.check().await?),
        AppError::Queue(_) => Ok(app.queue.depth(Lane::Runs).await.map(drop)?),
        _ => Ok(()),
    }
}

/// Looks at all containers: what those that are wanted need, they get; those that nobody wants go.
async fn orphans(app: &App, marked: &mut HashSet<AttemptId>) -> Result<usize, AppError> {
    let mut found = HashSet::new();
    let mut removed = 0;
    for listed in app.runner.list().await? {
        match care_for(app, &listed, marked).await {
            Ok(Fate::Wanted) => {}
            Ok(Fate::Removed) => removed += 1,
            Ok(Fate::Marked) => {
                found.insert(listed.attempt);
            }
            // One that can't be renewed or removed must not cost the others what they need. It stays marked, if it was.
            Err(error) => {
                tracing::error!(attempt = %listed.attempt, %error, "a container could not be looked after");
                unless_all_are_gone(app, &error).await?;
                if marked.contains(&listed.attempt) {
                    found.insert(listed.attempt);
                }
            }
        }
    }
    *marked = found;
    Ok(removed)
}

enum Fate {
    Wanted,
    Marked,
    Removed,
}

async fn care_for(app: &App, listed: &Listed, marked: &HashSet<AttemptId>) -> Result<Fate, AppError> {
    let id = &listed.attempt;
    // Where its run can't be read, what it wants of its container is not known: it is left alone.
    let run = app.store.load(&id.run).await?.map(|stored| stored.run);
    let wanted = run
        .as_ref()
        .and_then(|run| run.attempt(id))
        .is_some_and(|attempt| attempt.state != cloud_code_model::run::AttemptState::Done);
    let discarding = run.as_ref().is_some_and(|run| !run.outbox.is_empty());
    if wanted && listed.running {
        app.runner.renew(id).await?;
    }
    if wanted || discarding {
        return Ok(Fate::Wanted);
    }
    if !marked.contains(id) {
        return Ok(Fate::Marked);
    }
    tracing::warn!(attempt = %id, "removing an orphan");
    app.runner.remove(id).await?;
    app.workspaces.discard(id).await?;
    Ok(Fate::Removed)
}
