//! Changing a run: read, step, compare-and-set, and wake whoever executes its effects.

use super::{App, AppError};
use crate::ports::{Lane, Saved, Stored};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Input, Run, step};
use std::time::Duration;

/// Rounds of read and compare-and-set before we take it for a bug: each lost round means that somebody else made progress.
const MAX_ROUNDS: usize = 50;

/// Gives inputs to a run and saves it. `None` when there is no such run.
///
/// # Errors
/// When the store or the queue does not answer. The run is then as it was, or saved with its outbox, which the sweeper finds.
pub async fn apply(app: &App, id: &RunId, inputs: &[Input]) -> Result<Option<Stored>, AppError> {
    for _ in 0..MAX_ROUNDS {
        let Some(Stored { run: before, version }) = app.store.load(id).await? else { return Ok(None) };
        let mut run = before.clone();
        for input in inputs {
            step(&mut run, input.clone(), app.clock.now());
        }
        if run == before {
            return Ok(Some(Stored { run, version }));
        }
        if let Saved::At(version) = app.store.save(&run, version).await? {
            announce(app, &before, &run);
            wake(app, &run, version).await?;
            return Ok(Some(Stored { run, version }));
        }
    }
    Err(AppError::Bug(format!("run {id} could not be saved in {MAX_ROUNDS} rounds")))
}

/// Puts a message in line for a run whose outbox holds something, due now or later.
///
/// # Errors
/// When the queue does not answer.
pub async fn wake(app: &App, run: &Run, version: u64) -> Result<(), AppError> {
    let Some(due) = run.outbox.iter().map(|outgoing| outgoing.due_at).min() else { return Ok(()) };
    let delay = due.duration_since(app.clock.now());
    let delay = Duration::try_from(delay).unwrap_or_default();
    let key = format!("{}@{version}", run.id);
    app.queue.push(Lane::Runs, &key, run.id.as_str().as_bytes().to_vec(), delay).await?;
    Ok(())
}

fn announce(app: &App, before: &Run, after: &Run) {
    if after.is_over() && !before.is_over() {
        let conclusion = after.conclusion.map_or("unknown", |conclusion| conclusion.as_str());
        metrics::counter!(crate::metrics::RUNS, "conclusion" => conclusion).increment(1);
        let took = after.finished_at.unwrap_or(after.created_at).duration_since(after.created_at);
        metrics::histogram!(crate::metrics::RUN_DURATION).record(took.as_secs_f64());
        tracing::info!(run = %after.id, conclusion, reason = after.reason.as_deref().unwrap_or_default(), "run completed");
    }
    // Nobody listening is fine.
    let _ = app.saved.send(after.id.clone());
}
