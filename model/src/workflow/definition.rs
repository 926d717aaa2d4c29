//! What a workflow file says, typed: events, jobs and steps, with their expressions left as they are written and with their places.

use super::schedule::Schedule;
use super::token::Token;
use super::yaml::Position;
use crate::network::JobNetwork;
use crate::task::Dynamic;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A workflow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Path in the repository.
    pub path: String,
    /// `name:`, or the path.
    pub name: String,
    /// The events that start it.
    pub on: IndexMap<String, EventDefinition>,
    /// What its jobs are made of.
    pub plan: Plan,
}

impl Workflow {
    /// Whether it is meant by its path, its file's name or its own name.
    pub fn is_called(&self, name: &str) -> bool {
        let file = self.path.rsplit('/').next().unwrap_or_default();
        [self.path.as_str(), file, self.name.as_str()].contains(&name)
    }

    /// The inputs that it takes when somebody starts it (`on.workflow_dispatch.inputs`).
    pub fn dispatch_inputs(&self) -> Option<&IndexMap<String, InputDefinition>> {
        self.on.get("workflow_dispatch").map(|event| &event.inputs)
    }

    /// Whether an event's filters look at the files that it changes.
    pub fn filters_paths(&self, event: &str) -> bool {
        self.on.get(event).is_some_and(|event| event.paths.is_some() || event.paths_ignore.is_some())
    }
}

/// What a run keeps of its workflow: everything that its jobs are made of when their time comes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// `permissions:` of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// `env:` of the workflow.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, Token>,
    /// `defaults.run` of the workflow.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,
    /// `concurrency:` of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyDefinition>,
    /// In the order of the file.
    #[serde(default)]
    pub jobs: Vec<JobDefinition>,
    /// `on.workflow_call.outputs`, where it is a workflow that is called.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub outputs: IndexMap<String, Token>,
    /// The inputs that it takes: those of `workflow_dispatch`, or, where it is called, of `workflow_call`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub inputs: IndexMap<String, InputDefinition>,
    /// The gates that its jobs may name, from `.cloud-code/environments.yml`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub environments: IndexMap<String, Environment>,
}

/// `on.EVENT`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EventDefinition {
    /// `types:`; empty means the event's default ones.
    pub types: Vec<String>,
    /// `branches:`.
    pub branches: Option<Vec<String>>,
    /// `branches-ignore:`.
    pub branches_ignore: Option<Vec<String>>,
    /// `tags:`.
    pub tags: Option<Vec<String>>,
    /// `tags-ignore:`.
    pub tags_ignore: Option<Vec<String>>,
    /// `paths:`.
    pub paths: Option<Vec<String>>,
    /// `paths-ignore:`.
    pub paths_ignore: Option<Vec<String>>,
    /// `workflows:` of `workflow_run`.
    pub workflows: Option<Vec<String>>,
    /// The lines of `schedule`.
    pub schedules: Vec<Schedule>,
    /// The inputs of `workflow_dispatch`.
    pub inputs: IndexMap<String, InputDefinition>,
}

/// An input of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputDefinition {
    /// `type:`: `string`, `boolean`, `number`, `choice` or `environment`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `required:`.
    pub required: bool,
    /// `default:`.
    pub default: Option<Token>,
    /// `options:` of a choice.
    pub options: Vec<String>,
}

/// `concurrency:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConcurrencyDefinition {
    /// The group's name.
    pub group: Token,
    /// Whether the newest ends those before it.
    pub cancel_in_progress: Option<Token>,
    /// How many may wait.
    pub queue: Queue,
}

/// How many of a concurrency group may wait: `queue:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// One: a newer one takes its place.
    #[default]
    Single,
    /// A hundred, first in first out.
    Max,
}

/// `defaults.run`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Defaults {
    /// `shell:`.
    pub shell: Option<Token>,
    /// `working-directory:`.
    pub working_directory: Option<Token>,
}

impl Defaults {
    fn is_empty(&self) -> bool {
        self.shell.is_none() && self.working_directory.is_none()
    }
}

/// What the publisher may do for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permissions {
    /// `read-all`.
    ReadAll,
    /// `write-all`.
    WriteAll,
    /// The named ones; all others are `none`.
    Only(IndexMap<String, String>),
}

impl Permissions {
    /// Whether something of this name may be written.
    pub fn may_write(&self, name: &str) -> bool {
        match self {
            Self::ReadAll => false,
            Self::WriteAll => true,
            Self::Only(levels) => levels.get(name).is_some_and(|level| level == "write"),
        }
    }
}

/// `strategy:`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Strategy {
    /// `matrix:`.
    pub matrix: Option<Token>,
    /// `fail-fast:`; missing means true.
    pub fail_fast: Option<Token>,
    /// `max-parallel:`.
    pub max_parallel: Option<Token>,
}

/// A job as it is written. With a matrix several jobs are made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDefinition {
    /// Its key under `jobs:`.
    pub key: String,
    /// Where the key stands.
    pub at: Position,
    /// `name:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Token>,
    /// `needs:`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// `if:`.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Token>,
    /// `runs-on:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_on: Option<Token>,
    /// `strategy:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// `concurrency:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyDefinition>,
    /// `environment:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Token>,
    /// `permissions:`; the workflow's where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// `outputs:`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub outputs: IndexMap<String, Token>,
    /// `env:`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, Token>,
    /// `defaults.run`.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,
    /// `timeout-minutes:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<Token>,
    /// `continue-on-error:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_on_error: Option<Token>,
    /// US dollars that its agents may spend together (`budget-usd:`, our extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Token>,
    /// How often it may be tried again when its runner is lost (`retries:`, our extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Token>,
    /// Which way out it has (`network:`, our extension); `None` leaves it to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<JobNetwork>,
    /// The needed job whose change its workspace starts from (`with.from: needs.JOB` of an agent step, our extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The needed job among whose candidates it picks one (`with.pick: needs.JOB` of an agent step, our extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick: Option<String>,
    /// In the order of the file; none where it calls a workflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The workflow that it calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Box<Call>>,
}

/// The secrets that a call passes on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassedSecrets {
    /// None.
    #[default]
    None,
    /// `inherit`: all that the caller has.
    Inherit,
    /// These, by the called workflow's names.
    Named(IndexMap<String, Token>),
}

fn inherited() -> PassedSecrets {
    PassedSecrets::Inherit
}

/// A job's call of another workflow of the same repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// `uses:`, as it is written.
    pub uses: String,
    /// `with:`.
    #[serde(default)]
    pub with: IndexMap<String, Token>,
    /// `secrets:`. Runs that older versions stored passed on all of them.
    #[serde(default = "inherited")]
    pub secrets: PassedSecrets,
    /// The called workflow's name.
    #[serde(default)]
    pub name: String,
    /// What the called workflow says; none until the file was looked up.
    #[serde(default)]
    pub plan: Option<Plan>,
}

/// A gate that jobs wait at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Environment {
    /// Logins, one of whom has to approve; nobody approves a run of their own.
    #[serde(default)]
    pub reviewers: Vec<String>,
    /// Minutes that a job waits in any case.
    #[serde(default)]
    pub wait_timer: u32,
    /// Patterns of the branches that may pass; all where there are none.
    #[serde(default)]
    pub branches: Vec<String>,
}

/// A job as it is run, its own expressions evaluated: its head. Env and steps are those of its definition, where it has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its key under `jobs:`.
    pub key: String,
    /// `name:`, or the key.
    pub name: String,
    /// `runs-on:`; `None` leaves it to the server.
    pub runs_on: Option<String>,
    /// `timeout-minutes:`.
    pub timeout_minutes: f64,
    /// US dollars that its agents may spend together.
    pub budget_usd: Option<f64>,
    /// How often it may be tried again when its runner is lost.
    pub retries: u32,
    /// Which way out it has; `None` leaves it to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<JobNetwork>,
    /// Its environment, where it was stored by a version that kept it here.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// Its steps, where it was stored by a version that kept them here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// Where it begins.
    #[serde(default, skip_serializing_if = "Position::is_start")]
    pub at: Position,
    /// `id:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `name:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `if:`, as it stands.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// `uses:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<String>,
    /// `run:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// `shell:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// `working-directory:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// `with:`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub with: IndexMap<String, Value>,
    /// `env:`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// `timeout-minutes:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<Dynamic<f64>>,
    /// `continue-on-error:`.
    #[serde(default = "never", skip_serializing_if = "is_never")]
    pub continue_on_error: Dynamic<bool>,
    /// The steps of the composite action of the same repository that it uses, once that was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Box<Action>>,
}

/// A composite action.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Action {
    /// The inputs' defaults; `None` for an input that has none.
    #[serde(default)]
    pub inputs: IndexMap<String, Option<String>>,
    /// The outputs, expressions over its own steps.
    #[serde(default)]
    pub outputs: IndexMap<String, String>,
    /// Its steps.
    #[serde(default)]
    pub steps: Vec<Step>,
}

fn never() -> Dynamic<bool> {
    Dynamic::Value(false)
}

fn is_never(value: &Dynamic<bool>) -> bool {
    *value == never()
}

impl Default for Dynamic<bool> {
    fn default() -> Self {
        never()
    }
}

impl Step {
    /// Whether it is a coding agent.
    pub fn is_agent(&self) -> bool {
        self.uses.as_deref() == Some("agent")
    }

    /// Whether it is one, or an action that has one among its steps.
    pub fn has_agent(&self) -> bool {
        self.is_agent() || self.action.as_ref().is_some_and(|action| action.steps.iter().any(Self::has_agent))
    }
}

impl Job {
    /// The time limit of a job that names none. GitHub's is 360 minutes; agents spend money, so ours is shorter.
    pub const DEFAULT_TIMEOUT_MINUTES: f64 = 45.0;
}

impl JobDefinition {
    /// What it is run with besides its definition, before its own expressions are evaluated.
    pub fn head(&self) -> Job {
        Job {
            key: self.key.clone(),
            name: self.key.clone(),
            runs_on: None,
            timeout_minutes: Job::DEFAULT_TIMEOUT_MINUTES,
            budget_usd: None,
            retries: 0,
            network: self.network.clone(),
            env: IndexMap::new(),
            steps: Vec::new(),
        }
    }
}
