//! What people add to a run that is under way: into its agents' tasks, or on to a run of its own where it came too late.

use super::launch::Failure;
use super::{App, AppError, schedules, tasking};
use crate::ports::{Artifact, Issue};
use cloud_code_model::ids::{AttemptId, digest};
use cloud_code_model::run::{Addition, AttemptState, Run};
use serde_json::{Value, json};

/// Writes an attempt's task anew, with all that it has been given by now; done again it writes the same.
///
/// # Errors
/// When a port does not answer: try again. Where it can't be done at all, what was added is followed up.
pub(super) async fn append(app: &App, run: &Run, id: &AttemptId) -> Result<(), AppError> {
    let attempt = run.attempt(id);
    let at_work = attempt.filter(|it| matches!(it.state, AttemptState::Starting | AttemptState::Running));
    let origin = at_work.and_then(|attempt| attempt.origin.as_ref());
    let Some((origin, job)) = origin.zip(run.job(&id.job)) else { return Ok(()) };
    match tasking::write(app, run, job, id, origin, None).await {
        Ok(text) => Ok(app.artifacts.write(id, Artifact::Tasking, text.as_bytes()).await?),
        Err(Failure::Later(error)) => Err(error),
        Err(Failure::Never(reason)) => {
            tracing::warn!(attempt = %id, reason, "what was added can't be put into the task");
            Ok(())
        }
    }
}

/// Lets somebody's words be said again, as a delivery of our own: to whatever is under way by then, else to a new run.
///
/// # Errors
/// When the forge or the queue does not answer: try again.
pub(super) async fn follow_up(app: &App, run: &Run, comment: u64) -> Result<(), AppError> {
    let Some(addition) = run.additions.iter().find(|addition| addition.comment == comment) else {
        return Ok(());
    };
    let issue = match app.forge.issue(&run.repository, addition.subject).await {
        Ok(issue) => issue,
        Err(error) if error.is_final() => {
            tracing::warn!(run = %run.id, %error, "what came too late can't be followed up");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let now = app.clock.now();
    let id = format!("also-{}", digest(&[run.id.as_str(), &comment.to_string()]));
    let payload = said(app, addition, &issue, now);
    let delivery = schedules::delivery(app, id, "issue_comment", &run.repository, payload, now)?;
    schedules::push(app, &delivery).await.map(drop)
}

/// The event of a comment as GitHub has it, as far as anybody looks at it.
fn said(app: &App, addition: &Addition, issue: &Issue, now: jiff::Timestamp) -> Value {
    let by = addition.by.as_str();
    let bot = app.settings.allowed_bots.iter().any(|bot| bot.eq_ignore_ascii_case(by));
    let user = json!({ "login": by, "type": if bot { "Bot" } else { "User" } });
    let labels: Vec<Value> = issue.labels.iter().map(|name| json!({ "name": name })).collect();
    let mut about = json!({
        "number": issue.number,
        "title": issue.title,
        "body": issue.body,
        "html_url": issue.url,
        "state": if issue.open { "open" } else { "closed" },
        "user": { "login": issue.author },
        "labels": labels,
    });
    if issue.is_pull {
        about["pull_request"] = json!({ "html_url": issue.url });
    }
    let body = format!("/cloud-code also {}", addition.words);
    let comment =
        json!({ "id": addition.comment, "body": body, "user": user, "created_at": now.to_string() });
    json!({ "action": "created", "issue": about, "comment": comment, "sender": user })
}
