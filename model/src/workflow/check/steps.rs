//! Steps: ids, shells, actions, scripts, environment variables.

use super::super::finding::Report;
use super::super::suggest::hint;
use super::super::yaml::{Node, Value};
use super::{Checked, agent, jobs, popular, steps_of};
use std::collections::HashMap;
use std::sync::Arc;

const SHELLS: &[&str] = &["bash", "sh", "pwsh", "powershell", "cmd", "python"];

/// Actions of GitHub's own and the first major version that still runs (the runtimes node12, node16 are gone).
const OLDEST: &[(&str, u32)] = &[
    ("actions/cache", 4),
    ("actions/checkout", 4),
    ("actions/download-artifact", 4),
    ("actions/github-script", 7),
    ("actions/setup-dotnet", 4),
    ("actions/setup-go", 5),
    ("actions/setup-java", 4),
    ("actions/setup-node", 4),
    ("actions/setup-python", 5),
    ("actions/upload-artifact", 4),
];

/// Workflow commands that GitHub has switched off, and the file that took their place.
const DEPRECATED: &[(&str, &str)] = &[
    ("set-output", "GITHUB_OUTPUT"),
    ("save-state", "GITHUB_STATE"),
    ("set-env", "GITHUB_ENV"),
    ("add-path", "GITHUB_PATH"),
];

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    let root = checked.root();
    env(root, report);
    shell(root.get("defaults").and_then(|defaults| defaults.get("run")), report);
    for (_, job) in checked.jobs() {
        env(job, report);
        shell(job.get("defaults").and_then(|defaults| defaults.get("run")), report);
        list(&steps_of(job), report);
    }
}

/// Steps of one job or action.
pub(super) fn list(steps: &[&Arc<Node>], report: &mut Report) {
    let mut ids: HashMap<String, &Node> = HashMap::new();
    for &step in steps {
        if let Some(id) = step.get("id")
            && let Some(text) = id.text()
        {
            jobs::identifier("step", &text, id, report);
            if let Some(first) = ids.insert(text.to_lowercase(), id) {
                let message = format!(
                    "the id `{text}` stands already at {}; ids are told apart without case",
                    first.at
                );
                report.error(id.at, "id", message);
            }
        }
        one(step, report);
    }
}

fn one(step: &Arc<Node>, report: &mut Report) {
    env(step, report);
    shell(Some(step), report);
    if let Some(minutes) = step.get("timeout-minutes")
        && matches!(minutes.value, Value::Number(number) if number <= 0.0)
    {
        report.warn(minutes.at, "value", "`timeout-minutes` is a number above 0");
    }
    if let Some(run) = step.get("run")
        && let Some(script) = run.as_str()
    {
        for (command, file) in DEPRECATED {
            if script.contains(&format!("::{command} ")) || script.contains(&format!("::{command}::")) {
                let message = format!(
                    "the command `::{command}` is switched off; write to the file that `${file}` names"
                );
                report.warn(run.at, "deprecated-command", message);
            }
        }
    }
    if let Some(uses) = step.get("uses") {
        action(uses, step, report);
    }
    for key in ["background", "wait", "wait-all", "cancel"] {
        if let Some(entry) = step.entry(key) {
            report.warn(
                entry.key.at,
                "not-run",
                format!("Cloud Code does not run steps in the background (`{key}`)"),
            );
        }
    }
}

fn action(uses: &Node, step: &Node, report: &mut Report) {
    let Some(text) = uses.as_str().filter(|text| !text.is_empty() && !uses.has_expression()) else { return };
    if agent::is_agent(step) {
        return agent::step(step, report);
    }
    let is_image = text.starts_with("docker://");
    let is_local = text.starts_with("./") || text.starts_with("../");
    let (name, version) = text.split_once('@').unwrap_or((text, ""));
    if !is_image && !is_local {
        let good = name.split('/').filter(|part| !part.is_empty()).count() >= 2 && !version.is_empty();
        if !good {
            let near = hint(text, ["agent"]);
            let message = format!(
                "`{text}` names no action; expected `owner/repository@ref`, `./path`, `docker://image` or `agent`{near}"
            );
            report.error(uses.at, "action", message);
            return;
        }
    }
    let lower = name.to_lowercase();
    let major = version.strip_prefix('v').and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    if let Some((_, oldest)) = OLDEST.iter().find(|row| row.0 == lower)
        && major.is_some_and(|major| major < *oldest)
    {
        report.warn(
            uses.at,
            "action",
            format!("{name}@{version} runs on a runtime that GitHub no longer has; take v{oldest} or newer"),
        );
    }
    if !is_image && !is_local {
        popular::check(&lower, uses, step, report);
    }
    if lower == "actions/checkout" {
        return;
    }
    if !is_local {
        let what = if is_image { "Docker images" } else { "actions of other repositories" };
        report.warn(
            uses.at,
            "not-run",
            format!("Cloud Code does not run {what} as steps: `{text}`; a run that needs it is refused"),
        );
    }
    if !is_image && let Some(with) = step.get("with") {
        for key in ["entrypoint", "args"] {
            if let Some(entry) = with.entry(key) {
                report.info(entry.key.at, "action", format!("the input `{key}` has a meaning of its own with Docker actions; with others it must be declared"));
            }
        }
    }
}

/// `shell`, of a step or of `defaults.run`.
fn shell(node: Option<&Arc<Node>>, report: &mut Report) {
    let Some(shell) = node.and_then(|node| node.get("shell")) else { return };
    let Some(text) = shell.as_str().filter(|text| !text.is_empty() && !shell.has_expression()) else {
        return;
    };
    // A shell of one's own is a command with a place for the script.
    if text.contains("{0}") || SHELLS.contains(&text.to_lowercase().as_str()) {
        return;
    }
    let message = format!(
        "there is no shell `{text}`; there are `{}`, and commands with `{{0}}` for the script{}",
        SHELLS.join("`, `"),
        hint(text, SHELLS.iter().copied())
    );
    report.warn(shell.at, "shell", message);
}

fn env(node: &Node, report: &mut Report) {
    let Some(env) = node.get("env") else { return };
    for entry in env.entries() {
        let Some(name) = entry.key.text().filter(|_| !entry.key.has_expression()) else { continue };
        if name.contains(|c: char| matches!(c, '=' | '&') || c.is_whitespace() || c == '\0') {
            report.warn(
                entry.key.at,
                "env-name",
                format!("`{name}` is no name of an environment variable: it holds a blank, `=` or `&`"),
            );
        }
    }
}
