//! The checks of a workflow file: what GitHub refuses is an error; what it takes but hardly means what it says, is dangerous, or is not run by
//! Cloud Code is a warning. All of a file's findings are told at once.

mod action;
mod agent;
mod conditions;
mod containers;
pub(super) mod cron;
mod events;
mod glob;
mod injection;
mod inputs;
mod jobs;
mod matrix;
mod needs;
mod popular;
mod properties;
mod reusable;
mod runners;
mod steps;
mod types;

pub(super) use action::check as check_action;
pub use action::lint_action;
pub use reusable::{Files, NoFiles, ReusableOptions};

use super::finding::{Finding, Report, Severity};
use super::schema::{self, Site};
use super::yaml::{self, Document, Limits, Node};
use std::sync::Arc;

/// What the checks look at.
struct Checked<'a> {
    path: &'a str,
    document: &'a Document,
    sites: &'a [Site],
}

impl Checked<'_> {
    fn root(&self) -> &Node {
        &self.document.root
    }

    /// The jobs by key; names that are no text are left out.
    fn jobs(&self) -> Vec<(&Arc<Node>, &Arc<Node>)> {
        let jobs = self.root().get("jobs").map_or(&[][..], |jobs| jobs.entries());
        jobs.iter().map(|entry| (&entry.key, &entry.value)).collect()
    }
}

/// A file that was read and checked.
pub(super) struct Outcome {
    /// None where the text is no YAML.
    pub(super) document: Option<Document>,
    pub(super) findings: Vec<Finding>,
}

impl Outcome {
    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Checks the text of a workflow file, or of an action where it is called `action.yml` or `action.yaml`. `path` is shown in the findings; below `.github/workflows/` the file is GitHub's own, and `runs-on` is
/// required.
pub fn lint(path: &str, text: &str) -> Vec<Finding> {
    lint_with(path, text, &Limits::default(), &ReusableOptions::default(), &NoFiles)
}

/// As [`lint`], with limits of one's own, and with the files at hand whose workflows the jobs call.
pub fn lint_with(
    path: &str,
    text: &str,
    limits: &Limits,
    options: &ReusableOptions,
    files: &dyn Files,
) -> Vec<Finding> {
    if action::is_action_file(path) {
        return check_action(path, text, limits).findings;
    }
    let mut outcome = check(path, text, limits);
    if let Some(document) = outcome.document.as_ref().filter(|_| !outcome.has_errors()) {
        outcome.findings.extend(reusable::check(path, document, limits, options, files));
    }
    outcome.findings
}

pub(super) fn check(path: &str, text: &str, limits: &Limits) -> Outcome {
    let mut report = Report::new(path);
    let Some(document) = open(text, limits, &mut report) else {
        return Outcome { document: None, findings: report.into_findings() };
    };
    let sites = schema::validate(&document, &schema::ROOT, &mut report);
    let checked = Checked { path, document: &document, sites: &sites };
    events::check(&checked, &mut report);
    inputs::check(&checked, &mut report);
    jobs::check(&checked, &mut report);
    needs::check(&checked, &mut report);
    matrix::check(&checked, &mut report);
    runners::check(&checked, &mut report);
    containers::check(&checked, &mut report);
    steps::check(&checked, &mut report);
    conditions::check(&checked, &mut report);
    injection::check(&checked, &mut report);
    properties::check(&checked, &mut report);
    types::check(&checked, &mut report);
    let findings = report.into_findings();
    Outcome { document: Some(document), findings }
}

/// Parses a file, and says what is wrong with its YAML; `None` where that is not to be gone on with.
fn open(text: &str, limits: &Limits, report: &mut Report) -> Option<Document> {
    let document = match yaml::parse(text, limits) {
        Ok(document) => document,
        Err(error) => {
            report.error(error.at, "yaml", error.message);
            return None;
        }
    };
    for &at in &document.unused_anchors {
        report.warn(at, "anchor", "no alias uses this anchor");
    }
    Some(document)
}

/// The steps of a job, those that stand side by side under `parallel` among them.
fn steps_of(job: &Node) -> Vec<&Arc<Node>> {
    let mut steps = Vec::new();
    let mut waiting: Vec<&Arc<Node>> =
        job.get("steps").map_or(&[][..], |steps| steps.items()).iter().rev().collect();
    while let Some(step) = waiting.pop() {
        match step.get("parallel") {
            Some(parallel) => waiting.extend(parallel.items().iter().rev()),
            None => steps.push(step),
        }
    }
    steps
}
