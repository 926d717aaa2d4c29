//! `uses: agent` — a coding CLI's turn, tried again where that can help.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use cloud_code_model::task::{AgentStep, PricedBy, StepConclusion, Usage};
use tokio::process::Command;
use tokio::time::{Duration, Instant};

use super::run::exit_code;
use super::{Settings, StepResult, report};
use crate::agent::Spoken;
use crate::cli::{self, Cli, End, Failure, FailureKind, Launch, Reader, Session, Turn};
use crate::conversations;
use crate::environment::{Variables, find_program};
use crate::process::{self, Cause, Ended, Limits};
use crate::steps::sink::AgentSink;
use crate::stop::Urgency;
use crate::task::TaskState;

/// What is said to a resumed conversation that broke off.
const CARRY_ON: &str = "The connection to the model broke off. Carry on with the task where you left off.\n";

/// Runs the CLI until the work is done, or cannot be.
pub(super) async fn run(state: &mut TaskState<'_>, settings: &Settings, step: &AgentStep) -> StepResult {
    let prepared = cli::find(&step.cli).and_then(|cli| {
        let variables = with_secrets(state, settings, step)?;
        Ok((cli, variables))
    });
    let (cli, variables) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return StepResult::failure(error),
    };
    let mut series = Series { cli, variables, step, settings, spent: Spent::default() };
    let mut going_on = false;
    let mut session = match step.session.as_deref() {
        Some("new") => new_session(),
        Some(id) => Session::Resume(id.to_owned()),
        // A task that was appended goes on with the conversation of the one before it.
        None if state.index > 0 => {
            spoken(state, settings.number, &step.cli).map_or_else(new_session, Session::Resume)
        }
        None => match conversations::earlier(state, settings.number, &step.cli, cli, &series.variables).await
        {
            Some(Ok(id)) => {
                going_on = true;
                Session::Resume(id)
            }
            Some(Err(why)) => {
                conversations::not_resumed(state, settings.number, why);
                new_session()
            }
            None => new_session(),
        },
    };
    report(state, settings.number, |report| {
        report.cli = Some(step.cli.clone());
        report.resumed = going_on;
    });
    let mut prompt = step.prompt.as_str();
    let mut retries = state.agent.config.retries.clone().into_iter();
    loop {
        let resumed = matches!(&session, Session::Resume(_));
        let tried = match series.once(state, &session, prompt).await {
            Ok(tried) => tried,
            Err(error) => return series.result(state, StepResult::failure(error)),
        };
        if let Some(id) = &tried.session {
            session = Session::Resume(id.clone());
        }
        let failure = match tried.end {
            Err(result) => return series.result(state, *result),
            Ok(None) => {
                let success =
                    StepResult { exit_code: Some(tried.code), ..StepResult::new(StepConclusion::Success) };
                return series.result(state, success);
            }
            Ok(Some(failure)) => failure,
        };
        match failure.kind {
            // A start that broke off early may have left no session either. A new one can't be lost, so that this ends.
            FailureKind::SessionLost if resumed => {
                state.agent.journal.say("##[warning]the earlier session is not here: a new one is begun");
                if std::mem::take(&mut going_on) {
                    let why = format!("{} does not take it up again", step.cli);
                    conversations::not_resumed(state, settings.number, why);
                }
                session = new_session();
                prompt = step.prompt.as_str();
                continue;
            }
            FailureKind::Heals => {
                if let Some(wait) = retries.next() {
                    let seconds = wait.as_secs_f64();
                    state
                        .agent
                        .journal
                        .say(&format!("##[warning]{}: trying again in {seconds} s", failure.message));
                    pause(state, settings, wait).await;
                    if state.is_over().is_none() {
                        match &session {
                            Session::Resume(_) => prompt = CARRY_ON,
                            Session::New(_) => session = new_session(),
                        }
                        continue;
                    }
                }
            }
            FailureKind::SessionLost | FailureKind::Budget | FailureKind::Final => {}
        }
        let conclusion = match failure.kind {
            _ if state.agent.stop.is_asked() => StepConclusion::Cancelled,
            _ if state.timed_out => StepConclusion::TimedOut,
            FailureKind::Budget => StepConclusion::BudgetExceeded,
            _ => StepConclusion::Failure,
        };
        let result = StepResult {
            exit_code: Some(tried.code),
            error: Some(failure.message),
            ..StepResult::new(conclusion)
        };
        return series.result(state, result);
    }
}

/// The last conversation of the step with the same id, else the last with its CLI.
fn spoken(state: &TaskState<'_>, number: usize, cli: &str) -> Option<String> {
    let id = conversations::step_id(state, number);
    let warm = state.agent.warm.borrow();
    let with_cli = || warm.spoken.iter().rev().filter(|spoken| spoken.cli == cli);
    let found = with_cli().find(|spoken| spoken.step == id).or_else(|| with_cli().next());
    found.map(|spoken| spoken.session.clone())
}

fn new_session() -> Session {
    Session::New(uuid::Uuid::new_v4().to_string())
}

/// The step's environment with the secrets that the CLI, or the step, asks for by name.
fn with_secrets(state: &TaskState<'_>, settings: &Settings, step: &AgentStep) -> Result<Variables, String> {
    let secrets = &state.agent.config.secrets;
    let mut variables = settings.variables.clone();
    let mut give = |name: &str| {
        let value = secrets.get(name)?;
        // What the step's own `env` says wins.
        variables.entry(name.to_owned()).or_insert_with(|| value.clone());
        Some(())
    };
    for name in cloud_code_model::cli::find(&step.cli).map_or(&[][..], |cli| cli.secrets) {
        give(name);
    }
    for name in &step.secrets {
        give(name).ok_or_else(|| format!("with.secrets: the job has no secret `{name}`"))?;
    }
    Ok(variables)
}

/// Waits, unless the work is over before.
async fn pause(state: &TaskState<'_>, settings: &Settings, wait: Duration) {
    let mut stop = state.agent.stop.clone();
    let until = [state.deadline, settings.limits.step]
        .into_iter()
        .flatten()
        .fold(Instant::now() + wait, Instant::min);
    tokio::select! {
        () = tokio::time::sleep_until(until) => {}
        _ = stop.over(Urgency::None) => {}
    }
}

/// All starts of the CLI for one step.
struct Series<'a> {
    cli: &'static dyn Cli,
    variables: Variables,
    step: &'a AgentStep,
    settings: &'a Settings,
    spent: Spent,
}

/// What all starts so far used together.
#[derive(Default)]
struct Spent {
    usage: Option<Usage>,
    turns: Option<u32>,
    summary: Option<String>,
    session: Option<String>,
}

/// What came of one start.
struct Tried {
    code: i32,
    /// The conversation that can be resumed, if one was begun.
    session: Option<String>,
    /// The work's end, with its failure if any; or the step's result, where it was stopped.
    end: Result<Option<Failure>, Box<StepResult>>,
}

impl Series<'_> {
    /// Starts the CLI and waits for its end. The error is the step's.
    async fn once(
        &mut self,
        state: &mut TaskState<'_>,
        session: &Session,
        prompt: &str,
    ) -> Result<Tried, String> {
        let budget = self.budget(state);
        if budget.is_some_and(|budget| budget <= 0.0) {
            let (conclusion, error) = state.stopped(Cause::Budget);
            let result = StepResult { error: Some(error), ..StepResult::new(conclusion) };
            return Ok(Tried { code: 0, session: None, end: Err(Box::new(result)) });
        }
        let (launch, reader, prompt_file) = self.launch(state, session, prompt, budget)?;
        let turns_left = self.step.max_turns.filter(|_| !launch.keeps_turn_limit);
        let turns_left = turns_left.map(|turns| turns.saturating_sub(self.spent.turns.unwrap_or_default()));
        let command = self.command(state, launch, &prompt_file)?;
        let minutes = state.task.limits.silence_minutes;
        let limits = Limits {
            silence: minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0)),
            ..self.settings.limits
        };
        let agent = state.agent;
        let mut sink = AgentSink::new(state, self.settings.number, reader, self.step, budget, turns_left);
        let ended = process::run(command, limits, agent.config.graces, &agent.stop, &mut sink).await;
        sink.close();
        let ended = ended.map_err(|error| self.cannot_start(&error))?;
        if let Some(group) = &ended.group {
            // What a CLI leaves running would go on changing the tree.
            group.kill();
        }
        let AgentSink { mut reader, session, question, over_budget, errors, .. } = sink;
        state.question = question.or(state.question.take());
        let code = exit_code(ended.status);
        let end = match &ended {
            Ended { cause: None, .. } => reader.exited(code),
            // It had said that it was done: its own record counts, not the code that being stopped gave.
            Ended { cause: Some(Cause::Lingering), .. } => reader.exited(0),
            Ended { cause: Some(_), .. } => End { known: reader.stopped(), failure: None },
        };
        let mut known = end.known;
        let model = known.model.as_deref().or(self.step.model.as_deref());
        known.usage = known.usage.map(|usage| agent.config.prices.fill(model, usage));
        // Many say what they used, and so what it costs, only at their end.
        let cost = known.usage.and_then(|usage| usage.cost_usd).unwrap_or_default();
        let over_budget = over_budget || budget.is_some_and(|budget| cost > budget);
        state.question = state.question.take().or(known.question.take());
        self.spent.add(known);
        self.spent.session = session.clone().or(self.spent.session.take());
        let end = match ended.cause {
            None | Some(Cause::Lingering) if over_budget => Err(Cause::Budget),
            None | Some(Cause::Lingering) => Ok(end.failure.map(|failure| with_errors(failure, &errors))),
            Some(cause) => Err(cause),
        };
        let end = end.map_err(|cause| {
            let (conclusion, error) = state.stopped(cause);
            Box::new(StepResult { exit_code: Some(code), error: Some(error), ..StepResult::new(conclusion) })
        });
        Ok(Tried { code, session, end })
    }

    /// What may still be spent: the least of the step's own budget and what the task has left.
    fn budget(&self, state: &TaskState<'_>) -> Option<f64> {
        let spent = self.spent.usage.and_then(|usage| usage.cost_usd).unwrap_or_default();
        let task = state.task.limits.budget_usd.map(|budget| budget - state.spent);
        [self.step.budget_usd, task].into_iter().flatten().reduce(f64::min).map(|budget| budget - spent)
    }

    fn launch(
        &self,
        state: &TaskState<'_>,
        session: &Session,
        prompt: &str,
        budget_usd: Option<f64>,
    ) -> Result<(Launch, Box<dyn Reader>, PathBuf), String> {
        let prompt_file = self.settings.files.folder().join("prompt.txt");
        fs::write(&prompt_file, prompt).map_err(|error| format!("the prompt cannot be written: {error}"))?;
        let turn = Turn {
            step: self.step,
            prompt_file: &prompt_file,
            session,
            budget_usd,
            home: &state.agent.home,
            root: rustix::process::geteuid().is_root(),
            variables: &self.variables,
        };
        let launch = self.cli.launch(&turn)?;
        let reader = self.cli.reader(&turn);
        for (file, text) in &launch.files {
            let written =
                file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, text));
            written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        }
        Ok((launch, reader, prompt_file))
    }

    fn command(
        &self,
        state: &TaskState<'_>,
        launch: Launch,
        prompt_file: &PathBuf,
    ) -> Result<Command, String> {
        let mut variables = self.variables.clone();
        for (name, value) in launch.env {
            variables.entry(name).or_insert(value);
        }
        let program = find_program(&variables, &launch.program)
            .ok_or_else(|| format!("this image has no `{}`: {}", launch.program, self.cli.install_hint()))?;
        let stdin = if launch.prompt_on_stdin {
            let file =
                File::open(prompt_file).map_err(|error| format!("the prompt cannot be read: {error}"))?;
            Stdio::from(file)
        } else {
            Stdio::null()
        };
        let mut command = Command::new(program);
        command
            .args(launch.args)
            .current_dir(state.agent.workspace.root())
            .env_clear()
            .envs(variables)
            .stdin(stdin);
        Ok(command)
    }

    fn cannot_start(&self, error: &io::Error) -> String {
        format!("{} cannot be started: {error}", self.step.cli)
    }

    /// Completes a result with what all starts used.
    fn result(self, state: &mut TaskState<'_>, mut result: StepResult) -> StepResult {
        let Spent { usage, turns, summary, session } = self.spent;
        state.spent += usage.and_then(|usage| usage.cost_usd).unwrap_or_default();
        if let Some(summary) = &summary {
            result.outputs.insert(
                "summary".to_owned(),
                cloud_code_model::task::shorten(summary, crate::files::MAX_SUMMARY),
            );
        }
        if let Some(session) = &session {
            state.agent.warm.borrow_mut().spoken.push(Spoken {
                step: conversations::step_id(state, self.settings.number),
                cli: self.step.cli.clone(),
                session: session.clone(),
            });
            let cli = (self.step.cli.as_str(), self.cli);
            state.agent.conversations.note(state, self.settings.number, cli, session, &self.variables);
            result.outputs.insert("session".to_owned(), session.clone());
        }
        report(state, self.settings.number, |step| step.usage = usage);
        StepResult { usage, turns, summary, session, ..result }
    }
}

impl Spent {
    fn add(&mut self, known: cli::Partial) {
        if let Some(more) = known.usage {
            let sum = self.usage.get_or_insert(Usage { priced_by: more.priced_by, ..Usage::default() });
            // The report's bounds: a CLI that says nonsense must not make it unreadable.
            let tokens = |sum: u64, more: u64| sum.saturating_add(more).min(1_000_000_000_000);
            sum.input_tokens = tokens(sum.input_tokens, more.input_tokens);
            sum.cached_input_tokens = tokens(sum.cached_input_tokens, more.cached_input_tokens);
            sum.output_tokens = tokens(sum.output_tokens, more.output_tokens);
            if let Some(cost) = more.cost_usd {
                sum.cost_usd = Some((sum.cost_usd.unwrap_or_default() + cost).min(1_000_000.0));
                // A sum is as sure as its least sure part.
                sum.priced_by = match (sum.priced_by, more.priced_by) {
                    (PricedBy::Table, _) | (_, PricedBy::Table) => PricedBy::Table,
                    _ => PricedBy::Cli,
                };
            }
        }
        if let Some(turns) = known.turns {
            self.turns = Some(self.turns.unwrap_or_default().saturating_add(turns));
        }
        self.summary = known.summary.or(self.summary.take());
    }
}

/// A failure with the last words on standard error, where the CLI itself had none.
fn with_errors(mut failure: Failure, errors: &str) -> Failure {
    let errors = errors.trim();
    if !errors.is_empty() && !failure.message.contains(errors) {
        failure.message = format!("{}; standard error ended with:\n{errors}", failure.message);
    }
    failure
}
