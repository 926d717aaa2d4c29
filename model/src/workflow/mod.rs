//! Workflow files: what they say, the built-in one, which of them an event starts, and what that comes to.

mod builtin;
mod check;
mod definition;
mod finding;
pub mod plan;
mod read;
mod resolve;
mod sarif;
mod schedule;
mod schema;
mod suggest;
mod token;
pub mod yaml;

pub use builtin::{BUILT_IN_PATH, implement};
pub use check::{Files, NoFiles, ReusableOptions, lint, lint_action, lint_with};
pub use definition::{
    Action, Call, ConcurrencyDefinition, Defaults, Environment, EventDefinition, InputDefinition, Job,
    JobDefinition, PassedSecrets, Permissions, Plan, Queue, Step, Strategy, Workflow,
};
pub use finding::{Finding, RULES, Severity};
pub use read::{WorkflowError, read};
pub use resolve::environments;
pub use sarif::sarif;
pub use schedule::Schedule;
pub use token::{PlanError, Token, TokenValue};
