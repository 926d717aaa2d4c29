//! One task: its steps in order, what they hand on to each other, and its end.

use cloud_code_git::restore;
use cloud_code_model::expression::{Contexts, JobStatus};
use cloud_code_model::policy;
use cloud_code_model::task::{
    Annotation, AnnotationLevel, Conclusion, Status, Step, StepConclusion, StepReport, Task, TaskReport,
    Tasking,
};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::agent::{Agent, minutes_of};
use crate::environment::{self, Variables};
use crate::expressions::Scope;
use crate::files::Answers;
use crate::finish;
use crate::process::{Cause, Group};
use crate::steps::{self, StepResult};
use cloud_code_model::task::shorten;

/// Most bytes of all outputs of a task together, as in Actions.
const MAX_OUTPUTS: usize = 1024 * 1024;

/// Most bytes of an error in the message for people.
const MAX_ERROR: usize = 8 * 1024;

/// What a task has come to so far.
pub(crate) struct TaskState<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) task: &'a Task,
    /// Place in the tasking and in the report.
    pub(crate) index: usize,
    /// What every step inherits.
    base: Variables,
    /// The task's `env`, and what steps added through GITHUB_ENV.
    pub(crate) env: IndexMap<String, String>,
    /// The latter alone.
    added: IndexMap<String, String>,
    path: Vec<String>,
    pub(crate) contexts: Contexts,
    /// The context `steps`.
    pub(crate) steps: Map<String, Value>,
    /// Steps that were begun, those of actions too.
    pub(crate) begun: usize,
    pub(crate) status: JobStatus,
    pub(crate) deadline: Option<Instant>,
    pub(crate) timed_out: bool,
    /// US dollars that agent steps have spent, those of earlier tasks too.
    pub(crate) spent: f64,
    /// What a CLI last asked.
    pub(crate) question: Option<String>,
    /// The first step that failed and was not allowed to.
    pub(crate) failure: Option<(StepConclusion, String)>,
    /// What steps left running.
    pub(crate) groups: Vec<Group>,
    /// Files that are not as the branch has them, and are left out of the change.
    pub(crate) restored: Vec<String>,
}

/// Works on one task and completes its part of the report.
pub(crate) async fn run(agent: &Agent, tasking: &Tasking, index: usize) {
    let task = &tasking.tasks[index];
    let queued = task.steps.iter().enumerate().map(|(number, step)| StepReport {
        id: step_id(step, number),
        name: Some(shorten(&step.title(), 200)),
        ..StepReport::default()
    });
    let begun = TaskReport {
        id: task.id.clone(),
        status: Status::InProgress,
        steps: queued.collect(),
        ..TaskReport::default()
    };
    agent.report(|report| report.tasks.push(begun));
    agent.journal.say(&format!(
        "task {}: {}/{} on {}",
        task.id, task.repository.owner, task.repository.name, task.branch
    ));
    let start = finish::head(agent).await;
    let mut state = TaskState::new(agent, tasking, index);
    let begun = state.restore().await.and_then(|()| state.begin());
    match begun {
        Ok(()) => {
            for (number, step) in task.steps.iter().enumerate() {
                steps::run(&mut state, number, step).await;
            }
        }
        Err(error) => state.failure = Some((StepConclusion::Failure, error)),
    }
    // Nothing may write to the tree while it is committed.
    state.groups.iter().for_each(Group::kill);
    state.hand_on();
    finish::finish(&mut state, start).await;
}

/// The id of a step that may have none.
pub(crate) fn step_id(step: &Step, number: usize) -> String {
    step.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| format!("step-{}", number + 1))
}

impl<'a> TaskState<'a> {
    fn new(agent: &'a Agent, tasking: &'a Tasking, index: usize) -> TaskState<'a> {
        let task = &tasking.tasks[index];
        let config = &agent.config;
        let mut warm = agent.warm.borrow_mut();
        let since = *warm.since.get_or_insert_with(Instant::now);
        let deadline = task.limits.timeout_minutes.map(|minutes| since + minutes_of(minutes));
        TaskState {
            agent,
            task,
            index,
            base: environment::base(config, tasking, task, &agent.home, agent.temporary.path()),
            env: IndexMap::new(),
            added: warm.env.clone(),
            path: warm.path.clone(),
            contexts: contexts(agent, task),
            steps: warm.steps.clone(),
            begun: 0,
            status: JobStatus::Success,
            deadline,
            timed_out: false,
            spent: warm.spent,
            question: None,
            failure: None,
            groups: Vec::new(),
            restored: Vec::new(),
        }
    }

    /// Leaves to the next task what a step leaves to the next.
    fn hand_on(&self) {
        let mut warm = self.agent.warm.borrow_mut();
        warm.spent = self.spent;
        warm.env.clone_from(&self.added);
        warm.path.clone_from(&self.path);
        warm.steps.clone_from(&self.steps);
    }

    /// Takes what CLIs read as instructions from the default branch, where the task wants that.
    async fn restore(&mut self) -> Result<(), String> {
        if !self.task.restore_instructions {
            return Ok(());
        }
        let root = self.agent.workspace.root().to_owned();
        let branch = &self.task.repository.default_branch;
        let from = [format!("refs/remotes/origin/{branch}"), "refs/remotes/origin/HEAD".to_owned()];
        self.restored = finish::blocking(move || {
            restore::restore(&root, &from, &policy::is_instruction).map_err(|error| {
                format!("instruction files cannot be taken from the default branch: {error}")
            })
        })
        .await?;
        if !self.restored.is_empty() {
            let files = self.restored.join(", ");
            self.agent.journal.say(&format!("as on the default branch, and not part of the change: {files}"));
        }
        Ok(())
    }

    /// Replaces the expressions in the task's `env`.
    fn begin(&mut self) -> Result<(), String> {
        self.env = self.scope().variables(&self.task.env)?;
        self.env.extend(self.added.clone());
        Ok(())
    }

    /// What expressions see now.
    pub(crate) fn scope(&self) -> Scope {
        let status = match self.status {
            JobStatus::Failure => "failure",
            JobStatus::Cancelled => "cancelled",
            JobStatus::Success | JobStatus::Skipped => "success",
        };
        let contexts = self
            .contexts
            .clone()
            .with("steps", Value::Object(self.steps.clone()))
            .with("job", json!({ "status": status }));
        let mut scope =
            Scope { contexts, status: self.status, workspace: self.agent.workspace.root().to_owned() };
        scope.set_env(&self.env);
        scope
    }

    /// The environment of a step with these variables of its own; also makes them the context `env`.
    pub(crate) fn variables(&self, scope: &mut Scope, step: &Step) -> Result<Variables, String> {
        let mut env = self.env.clone();
        env.extend(scope.variables(&step.env)?);
        scope.set_env(&env);
        let mut variables = self.base.clone();
        variables.extend(env);
        environment::prepend_path(&mut variables, &self.path);
        Ok(variables)
    }

    /// Is there a reason to begin no further step?
    pub(crate) fn is_over(&mut self) -> Option<StepConclusion> {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.timed_out = true;
        }
        if self.agent.stop.is_asked() {
            self.status = JobStatus::Cancelled;
            Some(StepConclusion::Cancelled)
        } else {
            self.timed_out.then_some(StepConclusion::Skipped)
        }
    }

    /// Notes that a step was stopped; gives its conclusion and the reason for people.
    pub(crate) fn stopped(&mut self, cause: Cause) -> (StepConclusion, String) {
        match cause {
            Cause::Cancelled => (StepConclusion::Cancelled, "it was cancelled".to_owned()),
            Cause::TaskTimeout => {
                self.timed_out = true;
                let minutes = self.task.limits.timeout_minutes.unwrap_or_default();
                (StepConclusion::TimedOut, format!("the job's time limit of {minutes} minutes was reached"))
            }
            Cause::StepTimeout => (StepConclusion::TimedOut, "the step's time limit was reached".to_owned()),
            Cause::Silence => {
                let minutes = self.task.limits.silence_minutes.unwrap_or_default();
                (StepConclusion::TimedOut, format!("it said nothing for {minutes} minutes"))
            }
            Cause::Lingering => (StepConclusion::Failure, "it did not end".to_owned()),
            Cause::Budget => (StepConclusion::BudgetExceeded, "the budget is spent".to_owned()),
            Cause::Turns => (StepConclusion::Failure, "the turn limit of `max-turns` is reached".to_owned()),
        }
    }

    /// Takes over what a step handed on. The error is the step's.
    pub(crate) fn take(&mut self, answers: Answers, result: &mut StepResult) -> Result<(), String> {
        self.path.extend(answers.path);
        self.added.extend(answers.env.clone());
        self.env.extend(answers.env);
        for (name, value) in &answers.outputs {
            if self.agent.journal.mask(value) != *value {
                let told = format!(
                    "the output `{name}` holds a secret: later jobs and the report see `***` in its place"
                );
                self.agent.journal.say(&format!("##[warning]{told}"));
                result.annotations.push(Annotation {
                    level: AnnotationLevel::Warning,
                    message: told,
                    ..Annotation::default()
                });
            }
        }
        result.outputs.extend(answers.outputs);
        result.summary = result.summary.take().or(answers.summary);
        let size = |outputs: &IndexMap<String, String>| {
            outputs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        };
        let known = self.agent.reporter.read(|report| size(&report.tasks[self.index].outputs));
        if known + size(&result.outputs) > MAX_OUTPUTS || result.outputs.len() > 500 {
            result.outputs.clear();
            return Err(format!(
                "the outputs of a job may be {MAX_OUTPUTS} bytes and 500 a step at most; these were dropped"
            ));
        }
        Ok(())
    }

    /// Notes a step's end for later steps: `outcome` is what happened, `conclusion` what counts.
    pub(crate) fn note(&mut self, id: &str, result: &StepResult, forgiven: bool) {
        let word = |conclusion: StepConclusion| match conclusion {
            StepConclusion::Success | StepConclusion::NoChanges | StepConclusion::NeedsInput => "success",
            StepConclusion::Cancelled => "cancelled",
            StepConclusion::Skipped => "skipped",
            StepConclusion::Failure | StepConclusion::TimedOut | StepConclusion::BudgetExceeded => "failure",
        };
        let outcome = word(result.conclusion);
        let conclusion = if forgiven && outcome == "failure" { "success" } else { outcome };
        self.steps.insert(
            id.to_owned(),
            json!({ "outputs": result.outputs, "outcome": outcome, "conclusion": conclusion }),
        );
        if conclusion == "failure" {
            if self.status == JobStatus::Success {
                self.status = JobStatus::Failure;
            }
            let error = result.error.clone().unwrap_or_else(|| "it failed".to_owned());
            let error = shorten(&error.replace('\0', ""), MAX_ERROR);
            self.failure.get_or_insert((result.conclusion, format!("Step `{id}`: {error}")));
        }
        if self.agent.stop.is_asked() {
            self.status = JobStatus::Cancelled;
        }
    }

    /// Changes this task's part of the report and writes it.
    pub(crate) fn report(&self, change: impl FnOnce(&mut TaskReport)) {
        let index = self.index;
        self.agent.report(|report| {
            if let Some(task) = report.tasks.get_mut(index) {
                change(task);
            }
        });
    }

    /// The task's conclusion, given whether anything was changed, and why.
    pub(crate) fn conclusion(&self, changed: bool) -> (Conclusion, Option<String>) {
        if self.agent.stop.is_asked() {
            return (Conclusion::Cancelled, Some("The job was cancelled.".to_owned()));
        }
        if let Some((conclusion, message)) = &self.failure {
            let conclusion = match conclusion {
                StepConclusion::TimedOut => Conclusion::TimedOut,
                StepConclusion::BudgetExceeded => Conclusion::BudgetExceeded,
                _ => Conclusion::Failure,
            };
            return (conclusion, Some(message.clone()));
        }
        if self.timed_out {
            return (Conclusion::TimedOut, Some("The job's time limit was reached.".to_owned()));
        }
        match (&self.question, changed) {
            (_, true) => (Conclusion::Success, None),
            (Some(question), false) => (Conclusion::NeedsInput, Some(question.clone())),
            (None, false) => (Conclusion::NoChanges, None),
        }
    }
}

/// The contexts that stay the same for all steps of a task.
fn contexts(agent: &Agent, task: &Task) -> Contexts {
    let mut given = task.context.as_object().cloned().unwrap_or_default();
    if let Some(github) = given.entry("github").or_insert_with(|| json!({})).as_object_mut() {
        github.insert("workspace".to_owned(), json!(agent.workspace.root()));
    }
    given.insert("secrets".to_owned(), json!(agent.config.secrets));
    given.insert(
        "runner".to_owned(),
        json!({ "os": "Linux", "arch": arch(), "temp": agent.temporary.path(), "name": "cloud-code" }),
    );
    let mut contexts = Contexts::new();
    for (name, value) in given {
        contexts.insert(name, value);
    }
    contexts
}

/// The processor by Actions' names.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "X64",
        "aarch64" => "ARM64",
        "x86" => "X86",
        "arm" => "ARM",
        other => other,
    }
}
