//! One step of a task, as written and as checked.
//!
//! The fields are those of a workflow's step, expressions and all. Whoever runs it first replaces `${{ }}` and then
//! asks [`Step::kind`] what is to be done.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scalar;
use super::validate::{MAX_USD, within};

/// A step as written in a workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// Name under which later steps read its outputs: `steps.<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Condition; missing means `success()`.
    #[serde(
        default,
        rename = "if",
        deserialize_with = "scalar::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub condition: Option<String>,
    /// What to use: `agent`, `actions/checkout@v5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<String>,
    /// Script to run.
    #[serde(default, deserialize_with = "scalar::optional", skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Shell for `run`: `bash`, `sh`, `python`, or a template with `{0}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Where `run` starts, relative to the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Inputs of what is used.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub with: IndexMap<String, Value>,
    /// Environment of this step alone; wins over the task's.
    #[serde(default, deserialize_with = "scalar::map", skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// Minutes the step may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<Dynamic<f64>>,
    /// Does the task carry on when the step fails?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_on_error: Option<Dynamic<bool>>,
    /// The composite action that `uses` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Box<Action>>,
}

/// A composite action: steps of its own, which see its inputs and each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Action {
    /// The inputs' defaults; `None` for an input that has none.
    #[serde(default)]
    pub inputs: IndexMap<String, Option<String>>,
    /// The outputs: expressions over its own steps.
    #[serde(default, deserialize_with = "scalar::map", skip_serializing_if = "IndexMap::is_empty")]
    pub outputs: IndexMap<String, String>,
    /// Its steps.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// A value, or an expression that gives one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dynamic<T> {
    /// Written out.
    Value(T),
    /// Text with `${{ }}` in it.
    Expression(String),
}

impl<T> From<T> for Dynamic<T> {
    fn from(value: T) -> Self {
        Dynamic::Value(value)
    }
}

/// What a step is, checked.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// `run:`
    Run(RunStep),
    /// `uses: agent`
    Agent(AgentStep),
    /// `uses: actions/checkout@…`: the workspace is checked out before the first step, so there is nothing to do.
    Checkout,
}

/// A script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStep {
    /// The script's text.
    pub script: String,
    /// As written; `None` is the default shell.
    pub shell: Option<String>,
    /// As written; `None` is the workspace.
    pub working_directory: Option<String>,
}

/// A coding agent's turn: the inputs of `uses: agent`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentStep {
    /// Which CLI: `claude-code`, `script`, …
    pub cli: String,
    /// Model's name as the CLI knows it.
    pub model: Option<String>,
    /// The whole prompt.
    pub prompt: String,
    /// Session to resume; `new` begins one also where a warm agent would go on with its last.
    pub session: Option<String>,
    /// Most turns the agent may take.
    pub max_turns: Option<u32>,
    /// Most US dollars this step may spend.
    pub budget_usd: Option<f64>,
    /// Further arguments for the CLI, in order.
    pub args: Vec<String>,
    /// For `cli: script`: the command line.
    pub command: Option<String>,
    /// Names of secrets the CLI is given besides those it always needs.
    pub secrets: Vec<String>,
}

/// Why a step cannot be run; always the workflow author's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Neither `run` nor `uses`.
    #[error("a step needs `run` or `uses`, this one has neither")]
    Empty,
    /// Both `run` and `uses`.
    #[error("a step has either `run` or `uses`, this one has both")]
    Both,
    /// Something that this product does not have.
    #[error("`uses: {0}` is not supported here; use `agent`, `actions/checkout` or a `run` step")]
    Unsupported(String),
    /// An input of `with` that is missing or of the wrong shape.
    #[error("`with.{input}`: {reason}")]
    Input {
        /// Name of the input.
        input: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// The names in the text of `with.secrets`, with commas or spaces between them.
pub fn listed_secrets(text: &str) -> impl Iterator<Item = &str> {
    let names = text.split(|character: char| character == ',' || character.is_whitespace());
    names.filter(|name| !name.is_empty())
}

impl Step {
    /// What the step is. Call it after expressions were replaced.
    pub fn kind(&self) -> Result<StepKind, StepError> {
        match (&self.run, &self.uses) {
            (None, None) => Err(StepError::Empty),
            (Some(_), Some(_)) => Err(StepError::Both),
            (Some(script), None) => Ok(StepKind::Run(RunStep {
                script: script.clone(),
                shell: self.shell.clone().filter(|shell| !shell.is_empty()),
                working_directory: self.working_directory.clone().filter(|folder| !folder.is_empty()),
            })),
            (None, Some(uses)) if uses == "agent" => Ok(StepKind::Agent(self.agent()?)),
            (None, Some(uses)) => {
                let action = uses.split_once('@').map_or(uses.as_str(), |(action, _)| action);
                if action.eq_ignore_ascii_case("actions/checkout") {
                    Ok(StepKind::Checkout)
                } else {
                    Err(StepError::Unsupported(uses.clone()))
                }
            }
        }
    }

    /// What to call the step where it is shown: its name, else a word on what it does.
    pub fn title(&self) -> String {
        if let Some(name) = self.name.as_ref().filter(|name| !name.is_empty()) {
            return name.clone();
        }
        if let Some(script) = &self.run {
            let first = script.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            return format!("Run {}", first.trim());
        }
        match self.uses.as_deref() {
            Some("agent") => match self.with.get("cli").and_then(Value::as_str) {
                Some(cli) => format!("Agent {cli}"),
                None => "Agent".to_owned(),
            },
            Some(uses) => format!("Use {uses}"),
            None => "Step".to_owned(),
        }
    }

    fn agent(&self) -> Result<AgentStep, StepError> {
        let agent = AgentStep {
            cli: self.text("cli")?.unwrap_or_else(|| "claude-code".to_owned()),
            model: self.text("model")?,
            prompt: self.text("prompt")?.unwrap_or_default(),
            session: self.text("session")?,
            max_turns: self.number("max-turns", 1.0, 100_000.0)?.map(|turns| turns as u32),
            budget_usd: self.number("budget-usd", 0.0, MAX_USD)?,
            args: self.list("args", |text| text.split_whitespace().map(str::to_owned).collect())?,
            command: self.text("command")?,
            secrets: self.list("secrets", |text| listed_secrets(text).map(str::to_owned).collect())?,
        };
        if agent.prompt.trim().is_empty() {
            return Err(StepError::Input { input: "prompt", reason: "an agent needs a prompt".to_owned() });
        }
        Ok(agent)
    }

    fn text(&self, input: &'static str) -> Result<Option<String>, StepError> {
        let Some(value) = self.with.get(input) else { return Ok(None) };
        match scalar::text(value) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Err(StepError::Input { input, reason: "expected a string".to_owned() }),
        }
    }

    fn number(&self, input: &'static str, min: f64, max: f64) -> Result<Option<f64>, StepError> {
        let Some(text) = self.text(input)? else { return Ok(None) };
        match text.trim().parse::<f64>() {
            Ok(number) if within(number, max) && number >= min => Ok(Some(number)),
            _ => Err(StepError::Input {
                input,
                reason: format!("expected a number from {min} to {max}, found `{text}`"),
            }),
        }
    }

    fn list(
        &self,
        input: &'static str,
        split: impl Fn(&str) -> Vec<String>,
    ) -> Result<Vec<String>, StepError> {
        match self.with.get(input) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(split(text)),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| {
                    scalar::text(item).ok_or_else(|| StepError::Input {
                        input,
                        reason: "expected a list of strings".to_owned(),
                    })
                })
                .collect(),
            Some(_) => {
                Err(StepError::Input { input, reason: "expected a string or a list of strings".to_owned() })
            }
        }
    }
}
