//! Workflows that start by the clock.
//!
//! The store knows of each repository what is scheduled and when it is due next. It is written wherever workflow files are read anyway (a push
//! to the default branch is such an event), when the App is installed somewhere, and once a day. The sweep only turns what is due into
//! deliveries of our own, whose ids are derived from repository, line and time: two sweepers, or one that is torn off between queue and store,
//! make one run. What was missed while nobody swept is made up for once.

use super::{App, AppError, intake, sweep};
use crate::ports::{Delivery, Lane, Pushed, ScheduledLine, Schedules, Source, schedules_key};
use cloud_code_model::ids::digest;
use cloud_code_model::run::Repository;
use cloud_code_model::workflow::Workflow;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

/// The event of a workflow whose time has come.
pub const DUE: &str = "schedule";
/// The event by which a repository's workflow files are looked at again.
pub const REFRESH: &str = "schedules_refresh";

/// Repositories looked at in one sweep.
const BATCH: usize = 200;
/// Rounds of read and compare-and-set before it is taken for a bug.
const MAX_ROUNDS: usize = 20;
/// How long a repository's schedules are believed.
const REFRESH_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Queues what is due, and says how many runs that will be.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn fire_due(app: &App) -> Result<usize, AppError> {
    let now = app.clock.now();
    let mut fired = 0;
    for key in app.store.schedules_due(now, BATCH).await? {
        match fire(app, &key, now).await {
            Ok(count) => fired += count,
            // What can't be read or saved must not keep the others from starting.
            Err(error) => {
                tracing::error!(repository = key, %error, "schedules could not be looked at");
                sweep::unless_all_are_gone(app, &error).await?;
            }
        }
    }
    Ok(fired)
}

async fn fire(app: &App, key: &str, now: Timestamp) -> Result<usize, AppError> {
    let Some((mut schedules, version)) = app.store.schedules(key).await? else { return Ok(0) };
    let mut fired = 0;
    let mut lines = Vec::with_capacity(schedules.lines.len());
    for mut line in std::mem::take(&mut schedules.lines) {
        if line.next <= now {
            if push(app, &due(app, &schedules.repository, &line, now)?).await? == Pushed::New {
                fired += 1;
            }
            match line.schedule.next_after(line.next, now) {
                Ok(Some(next)) => line.next = next,
                _ => continue,
            }
        }
        lines.push(line);
    }
    schedules.lines = lines;
    if let Some(at) = schedules.refresh_at.filter(|at| *at <= now) {
        refresh_soon(app, &schedules.repository, &at.to_string(), now).await?;
        schedules.refresh_at = now.checked_add(REFRESH_AFTER).ok();
    }
    // Where somebody was faster, the next sweep looks again, and finds in the queue what was queued here.
    app.store.save_schedules(&schedules, version).await?;
    Ok(fired)
}

/// Lets a repository's workflow files be looked at, once for a reason.
///
/// # Errors
/// When the queue does not answer.
pub async fn refresh_soon(
    app: &App,
    repository: &Repository,
    reason: &str,
    now: Timestamp,
) -> Result<(), AppError> {
    let id = format!("refresh-{}", digest(&[&schedules_key(repository), reason]));
    push(app, &delivery(app, id, REFRESH, repository, json!({}), now)?).await.map(drop)
}

/// Keeps what these workflows of the repository want by the clock. Lines that stay as they are keep their time.
///
/// # Errors
/// When the store does not answer.
pub async fn note(app: &App, repository: &Repository, workflows: &[Workflow]) -> Result<(), AppError> {
    let wanted = || {
        workflows.iter().flat_map(|workflow| {
            let lines = workflow.on.get(DUE).map_or(&[][..], |on| &on.schedules);
            lines.iter().map(|line| (workflow.path.as_str(), line))
        })
    };
    let key = schedules_key(repository);
    for _ in 0..MAX_ROUNDS {
        let found = app.store.schedules(&key).await?;
        if found.is_none() && wanted().next().is_none() {
            return Ok(());
        }
        let now = app.clock.now();
        let (before, version) = match &found {
            Some((before, version)) => (Some(before), *version),
            None => (None, 0),
        };
        let mut lines: Vec<ScheduledLine> = Vec::new();
        for (workflow, schedule) in wanted() {
            let same = |line: &&ScheduledLine| line.workflow == workflow && line.schedule == *schedule;
            if lines.iter().any(|line| same(&line)) {
                continue;
            }
            match before.and_then(|before| before.lines.iter().find(same)) {
                Some(known) => lines.push(known.clone()),
                None => match schedule.next(now) {
                    Ok(Some(next)) => {
                        lines.push(ScheduledLine {
                            workflow: workflow.to_owned(),
                            schedule: schedule.clone(),
                            next,
                        });
                    }
                    Ok(None) => tracing::warn!(repository = key, workflow, cron = schedule.cron, "never due"),
                    Err(wrong) => tracing::warn!(repository = key, workflow, wrong, "a schedule is not kept"),
                },
            }
        }
        let refresh_at = before.and_then(|before| before.refresh_at).or(now.checked_add(REFRESH_AFTER).ok());
        let refresh_at = refresh_at.filter(|_| !lines.is_empty());
        let schedules = Schedules { repository: repository.clone(), lines, refresh_at };
        if before == Some(&schedules) || app.store.save_schedules(&schedules, version).await? {
            return Ok(());
        }
    }
    Err(AppError::Bug(format!("the schedules of {key} could not be saved in {MAX_ROUNDS} rounds")))
}

/// Puts a delivery of our own in line, once for its id.
pub(super) async fn push(app: &App, delivery: &Delivery) -> Result<Pushed, AppError> {
    let bytes = delivery.to_bytes().map_err(|error| AppError::Bug(format!("a delivery: {error}")))?;
    Ok(app.queue.push(Lane::Deliveries, &delivery.id, bytes, Duration::ZERO).await?)
}

/// The event of a line whose time has come, as GitHub's: `github.event.schedule` is the line.
fn due(
    app: &App,
    repository: &Repository,
    line: &ScheduledLine,
    now: Timestamp,
) -> Result<Delivery, AppError> {
    let zone = line.schedule.timezone.as_deref().unwrap_or_default();
    let (key, cron, at) = (schedules_key(repository), line.schedule.cron.as_str(), line.next.to_string());
    let id = format!("schedule-{}", digest(&[&key, &line.workflow, cron, zone, &at]));
    let event = json!({ "schedule": cron, "workflow": line.workflow });
    delivery(app, id, DUE, repository, event, now)
}

/// A delivery of our own making. Our App is its sender where it names none: nobody in particular wanted it.
pub(super) fn delivery(
    app: &App,
    id: String,
    event: &str,
    repository: &Repository,
    mut payload: Value,
    now: Timestamp,
) -> Result<Delivery, AppError> {
    payload["repository"] = intake::payload::repository(repository);
    if payload["sender"].is_null() {
        payload["sender"] = json!({ "login": app.forge.own_login(), "type": "Bot" });
    }
    payload["installation"] = json!({ "id": repository.installation });
    let payload = serde_json::value::to_raw_value(&payload)
        .map_err(|error| AppError::Bug(format!("an event of our own: {error}")))?;
    Ok(Delivery { id, event: event.to_owned(), received_at: now, source: Source::Ourselves, payload })
}
