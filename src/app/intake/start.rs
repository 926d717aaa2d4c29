//! Making a run of a workflow.

use super::files;
use crate::app::{App, AppError, groups, update, variables};
use crate::ports::{Issue, Saved};
use cloud_code_model::cli;
use cloud_code_model::expression::{Contexts, JobStatus, Value as Computed};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Effect, HistoryEntry, NewRun, Repository, Run, Subject, Trigger, WorkflowRef};
use cloud_code_model::workflow::plan::{self, ConcurrencyWish, Event};
use cloud_code_model::workflow::{Plan, Step, Workflow};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What starts a run, besides the workflow.
#[derive(Debug, Clone)]
pub struct StartSpec {
    /// The delivery's id, or another name that is unique to this wish.
    pub delivery: String,
    /// The event.
    pub event: Event,
    /// Who.
    pub actor: String,
    /// From `/cloud-code run …`.
    pub instructions: Option<String>,
    /// Comments that were written or changed after this are not part of the wish.
    pub triggered_at: Timestamp,
    /// Where.
    pub repository: Repository,
    /// About what; its number is 0 where the run is about no issue.
    pub issue: Issue,
    /// The same for the same wish under another delivery id.
    pub semantic_key: String,
}

/// Brings into a workflow what it names: environments, called workflows, composite actions. The inner error is the user's.
///
/// # Errors
/// When the forge does not answer.
pub async fn complete(
    app: &App,
    repository: &Repository,
    workflow: &mut Workflow,
) -> Result<Result<(), String>, AppError> {
    files::read(app, repository).await?.complete(app, repository, workflow).await
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
    let path = workflow.path.clone();
    let (vars, without) = variables::of_repository(app, &spec.repository, &workflow.plan).await?;
    let new = match new_run(app, spec, workflow, vars) {
        Ok(new) => new,
        Err(problem) => return Ok(Err(problem)),
    };
    let semantic_key = format!("{} {path}", spec.semantic_key);
    let mut run = Run::new(new, app.clock.now());
    if let Some(reason) = without {
        run.history.push(HistoryEntry { at: run.created_at, what: reason });
    }
    let (run, version) = match app.store.create(&run, &semantic_key).await? {
        Saved::At(version) => {
            tracing::info!(run = %run.id, repository = %run.repository.full_name(), issue = run.subject.number, "run queued");
            (run, version)
        }
        // It was made before. Whether its message was queued is unknown, so wake it again: that changes nothing twice.
        Saved::Conflict(id) => match app.store.load(&id).await? {
            Some(stored) => (stored.run, stored.version),
            None => return Ok(Ok(id)),
        },
    };
    update::wake(app, &run, version).await?;
    // At once, and in the order in which the deliveries were handled; the effect does it again, which changes nothing.
    for outgoing in &run.outbox {
        if let Effect::Enter { ticket, .. } = outgoing.effect {
            groups::enter(app, &run, ticket).await?;
        }
    }
    Ok(Ok(run.id))
}

fn new_run(app: &App, spec: &StartSpec, workflow: Workflow, vars: Value) -> Result<NewRun, String> {
    runnable(app, &workflow.path, &workflow.plan)?;
    let mut context = context(spec, &workflow);
    let at = |problem: String| format!("{}: {problem}", workflow.path);
    let contexts =
        Contexts::new().with("github", Computed::from(&context)).with("vars", Computed::from(&vars));
    let inputs = match workflow.dispatch_inputs().filter(|_| spec.event.name == "workflow_dispatch") {
        Some(definitions) => {
            let given = spec.event.payload["inputs"].as_object().cloned().unwrap_or_default();
            let inputs = plan::resolve_inputs(definitions, &given, &contexts).map_err(at)?;
            // As GitHub has them: all of them, with their defaults, each a text.
            context["event"]["inputs"] = plan::texts(&inputs);
            inputs
        }
        None => Value::Object(Map::new()),
    };
    let contexts = contexts.with("github", Computed::from(&context)).with("inputs", Computed::from(&inputs));
    let concurrency: Option<ConcurrencyWish> = match &workflow.plan.concurrency {
        None => None,
        Some(concurrency) => plan::concurrency(concurrency, &contexts, &JobStatus::Success)
            .map_err(|error| format!("{}:{error}", workflow.path))?,
    };
    let id = RunId::derive(&spec.delivery, &workflow.path);
    let branch = match spec.issue.number {
        0 => format!("cloud-code/run-{}", id.as_str().trim_start_matches("r-").get(..7).unwrap_or_default()),
        number => format!("cloud-code/issue-{number}"),
    };
    Ok(NewRun {
        repository: spec.repository.clone(),
        subject: Subject {
            number: spec.issue.number,
            title: spec.issue.title.clone(),
            url: spec.issue.url.clone(),
        },
        trigger: Trigger {
            delivery: spec.delivery.clone(),
            event: spec.event.name.clone(),
            action: spec.event.action.clone(),
            actor: spec.actor.clone(),
        },
        workflow: WorkflowRef { path: workflow.path, name: workflow.name },
        concurrency,
        branch,
        context,
        inputs,
        vars,
        timing: app.settings.timing_on(&*app.runner),
        plan: workflow.plan,
    })
}

/// Refuses what could not run, before anything boots.
fn runnable(app: &App, path: &str, plan: &Plan) -> Result<(), String> {
    for job in &plan.jobs {
        clis(path, &job.key, &job.steps, &app.settings.default_cli)?;
        if let Some(runs_on) = job.runs_on.as_ref().and_then(cloud_code_model::workflow::Token::text) {
            let here = app.runner.name();
            // `ubuntu-latest` and its like are what people copy from their CI: any container will do for those.
            if matches!(runs_on.as_str(), "docker" | "process" | "fargate" | "ecs") && runs_on != here {
                return Err(format!(
                    "{path}: jobs.{}.runs-on: this server runs jobs on `{here}`, not on `{runs_on}`",
                    job.key
                ));
            }
        }
        if let Some(called) = job.call.as_ref().and_then(|call| call.plan.as_ref()) {
            runnable(app, path, called)?;
        }
    }
    Ok(())
}

fn clis(path: &str, job: &str, steps: &[Step], default: &str) -> Result<(), String> {
    for step in steps {
        let name = step.with.get("cli").and_then(Value::as_str).unwrap_or(default);
        if step.is_agent() && !name.contains("${{") && cli::find(name).is_none() {
            return Err(format!("{path}: jobs.{job}: there is no CLI `{name}`; known are {}", cli::names()));
        }
        if let Some(action) = &step.action {
            clis(path, job, &action.steps, default)?;
        }
    }
    Ok(())
}

fn context(spec: &StartSpec, workflow: &Workflow) -> Value {
    let Repository { owner, name, default_branch, .. } = &spec.repository;
    let mut context = plan::github(&spec.event, owner, name, default_branch, &spec.actor, &workflow.name);
    if let Some(context) = context.as_object_mut() {
        let id = RunId::derive(&spec.delivery, &workflow.path);
        context.insert("run_id".to_owned(), id.as_str().into());
        context.insert("run_attempt".to_owned(), 1.into());
        let wish =
            json!({ "instructions": spec.instructions, "triggered_at": spec.triggered_at.to_string() });
        context.insert("cloud_code".to_owned(), wish);
    }
    context
}
