//! What people ask of runs by a comment: that they do something more, cancel, approve, reject, rerun.

use super::decide::{Trigger, Wish};
use crate::app::cancel::{self, Acted};
use crate::app::continuation;
use crate::app::{App, AppError, update};
use crate::comments;
use crate::ports::{Delivery, Issue, RunFilter, Source, StoreError};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Addition, Input, Rerun, Run};

/// The decision's outcome and reason, the runs it touched, and the answer.
pub(super) type Obeyed = (&'static str, String, Vec<RunId>, String);

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

/// Gives words to the runs under way that would hear them; none where there is no such run, or nobody wants to say anything to one.
pub(super) async fn also(
    app: &App,
    delivery: &Delivery,
    trigger: &Trigger,
    issue: &Issue,
) -> Result<Option<Obeyed>, AppError> {
    let Wish::Also { comment, words } = &trigger.wish else { return Ok(None) };
    let (mut took, mut refusal) = (Vec::new(), None);
    let places = places(app, trigger, issue).await?;
    for (subject, branch) in &places {
        for id in app.store.active_on(&trigger.repository.full_name(), *subject).await? {
            let Some(run) = read(app, &id).await? else { continue };
            if branch.as_ref().is_some_and(|branch| !run.works_on(branch)) {
                continue;
            }
            // Handled again after a crash, it finds what it did.
            if run.has_addition(*comment) {
                took.push(id);
            } else if run.listens() {
                if let Err(why) = run.may_add(words) {
                    refusal = Some(why);
                    continue;
                }
                let (by, words) = (trigger.actor.clone(), words.clone());
                let (comment, subject, at) = (*comment, trigger.number, app.clock.now());
                let addition = Addition { comment, subject, by, words, at };
                let after = update::apply(app, &id, &[Input::Also { addition }]).await?;
                // It may have ended meanwhile.
                took.extend(after.filter(|after| after.run.has_addition(comment)).map(|_| id));
            }
        }
    }
    if took.is_empty() && refusal.is_none() && delivery.source == Source::Forge {
        took = took_before(app, trigger, &places, *comment).await?;
    }
    Ok(match (took.is_empty(), refusal) {
        (false, _) => Some(("added", String::new(), took, comments::added(&trigger.actor))),
        (true, Some(why)) => {
            let text = comments::not_done(&trigger.actor, &why);
            Some(("refused", why, Vec::new(), text))
        }
        (true, None) => None,
    })
}

/// Where runs may be under way that a comment on this issue is about: on itself, and on what its pull request was made for, or the other way
/// round; of the latter those alone that work on this branch.
async fn places(app: &App, trigger: &Trigger, issue: &Issue) -> Result<Vec<(u64, Option<String>)>, AppError> {
    let mut places = vec![(trigger.number, None)];
    match &issue.branches {
        Some((head, _)) => {
            places.extend(continuation::subject_of(head).map(|made_for| (made_for, Some(head.clone()))))
        }
        None => {
            let branch = format!("cloud-code/issue-{}", trigger.number);
            let pull = app.forge.open_pull(&trigger.repository, &branch).await?;
            places.extend(pull.map(|pull| (pull.number, Some(branch))));
        }
    }
    Ok(places)
}

/// Runs that took a comment's words and have ended since: its delivery was handled before, or was sent twice.
async fn took_before(
    app: &App,
    trigger: &Trigger,
    places: &[(u64, Option<String>)],
    comment: u64,
) -> Result<Vec<RunId>, AppError> {
    let repository = Some(trigger.repository.full_name());
    let page = app.store.list(&RunFilter { repository, ..RunFilter::default() }).await?;
    let mut took = Vec::new();
    for row in page.items {
        if places.iter().any(|(subject, _)| *subject == row.subject)
            && read(app, &row.id).await?.is_some_and(|run| run.has_addition(comment))
        {
            took.push(row.id);
        }
    }
    Ok(took)
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
