//! Starting an attempt: workspace, task, container.

use super::{App, AppError, continuation, network, tasking, update};
use crate::ports::{
    Artifact, ArtifactError, Checkout, ContainerStatus, ForgeError, Launch, PreparedWorkspace, RemoteAccess,
    RunnerError, Scope, SecretName, SecretText, WorkspaceError,
};
use cloud_code_model::cli;
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{AttemptState, Input, Job, NamedSecrets, Origin, Run};
use std::collections::{BTreeMap, BTreeSet};

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
/// When a port does not answer, or the runner has no room ([`AppError::waits_for_room`]): try again. What can't succeed later has ended the
/// attempt, and is no error.
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
        Err(Failure::Later(error)) if error.waits_for_room() || try_number < app.settings.launch_tries => {
            return Err(error);
        }
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
        app.given.forget(id);
    }
    Ok(())
}

fn failed(attempt: &AttemptId, reason: String) -> Input {
    Input::LaunchFailed { job: attempt.job.clone(), attempt: attempt.number, reason }
}

pub(super) enum Failure {
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
    let network = network::of(app, job).map_err(Failure::Never)?;
    // An earlier launch may have come as far as a container: its workspace must not be made anew under it.
    if app.runner.status(attempt).await? != ContainerStatus::Missing {
        if run.attempt(attempt).is_some_and(|attempt| attempt.origin.is_some()) {
            return Ok(Some(attempt.name()));
        }
        app.runner.remove(attempt).await?;
    }
    let (workspace, origin) = workspace(app, run, job, attempt).await?;
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
    let earlier = continuation::find(app, run, job, attempt, &origin).await.map_err(Failure::Later)?;
    if let Some(archive) = earlier.as_ref().and_then(|earlier| earlier.archive.as_deref()) {
        app.artifacts.write(attempt, Artifact::EarlierSession, archive).await?;
    }
    app.given.note(attempt, &secrets);
    let tasking = tasking::write(app, run, job, attempt, &origin, earlier).await?;
    app.artifacts.write(attempt, Artifact::Tasking, tasking.as_bytes()).await?;
    let clis = run.clis(job, &app.settings.default_cli);
    if let Some(unknown) = clis.iter().find(|name| cli::find(name).is_none()) {
        let known = cli::names();
        return Err(Failure::Never(format!("there is no CLI `{unknown}`; known are {known}")));
    }
    let launch = Launch {
        attempt: attempt.clone(),
        image: app.settings.image(clis.first().map_or("script", String::as_str)),
        objects: workspace.fetch.is_none().then_some(workspace.objects),
        workspace: workspace.path,
        fetch: workspace.fetch,
        env,
        secrets,
        limits: app.settings.limits,
        network,
    };
    Ok(Some(app.runner.launch(&launch).await?))
}

/// Where a change starts, and where it goes.
struct Way {
    from: Option<String>,
    branch: String,
    target: Option<String>,
}

/// Decides where the change starts and where it goes. An open pull request from our branch is gone on with; a branch of
/// our name without one is somebody's memory of earlier work, and is left alone.
async fn workspace(
    app: &App,
    run: &Run,
    job: &Job,
    attempt: &AttemptId,
) -> Result<(PreparedWorkspace, Origin), Failure> {
    let remote = app.forge.remote(&run.repository, RemoteAccess::Read).await?;
    let Way { from, branch, target } = way(app, run, job).await?;
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

async fn way(app: &App, run: &Run, job: &Job) -> Result<Way, Failure> {
    // An earlier attempt's change, of a job that is run again.
    let mut attempts = job.attempts.iter().rev().skip(1);
    if let Some((branch, target)) = attempts.find_map(|attempt| {
        let publication = attempt.publication.as_ref().filter(|_| attempt.picked.is_none())?;
        Some((publication.branch.clone(), attempt.origin.as_ref().map(|origin| origin.target.clone())))
    }) {
        return Ok(Way { from: Some(branch.clone()), branch, target });
    }
    let own = run.branch_of(job);
    if let Some((earlier, publication)) = run.start_of(job).map_err(Failure::Never)? {
        let target =
            earlier.attempt().and_then(|attempt| attempt.origin.as_ref()).map(|origin| origin.target.clone());
        let branch = if run.goes_on(job) { publication.branch.clone() } else { own };
        return Ok(Way { from: Some(publication.branch.clone()), branch, target });
    }
    if run.subject.number == 0 {
        return Ok(Way { from: None, branch: own, target: None });
    }
    let issue = app.forge.issue(&run.repository, run.subject.number).await?;
    Ok(match issue.branches {
        // On a pull request: go on from its branch; onto it where it is one of ours, else with a pull request into it.
        Some((head, base)) if head.starts_with("cloud-code/") && own == run.branch => {
            Way { from: Some(head.clone()), branch: head, target: Some(base) }
        }
        Some((head, _)) => Way { from: Some(head.clone()), branch: own, target: Some(head) },
        None => {
            let open = app.forge.open_pull(&run.repository, &own).await?.is_some();
            Way { from: open.then(|| own.clone()), branch: own, target: None }
        }
    })
}

/// What a container's environment is made of: in clear, and secret.
pub(super) type Environment = (Vec<(String, String)>, Vec<(String, SecretText)>);

/// The settings and secrets of the CLIs that a job uses, and the secrets that its workflow names: those of its environment, which it has
/// passed, before the repository's before its owner's; for a CLI, before the server's.
pub(super) async fn environment(app: &App, run: &Run, job: &Job) -> Result<Environment, AppError> {
    let mut env = vec![("CI".to_owned(), "true".to_owned()), ("CLOUD_CODE".to_owned(), "true".to_owned())];
    if let Some(prices) = app.settings.agent_env.get("CLOUD_CODE_PRICES") {
        env.push(("CLOUD_CODE_PRICES".to_owned(), prices.clone()));
    }
    let repository = run.repository.full_name();
    let environment =
        job.gate.as_ref().and_then(|gate| Scope::parse(&format!("{repository}/{}", gate.environment)));
    let scopes = [environment, Scope::parse(&repository), Scope::parse(&run.repository.owner)];
    let mut secrets = workflow_secrets(app, run, job, &scopes).await?;
    let mut own = BTreeSet::new();
    for name in run.clis(job, &app.settings.default_cli) {
        let Some(cli) = cli::find(&name) else { continue };
        for setting in cli.settings {
            if let Some(value) = app.settings.agent_env.get(*setting) {
                env.push(((*setting).to_owned(), value.clone()));
            }
        }
        own.extend(cli.secrets.iter().filter_map(|name| SecretName::parse(name)));
    }
    for name in own {
        if secrets.contains_key(name.as_str()) {
            continue;
        }
        // What the server has for itself is for the CLIs alone, whatever a workflow names.
        let settings = || app.settings.agent_env.get(name.as_str()).map(SecretText::new);
        if let Some(value) = look_up(app, &scopes, &name).await?.or_else(settings) {
            secrets.insert(name.as_str().to_owned(), value);
        }
    }
    Ok((env, secrets.into_iter().collect()))
}

/// The secrets that a job's workflow names. One that was called has those that its caller passes on, and those of the job's own environment.
async fn workflow_secrets(
    app: &App,
    run: &Run,
    job: &Job,
    scopes: &[Option<Scope>; 3],
) -> Result<BTreeMap<String, SecretText>, AppError> {
    let named = run.named_secrets(job);
    let passed = run.passed_secrets(job);
    if passed.is_empty() {
        return read_named(app, &named, scopes).await;
    }
    let needed = passed.iter().fold(named.clone(), |named, (passed, _)| passed.needs(&named));
    let [environment, outer @ ..] = scopes;
    let found = read_named(app, &needed, outer).await?;
    let mut values = found.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
    for (passed, caller) in passed.iter().rev() {
        let (given, broken) = passed.give(values, run.contexts(caller));
        values = given;
        for name in broken {
            // Why is not said: the reason could repeat a value.
            tracing::warn!(run = %run.id, job = caller.key, name, "a secret could not be passed on");
        }
    }
    // What can't be a secret's name would mean something else to the job's programs.
    let known = |name: &String| named.all || named.names.contains(name);
    values.retain(|name, _| known(name) && SecretName::parse(name).is_some());
    let mut secrets: BTreeMap<_, _> =
        values.into_iter().map(|(name, value)| (name, SecretText::new(value))).collect();
    secrets.extend(read_named(app, &named, std::slice::from_ref(environment)).await?);
    Ok(secrets)
}

/// The named secrets that are there, each from the first scope that has it.
async fn read_named(
    app: &App,
    named: &NamedSecrets,
    scopes: &[Option<Scope>],
) -> Result<BTreeMap<String, SecretText>, AppError> {
    let mut names: BTreeSet<SecretName> =
        named.names.iter().filter_map(|name| SecretName::parse(name)).collect();
    if named.all {
        for scope in scopes.iter().flatten() {
            names.extend(app.secrets.list(scope).await?);
        }
    }
    let mut found = BTreeMap::new();
    for name in names {
        if let Some(value) = look_up(app, scopes, &name).await? {
            found.insert(name.as_str().to_owned(), value);
        }
    }
    Ok(found)
}

async fn look_up(
    app: &App,
    scopes: &[Option<Scope>],
    name: &SecretName,
) -> Result<Option<SecretText>, AppError> {
    for scope in scopes.iter().flatten() {
        if let Some(value) = app.secrets.get(scope, name).await? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
