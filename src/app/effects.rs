//! Executing a run's outbox, one effect after the other, until nothing is due.

use super::{App, AppError, publish, tell, update, watch};
use crate::ports::{Artifact, Lane, Stored};
use cloud_code_model::ids::{AttemptId, RunId};
use cloud_code_model::run::{Effect, Input, Outgoing, Run, StopReason};
use std::time::Duration;

/// What the container printed is kept up to this size.
const MAX_CONTAINER_LOG: usize = 1024 * 1024;

/// Effects in one go; a run that wants more is put back in line, so that it can't hold a worker for ever.
const MAX_EFFECTS: usize = 100;

/// Executes what is due of a run's outbox.
///
/// # Errors
/// When the store or the queue does not answer. An effect that fails is no error: it stays in the outbox with its reason.
pub async fn advance(app: &App, id: &RunId) -> Result<(), AppError> {
    for _ in 0..MAX_EFFECTS {
        let Some(Stored { run, .. }) = app.store.load(id).await? else { return Ok(()) };
        let Some(outgoing) = run.next_due_effect(app.clock.now()).cloned() else { return Ok(()) };
        let inputs = match execute(app, &run, &outgoing).await {
            Ok(input) => {
                tracing::debug!(run = %id, effect = %outgoing.effect.key(), "effect done");
                // The effect's answer may replace the effect itself, so the record of its end comes first.
                let mut inputs = vec![Input::EffectDone { id: outgoing.id }];
                inputs.extend(input);
                inputs
            }
            Err(error) => {
                tracing::warn!(run = %id, effect = %outgoing.effect.key(), tries = outgoing.tries + 1, %error, "effect failed");
                vec![failure(&outgoing, &error)]
            }
        };
        update::apply(app, id, &inputs).await?;
    }
    Ok(())
}

fn failure(outgoing: &Outgoing, error: &AppError) -> Input {
    // A change that can't be published now, whatever the reason, is not worth more than about two hours of tries: the
    // engine gives up on the effect, and the attempt must not wait for it for ever.
    const MAX_PUBLISH_TRIES: u32 = 25;
    if let Effect::Publish { job, attempt } = &outgoing.effect {
        if outgoing.tries + 1 >= MAX_PUBLISH_TRIES || !error.may_heal() {
            let reason = format!("the change could not be published: {error}");
            return Input::PublishRefused { job: job.clone(), attempt: *attempt, reason };
        }
    }
    Input::EffectFailed { id: outgoing.id, error: error.to_string(), retry_after: error.retry_after() }
}

async fn execute(app: &App, run: &Run, outgoing: &Outgoing) -> Result<Option<Input>, AppError> {
    match &outgoing.effect {
        Effect::Launch { job, attempt } => {
            let id = run.attempt_id(job, *attempt);
            let body = serde_json::to_vec(&id).map_err(|error| AppError::Bug(error.to_string()))?;
            app.queue.push(Lane::Launches, &id.to_string(), body, Duration::ZERO).await?;
            Ok(None)
        }
        Effect::Probe { job, attempt } => {
            watch::look(app, &run.attempt_id(job, *attempt)).await?;
            Ok(None)
        }
        Effect::Stop { job, attempt, reason } => stop(app, &run.attempt_id(job, *attempt), *reason).await,
        Effect::Publish { job, attempt } => publish::publish(app, run, &run.attempt_id(job, *attempt)).await,
        Effect::Check { job, attempt } => tell::check(app, run, &run.attempt_id(job, *attempt)).await,
        Effect::Discard { job, attempt } => discard(app, &run.attempt_id(job, *attempt)).await,
        Effect::Tell => tell::tell(app, run).await,
    }
}

async fn stop(app: &App, id: &AttemptId, reason: StopReason) -> Result<Option<Input>, AppError> {
    // The agent needs a moment to pass the signal on and to save its work; one that is lost has had its time.
    let patience = if reason == StopReason::Lost { Duration::from_secs(5) } else { Duration::from_secs(30) };
    app.runner.stop(id, patience).await?;
    watch::look(app, id).await?;
    Ok(None)
}

async fn discard(app: &App, id: &AttemptId) -> Result<Option<Input>, AppError> {
    let log = app.runner.logs(id, MAX_CONTAINER_LOG).await?;
    if !log.is_empty() {
        app.artifacts.write(id, Artifact::ContainerLog, &log).await?;
    }
    app.runner.remove(id).await?;
    app.artifacts.keep(id).await?;
    app.workspaces.discard(id).await?;
    Ok(None)
}
