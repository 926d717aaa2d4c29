//! `uses: ./folder` — a composite action: steps of its own, which see its inputs and each other, and nothing of the job's other steps.

use cloud_code_model::expression::JobStatus;
use cloud_code_model::task::{Action, Step, StepConclusion};
use serde_json::{Map, Value, json};

use super::{Settings, StepResult, perform, wanted};
use crate::task::{TaskState, step_id};

/// Runs the action's steps in order.
pub(super) async fn run(
    state: &mut TaskState<'_>,
    settings: &Settings,
    resolved: &Step,
    action: &Action,
) -> StepResult {
    let mut inputs = Map::new();
    for (name, default) in &action.inputs {
        let given = resolved.with.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = match (given, default) {
            (Some((_, value)), _) => value.clone(),
            (None, Some(default)) => match state.scope().render(&format!("inputs.{name}"), default) {
                Ok(text) => text.into(),
                Err(error) => return StepResult::failure(error),
            },
            (None, None) => "".into(),
        };
        inputs.insert(name.clone(), value);
    }
    let outer = state.enter(Value::Object(inputs), &resolved.env);
    let mut result = StepResult::new(StepConclusion::Success);
    for (number, step) in action.steps.iter().enumerate() {
        let id = step_id(step, number);
        let mut forgiven = false;
        let inner = match wanted(state, step) {
            Err(inner) => *inner,
            Ok(()) => {
                let mut title = step.title();
                Box::pin(perform(state, settings.number, step, &mut title, &mut forgiven)).await
            }
        };
        let failed = !matches!(
            inner.conclusion,
            StepConclusion::Success
                | StepConclusion::NoChanges
                | StepConclusion::NeedsInput
                | StepConclusion::Skipped
        );
        state.note_inner(&id, &inner, failed && forgiven);
        if failed && !forgiven && result.conclusion == StepConclusion::Success {
            let error = inner.error.as_deref().unwrap_or("it failed");
            result.error = Some(format!("step `{id}` of the action: {error}"));
            result.conclusion = inner.conclusion;
            result.exit_code = inner.exit_code;
        }
        result.usage = inner.usage.or(result.usage);
        result.turns = inner.turns.or(result.turns);
        result.session = inner.session.or(result.session);
        result.summary = inner.summary.or(result.summary);
    }
    let scope = state.scope();
    for (name, text) in &action.outputs {
        match scope.render(&format!("outputs.{name}"), text) {
            Ok(value) => {
                result.outputs.insert(name.clone(), value);
            }
            Err(error) => {
                result.conclusion = StepConclusion::Failure;
                result.error.get_or_insert(error);
            }
        }
    }
    state.leave(outer);
    result
}

/// What the job's other steps see, put aside while an action's own steps run.
pub(crate) struct Outer {
    inputs: Option<cloud_code_model::expression::Value>,
    steps: Map<String, Value>,
    status: JobStatus,
    env: indexmap::IndexMap<String, String>,
    /// The action's own `env`.
    own: indexmap::IndexMap<String, String>,
}

impl TaskState<'_> {
    /// Begins an action: other inputs, no steps yet, nothing has failed.
    fn enter(&mut self, inputs: Value, env: &indexmap::IndexMap<String, String>) -> Outer {
        let outer = Outer {
            inputs: self.contexts.get("inputs").cloned(),
            steps: std::mem::take(&mut self.steps),
            status: std::mem::replace(&mut self.status, JobStatus::Success),
            env: self.env.clone(),
            own: env.clone(),
        };
        self.contexts.insert("inputs", &inputs);
        self.env.extend(env.clone());
        outer
    }

    /// Ends an action. What its steps added to the environment stays, as in Actions; its own `env` does not.
    fn leave(&mut self, mut outer: Outer) {
        self.contexts.insert("inputs", outer.inputs.unwrap_or_default());
        self.steps = outer.steps;
        if self.status != JobStatus::Cancelled {
            self.status = outer.status;
        }
        // Its own `env` goes, and what its steps added or changed stays.
        for (name, value) in std::mem::take(&mut self.env) {
            if outer.own.get(&name) != Some(&value) {
                outer.env.insert(name, value);
            }
        }
        self.env = outer.env;
    }

    fn note_inner(&mut self, id: &str, result: &StepResult, forgiven: bool) {
        let failed = matches!(
            result.conclusion,
            StepConclusion::Failure | StepConclusion::TimedOut | StepConclusion::BudgetExceeded
        );
        let word = match result.conclusion {
            _ if failed => "failure",
            StepConclusion::Cancelled => "cancelled",
            StepConclusion::Skipped => "skipped",
            _ => "success",
        };
        let conclusion = if forgiven { "success" } else { word };
        self.steps.insert(
            id.to_owned(),
            json!({ "outputs": result.outputs, "outcome": word, "conclusion": conclusion }),
        );
        if failed && !forgiven && self.status == JobStatus::Success {
            self.status = JobStatus::Failure;
        }
        if self.agent.stop.is_asked() {
            self.status = JobStatus::Cancelled;
        }
    }
}
