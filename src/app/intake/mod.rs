//! From a delivery to runs, or to a recorded reason why not. Decides before anything boots.

mod clock;
mod commands;
mod decide;
mod dispatch;
mod files;
pub(super) mod payload;
mod start;

pub use dispatch::{Dispatch, Dispatched, dispatch};
pub use start::{StartSpec, complete, start};

use super::{App, AppError, redeliveries, schedules};
use crate::comments;
use crate::ports::{Decision, Delivery};
use cloud_code_model::ids::{RunId, digest};
use cloud_code_model::run::Repository;
use decide::{Trigger, Verdict, Wish};
use payload::Payload;

/// Handles one delivery, from the queue. Handled twice it does the same again, which changes nothing.
///
/// # Errors
/// When a port does not answer: the delivery must then be tried again.
pub async fn handle(app: &App, delivery: &Delivery) -> Result<(), AppError> {
    if let Some(handled) = redeliveries::handle(app, delivery).await {
        return handled;
    }
    let payload: Payload = match serde_json::from_str(delivery.payload.get()) {
        Ok(payload) => payload,
        Err(error) => {
            let reason = format!("the payload has not the form of a `{}` event: {error}", delivery.event);
            return record(app, delivery, None, "ignored", reason, Vec::new()).await;
        }
    };
    if clock::is_refresh(delivery) {
        return clock::refresh(app, &payload).await;
    }
    if let Some(count) = clock::installed(app, delivery, &payload).await? {
        let reason = format!("the schedules of {count} repositories are looked at again");
        return record(app, delivery, Some(&payload), "ignored", reason, Vec::new()).await;
    }
    let mut trigger = match decide::trigger(app, delivery, &payload) {
        Ok(trigger) => trigger,
        Err(reason) => return record(app, delivery, Some(&payload), "ignored", reason, Vec::new()).await,
    };
    let mut files = None;
    if trigger.passive {
        // Nobody waits for an answer, so it is asked first whether there is anything to start.
        let found = read_files(app, &trigger.repository).await?;
        if found.workflows.iter().any(|workflow| trigger.event.asks_for_files(workflow)) {
            trigger.event.changed_files = changed_files(app, &trigger).await?;
        }
        if !found.workflows.iter().any(|workflow| trigger.event.starts(workflow).is_ok()) {
            let reason = decide::nothing_starts(&delivery.event, &payload.action);
            return record(app, delivery, Some(&payload), "ignored", reason, Vec::new()).await;
        }
        files = Some(found);
    }
    match decide::verdict(app, &trigger).await? {
        Verdict::Start(issue) => match commands::also(app, delivery, &trigger, &issue).await? {
            Some(obeyed) => obeyed_to(app, delivery, &payload, &trigger, obeyed).await,
            None => start_all(app, delivery, &payload, &trigger, issue, files).await,
        },
        Verdict::Do => {
            let obeyed = commands::obey(app, delivery, &trigger).await?;
            obeyed_to(app, delivery, &payload, &trigger, obeyed).await
        }
        Verdict::Refuse(reason) => refuse(app, delivery, &payload, &trigger, reason).await,
    }
}

/// Answers a command that was obeyed, or could not be.
async fn obeyed_to(
    app: &App,
    delivery: &Delivery,
    payload: &Payload,
    trigger: &Trigger,
    (outcome, reason, runs, text): commands::Obeyed,
) -> Result<(), AppError> {
    reply(app, delivery, trigger, &text).await?;
    record(app, delivery, Some(payload), outcome, reason, runs).await
}

/// The workflow files, and whatever they want by the clock is kept.
async fn read_files(app: &App, repository: &Repository) -> Result<files::Files, AppError> {
    let found = files::read(app, repository).await?;
    schedules::note(app, repository, &found.workflows).await?;
    Ok(found)
}

/// The files that the event's pull request changes; none where the forge will not say, and filters then take it.
async fn changed_files(app: &App, trigger: &Trigger) -> Result<Option<Vec<String>>, AppError> {
    match app.forge.changed_files(&trigger.repository, trigger.number).await {
        Ok(files) => Ok(Some(files)),
        Err(error) if !error.is_final() => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "the changed files of a pull request could not be read");
            Ok(None)
        }
    }
}

async fn refuse(
    app: &App,
    delivery: &Delivery,
    payload: &Payload,
    trigger: &Trigger,
    reason: String,
) -> Result<(), AppError> {
    // Somebody who typed a command waits for an answer; so does nobody else, and bots are never answered.
    if trigger.command && !trigger.by_bot {
        // Once for the same words to the same person on one issue: a stranger must not make us fill it with answers.
        let key = digest(&["refused", &trigger.actor.to_lowercase(), &reason]);
        answer(app, delivery, trigger, &key, &comments::refused(&trigger.actor, &reason)).await?;
    }
    record(app, delivery, Some(payload), "refused", reason, Vec::new()).await
}

async fn start_all(
    app: &App,
    delivery: &Delivery,
    payload: &Payload,
    trigger: &Trigger,
    issue: crate::ports::Issue,
    files: Option<files::Files>,
) -> Result<(), AppError> {
    let mut files = match files {
        Some(files) => files,
        None => read_files(app, &trigger.repository).await?,
    };
    let mut runs = Vec::new();
    let mut problems = std::mem::take(&mut files.errors);
    for mut workflow in std::mem::take(&mut files.workflows) {
        if trigger.event.starts(&workflow).is_err() {
            continue;
        }
        if let Err(problem) = files.complete(app, &trigger.repository, &mut workflow).await? {
            problems.push(problem);
            continue;
        }
        let instructions = match &trigger.wish {
            Wish::Start { instructions } => instructions.clone(),
            Wish::Also { words, .. } => Some(words.clone()),
            _ => None,
        };
        let spec = StartSpec {
            delivery: delivery.id.clone(),
            event: trigger.event.clone(),
            actor: trigger.actor.clone(),
            instructions,
            triggered_at: trigger.at.unwrap_or(delivery.received_at),
            repository: trigger.repository.clone(),
            issue: issue.clone(),
            semantic_key: trigger.semantic_key.clone(),
        };
        match start(app, &spec, workflow).await? {
            Ok(id) => runs.push(id),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() && !trigger.passive {
        reply(app, delivery, trigger, &comments::bad_workflows(&problems)).await?;
    }
    let (outcome, reason) = match (runs.is_empty(), problems.is_empty()) {
        (false, true) => ("started", String::new()),
        (false, false) => ("started", problems.join("; ")),
        (true, false) => ("refused", problems.join("; ")),
        (true, true) => ("ignored", "no workflow of the repository starts on this event".to_owned()),
    };
    if runs.is_empty() && problems.is_empty() && trigger.command {
        let reason = match &trigger.chosen {
            Some(name) => format!("no workflow `{name}` under `.cloud-code/` starts on `workflow_dispatch`"),
            None => reason_no_workflow().to_owned(),
        };
        reply(app, delivery, trigger, &comments::refused(&trigger.actor, &reason)).await?;
    }
    record(app, delivery, Some(payload), outcome, reason, runs).await
}

fn reason_no_workflow() -> &'static str {
    "no workflow under `.cloud-code/` on the default branch starts on this event"
}

/// Answers the person who typed a command, once however often the delivery is handled.
async fn reply(app: &App, delivery: &Delivery, trigger: &Trigger, text: &str) -> Result<(), AppError> {
    let key = digest(&["reply", &trigger.semantic_key, &delivery.event]);
    answer(app, delivery, trigger, &key, text).await
}

/// Comments on the issue, once for a key.
async fn answer(
    app: &App,
    delivery: &Delivery,
    trigger: &Trigger,
    key: &str,
    text: &str,
) -> Result<(), AppError> {
    let marker = comments::reply_marker(key);
    let body = format!("{marker}\n{text}");
    match app.forge.put_comment(&trigger.repository, trigger.number, &marker, None, &body).await {
        Ok(_) => Ok(()),
        Err(error) if error.may_heal() => Err(error.into()),
        Err(error) => {
            tracing::warn!(delivery = %delivery.id, %error, "could not answer on the issue");
            Ok(())
        }
    }
}

async fn record(
    app: &App,
    delivery: &Delivery,
    payload: Option<&Payload>,
    outcome: &str,
    reason: String,
    runs: Vec<RunId>,
) -> Result<(), AppError> {
    let repository = payload.and_then(|payload| payload.repository.as_ref());
    let decision = Decision {
        delivery: delivery.id.clone(),
        at: app.clock.now(),
        event: delivery.event.clone(),
        repository: repository.map(|repository| format!("{}/{}", repository.owner.login, repository.name)),
        subject: payload.and_then(Payload::subject),
        actor: payload.and_then(|payload| payload.sender.as_ref()).map(|sender| sender.login.clone()),
        outcome: outcome.to_owned(),
        reason,
        runs,
    };
    metrics::counter!(crate::metrics::DECISIONS, "outcome" => outcome.to_owned()).increment(1);
    tracing::info!(delivery = %decision.delivery, event = %decision.event, outcome, reason = %decision.reason, "delivery decided");
    app.store.record(&decision).await?;
    Ok(())
}

/// Names a repository that the payload describes.
fn repository_of(payload: &Payload) -> Option<Repository> {
    let repository = payload.repository.as_ref()?;
    Some(Repository {
        owner: repository.owner.login.clone(),
        name: repository.name.clone(),
        installation: payload.installation.as_ref().map_or(0, |installation| installation.id),
        default_branch: repository.default_branch.clone().unwrap_or_else(|| "main".to_owned()),
    })
}
