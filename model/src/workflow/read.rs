//! From a checked workflow file to what the run engine runs.

use super::check::{self, Outcome};
use super::finding::{Finding, Severity};
use super::yaml::{Limits, Node, Position, Value};
use super::{Concurrency, Job, Step, Workflow};
use crate::network::JobNetwork;
use indexmap::IndexMap;
use std::sync::Arc;

/// Why a workflow file can't be used: the user's mistakes, all of them, each with where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.findings))]
pub struct WorkflowError {
    /// The file.
    pub path: String,
    /// What is wrong, at least one thing, in the order of the file.
    pub findings: Vec<Finding>,
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Reads the text of a workflow file.
///
/// # Errors
/// When it is no YAML, or no workflow, or uses what this version does not run: nothing of it is ever passed over in silence.
pub fn read(path: &str, text: &str) -> Result<Workflow, WorkflowError> {
    let Outcome { document, mut findings } = check::check(path, text, &Limits::default());
    findings.retain(|finding| finding.severity == Severity::Error);
    let mut reader = Reader { path, refused: findings };
    let workflow = document.map(|document| reader.workflow(&document.root));
    reader.refused.sort_by_key(|finding| (finding.line, finding.column));
    match workflow {
        Some(workflow) if reader.refused.is_empty() => Ok(workflow),
        _ => Err(WorkflowError { path: path.to_owned(), findings: reader.refused }),
    }
}

struct Reader<'a> {
    path: &'a str,
    refused: Vec<Finding>,
}

/// Keys of a job that change what runs, and that this version does not run.
const JOB_NOT_RUN: &[&str] = &[
    "needs",
    "if",
    "strategy",
    "container",
    "services",
    "environment",
    "concurrency",
    "outputs",
    "defaults",
    "snapshot",
    "uses",
    "continue-on-error",
    "cancel-timeout-minutes",
];

impl Reader<'_> {
    fn not_run(&mut self, at: Position, what: &str) {
        self.refuse(at, &format!("{what} is not run by this version"));
    }

    fn refuse(&mut self, at: Position, message: &str) {
        self.refused.push(Finding {
            file: self.path.to_owned(),
            line: at.line,
            column: at.column,
            severity: Severity::Error,
            rule: "not-run",
            message: message.to_owned(),
        });
    }

    fn workflow(&mut self, root: &Node) -> Workflow {
        let env = texts(root.get("env"));
        if let Some(defaults) = root.entry("defaults") {
            self.not_run(defaults.key.at, "`defaults`");
        }
        let jobs = root.get("jobs").map_or(&[][..], |jobs| jobs.entries());
        if let Some(second) = jobs.get(1) {
            self.not_run(second.key.at, "a run of several jobs");
        }
        let jobs = jobs
            .iter()
            .map(|entry| self.job(entry.key.text().unwrap_or_default(), &entry.value, &env))
            .collect();
        Workflow {
            path: self.path.to_owned(),
            name: text(root, "name").unwrap_or_else(|| self.path.to_owned()),
            on: root.get("on").map(events).unwrap_or_default(),
            concurrency: root.get("concurrency").map(|node| self.concurrency(node)),
            env,
            jobs,
        }
    }

    fn concurrency(&mut self, node: &Arc<Node>) -> Concurrency {
        if let Some(queue) = node.entry("queue") {
            self.not_run(queue.key.at, "`queue`");
        }
        Concurrency {
            group: text(node, "group").or_else(|| node.text()).unwrap_or_default(),
            cancel_in_progress: self.flag(node, "cancel-in-progress"),
        }
    }

    fn job(&mut self, key: String, job: &Node, outer: &IndexMap<String, String>) -> Job {
        for name in JOB_NOT_RUN {
            if let Some(entry) = job.entry(name) {
                self.not_run(entry.key.at, &format!("`{name}` of a job"));
            }
        }
        let mut env = outer.clone();
        env.extend(texts(job.get("env")));
        let steps = job.get("steps").map_or(&[][..], |steps| steps.items());
        if steps.is_empty() {
            self.refuse(job.at, "a job needs a step");
        }
        let runs_on = job.get("runs-on");
        if let Some(runs_on) = runs_on.filter(|node| node.text().is_none()) {
            self.not_run(runs_on.at, "`runs-on` with several labels");
        }
        Job {
            name: text(job, "name").unwrap_or_else(|| key.clone()),
            key,
            runs_on: runs_on.and_then(|node| node.text()),
            timeout_minutes: self.number(job, "timeout-minutes").unwrap_or(Job::DEFAULT_TIMEOUT_MINUTES),
            budget_usd: self.number(job, "budget-usd"),
            retries: self.number(job, "retries").unwrap_or(0.0) as u32,
            network: job.get("network").map(network),
            env,
            steps: steps.iter().map(|step| self.step(step)).collect(),
        }
    }

    fn step(&mut self, step: &Node) -> Step {
        for name in ["background", "wait", "wait-all", "cancel", "parallel"] {
            if let Some(entry) = step.entry(name) {
                self.not_run(entry.key.at, &format!("`{name}`"));
            }
        }
        let uses = text(step, "uses");
        if let Some(uses) = step.get("uses")
            && let Some(name) = uses.text()
            && name != "agent"
            && !name.starts_with("actions/checkout@")
        {
            let message = format!(
                "`{name}` can't run here: this version runs `uses: agent` (and `actions/checkout`, as already done)"
            );
            self.refuse(uses.at, &message);
        }
        let with = step.get("with").map_or(&[][..], |with| with.entries());
        Step {
            id: text(step, "id"),
            name: text(step, "name"),
            condition: text(step, "if"),
            uses,
            run: text(step, "run"),
            shell: text(step, "shell"),
            working_directory: text(step, "working-directory"),
            with: with
                .iter()
                .map(|entry| (entry.key.text().unwrap_or_default(), entry.value.to_json()))
                .collect(),
            env: texts(step.get("env")),
            timeout_minutes: self.number(step, "timeout-minutes"),
            continue_on_error: self.flag(step, "continue-on-error"),
        }
    }

    fn number(&mut self, node: &Node, key: &str) -> Option<f64> {
        let node = node.get(key)?;
        match node.value {
            Value::Number(number) => Some(number),
            // Any other value is told already.
            _ => {
                if node.has_expression() {
                    self.not_run(node.at, &format!("an expression for `{key}`"));
                }
                None
            }
        }
    }

    fn flag(&mut self, node: &Node, key: &str) -> bool {
        let Some(node) = node.get(key) else { return false };
        match node.value {
            Value::Bool(flag) => flag,
            // Any other value is told already.
            _ => {
                if node.has_expression() {
                    self.not_run(node.at, &format!("an expression for `{key}`"));
                }
                false
            }
        }
    }
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key)?.text()
}

fn texts(node: Option<&Arc<Node>>) -> IndexMap<String, String> {
    let entries = node.map_or(&[][..], |node| node.entries());
    let pair = |entry: &super::yaml::Entry| Some((entry.key.text()?, entry.value.text()?));
    entries.iter().filter_map(pair).collect()
}

/// `none`, or `{ mode: restricted, allow: [pypi] }`. A mode that is none is told already.
fn network(node: &Arc<Node>) -> JobNetwork {
    let mode = text(node, "mode").or_else(|| node.text()).unwrap_or_default();
    let allow = node.get("allow").map_or(&[][..], |allow| allow.items());
    JobNetwork {
        mode: mode.parse().unwrap_or_default(),
        allow: allow.iter().filter_map(|entry| entry.text()).collect(),
    }
}

fn events(on: &Arc<Node>) -> IndexMap<String, Vec<String>> {
    let types = |node: &Node| {
        let types = node.get("types").map(Node::one_or_many).unwrap_or_default();
        types.iter().filter_map(|kind| kind.text()).collect()
    };
    match on.value {
        Value::Map(_) => {
            let entries = on.entries().iter();
            entries.filter_map(|entry| Some((entry.key.text()?, types(&entry.value)))).collect()
        }
        _ => on.one_or_many().iter().filter_map(|name| Some((name.text()?, Vec::new()))).collect(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn refused(text: &str, expected: &str) {
        let error = read("w.yml", text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
    }

    #[test]
    fn a_workflow_is_read() {
        let text = "
name: fix
on: { issues: { types: [labeled] }, issue_comment: }
env: { A: 1, B: x }
concurrency: g
jobs:
  fix:
    runs-on: docker
    timeout-minutes: 5
    env: { B: y }
    steps:
      - uses: actions/checkout@v4
      - id: a
        uses: agent
        with: { cli: script, command: 'true', max-turns: 3 }
      - run: cargo test
        if: success()
        continue-on-error: true
";
        let workflow = read("w.yml", text).unwrap();
        assert_eq!(workflow.name, "fix");
        assert_eq!(workflow.on["issues"], ["labeled"]);
        assert!(workflow.on["issue_comment"].is_empty());
        let job = &workflow.jobs[0];
        assert_eq!((job.env["A"].as_str(), job.env["B"].as_str()), ("1", "y"));
        assert_eq!(job.steps[1].with["max-turns"], 3);
        assert!(job.steps[2].continue_on_error);
        assert_eq!(job.clis("claude-code"), ["script"]);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        refused("on: push", "w.yml:1:1: error: a workflow needs `jobs`");
        refused("jobs: {}", "w.yml:1:1: error: a workflow needs `on`");
        refused("jobs: {}", "w.yml:1:7: error: a workflow needs a job");
        refused("on: push\njobs:\n  a:\n    steps: []", "w.yml:4:5: error: a job needs a step");
        refused(
            "on: push\njobs:\n  a:\n    stepz: []",
            "w.yml:4:5: error: `stepz` is not known in this place",
        );
        refused("on: push\njobs:\n  a:\n    stepz: []", "did you mean `steps`?");
        refused(
            "on: push\njobs:\n  a:\n    steps: [{uses: x, run: y}]",
            "w.yml:4:23: error: `run` is not known",
        );
        refused(
            "on: push\njobs:\n  a:\n    steps: [{uses: some/action@v1}]",
            "w.yml:4:20: error: `some/action@v1` can't run here",
        );
        refused("on: push\njobs:\n  1a:\n    steps: [{run: x}]", "w.yml:3:3: error: `1a` is no id of a job");
        refused(
            "on: push\njobs:\n  a:\n    timeout-minutes: soon\n    steps: [{run: x}]",
            "w.yml:4:22: error: `timeout-minutes` has the wrong kind of value: expected a number",
        );
        refused("on: [push\njobs: x", "w.yml:2:");
        refused(
            "on: push\njobs: {a: {steps: [{run: x}]}, b: {steps: [{run: x}]}}",
            "several jobs is not run by this version",
        );
        for (key, value) in [
            ("needs", "a"),
            ("if", "always()"),
            ("container", "x"),
            ("services", "{}"),
            ("outputs", "{}"),
            ("strategy", "{}"),
        ] {
            refused(
                &format!("on: push\njobs:\n  a:\n    {key}: {value}\n    steps: [{{run: x}}]"),
                &format!("w.yml:4:5: error: `{key}` of a job is not run by this version"),
            );
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let error = read(
            "w.yml",
            "on: push\njobs:\n  a:\n    stepz: []\n    timeout-minutes: soon\n    steps: [{runn: x}]",
        )
        .unwrap_err();
        let lines: Vec<_> = error.findings.iter().map(|finding| (finding.line, finding.rule)).collect();
        assert_eq!(lines, [(4, "unknown-key"), (5, "value"), (6, "missing-key"), (6, "unknown-key")]);
        assert_eq!(error.to_string().lines().count(), 4);
    }
}
