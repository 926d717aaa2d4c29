//! Workflow files: what they say, the built-in one, and which of them an event starts.

mod builtin;
mod check;
mod finding;
mod read;
mod sarif;
mod schema;
mod suggest;
mod trigger;
pub mod yaml;

pub use builtin::{BUILT_IN_PATH, implement};
pub use check::{Files, NoFiles, ReusableOptions, lint, lint_with};
pub use finding::{Finding, RULES, Severity};
pub use read::{WorkflowError, read};
pub use sarif::sarif;
pub use trigger::{EventKind, is_started_by};

use crate::network::JobNetwork;
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
    /// Event name → activity types; an empty list means the event's default types.
    pub on: IndexMap<String, Vec<String>>,
    /// Runs with the same group exclude each other.
    pub concurrency: Option<Concurrency>,
    /// For every step of every job.
    pub env: IndexMap<String, String>,
    /// In the order of the file.
    pub jobs: Vec<Job>,
}

/// `concurrency:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// The group's name, which may hold expressions.
    pub group: String,
    /// Whether a new run ends the one before it; otherwise the new one yields.
    pub cancel_in_progress: bool,
}

/// A job.
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
    /// US dollars that its agents may spend together (`budget-usd:`, our extension).
    pub budget_usd: Option<f64>,
    /// How often it may be tried again when its runner is lost (`retries:`, our extension).
    pub retries: u32,
    /// Which way out it has (`network:`, our extension); `None` leaves it to the server.
    #[serde(default)]
    pub network: Option<JobNetwork>,
    /// `env:`, the workflow's merged in.
    pub env: IndexMap<String, String>,
    /// In the order of the file.
    pub steps: Vec<Step>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// `id:`.
    pub id: Option<String>,
    /// `name:`.
    pub name: Option<String>,
    /// `if:`, as it stands.
    #[serde(rename = "if")]
    pub condition: Option<String>,
    /// `uses:`.
    pub uses: Option<String>,
    /// `run:`.
    pub run: Option<String>,
    /// `shell:`.
    pub shell: Option<String>,
    /// `working-directory:`.
    pub working_directory: Option<String>,
    /// `with:`.
    pub with: IndexMap<String, Value>,
    /// `env:`.
    pub env: IndexMap<String, String>,
    /// `timeout-minutes:`.
    pub timeout_minutes: Option<f64>,
    /// `continue-on-error:`.
    pub continue_on_error: bool,
}

impl Job {
    /// The time limit of a job that names none. GitHub's is 360 minutes; agents spend money, so ours is shorter.
    pub const DEFAULT_TIMEOUT_MINUTES: f64 = 45.0;

    /// The coding CLIs that its steps use; a step without `with.cli` uses `default_cli`.
    pub fn clis<'a>(&'a self, default_cli: &'a str) -> Vec<&'a str> {
        let mut names: Vec<&str> = self
            .steps
            .iter()
            .filter(|step| step.uses.as_deref() == Some("agent"))
            .map(|step| step.with.get("cli").and_then(Value::as_str).unwrap_or(default_cli))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
