//! One step: whether it runs, with what, and what came of it.

mod agent;
mod commands;
mod composite;
mod run;
mod sink;

use cloud_code_model::task::{
    Annotation, Dynamic, Status, Step, StepConclusion, StepKind, StepReport, Usage,
};
use indexmap::IndexMap;
use jiff::Timestamp;
use tokio::time::{Duration, Instant};

use crate::environment::Variables;
use crate::files::StepFiles;
use crate::process::Limits;
use crate::task::{TaskState, step_id};
use cloud_code_model::task::shorten;

/// Most bytes of an error in the report.
const MAX_ERROR: usize = 8 * 1024;

/// What came of a step.
#[derive(Debug)]
pub(crate) struct StepResult {
    pub(crate) conclusion: StepConclusion,
    pub(crate) exit_code: Option<i32>,
    pub(crate) usage: Option<Usage>,
    pub(crate) turns: Option<u32>,
    pub(crate) session: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) outputs: IndexMap<String, String>,
    pub(crate) error: Option<String>,
    pub(crate) annotations: Vec<Annotation>,
}

impl StepResult {
    fn new(conclusion: StepConclusion) -> StepResult {
        StepResult {
            conclusion,
            exit_code: None,
            usage: None,
            turns: None,
            session: None,
            summary: None,
            outputs: IndexMap::new(),
            error: None,
            annotations: Vec::new(),
        }
    }

    fn failure(error: impl Into<String>) -> StepResult {
        StepResult { error: Some(error.into()), ..StepResult::new(StepConclusion::Failure) }
    }
}

/// What a step's process is started with.
pub(crate) struct Settings {
    /// Place among the steps, from 0.
    pub(crate) number: usize,
    pub(crate) variables: Variables,
    pub(crate) limits: Limits,
    pub(crate) files: StepFiles,
}

/// Runs a step if it is to run, and notes in state and report what came of it.
pub(crate) async fn run(state: &mut TaskState<'_>, number: usize, step: &Step) {
    let id = step_id(step, number);
    let mut title = step.title();
    let mut forgiven = false;
    let result = match wanted(state, step) {
        Err(result) => *result,
        Ok(()) => {
            let started = Some(Timestamp::now());
            report(state, number, |report| {
                report.status = Status::InProgress;
                report.started_at = started;
            });
            let result = perform(state, number, step, &mut title, &mut forgiven).await;
            let word = told(result.conclusion);
            let exit = result.exit_code.filter(|code| *code != 0).map(|code| format!(" (exit code {code})"));
            if let Some(error) = &result.error {
                state.agent.journal.say(&format!("##[error]{error}"));
            }
            state.agent.journal.log("##[endgroup]");
            state.agent.journal.say(&format!("step {id}: {word}{}", exit.unwrap_or_default()));
            result
        }
    };
    state.note(&id, &result, forgiven);
    complete(state, number, title, result);
}

/// Is the step to run? The error is its result when it is not.
fn wanted(state: &mut TaskState<'_>, step: &Step) -> Result<(), Box<StepResult>> {
    if let Some(conclusion) = state.is_over() {
        return Err(Box::new(StepResult::new(conclusion)));
    }
    match state.scope().condition(step.condition.as_deref()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Box::new(StepResult::new(StepConclusion::Skipped))),
        Err(error) => Err(Box::new(StepResult::failure(error))),
    }
}

async fn perform(
    state: &mut TaskState<'_>,
    number: usize,
    step: &Step,
    title: &mut String,
    forgiven: &mut bool,
) -> StepResult {
    let prepared = prepare(state, number, step);
    let (resolved, settings) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            state.agent.journal.say(&format!("##[group]{title}"));
            return StepResult::failure(error);
        }
    };
    *title = resolved.title();
    state.agent.journal.say(&format!("##[group]{title}"));
    *forgiven = resolved.continue_on_error == Some(Dynamic::Value(true));
    let mut result = match &resolved.action {
        Some(action) => composite::run(state, &settings, &resolved, action).await,
        None => plain(state, &settings, &resolved).await,
    };
    let taken = settings.files.answers().and_then(|answers| state.take(answers, &mut result));
    if let Err(error) = taken {
        if result.conclusion == StepConclusion::Success {
            result.conclusion = StepConclusion::Failure;
        }
        result.error.get_or_insert(error);
    }
    result
}

async fn plain(state: &mut TaskState<'_>, settings: &Settings, resolved: &Step) -> StepResult {
    match resolved.kind() {
        Err(error) => StepResult::failure(error.to_string()),
        Ok(StepKind::Checkout) => {
            state.agent.journal.log("the workspace is checked out already");
            StepResult::new(StepConclusion::Success)
        }
        Ok(StepKind::Run(script)) => run::run(state, settings, &script).await,
        Ok(StepKind::Agent(agent)) => agent::run(state, settings, &agent).await,
    }
}

/// Replaces expressions and makes the step's files.
fn prepare(state: &mut TaskState<'_>, number: usize, step: &Step) -> Result<(Step, Settings), String> {
    let mut scope = state.scope();
    let mut variables = state.variables(&mut scope, step)?;
    let mut resolved = scope.resolve(step)?;
    if resolved.action.is_some() {
        resolved.env = scope.variables(&step.env)?;
    }
    // Several steps of an action share a number.
    state.begun += 1;
    let folder = state.agent.temporary.path().join(format!("{}-{}-{}", state.index, number, state.begun));
    let files = std::fs::create_dir(&folder)
        .and_then(|()| StepFiles::create(folder))
        .map_err(|error| format!("the step's files cannot be made: {error}"))?;
    variables.extend(files.variables());
    let minutes = match resolved.timeout_minutes {
        Some(Dynamic::Value(minutes)) if !(0.0..=1_000_000.0).contains(&minutes) => {
            return Err(format!("timeout-minutes: {minutes} is not a number of minutes"));
        }
        Some(Dynamic::Value(minutes)) => Some(minutes),
        _ => None,
    };
    let limits = Limits {
        task: state.deadline,
        step: minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes * 60.0)),
        silence: None,
    };
    Ok((resolved, Settings { number, variables, limits, files }))
}

/// Changes a step's report.
pub(crate) fn report(state: &TaskState<'_>, number: usize, change: impl FnOnce(&mut StepReport)) {
    state.report(|task| {
        if let Some(step) = task.steps.get_mut(number) {
            change(step);
        }
    });
}

/// Puts a step's end into the report, within the bounds that the server sets.
fn complete(state: &TaskState<'_>, number: usize, title: String, result: StepResult) {
    let StepResult { conclusion, exit_code, usage, turns, session, summary, outputs, error, annotations } =
        result;
    let clean = |text: String, most: usize| shorten(&text.replace('\0', ""), most);
    state.report(|task| {
        task.outputs.extend(outputs.iter().map(|(name, value)| (name.clone(), value.clone())));
        if let Some(step) = task.steps.get_mut(number) {
            step.name = Some(clean(title, 200));
            step.status = Status::Completed;
            step.conclusion = Some(conclusion);
            step.finished_at = step.started_at.map(|_| Timestamp::now());
            step.exit_code = exit_code;
            step.usage = usage;
            step.turns = turns.map(|turns| turns.min(1_000_000));
            step.session = session;
            step.summary = summary.map(|summary| clean(summary, crate::files::MAX_SUMMARY));
            step.outputs = outputs;
            step.error = error.map(|error| clean(error, MAX_ERROR));
            step.annotations = annotations;
        }
    });
}

/// A conclusion for people.
fn told(conclusion: StepConclusion) -> &'static str {
    match conclusion {
        StepConclusion::Success => "success",
        StepConclusion::Failure => "failure",
        StepConclusion::Cancelled => "cancelled",
        StepConclusion::Skipped => "skipped",
        StepConclusion::TimedOut => "timed out",
        StepConclusion::BudgetExceeded => "budget exceeded",
        StepConclusion::NeedsInput => "needs input",
        StepConclusion::NoChanges => "no changes",
    }
}
