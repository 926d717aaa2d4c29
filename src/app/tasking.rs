//! Writing an attempt's task: its steps, what their expressions see, and what its agents are told.

use super::continuation::Continuation;
use super::launch::Failure;
use super::{App, handover, prompt, render, variables};
use crate::ports::{ForgeError, Issue};
use cloud_code_model::expression::{Contexts, Value as Computed};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{Addition, Job, Origin, Run};
use cloud_code_model::task;
use cloud_code_model::workflow::{Action, Step};
use serde_json::Value;
use std::cell::Cell;

/// The text of `tasking.yaml`.
pub(super) async fn write(
    app: &App,
    run: &Run,
    job: &Job,
    attempt: &AttemptId,
    origin: &Origin,
    earlier: Option<Continuation>,
) -> Result<String, Failure> {
    let (issue, comments) = match run.subject.number {
        0 => (None, Vec::new()),
        number => {
            let issue = as_triggered(app.forge.issue(&run.repository, number).await?, run);
            (Some(issue), trusted_comments(app, run).await?)
        }
    };
    let wish = &run.context["cloud_code"];
    let mut handover = handover::notes(run, job);
    if let Some(earlier) = &earlier {
        handover.push_str(&earlier.note);
    }
    let prompt = |task: Option<&str>, template: Option<&str>, added: Option<&Addition>| {
        prompt::build(&prompt::Prompt {
            repository: &run.repository.full_name(),
            branch: &origin.branch,
            target: &origin.target,
            continues: origin.continues,
            issue: issue.as_ref(),
            comments: &comments,
            instructions: added.map(|added| added.words.as_str()).or(wish["instructions"].as_str()),
            added_by: added.map(|added| added.by.as_str()),
            handover: &handover,
            task,
            template: added.map(|_| prompt::ALSO).or(template),
            protected: &app.settings.policy.protected,
        })
    };
    let vars = variables::of_job(app, run, job).await?;
    let contexts = run.contexts(job).with("vars", Computed::from(&vars));
    let place = format!("{}: jobs.{}", run.workflow.path, job.key);
    let default_cli = app.settings.default_cli.as_str();
    let steps = |from: usize, added: Option<&Addition>| {
        let added = Cell::new(added);
        let writer = Steps { default_cli, contexts: &contexts, prompt: &prompt, added: &added };
        writer.steps(&run.steps(job), from, &place).map_err(Failure::Never)
    };
    let mut context = run.context_values(job);
    context.insert("github".to_owned(), github(run, job));
    context.insert("vars".to_owned(), vars);
    let (title, number) =
        (issue.as_ref().map_or(run.subject.title.as_str(), |issue| &issue.title), run.subject.number);
    let title = one_line(title, 72);
    let first = task::Task {
        id: "t1".to_owned(),
        repository: task::Repository {
            owner: run.repository.owner.clone(),
            name: run.repository.name.clone(),
            default_branch: origin.target.clone(),
        },
        base: origin.base.clone(),
        branch: origin.branch.clone(),
        env: run.env(job),
        context: Value::Object(context),
        steps: steps(0, None)?,
        limits: task::Limits {
            timeout_minutes: Some(job.spec.timeout_minutes),
            budget_usd: job.spec.budget_usd.or(app.settings.budget_usd),
            silence_minutes: Some(app.settings.silence_minutes),
        },
        author: Some(task::Author {
            name: app.settings.author.0.clone(),
            email: app.settings.author.1.clone(),
        }),
        commit_message: Some(if number == 0 { title } else { format!("{title}\n\nFixes #{number}") }),
        restore_instructions: issue.as_ref().is_some_and(|issue| issue.is_pull),
        earlier: earlier.map(|earlier| earlier.earlier),
    };
    let mut tasks = vec![first.clone()];
    // What was added: again from the first agent on, which is told the words; what was made ready for it is.
    let given = run.attempt(attempt).map_or(&[][..], |attempt| &attempt.additions);
    if let Some(from) = run.steps(job).iter().position(Step::has_agent) {
        for addition in run.additions.iter().filter(|addition| given.contains(&addition.comment)) {
            let steps = steps(from, Some(addition))?;
            tasks.push(task::Task { id: addition.task_id(), steps, earlier: None, ..first.clone() });
        }
    }
    // An agent looks once more before it ends, for what was added meanwhile.
    let open = run.has_agent(job);
    let tasking = task::Tasking {
        version: task::VERSION,
        run: run.id.to_string(),
        job: job.key.clone(),
        attempt: attempt.number,
        closed: !open,
        idle_minutes: open.then_some(0.0),
        tasks,
    };
    tasking.to_yaml().map_err(|error| Failure::Never(error.to_string()))
}

/// The context `github` of one job.
fn github(run: &Run, job: &Job) -> Value {
    let mut context = run.context.clone();
    if let Some(context) = context.as_object_mut() {
        context.insert("job".to_owned(), job.node.as_str().into());
    }
    context
}

/// Builds a prompt from a step's own task and template, both rendered, or from what was added.
type Prompter<'a> = dyn Fn(Option<&str>, Option<&str>, Option<&Addition>) -> Result<String, String> + 'a;

/// Writes steps for the agent.
struct Steps<'a, 'w> {
    default_cli: &'a str,
    contexts: &'a Contexts,
    prompt: &'a Prompter<'a>,
    /// What the first agent is told, in place of its own prompt.
    added: &'a Cell<Option<&'w Addition>>,
}

impl Steps<'_, '_> {
    /// Those from this one on; each keeps its name, also where that is its number.
    fn steps(&self, steps: &[Step], from: usize, place: &str) -> Result<Vec<task::Step>, String> {
        let numbered = steps.iter().enumerate().skip(from);
        let write = |(n, step): (usize, &Step)| {
            let mut written = self.step(step, &format!("{place}.steps[{n}]"))?;
            if from > 0 && written.id.as_deref().is_none_or(str::is_empty) {
                written.id = Some(format!("step-{}", n + 1));
            }
            Ok(written)
        };
        numbered.map(write).collect()
    }

    fn step(&self, step: &Step, place: &str) -> Result<task::Step, String> {
        let mut with = step.with.clone();
        if step.is_agent() {
            // Only the prompt is complete when it leaves us: text of the issue in it must never be read as an expression.
            let at = format!("{place}.with.prompt");
            let task = with.get("prompt").and_then(Value::as_str);
            let task = task.map(|text| render::text(text, self.contexts, &at)).transpose()?;
            let at = format!("{place}.with.template");
            let template = with.shift_remove("template");
            let template = template.as_ref().and_then(Value::as_str);
            let template = template.map(|text| render::text(text, self.contexts, &at)).transpose()?;
            let text = (self.prompt)(task.as_deref(), template.as_deref(), self.added.take())
                .map_err(|error| format!("{place}.{error}"))?;
            with.insert("prompt".to_owned(), Value::String(text));
            with.entry("cli".to_owned()).or_insert_with(|| self.default_cli.into());
        }
        let action = match &step.action {
            None => None,
            Some(action) => {
                // For the prompts in it: its inputs, as far as they are known before it runs.
                let contexts = self.contexts.clone().with("inputs", inputs(step, action, self.contexts));
                let inner = Steps { contexts: &contexts, ..*self };
                Some(Box::new(task::Action {
                    inputs: action.inputs.clone(),
                    outputs: action.outputs.clone(),
                    steps: inner.steps(&action.steps, 0, place)?,
                }))
            }
        };
        Ok(task::Step {
            id: step.id.clone(),
            name: step.name.clone(),
            condition: step.condition.clone(),
            uses: step.uses.clone(),
            run: step.run.clone(),
            shell: step.shell.clone(),
            working_directory: step.working_directory.clone(),
            with,
            env: step.env.clone(),
            timeout_minutes: step.timeout_minutes.clone(),
            continue_on_error: Some(step.continue_on_error.clone())
                .filter(|value| *value != task::Dynamic::Value(false)),
            action,
        })
    }
}

fn inputs(step: &Step, action: &Action, contexts: &Contexts) -> Computed {
    let text = |text: &str| render::text(text, contexts, "").unwrap_or_default();
    let input = |(name, default): (&String, &Option<String>)| {
        let given = step.with.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = match given.map(|(_, value)| value) {
            Some(Value::String(given)) => text(given),
            Some(given) => given.to_string(),
            None => default.as_deref().map(text).unwrap_or_default(),
        };
        (name.clone(), Value::String(value))
    };
    Computed::from(Value::Object(action.inputs.iter().map(input).collect()))
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
