//! What people ask of runs by a comment: cancel, approve, reject, rerun.

use super::decide::{Trigger, Wish};
use crate::app::cancel::{self, Acted};
use crate::app::{App, AppError};
use crate::comments;
use crate::ports::{Delivery, RunFilter, StoreError};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Rerun, Run};

/// The decision's outcome and reason, the runs it touched, and the answer.
type Obeyed = (&'static str, String, Vec<RunId>, String);

pub(super) async fn obey(app: &App, delivery: &Delivery, trigger: &Trigger) -> Result<Obeyed, AppError> {
    let actor = trigger.actor.as_str();
    match &trigger.wish {
        Wish::Review { job, approve } => review(app, trigger, job.as_deref(), *approve).await,
        Wish::Rerun { all } => rerun(app, delivery, trigger, *all).await,
        _ => {
            let force = trigger.wish == Wish::Cancel { force: true };
            let runs = cancel_all(app, delivery, trigger, force).await?;
            let text = comments::cancelled_by_command(actor, runs.len(), force);
            Ok(("cancelled", format!("{} run(s) cancelled", runs.len()), runs, text))
        }
    }
}

async fn review(app: &App, trigger: &Trigger, job: Option<&str>, approve: bool) -> Result<Obeyed, AppError> {
    let (mut touched, mut jobs, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for id in app.store.active_on(&trigger.repository.full_name(), trigger.number).await? {
        let Some(run) = read(app, &id).await? else { continue };
        let waiting: Vec<String> = run
            .awaiting_review()
            .map(|job| job.key.clone())
            .filter(|key| job.is_none_or(|job| job == key))
            .collect();
        for key in waiting {
            match cancel::review(app, &id, &key, &trigger.actor, approve).await? {
                Acted::Done => jobs.push(key),
                Acted::Refused(why) => refusals.push(why),
                Acted::NotFound => {}
            }
        }
        touched.push(id);
    }
    let outcome = if approve { "approved" } else { "rejected" };
    if !jobs.is_empty() {
        let text = comments::reviewed(&trigger.actor, &jobs, approve);
        return Ok((outcome, jobs.join(", "), touched, text));
    }
    let why = refusals.pop().unwrap_or_else(|| "no job waits for an approval here".to_owned());
    Ok(("refused", why.clone(), Vec::new(), comments::not_done(&trigger.actor, &why)))
}

async fn rerun(app: &App, delivery: &Delivery, trigger: &Trigger, all: bool) -> Result<Obeyed, AppError> {
    let what = if all { Rerun::All } else { Rerun::Failed };
    let filter =
        RunFilter { repository: Some(trigger.repository.full_name()), limit: 200, ..RunFilter::default() };
    let page = app.store.list(&filter).await?;
    let last = page.items.into_iter().find(|run| run.subject == trigger.number);
    let (id, why) = match last {
        None => (None, "there is no run on this issue".to_owned()),
        Some(last) => {
            let before = read(app, &last.id).await?;
            // Handled again after a crash, it finds what it did.
            let mine = |run: &Run| run.rerun_by.as_deref() == Some(trigger.actor.as_str()) && !run.is_over();
            let since = |run: &Run| run.history.last().is_some_and(|entry| entry.at >= delivery.received_at);
            if before.is_some_and(|run| mine(&run) && since(&run)) {
                (Some(last.id), String::new())
            } else {
                match cancel::rerun(app, &last.id, what, &trigger.actor).await? {
                    Acted::Done => (Some(last.id), String::new()),
                    Acted::Refused(why) => (None, why),
                    Acted::NotFound => (None, "there is no run on this issue".to_owned()),
                }
            }
        }
    };
    match id {
        Some(id) => Ok(("started", String::new(), vec![id], comments::rerun(&trigger.actor, all))),
        None => Ok(("refused", why.clone(), Vec::new(), comments::not_done(&trigger.actor, &why))),
    }
}

async fn read(app: &App, id: &RunId) -> Result<Option<Run>, AppError> {
    match app.store.load(id).await {
        Err(error @ StoreError::Corrupt(_)) => {
            tracing::error!(run = %id, %error, "a run could not be read");
            Ok(None)
        }
        other => Ok(other?.map(|stored| stored.run)),
    }
}

async fn cancel_all(
    app: &App,
    delivery: &Delivery,
    trigger: &Trigger,
    force: bool,
) -> Result<Vec<RunId>, AppError> {
    let mut cancelled = Vec::new();
    for id in app.store.active_on(&trigger.repository.full_name(), trigger.number).await? {
        let Some(run) = read(app, &id).await? else { continue };
        if was_there(&run, delivery) {
            cancel::cancel(app, &id, &trigger.actor, force).await?;
            cancelled.push(id);
        }
    }
    Ok(cancelled)
}

/// Whether a run was asked for before this delivery came: one that is handled late, or again after a crash, must not end
/// what people asked for since.
fn was_there(run: &Run, delivery: &Delivery) -> bool {
    let asked = run.context["cloud_code"]["triggered_at"].as_str().and_then(|text| text.parse().ok());
    run.created_at.min(asked.unwrap_or(run.created_at)) <= delivery.received_at
}
