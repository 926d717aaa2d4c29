//! Executing a run's outbox, one effect after the other, until nothing is due.

use super::{App, AppError, additions, groups, publish, tell, update, watch};
use crate::ports::{Artifact, Lane, Stored};
use cloud_code_model::ids::{AttemptId, RunId};
use cloud_code_model::run::{Effect, Input, Outgoing, Run, StopReason};
use std::time::{Duration, Instant};
use tracing::Instrument;

/// What the container printed is kept up to this size.
const MAX_CONTAINER_LOG: usize = 1024 * 1024;

/// Effects in one go; a run that wants more is put back in line, so that it can't hold a worker for ever.
const MAX_EFFECTS: usize = 100;

/// How long a claim lasts without being renewed; it is renewed before each effect, and while one goes on.
const CLAIM_SECONDS: i64 = 300;

/// How often the claim is renewed while an effect goes on.
const RENEW_EVERY: Duration = Duration::from_secs(CLAIM_SECONDS.unsigned_abs() / 3);

/// After this time no further effect is begun in one go: what executes it may be a function, whose own time ends.
const MAX_TURN: Duration = Duration::from_secs(60);

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
    let began = Instant::now();
    let begin = Input::Begin { by: app.worker.clone(), seconds: CLAIM_SECONDS };
    let mut inputs = Vec::new();
    for done in 0..MAX_EFFECTS {
        if done > 0 && began.elapsed() >= MAX_TURN {
            break;
        }
        let Some(Stored { run, .. }) = app.store.load(id).await? else { return Ok(Advanced::Idle) };
        let now = app.clock.now();
        if inputs.is_empty() && run.next_due_effect(now).is_none() {
            return Ok(Advanced::Idle);
        }
        // One write says both: how the last effect ended, and that we begin the next.
        inputs.push(begin.clone());
        let Some(Stored { run, .. }) = update::apply(app, id, &std::mem::take(&mut inputs)).await? else {
            return Ok(Advanced::Idle);
        };
        if run.claim.as_ref().is_none_or(|claim| claim.by != app.worker) {
            return Ok(Advanced::Again);
        }
        let Some(outgoing) = run.under_way().cloned() else {
            let release = Input::Release { by: app.worker.clone() };
            let released = update::apply(app, id, &[release]).await?;
            let more = released.is_some_and(|stored| stored.run.next_due_effect(app.clock.now()).is_some());
            return Ok(if more { Advanced::Again } else { Advanced::Idle });
        };
        let span = tracing::info_span!("effect", run = %id, effect = %outgoing.effect.key());
        let effect = execute(app, &run, &outgoing);
        match limited(app.settings.effect_limit, RENEW_EVERY, || renew(app, id), effect)
            .instrument(span)
            .await
        {
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

/// Executes an effect within `limit`, and calls `renew` after each `every` meanwhile.
async fn limited<T, R: Future<Output = ()>>(
    limit: Duration,
    every: Duration,
    renew: impl Fn() -> R,
    effect: impl Future<Output = Result<T, AppError>>,
) -> Result<T, AppError> {
    let renewing = async {
        loop {
            tokio::time::sleep(every).await;
            renew().await;
        }
    };
    let renewed = async {
        tokio::select! {
            biased;
            done = effect => done,
            never = renewing => never,
        }
    };
    tokio::time::timeout(limit, renewed).await.unwrap_or(Err(AppError::TimedOut(limit)))
}

/// Keeps the run ours; where that fails, the claim's own time still stands.
async fn renew(app: &App, id: &RunId) {
    let claim = Input::Claim { by: app.worker.clone(), seconds: CLAIM_SECONDS };
    if let Err(error) = update::apply(app, id, &[claim]).await {
        tracing::warn!(run = %id, %error, "the claim could not be renewed");
    }
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
        Effect::Enter { ticket, .. } => groups::enter(app, run, *ticket).await.map(|()| None),
        Effect::Leave { ticket, group } => groups::leave(app, run, *ticket, group).await.map(|()| None),
        Effect::Check { job, attempt } => tell::check(app, run, &run.attempt_id(job, *attempt)).await,
        Effect::Discard { job, attempt } => discard(app, &run.attempt_id(job, *attempt)).await,
        Effect::Append { job, attempt } => {
            additions::append(app, run, &run.attempt_id(job, *attempt)).await.map(|()| None)
        }
        Effect::FollowUp { comment } => additions::follow_up(app, run, *comment).await.map(|()| None),
        Effect::Tell => tell::tell(app, run).await,
    }
}

async fn stop(app: &App, id: &AttemptId, reason: StopReason) -> Result<Option<Input>, AppError> {
    // The agent needs a moment to pass the signal on and to save its work; one that is lost has had its time.
    let patience = match reason {
        StopReason::Lost | StopReason::NotStarted => Duration::from_secs(5),
        StopReason::Cancelled | StopReason::TimedOut => app.runner.stop_patience(),
    };
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
    app.given.forget(id);
    Ok(None)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_effect_without_an_end_is_a_failed_try_and_holds_its_claim_until_then() {
        let renewed = std::cell::Cell::new(0);
        let hangs = std::future::pending::<Result<(), AppError>>();
        let renew = || {
            renewed.set(renewed.get() + 1);
            std::future::ready(())
        };
        let (limit, every) = (Duration::from_millis(300), Duration::from_millis(1));
        assert!(limited(limit, every, renew, hangs).await.unwrap_err().may_heal());
        assert!(renewed.get() >= 3, "{}", renewed.get());
        let now = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        let outgoing =
            Outgoing { id: 7, effect: Effect::Tell, tries: 0, due_at: now, error: None, interrupted: 0 };
        let error = "no end after 0.3 s".to_owned();
        assert_eq!(
            failure(&outgoing, &AppError::TimedOut(limit)),
            Input::EffectFailed { id: 7, error, retry_after: None }
        );
    }
}
