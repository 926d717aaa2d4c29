//! What is ours: `uses: agent` with its inputs, and the job keys `budget-usd`, `retries` and `network`.

use super::super::finding::Report;
use super::super::suggest::hint;
use super::super::yaml::{Node, Value};
use crate::network::AllowList;

/// The inputs of `uses: agent`.
const INPUTS: &[&str] = &[
    "cli",
    "model",
    "prompt",
    "template",
    "session",
    "max-turns",
    "command",
    "args",
    "secrets",
    "budget-usd",
    "from",
    "pick",
];

/// Whether a step is a coding agent.
pub(super) fn is_agent(step: &Node) -> bool {
    step.get("uses").and_then(|uses| uses.as_str()) == Some("agent")
}

/// The keys of a job.
pub(super) fn job(job: &Node, report: &mut Report) {
    if let Some(retries) = job.get("retries")
        && let Value::Number(number) = retries.value
        && !(number.fract() == 0.0 && (0.0..=5.0).contains(&number))
    {
        report.error(retries.at, "agent", "`retries` is a whole number from 0 to 5");
    }
    if let Some(node) = job.get("network") {
        network(node, report);
    }
    for key in ["budget-usd", "timeout-minutes", "cancel-timeout-minutes"] {
        if let Some(node) = job.get(key)
            && let Value::Number(number) = node.value
            && (number < 0.0 || !number.is_finite())
        {
            report.error(node.at, "value", format!("`{key}` is a number of at least 0"));
        }
    }
}

/// `network`: what is allowed are hosts, and that means something.
fn network(node: &Node, report: &mut Report) {
    let Some(allow) = node.get("allow") else { return };
    if let Some(mode) = node.get("mode").and_then(|mode| mode.text()).filter(|mode| mode != "restricted") {
        report.warn(allow.at, "agent", format!("`allow` means nothing in the mode `{mode}`"));
    }
    for entry in allow.items() {
        if let Some(text) = entry.text()
            && let Err(error) = AllowList::default().add_workflows([&text])
        {
            report.error(entry.at, "agent", error.to_string());
        }
    }
}

/// The inputs of a step that is a coding agent.
pub(super) fn step(step: &Node, report: &mut Report) {
    let Some(with) = step.get("with") else { return };
    for entry in with.entries() {
        let Some(name) = entry.key.as_str().filter(|_| !entry.key.has_expression()) else { continue };
        if !INPUTS.contains(&name) {
            let message = format!(
                "`uses: agent` has no input `{name}`; it has `{}`{}",
                INPUTS.join("`, `"),
                hint(name, INPUTS.iter().copied())
            );
            report.error(entry.key.at, "agent", message);
            continue;
        }
        let value = &entry.value;
        if value.has_expression() || value.value == Value::Null {
            continue;
        }
        let number = value.text().and_then(|text| text.parse::<f64>().ok());
        match name {
            "max-turns" if !number.is_some_and(|turns| turns >= 1.0 && turns.fract() == 0.0) => {
                report.error(value.at, "agent", "`max-turns` is a whole number of at least 1");
            }
            "budget-usd" if !number.is_some_and(|usd| usd.is_finite() && usd > 0.0) => {
                report.error(value.at, "agent", "`budget-usd` is a number of US dollars above 0");
            }
            "cli" | "prompt" if value.text().is_some_and(|text| text.trim().is_empty()) => {
                report.error(value.at, "agent", format!("`{name}` is empty"));
            }
            _ => {}
        }
    }
}
