//! `reporting.yaml`: what the agent says of its work. The orchestrator reads it as a stranger's text.

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::workflow_command::Annotation;
use super::{DocumentError, VERSION, budget, read_document, scalar};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Format of the file: [`VERSION`].
    pub version: u32,
    /// Id of the run, from the tasking.
    pub run: String,
    /// Id of the job, from the tasking.
    pub job: String,
    /// Number of the attempt, from the tasking.
    pub attempt: u32,
    /// Grows by one each time the file is written.
    pub sequence: u64,
    /// When it was written, by the agent's clock.
    pub at: Timestamp,
    /// How far the attempt is.
    pub status: Status,
    /// What came of it; there exactly when `status` is completed.
    #[serde(default)]
    pub conclusion: Option<Conclusion>,
    /// Why, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The changes are what was saved of work that did not come to its end.
    #[serde(default)]
    pub salvaged: bool,
    /// Hosts, with their ports where those are unusual, that the job's proxy did not let it reach. Each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_hosts: Vec<String>,
    /// One for each task that was begun, in order.
    #[serde(default)]
    pub tasks: Vec<TaskReport>,
}

/// What came of one task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskReport {
    /// Id from the tasking.
    pub id: String,
    /// How far it is.
    #[serde(default)]
    pub status: Status,
    /// What came of it; there only when `status` is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<Conclusion>,
    /// One for each step, in order, those not begun yet too.
    #[serde(default)]
    pub steps: Vec<StepReport>,
    /// All outputs of the steps, merged; a later step wins.
    #[serde(default, deserialize_with = "scalar::map", skip_serializing_if = "IndexMap::is_empty")]
    pub outputs: IndexMap<String, String>,
    /// What was changed, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
}

/// What came of one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepReport {
    /// Id from the workflow, else `step-N` counted from 1.
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far it is.
    #[serde(default)]
    pub status: Status,
    /// What came of it; there exactly when `status` is completed.
    #[serde(default)]
    pub conclusion: Option<StepConclusion>,
    /// Exit code of its process; 128 + N when signal N killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When its process was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Tokens and money, for agent steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Turns that the agent took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u32>,
    /// Session by which the agent's conversation can be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The CLI that had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli: Option<String>,
    /// It went on with the conversation of an earlier attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// Why it did not, where there was one to go on with; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_resumed: Option<String>,
    /// The agent's closing words, or what a `run` step wrote to GITHUB_STEP_SUMMARY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Its outputs by name.
    #[serde(default, deserialize_with = "scalar::map", skip_serializing_if = "IndexMap::is_empty")]
    pub outputs: IndexMap<String, String>,
    /// Why it did not succeed, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Remarks that its script made by workflow commands, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
}

/// What an agent step used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Usage {
    /// Tokens read, those from the cache not counted.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens read from the cache.
    #[serde(default)]
    pub cached_input_tokens: u64,
    /// Tokens written.
    #[serde(default)]
    pub output_tokens: u64,
    /// US dollars; `None` when nobody knows.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// Who worked the cost out.
    #[serde(default)]
    pub priced_by: PricedBy,
}

/// Who worked a cost out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PricedBy {
    /// The coding CLI itself.
    Cli,
    /// A price table, from the tokens.
    Table,
    /// Nobody.
    #[default]
    Unpriced,
}

/// What a task changed: a git bundle beside the report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changes {
    /// Commit the work began at.
    pub base: String,
    /// Commit it ended at; the same as `base` when nothing changed.
    pub head: String,
    /// Commits from base to head.
    #[serde(default)]
    pub commits: u64,
    /// Files that differ between base and head.
    #[serde(default)]
    pub files: u64,
    /// Lines added.
    #[serde(default)]
    pub insertions: u64,
    /// Lines taken away.
    #[serde(default)]
    pub deletions: u64,
    /// File name of the bundle beside the report; `None` when nothing changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// SHA-256 of the bundle in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// How far something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun.
    #[default]
    Queued,
    /// Begun.
    InProgress,
    /// Over; a conclusion says how.
    Completed,
}

/// What came of an attempt or a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Every step did, and something changed.
    Success,
    /// A step failed, or the agent could not do its work.
    Failure,
    /// Every step did, and nothing changed.
    NoChanges,
    /// The agent asked a question instead of changing something.
    NeedsInput,
    /// The time limit came first.
    TimedOut,
    /// Somebody stopped it.
    Cancelled,
    /// The money ran out first.
    BudgetExceeded,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepConclusion {
    /// It did what it was for.
    Success,
    /// It did not.
    Failure,
    /// Somebody stopped it.
    Cancelled,
    /// Its condition was false.
    Skipped,
    /// A time limit (step, task, silence) came first.
    TimedOut,
    /// The money ran out first.
    BudgetExceeded,
    /// The agent asked a question.
    NeedsInput,
    /// The agent ended well and changed nothing.
    NoChanges,
}

/// Why a report was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Over the caller's limit; not even looked at.
    #[error("the report is {bytes} bytes long, at most {max} are taken")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Not UTF-8.
    #[error("the report is not UTF-8 text")]
    NotText,
    /// A version that this build does not know.
    #[error(
        "the report has version {found}, this server reads version {VERSION}: update the older of server and agent image"
    )]
    Version {
        /// As written in the file.
        found: String,
    },
    /// Not YAML, or not of the file's shape; the text says where.
    #[error("the report cannot be read: {0}")]
    Yaml(String),
    /// A value out of bounds.
    #[error("the report's {field}: {reason}")]
    Invalid {
        /// Path of the value in the file.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Report {
    /// Reads and checks a report of at most `max` bytes from an untrusted source.
    ///
    /// Whether run, job and attempt are the expected ones is for the caller to compare.
    pub fn parse(bytes: &[u8], max: usize) -> Result<Report, ReportError> {
        if bytes.len() > max {
            return Err(ReportError::TooLarge { bytes: bytes.len(), max });
        }
        let text = str::from_utf8(bytes).map_err(|_| ReportError::NotText)?;
        budget::check_brackets(text).map_err(ReportError::Yaml)?;
        let report: Report = read_document(text).map_err(|error| match error {
            DocumentError::Version(found) => ReportError::Version { found },
            DocumentError::Yaml(text) => ReportError::Yaml(text.chars().take(500).collect()),
        })?;
        report.check()?;
        Ok(report)
    }

    /// The file's text. Fails only on numbers that YAML cannot hold.
    pub fn to_yaml(&self) -> Result<String, ReportError> {
        serde_yaml::to_string(self).map_err(|error| ReportError::Yaml(error.to_string()))
    }
}
