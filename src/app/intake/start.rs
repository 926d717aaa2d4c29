//! Making a run of a workflow.

use crate::app::{App, AppError, cancel, render, update};
use crate::ports::{Issue, Saved};
use cloud_code_model::cli;
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{NewRun, Repository, Run, Subject, Trigger, WorkflowRef};
use cloud_code_model::workflow::{self, EventKind, Workflow};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What starts a run, besides the workflow.
#[derive(Debug, Clone)]
pub struct StartSpec {
    /// The delivery's id, or another name that is unique to this wish.
    pub delivery: String,
    /// The event's name.
    pub event: String,
    /// The event's action.
    pub action: String,
    /// Who.
    pub actor: String,
    /// From `/cloud-code run …`.
    pub instructions: Option<String>,
    /// Comments that were written or changed after this are not part of the wish.
    pub triggered_at: Timestamp,
    /// Where.
    pub repository: Repository,
    /// About what.
    pub issue: Issue,
    /// The event's payload, for expressions.
    pub payload: Value,
    /// The same for the same wish under another delivery id.
    pub semantic_key: String,
}

/// The workflows that this event starts, and what is wrong with those that can't be read. The default branch decides:
/// nobody changes the rules of a run from a branch.
pub(super) async fn workflows(
    app: &App,
    repository: &Repository,
    kind: EventKind,
) -> Result<(Vec<Workflow>, Vec<String>), AppError> {
    let files = app.forge.workflows(repository).await?;
    if files.is_empty() {
        return Ok((vec![workflow::implement()], Vec::new()));
    }
    let (mut workflows, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match workflow::read(&file.path, &file.text) {
            Ok(workflow) if workflow::is_started_by(&workflow, kind) => workflows.push(workflow),
            Ok(_) => {}
            Err(error) => errors.push(error.to_string()),
        }
    }
    Ok((workflows, errors))
}

/// Makes the run, or finds the one that was made of the same wish before. The inner error is the user's.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn start(
    app: &App,
    spec: &StartSpec,
    workflow: Workflow,
) -> Result<Result<RunId, String>, AppError> {
    if let Err(problem) = runnable(app, &workflow) {
        return Ok(Err(problem));
    }
    let context = context(spec, &workflow);
    let contexts = render::contexts(&context);
    let group = match &workflow.concurrency {
        None => None,
        Some(concurrency) => match render::text(&concurrency.group, &contexts, "concurrency.group") {
            Ok(group) => Some(group.to_lowercase()),
            Err(problem) => return Ok(Err(format!("{}: {problem}", workflow.path))),
        },
    };
    let semantic_key = format!("{} {}", spec.semantic_key, workflow.path);
    let cancel_in_progress =
        workflow.concurrency.as_ref().is_some_and(|concurrency| concurrency.cancel_in_progress);
    let new = NewRun {
        repository: spec.repository.clone(),
        subject: Subject {
            number: spec.issue.number,
            title: spec.issue.title.clone(),
            url: spec.issue.url.clone(),
        },
        workflow: WorkflowRef { path: workflow.path.clone(), name: workflow.name.clone() },
        trigger: Trigger {
            delivery: spec.delivery.clone(),
            event: spec.event.clone(),
            action: spec.action.clone(),
            actor: spec.actor.clone(),
        },
        group,
        branch: format!("cloud-code/issue-{}", spec.issue.number),
        context,
        timing: app.settings.timing,
        jobs: workflow.jobs,
    };
    let run = Run::new(new, app.clock.now());
    let id = match app.store.create(&run, &semantic_key).await? {
        Saved::At(version) => {
            tracing::info!(run = %run.id, repository = %run.repository.full_name(), issue = run.subject.number, "run queued");
            update::wake(app, &run, version).await?;
            cancel::settle_group(app, &run, cancel_in_progress).await?;
            run.id
        }
        // It was made before. Whether its message was queued is unknown, so wake it again: that changes nothing twice.
        Saved::Conflict(id) => {
            if let Some(stored) = app.store.load(&id).await? {
                update::wake(app, &stored.run, stored.version).await?;
                cancel::settle_group(app, &stored.run, cancel_in_progress).await?;
            }
            id
        }
    };
    Ok(Ok(id))
}

/// Refuses what could not run, before anything boots.
fn runnable(app: &App, workflow: &Workflow) -> Result<(), String> {
    for job in &workflow.jobs {
        for name in job.clis(&app.settings.default_cli) {
            if cli::find(name).is_none() {
                return Err(format!(
                    "{}: jobs.{}: there is no CLI `{name}`; known are {}",
                    workflow.path,
                    job.key,
                    cli::names()
                ));
            }
        }
        if let Some(runs_on) = &job.runs_on {
            let here = app.runner.name();
            // `ubuntu-latest` and its like are what people copy from their CI: any container will do for those.
            if matches!(runs_on.as_str(), "docker" | "process" | "fargate" | "ecs") && runs_on != here {
                return Err(format!(
                    "{}: jobs.{}.runs-on: this server runs jobs on `{here}`, not on `{runs_on}`",
                    workflow.path, job.key
                ));
            }
        }
    }
    Ok(())
}

fn context(spec: &StartSpec, workflow: &Workflow) -> Value {
    json!({
        "event": spec.payload,
        "event_name": spec.event,
        "actor": spec.actor,
        "triggering_actor": spec.actor,
        "repository": spec.repository.full_name(),
        "repository_owner": spec.repository.owner,
        "ref": format!("refs/heads/{}", spec.repository.default_branch),
        "ref_name": spec.repository.default_branch,
        "workflow": workflow.name,
        "cloud_code": { "instructions": spec.instructions, "triggered_at": spec.triggered_at.to_string() },
    })
}
