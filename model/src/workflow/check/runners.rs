//! `runs-on`: groups, labels that GitHub has retired, labels that exclude each other.

use super::super::finding::Report;
use super::super::suggest::hint;
use super::super::yaml::{Node, Value};
use super::Checked;
use std::sync::Arc;

/// Labels of GitHub's runners that are gone (docs.github.com, "GitHub-hosted runners", 2026).
const RETIRED: &[&str] = &[
    "ubuntu-16.04",
    "ubuntu-18.04",
    "ubuntu-20.04",
    "macos-10",
    "macos-10.15",
    "macos-11",
    "macos-12",
    "macos-13",
    "windows-2016",
    "windows-2019",
    "windows-8.1",
];

const CURRENT: &[&str] = &[
    "ubuntu-latest",
    "ubuntu-24.04",
    "ubuntu-22.04",
    "macos-latest",
    "macos-26",
    "macos-15",
    "macos-14",
    "windows-latest",
    "windows-2025",
    "windows-2022",
    "self-hosted",
    "docker",
    "fargate",
    "process",
];

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    for (_, job) in checked.jobs() {
        let Some(runs_on) = job.get("runs-on") else { continue };
        if let Some(group) = runs_on.get("group").filter(|group| !group.has_expression()) {
            group_name(group, report);
        }
        let labels = match runs_on.value {
            Value::Map(_) => runs_on.get("labels").map(Node::one_or_many).unwrap_or_default(),
            _ => runs_on.one_or_many(),
        };
        let mut systems: Vec<(&str, Arc<Node>)> = Vec::new();
        let mut all = Vec::new();
        for label in &labels {
            all.extend(values(label, job, report));
        }
        for label in all {
            let Some(text) = label.text() else { continue };
            let lower = text.to_lowercase();
            if RETIRED.contains(&lower.as_str()) {
                report.warn(
                    label.at,
                    "runner",
                    format!("GitHub has no runners with the label `{text}` any more"),
                );
            } else if !CURRENT.contains(&lower.as_str())
                && (lower.starts_with("ubuntu") || lower.starts_with("macos"))
            {
                let near = hint(&lower, CURRENT.iter().copied());
                if !near.is_empty() {
                    report.info(
                        label.at,
                        "runner",
                        format!("GitHub has no runners with the label `{text}`{near}"),
                    );
                }
            }
            let system =
                ["ubuntu", "macos", "windows", "linux"].into_iter().find(|name| lower.starts_with(name));
            if let Some(system) = system.map(|name| if name == "linux" { "ubuntu" } else { name }) {
                if labels.len() > 1
                    && let Some((_, first)) = systems.iter().find(|(other, _)| *other != system)
                {
                    let message = format!(
                        "no runner has both `{text}` and `{}`; a matrix runs the job on each",
                        first.text().unwrap_or_default()
                    );
                    report.warn(label.at, "runner", message);
                } else {
                    systems.push((system, label));
                }
            }
        }
    }
}

/// What a label stands for: itself, or the values of the vector of the matrix that it names.
fn values(label: &Arc<Node>, job: &Node, report: &mut Report) -> Vec<Arc<Node>> {
    if !label.has_expression() {
        return vec![Arc::clone(label)];
    }
    let vector = label
        .as_str()
        .and_then(|text| text.strip_prefix("${{")?.strip_suffix("}}")?.trim().strip_prefix("matrix."))
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')))
        .and_then(|name| job.get("strategy")?.get("matrix")?.get(name));
    let Some(vector) = vector else { return Vec::new() };
    if vector.items().iter().any(|item| matches!(item.value, Value::Map(_))) {
        report.warn(
            label.at,
            "runner",
            "`runs-on` takes text or a list, and the values of this vector are mappings",
        );
        return Vec::new();
    }
    vector.items().iter().filter(|item| !item.has_expression()).cloned().collect()
}

fn group_name(group: &Node, report: &mut Report) {
    let Some(text) = group.text() else { return };
    let good = match text.split_once('/') {
        None => true,
        Some((prefix, name)) => {
            matches!(prefix, "org" | "organization" | "ent" | "enterprise")
                && !name.is_empty()
                && !name.contains('/')
        }
    };
    if !good {
        let message = format!(
            "`{text}` is no group of runners; expected a name, `organization/name` or `enterprise/name`"
        );
        report.error(group.at, "runner", message);
    }
}
