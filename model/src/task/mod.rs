//! The two files between orchestrator and agent: `tasking.yaml` (what is asked) and `reporting.yaml` (what came of it).
//!
//! Unknown fields are ignored and missing optional ones have defaults, so that old agents and new servers meet; an
//! unknown `version` is an error that says so. Nothing here reads or writes a file.

mod answers;
mod budget;
mod conversation;
mod grant;
mod report_check;
mod reporting;
mod scalar;
mod step;
mod tasking;
mod validate;
mod workflow_command;

pub use answers::{answer_pairs, shorten};
pub use conversation::{
    Conversation, EARLIER_SESSION_FILE, Earlier, MAX_CONVERSATIONS, MAX_SESSION_FILE, SESSION_FILE,
    is_session_id,
};
pub use grant::{Grant, GrantError, GrantedCheckout};
pub use reporting::{
    Changes, Conclusion, PricedBy, Report, ReportError, Status, StepConclusion, StepReport, TaskReport, Usage,
};
pub use step::{Action, AgentStep, Dynamic, RunStep, Step, StepError, StepKind, listed_secrets};
pub use tasking::{Author, Limits, Repository, Task, Tasking, TaskingError};
pub use workflow_command::{Annotation, AnnotationLevel, WorkflowCommand};

/// The one version of both files that this build reads and writes.
pub const VERSION: u32 = 1;

/// Folder in the workspace in which both files, the bundle, the log and the transcript lie.
pub const FOLDER: &str = ".cloud-code";
/// Name of the file that the orchestrator writes, inside [`FOLDER`].
pub const TASKING_FILE: &str = "tasking.yaml";
/// Name of the file that the agent writes, inside [`FOLDER`].
pub const REPORTING_FILE: &str = "reporting.yaml";
/// Name of the git bundle with the work, inside [`FOLDER`].
pub const BUNDLE_FILE: &str = "changes.bundle";
/// Name of the masked output of all steps, inside [`FOLDER`].
pub const LOG_FILE: &str = "log.txt";
/// Name of the masked event lines of the coding CLIs, inside [`FOLDER`].
pub const TRANSCRIPT_FILE: &str = "transcript.jsonl";

#[cfg(test)]
mod tests;

/// Why a document was not read: common to both files.
#[derive(Debug)]
pub(crate) enum DocumentError {
    Version(String),
    Yaml(String),
}

/// Reads a YAML document after looking at its `version` alone, so that a newer file gives one clear error instead of
/// a complaint about some field of it.
pub(crate) fn read_document<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    #[derive(serde::Deserialize)]
    struct Head {
        version: Option<serde_json::Value>,
    }
    let yaml = |error: serde_yaml::Error| DocumentError::Yaml(error.to_string());
    budget::check(text).map_err(yaml)?;
    let head: Head = serde_yaml::from_str(text).map_err(yaml)?;
    match head.version {
        Some(serde_json::Value::Number(number)) if number.as_u64() == Some(u64::from(VERSION)) => {}
        None => return Err(DocumentError::Version("missing".to_owned())),
        Some(other) => {
            let mut shown = other.to_string();
            if shown.len() > 40 {
                shown = "of an unexpected shape".to_owned();
            }
            return Err(DocumentError::Version(shown));
        }
    }
    serde_yaml::from_str(text).map_err(yaml)
}
