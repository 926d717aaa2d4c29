//! Action files (`action.yml`): their form, their steps, and the inputs and steps that their expressions name.

use super::super::finding::{Finding, Report};
use super::super::schema::{self, Site, place_of};
use super::super::suggest::hint;
use super::super::yaml::{self, Limits, Node};
use super::{Checked, Outcome, agent, conditions, injection, open, properties, steps};
use crate::expression::{PathPart, ReferenceKind};
use std::sync::Arc;

/// Whether a file's name is that of an action.
pub(in crate::workflow) fn is_action_file(path: &str) -> bool {
    matches!(path.rsplit(['/', '\\']).next(), Some("action.yml" | "action.yaml"))
}

/// Checks the text of an action file.
pub fn lint_action(path: &str, text: &str) -> Vec<Finding> {
    check(path, text, &Limits::default()).findings
}

pub(in crate::workflow) fn check(path: &str, text: &str, limits: &Limits) -> Outcome {
    let mut report = Report::new(path);
    let Some(document) = open(text, limits, &mut report) else {
        return Outcome { document: None, findings: report.into_findings() };
    };
    let using = document.root.get("runs").and_then(|runs| runs.get("using"));
    let word = using.and_then(|using| using.text()).unwrap_or_default();
    let place = match word.as_str() {
        "docker" => &schema::DOCKER_ACTION,
        word if word.starts_with("node") => &schema::NODE_ACTION,
        _ => &schema::COMPOSITE_ACTION,
    };
    if let Some(using) = using.filter(|_| !word.is_empty()) {
        kind(using, &word, &mut report);
    }
    let sites = schema::validate(&document, place, &mut report);
    let checked = Checked { path, document: &document, sites: &sites };
    let list = document.root.get("runs").and_then(|runs| runs.get("steps"));
    let list: Vec<&Arc<Node>> = list.map_or(&[][..], |steps| steps.items()).iter().collect();
    steps::list(&list, &mut report);
    for step in &list {
        if step.entry("run").is_some() && step.entry("shell").is_none() {
            report.warn(
                step.at,
                "missing-key",
                "GitHub needs a `shell` at each `run` of an action; here it is `bash`",
            );
        }
        if agent::is_agent(step)
            && let Some(entry) = step.get("with").and_then(|with| with.entry("from").or(with.entry("pick")))
        {
            report.error(entry.key.at, "agent", "`from` and `pick` are inputs of a job's own steps");
        }
    }
    conditions::check(&checked, &mut report);
    injection::check(&checked, &mut report);
    names(&checked, &list, &mut report);
    let findings = report.into_findings();
    Outcome { document: Some(document), findings }
}

fn kind(using: &Node, word: &str, report: &mut Report) {
    const KINDS: [&str; 5] = ["composite", "docker", "node20", "node24", "node16"];
    match word {
        "composite" => {}
        "docker" | "node20" | "node24" => {
            let message = format!(
                "Cloud Code does not run actions `using: {word}`; `composite` ones of the same repository it does"
            );
            report.warn(using.at, "not-run", message);
        }
        "node12" | "node16" => {
            report.warn(
                using.at,
                "action",
                format!("GitHub has no runtime `{word}` any more; take `node20` or newer"),
            );
        }
        _ => {
            let message = format!(
                "`{word}` is nothing that runs an action; expected `composite`, `node20`, `node24` or `docker`{}",
                hint(word, KINDS)
            );
            report.error(using.at, "value", message);
        }
    }
}

/// Inputs and steps that are not there: their value is then null.
fn names(checked: &Checked<'_>, steps: &[&Arc<Node>], report: &mut Report) {
    let inputs = checked.root().get("inputs").map_or(&[][..], |inputs| inputs.entries());
    let inputs: properties::Names = inputs.iter().filter_map(|entry| entry.key.text()).collect();
    let ids: properties::Names = steps.iter().filter_map(|step| step.get("id")?.text()).collect();
    for site in checked.sites {
        for reference in site.references() {
            let ReferenceKind::Context { path } = &reference.kind else { continue };
            let Some(PathPart::Name(name)) = path.first() else { continue };
            let message = match reference.name.to_ascii_lowercase().as_str() {
                "inputs" => properties::unknown("the inputs of this action", name, &inputs),
                "steps" => properties::unknown("the ids of steps of this action", name, &ids),
                _ => None,
            };
            if let Some(message) = message {
                report.warn(at(checked, site, reference.offset), "property", message);
            }
        }
    }
}

fn at(checked: &Checked<'_>, site: &Site, offset: usize) -> yaml::Position {
    place_of(checked.document, &site.node, offset)
}
