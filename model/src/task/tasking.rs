//! `tasking.yaml`: what the orchestrator asks of the agent.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::conversation::Earlier;
use super::step::Step;
use super::validate::{MAX_MINUTES, MAX_USD, within};
use super::{DocumentError, VERSION, read_document, scalar};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tasking {
    /// Format of the file: [`VERSION`].
    pub version: u32,
    /// Id of the run, as in the console.
    pub run: String,
    /// Id of the job in the workflow.
    pub job: String,
    /// Number of this try of the job, from 1; every report repeats it (the fencing number).
    pub attempt: u32,
    /// `true`: no task will be appended any more, the agent ends after the last one.
    #[serde(default = "yes")]
    pub closed: bool,
    /// Minutes that an agent whose tasks are done waits for more, where it is not `closed`; with 0 it looks once more and ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_minutes: Option<f64>,
    /// In the order in which they are worked on.
    #[serde(default)]
    pub tasks: Vec<Task>,
}

/// One piece of work in the workspace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Task {
    /// Unique in the file.
    pub id: String,
    /// Whose code lies in the workspace.
    pub repository: Repository,
    /// Full object id of the commit at which the workspace stands.
    pub base: String,
    /// Short name of the branch that the work is for, such as `cloud-code/issue-42`.
    pub branch: String,
    /// Environment of every step.
    #[serde(default, deserialize_with = "scalar::map", skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// Contexts for `${{ }}` inside the steps: `github`, `matrix`, `needs`, `inputs`, … by name.
    #[serde(default)]
    pub context: Value,
    /// Worked through in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What the task may cost.
    #[serde(default)]
    pub limits: Limits,
    /// Author of commits that the agent makes; the product's own bot address when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// Message of the commit that takes in what the steps left uncommitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_message: Option<String>,
    /// Files that CLIs read as instructions are taken from the default branch, and left out of the change: what is worked on was
    /// written by somebody who may not instruct the agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restore_instructions: bool,
    /// Conversations of an earlier attempt on this branch, which this one is to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
}

/// A repository's name on its forge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// User or organisation.
    pub owner: String,
    /// Name without the owner.
    pub name: String,
    /// Short name of the default branch.
    #[serde(default = "main_branch", alias = "default-branch")]
    pub default_branch: String,
}

/// Limits of a task; a missing one does not limit. What earlier tasks of the same agent took counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// Minutes from the start of the first task to this one's cancellation; fractions are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<f64>,
    /// US dollars that the agent steps may spend together, up to this task's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
    /// Minutes without any output after which an agent step counts as hung.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence_minutes: Option<f64>,
}

/// Who a commit is by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Display name.
    pub name: String,
    /// E-mail address.
    pub email: String,
}

/// Why a tasking file was refused.
#[derive(Debug, thiserror::Error)]
pub enum TaskingError {
    /// Not UTF-8.
    #[error("tasking.yaml is not UTF-8 text")]
    NotText,
    /// A version that this build does not know.
    #[error(
        "tasking.yaml has version {found}, this agent reads version {VERSION}: use an agent image of the server's release"
    )]
    Version {
        /// As written in the file.
        found: String,
    },
    /// Not YAML, or not of the file's shape; the text says where.
    #[error("tasking.yaml cannot be read: {0}")]
    Yaml(String),
    /// A value that makes no sense.
    #[error("tasking.yaml: {field}: {reason}")]
    Invalid {
        /// Path of the value in the file.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Tasking {
    /// Reads and checks a tasking file.
    pub fn parse(bytes: &[u8]) -> Result<Tasking, TaskingError> {
        let text = str::from_utf8(bytes).map_err(|_| TaskingError::NotText)?;
        let tasking: Tasking = read_document(text).map_err(|error| match error {
            DocumentError::Version(found) => TaskingError::Version { found },
            DocumentError::Yaml(text) => TaskingError::Yaml(text),
        })?;
        tasking.check()?;
        Ok(tasking)
    }

    /// The file's text. Fails only on a context that YAML cannot hold.
    pub fn to_yaml(&self) -> Result<String, TaskingError> {
        serde_yaml::to_string(self).map_err(|error| TaskingError::Yaml(error.to_string()))
    }

    fn check(&self) -> Result<(), TaskingError> {
        let invalid =
            |field: String, reason: &str| TaskingError::Invalid { field, reason: reason.to_owned() };
        for (field, value) in [("run", &self.run), ("job", &self.job)] {
            if value.is_empty() {
                return Err(invalid(field.to_owned(), "is empty"));
            }
        }
        if self.attempt == 0 {
            return Err(invalid("attempt".to_owned(), "attempts are counted from 1"));
        }
        if self.idle_minutes.is_some_and(|minutes| !within(minutes, MAX_MINUTES)) {
            return Err(invalid(
                "idle-minutes".to_owned(),
                &format!("expected a number from 0 to {MAX_MINUTES}"),
            ));
        }
        for (index, task) in self.tasks.iter().enumerate() {
            let at = |field: &str| format!("tasks[{index}].{field}");
            if task.id.is_empty() {
                return Err(invalid(at("id"), "is empty"));
            }
            if self.tasks[..index].iter().any(|earlier| earlier.id == task.id) {
                return Err(invalid(at("id"), "an earlier task has the same id"));
            }
            if task.branch.is_empty() {
                return Err(invalid(at("branch"), "is empty"));
            }
            let Limits { timeout_minutes, budget_usd, silence_minutes } = task.limits;
            for (field, value, max) in [
                ("limits.timeout-minutes", timeout_minutes, MAX_MINUTES),
                ("limits.silence-minutes", silence_minutes, MAX_MINUTES),
                ("limits.budget-usd", budget_usd, MAX_USD),
            ] {
                if value.is_some_and(|value| !within(value, max)) {
                    return Err(invalid(at(field), &format!("expected a number from 0 to {max}")));
                }
            }
        }
        Ok(())
    }
}

fn yes() -> bool {
    true
}

fn main_branch() -> String {
    "main".to_owned()
}
