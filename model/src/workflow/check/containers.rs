//! `container` and `services`: images, credentials, and that Cloud Code does not run them.

use super::super::finding::Report;
use super::super::yaml::{Entry, Node, Value};
use super::Checked;

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    for (_, job) in checked.jobs() {
        if let Some(entry) = job.entry("container") {
            container(entry, report);
            report.warn(
                entry.key.at,
                "not-run",
                "Cloud Code does not run a job in a `container` of its own; its runner is one already",
            );
        }
        if let Some(services) = job.entry("services") {
            report.warn(
                services.key.at,
                "not-run",
                "Cloud Code does not run service containers; a run that has them is refused",
            );
            for service in services.value.entries() {
                container(service, report);
            }
        }
    }
}

fn container(entry: &Entry, report: &mut Report) {
    let node = &entry.value;
    match &node.value {
        Value::Text(text) if text.is_empty() => {
            report.warn(node.at, "value", "the image is empty, so there is no container")
        }
        Value::Map(_) => {
            if node.entry("image").is_none() {
                report.warn(entry.key.at, "missing-key", "a container needs an `image`");
            }
            if let Some(credentials) = node.entry("credentials") {
                self::credentials(credentials, report);
            }
        }
        _ => {}
    }
}

fn credentials(entry: &Entry, report: &mut Report) {
    let node: &Node = &entry.value;
    if !matches!(node.value, Value::Map(_)) {
        return;
    }
    if node.entry("username").is_none() || node.entry("password").is_none() {
        report.warn(entry.key.at, "missing-key", "`credentials` needs both `username` and `password`");
    }
    if let Some(password) = node.get("password").filter(|password| !password.has_expression()) {
        report.warn(
            password.at,
            "credentials",
            "a password stands in the file for all to read; take it from `${{ secrets.NAME }}`",
        );
    }
}
