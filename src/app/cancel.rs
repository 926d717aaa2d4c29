//! What people want of a run: that it ends, passes an environment, runs again.

use super::{App, AppError, update};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Input, Rerun, Run};

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

/// Cancels a run: jobs that say `if: always()` go on, unless it is forced, which a run that is being cancelled may still be.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn cancel(app: &App, id: &RunId, by: &str, force: bool) -> Result<Cancelled, AppError> {
    let Some(stored) = app.store.load(id).await? else { return Ok(Cancelled::NotFound) };
    if stored.run.is_over() {
        return Ok(Cancelled::AlreadyOver);
    }
    update::apply(app, id, &[Input::Cancel { by: by.to_owned(), replaced_by: None, force }]).await?;
    Ok(Cancelled::Accepted)
}

/// Cancels one job of a run.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn cancel_job(app: &App, id: &RunId, job: &str, by: &str) -> Result<Acted, AppError> {
    act(app, id, Input::CancelJob { job: job.to_owned(), by: by.to_owned() }, |run| match run.job(job) {
        None => Err(format!("the run has no job `{job}`")),
        Some(job) if job.is_over() => Err("the job has ended".to_owned()),
        Some(_) => Ok(()),
    })
    .await
}

/// Lets a job pass its environment, or not.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn review(app: &App, id: &RunId, job: &str, by: &str, approve: bool) -> Result<Acted, AppError> {
    let (key, who) = (job.to_owned(), by.to_owned());
    let input = match approve {
        true => Input::Approve { job: key, by: who },
        false => Input::Reject { job: key, by: who },
    };
    act(app, id, input, |run| run.may_review(job, by)).await
}

/// Runs again what is over.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn rerun(app: &App, id: &RunId, what: Rerun, by: &str) -> Result<Acted, AppError> {
    let input = Input::Rerun { what, by: by.to_owned() };
    act(app, id, input, |run| match run.is_over() {
        true if what == Rerun::Failed && !run.has_failed_jobs() => Err("no job of the run failed".to_owned()),
        true => Ok(()),
        false => Err("the run has not ended".to_owned()),
    })
    .await
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// It is done.
    Done,
    /// It can't be done; why, for people.
    Refused(String),
    /// There is no such run.
    NotFound,
}

async fn act(
    app: &App,
    id: &RunId,
    input: Input,
    may: impl FnOnce(&Run) -> Result<(), String>,
) -> Result<Acted, AppError> {
    let Some(stored) = app.store.load(id).await? else { return Ok(Acted::NotFound) };
    if let Err(why) = may(&stored.run) {
        return Ok(Acted::Refused(why));
    }
    update::apply(app, id, &[input]).await?;
    Ok(Acted::Done)
}
