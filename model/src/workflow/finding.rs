//! What a check found, and the list that collects it.

use super::yaml::Position;
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file can't be used: GitHub refuses it, too.
    Error,
    /// It can be used, but hardly means what it says, or is dangerous, or is not run by Cloud Code.
    Warning,
    /// Good to know.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// One finding. It is shown as `file:line:col: severity: message [rule]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// The name of the check, one of [`RULES`].
    pub rule: &'static str,
    /// What is wrong, what was expected, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, severity, rule, message } = self;
        write!(formatter, "{file}:{line}:{column}: {severity}: {message} [{rule}]")
    }
}

/// Each rule and what it is about.
pub const RULES: &[(&str, &str)] = &[
    ("action", "How actions are named, and which versions still run"),
    ("agent", "The inputs of `uses: agent` and the job keys of Cloud Code"),
    ("anchor", "Anchors that no alias uses"),
    ("condition", "An `if` that is always or never true"),
    ("context", "Contexts and functions where they are not available"),
    ("credentials", "Passwords that stand in the file"),
    ("cron", "Schedules and their time zones"),
    ("deprecated-command", "Workflow commands that GitHub has switched off"),
    ("duplicate-key", "Keys that stand twice"),
    ("env-name", "Names of environment variables"),
    ("event", "Events, their activity types and filters"),
    ("expression", "Expressions that can't be read or can't be evaluated"),
    ("glob", "Filter patterns"),
    ("id", "Ids of jobs and steps"),
    ("injection", "Text from strangers in scripts"),
    ("input", "Inputs of workflow_dispatch and workflow_call"),
    ("matrix", "Values, `include` and `exclude` of a matrix"),
    ("missing-key", "Keys that are required"),
    ("needs", "Jobs that wait for jobs that do not exist, or for each other"),
    ("not-run", "What the language has but Cloud Code does not run"),
    ("property", "Properties that a context does not have"),
    ("reusable-workflow", "Calls of workflows by jobs"),
    ("runner", "Labels and groups of runners"),
    ("shell", "Names of shells"),
    ("type", "Values of a kind that hardly means what it says"),
    ("unknown-key", "Keys that are not known where they stand"),
    ("value", "Values of the wrong kind"),
    ("yaml", "Text that is no YAML, or passes a limit"),
];

/// At most this many findings are kept of one file: what goes on for ever helps nobody.
const MOST: usize = 1000;

/// Collects the findings of one file, each once.
#[derive(Debug)]
pub(super) struct Report {
    file: String,
    findings: Vec<Finding>,
    seen: HashSet<(Position, &'static str, String)>,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), findings: Vec::new(), seen: HashSet::new() }
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        at: Position,
        rule: &'static str,
        message: impl Into<String>,
    ) {
        debug_assert!(RULES.iter().any(|row| row.0 == rule), "the rule {rule} is listed");
        let message = message.into();
        // An anchored value is checked wherever an alias brings it, and told once.
        if self.findings.len() < MOST && self.seen.insert((at, rule, message.clone())) {
            let file = self.file.clone();
            self.findings.push(Finding { file, line: at.line, column: at.column, severity, rule, message });
        }
    }

    pub(super) fn error(&mut self, at: Position, rule: &'static str, message: impl Into<String>) {
        self.add(Severity::Error, at, rule, message);
    }

    pub(super) fn warn(&mut self, at: Position, rule: &'static str, message: impl Into<String>) {
        self.add(Severity::Warning, at, rule, message);
    }

    pub(super) fn info(&mut self, at: Position, rule: &'static str, message: impl Into<String>) {
        self.add(Severity::Info, at, rule, message);
    }

    /// An error in another file, which this one calls.
    pub(super) fn error_in(
        &mut self,
        file: &str,
        at: Position,
        rule: &'static str,
        message: impl Into<String>,
    ) {
        self.add_in(Severity::Error, file, at, rule, message.into());
    }

    /// A warning in another file.
    pub(super) fn warn_in(
        &mut self,
        file: &str,
        at: Position,
        rule: &'static str,
        message: impl Into<String>,
    ) {
        self.add_in(Severity::Warning, file, at, rule, message.into());
    }

    fn add_in(&mut self, severity: Severity, file: &str, at: Position, rule: &'static str, message: String) {
        if self.findings.len() < MOST {
            let file = file.to_owned();
            self.findings.push(Finding { file, line: at.line, column: at.column, severity, rule, message });
        }
    }

    /// Takes findings of another file over.
    pub(super) fn append(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
    }

    /// In the order of the file; what is in others comes behind, file by file.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_cached_key(|finding| {
            let elsewhere = (finding.file != self.file).then(|| finding.file.clone());
            (elsewhere, finding.line, finding.column, finding.severity)
        });
        self.findings
    }
}
