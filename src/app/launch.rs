//! Starting an attempt: workspace, task, container.

use super::{App, AppError, prompt, render, update};
use crate::ports::{
    Artifact, ArtifactError, Checkout, ContainerStatus, ForgeError, Issue, Launch, PreparedWorkspace,
    RemoteAccess, RunnerError, Scope, SecretName, SecretText, WorkspaceError,
};
use cloud_code_model::cli;
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{AttemptState, Input, Job, Origin, Run};
use cloud_code_model::task;
use cloud_code_model::workflow::Step;
use indexmap::IndexMap;
use serde_json::Value;

/// What became of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launched {
    /// A container runs, or has run, for it: watch it.
    Watch,
    /// The attempt needs no container any more.
    NotNeeded,
}

/// Launches an attempt. Done again after a crash it finds what it made.
///
/// # Errors
/// When a port does not answer: try again. What can't succeed later has ended the attempt, and is no error.
pub async fn launch(app: &App, attempt: &AttemptId, try_number: u32) -> Result<Launched, AppError> {
    let Some(stored) = app.store.load(&attempt.run).await? else { return Ok(Launched::NotNeeded) };
    let run = stored.run;
    match run.attempt(attempt).map(|attempt| attempt.state) {
        Some(AttemptState::Queued) => {}
        Some(state) if state.is_live() => return Ok(Launched::Watch),
        _ => {
            // An earlier try may have been torn off half way, and the attempt ended since.
            clean(app, &run, attempt).await?;
            return Ok(Launched::NotNeeded);
        }
    }
    let Some(job) = run.job(&attempt.job) else { return Ok(Launched::NotNeeded) };
    let input = match start(app, &run, job, attempt).await {
        Ok(Some(handle)) => Input::Launched { job: attempt.job.clone(), attempt: attempt.number, handle },
        Ok(None) => {
            if let Some(stored) = app.store.load(&attempt.run).await? {
                clean(app, &stored.run, attempt).await?;
            }
            return Ok(Launched::NotNeeded);
        }
        Err(Failure::Later(error)) if try_number < app.settings.launch_tries => return Err(error),
        Err(Failure::Later(error)) => failed(attempt, format!("{error} (tried {try_number} times)")),
        Err(Failure::Never(reason)) => failed(attempt, reason),
    };
    let over = matches!(input, Input::LaunchFailed { .. });
    let waited = app.clock.now().duration_since(run.created_at);
    metrics::histogram!(crate::metrics::LAUNCH_WAIT).record(waited.as_secs_f64());
    let Some(after) = update::apply(app, &attempt.run, &[input]).await? else {
        return Ok(Launched::NotNeeded);
    };
    if after.run.attempt(attempt).is_some_and(|attempt| attempt.state.is_live()) {
        return Ok(Launched::Watch);
    }
    // A launch that failed just now has its Discard effect before it.
    if !over {
        clean(app, &after.run, attempt).await?;
    }
    Ok(Launched::NotNeeded)
}

/// Removes what was made for an attempt that ended before it was launched: its Discard effect may have come too early to
/// find it. One that was launched is left to that effect, which keeps its files first.
async fn clean(app: &App, run: &Run, id: &AttemptId) -> Result<(), AppError> {
    let never_launched = run
        .attempt(id)
        .is_none_or(|attempt| attempt.state == AttemptState::Done && attempt.launched_at.is_none());
    if never_launched {
        app.runner.remove(id).await?;
        app.workspaces.discard(id).await?;
    }
    Ok(())
}

fn failed(attempt: &AttemptId, reason: String) -> Input {
    Input::LaunchFailed { job: attempt.job.clone(), attempt: attempt.number, reason }
}

enum Failure {
    Later(AppError),
    Never(String),
}

impl From<ForgeError> for Failure {
    fn from(error: ForgeError) -> Self {
        if error.may_heal() { Self::Later(error.into()) } else { Self::Never(error.to_string()) }
    }
}

impl From<WorkspaceError> for Failure {
    fn from(error: WorkspaceError) -> Self {
        if error.may_heal() { Self::Later(error.into()) } else { Self::Never(error.to_string()) }
    }
}

impl From<RunnerError> for Failure {
    fn from(error: RunnerError) -> Self {
        if error.may_heal() { Self::Later(error.into()) } else { Self::Never(error.to_string()) }
    }
}

impl From<ArtifactError> for Failure {
    fn from(error: ArtifactError) -> Self {
        Self::Later(error.into())
    }
}

/// The runner's name for it; `None` when the attempt ended while its workspace was made.
async fn start(app: &App, run: &Run, job: &Job, attempt: &AttemptId) -> Result<Option<String>, Failure> {
    // An earlier launch may have come as far as a container: its workspace must not be made anew under it.
    if app.runner.status(attempt).await? != ContainerStatus::Missing {
        if run.attempt(attempt).is_some_and(|attempt| attempt.origin.is_some()) {
            return Ok(Some(attempt.name()));
        }
        app.runner.remove(attempt).await?;
    }
    let (workspace, origin) = workspace(app, run, attempt).await?;
    let prepared =
        Input::Prepared { job: attempt.job.clone(), attempt: attempt.number, origin: origin.clone() };
    let saved = update::apply(app, &attempt.run, &[prepared]).await.map_err(Failure::Later)?;
    let queued = |run: &Run| run.attempt(attempt).is_some_and(|found| found.state == AttemptState::Queued);
    if !saved.is_some_and(|stored| queued(&stored.run)) {
        return Ok(None);
    }
    let (env, secrets) = environment(app, run, job).await.map_err(|error| match error.may_heal() {
        true => Failure::Later(error),
        false => Failure::Never(error.to_string()),
    })?;
    let tasking = tasking(app, run, job, attempt, &origin).await?;
    app.artifacts.write(attempt, Artifact::Tasking, tasking.as_bytes()).await?;
    let clis = job.spec.clis(&app.settings.default_cli);
    let launch = Launch {
        attempt: attempt.clone(),
        image: app.settings.image(clis.first().copied().unwrap_or("script")),
        workspace: workspace.path,
        objects: Some(workspace.objects),
        env,
        secrets,
        limits: app.settings.limits,
    };
    Ok(Some(app.runner.launch(&launch).await?))
}

/// Decides where the change starts and where it goes. An open pull request from our branch is gone on with; a branch of
/// our name without one is somebody's memory of earlier work, and is left alone.
async fn workspace(
    app: &App,
    run: &Run,
    attempt: &AttemptId,
) -> Result<(PreparedWorkspace, Origin), Failure> {
    let issue = app.forge.issue(&run.repository, run.subject.number).await?;
    let remote = app.forge.remote(&run.repository, RemoteAccess::Read).await?;
    let (from, branch, target) = match &issue.branches {
        // On a pull request: go on from its branch; onto it where it is one of ours, else with a pull request into it.
        Some((head, base)) if head.starts_with("cloud-code/") => {
            (Some(head.clone()), head.clone(), Some(base.clone()))
        }
        Some((head, _)) => (Some(head.clone()), run.branch.clone(), Some(head.clone())),
        None => {
            let open = app.forge.open_pull(&run.repository, &run.branch).await?.is_some();
            (open.then(|| run.branch.clone()), run.branch.clone(), None)
        }
    };
    let mut checkout = Checkout { attempt: attempt.clone(), remote, from, branch };
    let mut workspace = app.workspaces.prepare(&checkout).await?;
    let mut continues = checkout.from.as_deref() == Some(checkout.branch.as_str());
    if !continues && workspace.existing.is_some() {
        let suffix = run.id.as_str().trim_start_matches("r-").chars().take(7).collect::<String>();
        checkout.branch = format!("{}-{suffix}", checkout.branch);
        workspace = app.workspaces.prepare(&checkout).await?;
        continues = false;
    }
    let target = target.unwrap_or_else(|| workspace.default_branch.clone());
    let origin = Origin { base: workspace.base.clone(), branch: checkout.branch, continues, target };
    Ok((workspace, origin))
}

/// What a container's environment is made of: in clear, and secret.
pub(super) type Environment = (Vec<(String, String)>, Vec<(String, SecretText)>);

/// The settings and secrets of the CLIs that a job uses: a repository's own secret before its owner's before the server's.
pub(super) async fn environment(app: &App, run: &Run, job: &Job) -> Result<Environment, AppError> {
    let mut env = vec![("CI".to_owned(), "true".to_owned()), ("CLOUD_CODE".to_owned(), "true".to_owned())];
    if let Some(prices) = app.settings.agent_env.get("CLOUD_CODE_PRICES") {
        env.push(("CLOUD_CODE_PRICES".to_owned(), prices.clone()));
    }
    let mut secrets = Vec::new();
    let scopes = [Scope::parse(&run.repository.full_name()), Scope::parse(&run.repository.owner)];
    for name in job.spec.clis(&app.settings.default_cli) {
        let Some(cli) = cli::find(name) else { continue };
        for setting in cli.settings {
            if let Some(value) = app.settings.agent_env.get(*setting) {
                env.push(((*setting).to_owned(), value.clone()));
            }
        }
        for secret in cli.secrets {
            let mut value = None;
            for scope in scopes.iter().flatten() {
                let Some(name) = SecretName::parse(secret) else { continue };
                value = app.secrets.get(scope, &name).await?;
                if value.is_some() {
                    break;
                }
            }
            let value = value.or_else(|| app.settings.agent_env.get(*secret).map(SecretText::new));
            if let Some(value) = value {
                secrets.push(((*secret).to_owned(), value));
            }
        }
    }
    Ok((env, secrets))
}

async fn tasking(
    app: &App,
    run: &Run,
    job: &Job,
    attempt: &AttemptId,
    origin: &Origin,
) -> Result<String, Failure> {
    let issue = as_triggered(app.forge.issue(&run.repository, run.subject.number).await?, run);
    let comments = trusted_comments(app, run).await?;
    let cloud_code = &run.context["cloud_code"];
    let contexts = render::contexts(&run.context);
    let mut steps = Vec::new();
    for (n, step) in job.spec.steps.iter().enumerate() {
        let mut with = step.with.clone();
        if step.uses.as_deref() == Some("agent") {
            // Only the prompt is complete when it leaves us: text of the issue in it must never be read as an expression.
            let at = format!("{}: jobs.{}.steps[{n}].with.prompt", run.workflow.path, job.key);
            let task = with.get("prompt").and_then(Value::as_str);
            let task =
                task.map(|text| render::text(text, &contexts, &at)).transpose().map_err(Failure::Never)?;
            let at = format!("{}: jobs.{}.steps[{n}].with.template", run.workflow.path, job.key);
            let template = with.shift_remove("template");
            let template = template.as_ref().and_then(Value::as_str);
            let template = template
                .map(|text| render::text(text, &contexts, &at))
                .transpose()
                .map_err(Failure::Never)?;
            let text = prompt::build(&prompt::Prompt {
                repository: &run.repository.full_name(),
                branch: &origin.branch,
                target: &origin.target,
                continues: origin.continues,
                issue: &issue,
                comments: &comments,
                instructions: cloud_code["instructions"].as_str(),
                task: task.as_deref(),
                template: template.as_deref(),
                protected: &app.settings.policy.protected,
            })
            .map_err(Failure::Never)?;
            with.insert("prompt".to_owned(), Value::String(text));
            with.entry("cli".to_owned()).or_insert_with(|| app.settings.default_cli.clone().into());
        }
        steps.push(task_step(step, with));
    }
    let tasking = task::Tasking {
        version: task::VERSION,
        run: run.id.to_string(),
        job: job.key.clone(),
        attempt: attempt.number,
        closed: true,
        idle_minutes: None,
        tasks: vec![task::Task {
            id: "t1".to_owned(),
            repository: task::Repository {
                owner: run.repository.owner.clone(),
                name: run.repository.name.clone(),
                default_branch: origin.target.clone(),
            },
            base: origin.base.clone(),
            branch: origin.branch.clone(),
            env: job.spec.env.clone(),
            context: serde_json::json!({ "github": run.context }),
            steps,
            limits: task::Limits {
                timeout_minutes: Some(job.spec.timeout_minutes),
                budget_usd: job.spec.budget_usd.or(app.settings.budget_usd),
                silence_minutes: Some(app.settings.silence_minutes),
            },
            author: Some(task::Author {
                name: app.settings.author.0.clone(),
                email: app.settings.author.1.clone(),
            }),
            commit_message: Some(format!("{}\n\nFixes #{}", one_line(&issue.title, 72), issue.number)),
            restore_instructions: issue.is_pull,
        }],
    };
    tasking.to_yaml().map_err(|error| Failure::Never(error.to_string()))
}

fn task_step(step: &Step, with: IndexMap<String, Value>) -> task::Step {
    task::Step {
        id: step.id.clone(),
        name: step.name.clone(),
        condition: step.condition.clone(),
        uses: step.uses.clone(),
        run: step.run.clone(),
        shell: step.shell.clone(),
        working_directory: step.working_directory.clone(),
        with,
        env: step.env.clone(),
        timeout_minutes: step.timeout_minutes.map(task::Dynamic::Value),
        continue_on_error: step.continue_on_error.then_some(task::Dynamic::Value(true)),
    }
}

/// The issue with title and text as they stood when the run was triggered: whoever opened it may change them afterwards,
/// and need not be somebody who may start a run.
fn as_triggered(mut issue: Issue, run: &Run) -> Issue {
    let event = &run.context["event"]["issue"];
    if event["number"].as_u64() == Some(issue.number) {
        issue.title = event["title"].as_str().unwrap_or_default().to_owned();
        issue.body = event["body"].as_str().unwrap_or_default().to_owned();
    }
    issue
}

/// Comments of people who may write to the repository, as they stood when the run was triggered: text that others wrote,
/// or that was changed afterwards, is nobody's wish.
async fn trusted_comments(app: &App, run: &Run) -> Result<Vec<crate::ports::Comment>, ForgeError> {
    let triggered_at = run.context["cloud_code"]["triggered_at"].as_str().and_then(|text| text.parse().ok());
    let triggered_at = triggered_at.unwrap_or(run.created_at);
    let mut trusted = Vec::new();
    for comment in app.forge.comments(&run.repository, run.subject.number).await? {
        let in_time = comment.updated_at <= triggered_at && comment.created_at < triggered_at;
        let command = cloud_code_model::command::parse(&comment.body).is_some();
        if comment.by_bot || !in_time || command {
            continue;
        }
        if app.forge.permission(&run.repository, &comment.author).await?.may_start() {
            trusted.push(comment);
        }
    }
    Ok(trusted)
}

fn one_line(text: &str, max_chars: usize) -> String {
    let line = cloud_code_model::untrusted::visible(text, 1000).replace(['\n', '\t'], " ");
    line.chars().take(max_chars).collect()
}
