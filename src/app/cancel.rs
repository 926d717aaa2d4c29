//! Ending a run because somebody wants it.

use super::{App, AppError, update};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Input, Run};

/// What became of the wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It is ending.
    Accepted,
    /// It had ended.
    AlreadyOver,
    /// There is no such run.
    NotFound,
}

/// Cancels a run.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn cancel(app: &App, id: &RunId, by: &str) -> Result<Cancelled, AppError> {
    let Some(stored) = app.store.load(id).await? else { return Ok(Cancelled::NotFound) };
    if stored.run.is_over() {
        return Ok(Cancelled::AlreadyOver);
    }
    update::apply(app, id, &[Input::Cancel { by: by.to_owned(), replaced_by: None }]).await?;
    Ok(Cancelled::Accepted)
}

/// Keeps a concurrency group to one run: with `cancel_in_progress` the newest stays, otherwise the oldest. Every run does
/// this after it was stored, so that of two that came at once both see the other and agree.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn settle_group(app: &App, run: &Run, cancel_in_progress: bool) -> Result<(), AppError> {
    let Some(group) = &run.group else { return Ok(()) };
    let mut active = Vec::new();
    for id in app.store.active_in_group(&run.repository.full_name(), group).await? {
        // One that is being cancelled already is no reason to end another.
        let stored = app.store.load(&id).await?;
        if stored.is_some_and(|stored| !stored.run.is_over() && stored.run.cancel.is_none()) {
            active.push(id);
        }
    }
    let stays =
        if cancel_in_progress { active.pop() } else { (!active.is_empty()).then(|| active.remove(0)) };
    let Some(stays) = stays else { return Ok(()) };
    for other in active {
        let by = format!("run {stays} of the same concurrency group");
        update::apply(app, &other, &[Input::Cancel { by, replaced_by: Some(stays.clone()) }]).await?;
    }
    Ok(())
}
