//! Executing a run's outbox, one effect after the other, until nothing is due.

use super::{App, AppError, publish, tell, update, watch};
use crate::ports::{Artifact, Lane, Stored};
use cloud_code_model::ids::{AttemptId, RunId};
use cloud_code_model::run::{Effect, Input, Outgoing, Run, StopReason};
use std::time::Duration;
use tracing::Instrument;

/// What the container printed is kept up to this size.
const MAX_CONTAINER_LOG: usize = 1024 * 1024;

/// Effects in one go; a run that wants more is put back in line, so that it can't hold a worker for ever.
const MAX_EFFECTS: usize = 100;

/// How long a claim lasts without being renewed; it is renewed before each effect.
const CLAIM_SECONDS: i64 = 300;

/// What became of a try to execute an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advanced {
    /// Nothing is due any more.
    Idle,
    /// Something may still be due: come back soon.
    Again,
}

/// Executes what is due of a run's outbox. The caller sees to it that this process does so for one run only once at a
/// time; the claim sees to it among processes.
///
/// # Errors
/// When the store or the queue does not answer. An effect that fails is no error: it stays in the outbox with its reason.
pub async fn advance(app: &App, id: &RunId) -> Result<Advanced, AppError> {
    let claim = Input::Claim { by: app.worker.clone(), seconds: CLAIM_SECONDS };
    let mut inputs = Vec::new();
    for _ in 0..MAX_EFFECTS {
        let Some(Stored { run, .. }) = app.store.load(id).await? else { return Ok(Advanced::Idle) };
        let now = app.clock.now();
        if inputs.is_empty() && run.next_due_effect(now).is_none() {
            return Ok(Advanced::Idle);
        }
        // One write says both: how the last effect ended, and that we go on.
        inputs.push(claim.clone());
        let Some(Stored { run, .. }) = update::apply(app, id, &std::mem::take(&mut inputs)).await? else {
            return Ok(Advanced::Idle);
        };
        if run.claim.as_ref().is_none_or(|claim| claim.by != app.worker) {
            return Ok(Advanced::Again);
        }
        let Some(outgoing) = run.next_due_effect(app.clock.now()).cloned() else {
            let release = Input::Release { by: app.worker.clone() };
            let released = update::apply(app, id, &[release]).await?;
            let more = released.is_some_and(|stored| stored.run.next_due_effect(app.clock.now()).is_some());
            return Ok(if more { Advanced::Again } else { Advanced::Idle });
        };
        let span = tracing::info_span!("effect", run = %id, effect = %outgoing.effect.key());
        match execute(app, &run, &outgoing).instrument(span).await {
            Ok(input) => {
                tracing::debug!(run = %id, effect = %outgoing.effect.key(), "effect done");
                // The effect's answer may replace the effect itself, so the record of its end comes first.
                inputs.push(Input::EffectDone { id: outgoing.id });
                inputs.extend(input);
            }
            Err(error) => {
                let tries = outgoing.tries + 1;
                tracing::warn!(run = %id, effect = %outgoing.effect.key(), tries, %error, "effect failed");
                inputs.push(failure(&outgoing, &error));
            }
        }
    }
    inputs.push(Input::Release { by: app.worker.clone() });
    update::apply(app, id, &inputs).await?;
    Ok(Advanced::Again)
}

fn failure(outgoing: &Outgoing, error: &AppError) -> Input {
    // A change that can't be published now, whatever the reason, is not worth more than about two hours of tries: the
    // engine gives up on the effect, and the attempt must not wait for it for ever.
    const MAX_PUBLISH_TRIES: u32 = 25;
    if let Effect::Publish { job, attempt } = &outgoing.effect
        && (outgoing.tries + 1 >= MAX_PUBLISH_TRIES || !error.may_heal())
    {
        let reason = format!("the change could not be published: {error}");
        return Input::PublishRefused { job: job.clone(), attempt: *attempt, reason, pushed: None };
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
