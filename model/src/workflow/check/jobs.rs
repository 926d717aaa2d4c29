//! Jobs: their ids, what GitHub needs of them, and how they call other workflows.

use super::super::finding::Report;
use super::super::yaml::{Node, Value};
use super::{Checked, agent, steps_of};
use std::sync::Arc;

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    if let Some(jobs) = checked.root().get("jobs")
        && matches!(jobs.value, Value::Map(_))
        && jobs.entries().is_empty()
    {
        report.error(jobs.at, "missing-key", "a workflow needs a job");
    }
    for (key, job) in checked.jobs() {
        if let Some(id) = key.text() {
            identifier("job", &id, key, report);
        }
        if matches!(job.value, Value::Map(_)) {
            match job.get("uses") {
                Some(uses) => call(uses, job, report),
                None => steps_job(checked, key, job, report),
            }
            agent::job(job, report);
        }
    }
}

/// Ids of jobs and steps: a letter or `_`, then letters, digits, `_` and `-`; what begins with `__` is GitHub's own.
pub(super) fn identifier(what: &str, id: &str, at: &Node, report: &mut Report) {
    if id.is_empty() || at.has_expression() {
        return;
    }
    let begins = id.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !begins || !rest || id.len() >= 100 {
        let message = format!(
            "`{id}` is no id of a {what}: it begins with a letter or `_`, holds only letters, digits, `_` and `-`, and has less than 100 characters"
        );
        report.error(at.at, "id", message);
    } else if id.starts_with("__") {
        report.error(
            at.at,
            "id",
            format!("ids that begin with `__` are reserved; call the {what} something else"),
        );
    }
}

fn steps_job(checked: &Checked<'_>, key: &Node, job: &Node, report: &mut Report) {
    let has_steps = job.entry("steps").is_some();
    if !has_steps {
        report.warn(key.at, "missing-key", "the job has no `steps`, so it does nothing");
    } else if job
        .get("steps")
        .is_some_and(|steps| matches!(&steps.value, Value::List(items) if items.is_empty()))
    {
        report.warn(key.at, "missing-key", "a job needs a step");
    }
    if job.entry("runs-on").is_some() || ["with", "secrets"].iter().any(|key| job.entry(key).is_some()) {
        return;
    }
    let at_github = checked.path.contains(".github/workflows/");
    let is_ours = steps_of(job).iter().any(|step| agent::is_agent(step));
    if at_github || !has_steps {
        report.error(job.at, "missing-key", "a job needs `runs-on` (or `uses`, to call a workflow)");
    } else if !is_ours {
        report.info(
            key.at,
            "missing-key",
            "there is no `runs-on`: Cloud Code takes the server's own runner, GitHub refuses the job",
        );
    }
}

/// `uses` of a job: `./path`, or `owner/repository/path@ref`.
fn call(uses: &Arc<Node>, job: &Node, report: &mut Report) {
    let Some(text) = uses.as_str().filter(|text| !text.is_empty() && !uses.has_expression()) else { return };
    let good = match text.strip_prefix("./") {
        Some(path) => !path.is_empty() && !path.contains('@'),
        None => text.split_once('@').is_some_and(|(path, reference)| {
            let parts: Vec<_> = path.split('/').collect();
            !reference.is_empty() && parts.len() >= 3 && parts.iter().all(|part| !part.is_empty())
        }),
    };
    if !good {
        let message = format!(
            "`{text}` names no workflow; expected `./.github/workflows/file.yml`, or `owner/repository/.github/workflows/file.yml@ref`"
        );
        report.error(uses.at, "reusable-workflow", message);
    } else if !text.starts_with("./") {
        let message = "Cloud Code does not run workflows of other repositories; copy the file into this one";
        report.warn(uses.at, "not-run", message);
    }
    for key in ["budget-usd", "retries", "network"] {
        if let Some(entry) = job.entry(key) {
            report.warn(entry.key.at, "agent", format!("`{key}` is for a job with steps"));
        }
    }
}
