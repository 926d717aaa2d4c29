//! From a checked workflow file to its typed form.

use super::check::{self, Outcome};
use super::definition::{
    Call, ConcurrencyDefinition, Defaults, EventDefinition, InputDefinition, JobDefinition, Permissions,
    Plan, Queue, Step, Strategy, Workflow,
};
use super::finding::{Finding, Severity};
use super::schedule::Schedule;
use super::token::Token;
use super::yaml::{Limits, Node, Position, Value};
use crate::network::JobNetwork;
use crate::task::Dynamic;
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
/// When it is no YAML, or no workflow, or uses what is not run here: nothing of it is ever passed over in silence.
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

pub(super) struct Reader<'a> {
    pub(super) path: &'a str,
    pub(super) refused: Vec<Finding>,
}

/// Keys of a job that change what runs, and that are not run here.
const JOB_NOT_RUN: &[&str] = &["container", "services", "snapshot", "cancel-timeout-minutes"];

impl Reader<'_> {
    pub(super) fn not_run(&mut self, at: Position, what: &str) {
        self.refuse(at, &format!("{what} is not run by Cloud Code"));
    }

    pub(super) fn refuse(&mut self, at: Position, message: &str) {
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
        let on = root.get("on").map(events).unwrap_or_default();
        let called = root.get("on").and_then(|on| on.get("workflow_call"));
        let dispatched = root.get("on").and_then(|on| on.get("workflow_dispatch"));
        let inputs = |event: Option<&Arc<Node>>| event.and_then(|event| event.get("inputs")).map(inputs);
        let jobs = root.get("jobs").map_or(&[][..], |jobs| jobs.entries());
        let plan = Plan {
            permissions: root.get("permissions").map(|node| permissions(node)),
            env: tokens(root.get("env")),
            defaults: defaults(root),
            concurrency: root.get("concurrency").map(concurrency),
            jobs: jobs
                .iter()
                .map(|entry| self.job(entry.key.text().unwrap_or_default(), entry.key.at, &entry.value))
                .collect(),
            outputs: called
                .and_then(|called| called.get("outputs"))
                .map_or(&[][..], |outputs| outputs.entries())
                .iter()
                .filter_map(|entry| Some((entry.key.text()?, Token::of(entry.value.get("value")?))))
                .collect(),
            inputs: inputs(called).or(inputs(dispatched)).unwrap_or_default(),
            environments: IndexMap::new(),
        };
        Workflow {
            path: self.path.to_owned(),
            name: text(root, "name").unwrap_or_else(|| self.path.to_owned()),
            on,
            plan,
        }
    }

    fn job(&mut self, key: String, at: Position, job: &Node) -> JobDefinition {
        for name in JOB_NOT_RUN {
            if let Some(entry) = job.entry(name) {
                self.not_run(entry.key.at, &format!("`{name}` of a job"));
            }
        }
        let items = job.get("steps").map_or(&[][..], |steps| steps.items());
        let call = job.get("uses").map(|uses| {
            let name = uses.text().unwrap_or_default();
            if !name.starts_with("./") {
                self.refuse(
                    uses.at,
                    &format!(
                        "`{name}` can't run here: workflows of the same repository (`./…`) can be called"
                    ),
                );
            }
            if let Some(secrets) =
                job.entry("secrets").filter(|entry| entry.value.text().as_deref() != Some("inherit"))
            {
                self.not_run(secrets.key.at, "`secrets` of a call, but for `inherit`,");
            }
            Box::new(Call { uses: name, with: tokens(job.get("with")), name: String::new(), plan: None })
        });
        if items.is_empty() && call.is_none() {
            self.refuse(job.at, "a job needs a step");
        }
        let steps: Vec<Step> = items.iter().map(|step| self.step(step)).collect();
        let token = |name: &str| job.get(name).map(|node| Token::of(node));
        let needs = job.get("needs").map(Node::one_or_many).unwrap_or_default();
        let needs: Vec<String> = needs.iter().filter_map(|need| need.text()).collect();
        let from = self.of_needs(items, "from", &needs);
        let pick = self.of_needs(items, "pick", &needs);
        JobDefinition {
            key,
            at,
            name: token("name"),
            needs,
            condition: token("if"),
            runs_on: token("runs-on"),
            strategy: job.get("strategy").map(|strategy| Strategy {
                matrix: strategy.get("matrix").map(|node| Token::of(node)),
                fail_fast: strategy.get("fail-fast").map(|node| Token::of(node)),
                max_parallel: strategy.get("max-parallel").map(|node| Token::of(node)),
            }),
            concurrency: job.get("concurrency").map(concurrency),
            environment: token("environment"),
            permissions: job.get("permissions").map(|node| permissions(node)),
            outputs: tokens(job.get("outputs")),
            env: tokens(job.get("env")),
            defaults: defaults(job),
            timeout_minutes: token("timeout-minutes"),
            continue_on_error: token("continue-on-error"),
            budget_usd: token("budget-usd"),
            retries: token("retries"),
            network: job.get("network").map(network),
            from,
            pick,
            steps,
            call,
        }
    }

    /// The needed job that an input of an agent step names as `needs.JOB`.
    fn of_needs(&mut self, steps: &[Arc<Node>], input: &str, needs: &[String]) -> Option<String> {
        let agents = steps.iter().filter(|step| text(step, "uses").as_deref() == Some("agent"));
        let named: Vec<&Arc<Node>> = agents.filter_map(|step| step.get("with")?.get(input)).collect();
        let node = *named.first()?;
        let written = node.text().unwrap_or_default();
        let job = written.strip_prefix("needs.").unwrap_or_default().to_owned();
        if !needs.contains(&job) {
            self.refuse(
                node.at,
                &format!("`{input}` names a job that this one needs, as `needs.JOB`; `{written}` is none"),
            );
            return None;
        }
        if let Some(second) = named.get(1).filter(|second| second.text() != node.text()) {
            self.refuse(second.at, &format!("the steps of a job agree on one `{input}`"));
        }
        Some(job)
    }

    pub(super) fn step(&mut self, step: &Node) -> Step {
        for name in ["background", "wait", "wait-all", "cancel", "parallel"] {
            if let Some(entry) = step.entry(name) {
                self.not_run(entry.key.at, &format!("`{name}`"));
            }
        }
        let uses = text(step, "uses");
        if let Some(uses) = step.get("uses")
            && let Some(name) = uses.text()
            && name != "agent"
            && !name.starts_with("./")
            && !name.starts_with("actions/checkout@")
        {
            let message = format!(
                "`{name}` can't run here: `uses: agent`, composite actions of the same repository (`./…`) and `actions/checkout` (as already done) can"
            );
            self.refuse(uses.at, &message);
        }
        let with = step.get("with").map_or(&[][..], |with| with.entries());
        let agent = uses.as_deref() == Some("agent");
        Step {
            at: step.at,
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
                .filter(|(name, _)| !(agent && matches!(name.as_str(), "from" | "pick")))
                .collect(),
            env: texts(step.get("env")),
            timeout_minutes: step.get("timeout-minutes").and_then(|node| match node.value {
                Value::Number(number) => Some(Dynamic::Value(number)),
                _ => node.text().map(Dynamic::Expression),
            }),
            continue_on_error: match step.get("continue-on-error") {
                None => Dynamic::Value(false),
                Some(node) => match node.value {
                    Value::Bool(flag) => Dynamic::Value(flag),
                    _ => Dynamic::Expression(node.text().unwrap_or_default()),
                },
            },
            action: None,
        }
    }
}

fn concurrency(node: &Arc<Node>) -> ConcurrencyDefinition {
    ConcurrencyDefinition {
        group: node.get("group").map_or_else(|| Token::of(node), |group| Token::of(group)),
        cancel_in_progress: node.get("cancel-in-progress").map(|node| Token::of(node)),
        queue: match text(node, "queue").as_deref() {
            Some("max") => Queue::Max,
            _ => Queue::Single,
        },
    }
}

fn permissions(node: &Node) -> Permissions {
    match node.as_str() {
        Some("read-all") => Permissions::ReadAll,
        Some("write-all") => Permissions::WriteAll,
        _ => Permissions::Only(texts_of(node)),
    }
}

fn defaults(node: &Node) -> Defaults {
    let run = node.get("defaults").and_then(|defaults| defaults.get("run"));
    let token = |name: &str| run.and_then(|run| run.get(name)).map(|node| Token::of(node));
    Defaults { shell: token("shell"), working_directory: token("working-directory") }
}

pub(super) fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key)?.text()
}

fn texts(node: Option<&Arc<Node>>) -> IndexMap<String, String> {
    node.map(|node| texts_of(node)).unwrap_or_default()
}

fn texts_of(node: &Node) -> IndexMap<String, String> {
    node.entries().iter().filter_map(|entry| Some((entry.key.text()?, entry.value.text()?))).collect()
}

fn tokens(node: Option<&Arc<Node>>) -> IndexMap<String, Token> {
    let entries = node.map_or(&[][..], |node| node.entries());
    entries.iter().filter_map(|entry| Some((entry.key.text()?, Token::of(&entry.value)))).collect()
}

fn inputs(node: &Arc<Node>) -> IndexMap<String, InputDefinition> {
    let input = |node: &Node| InputDefinition {
        kind: text(node, "type").unwrap_or_else(|| "string".to_owned()),
        required: node.get("required").is_some_and(|node| node.value == Value::Bool(true)),
        default: node.get("default").map(|node| Token::of(node)),
        options: list(node, "options").unwrap_or_default(),
    };
    let entries = node.entries().iter();
    entries.filter_map(|entry| Some((entry.key.text()?, input(&entry.value)))).collect()
}

fn list(node: &Node, key: &str) -> Option<Vec<String>> {
    let items = node.get(key)?.one_or_many();
    Some(items.iter().filter_map(|item| item.text()).collect())
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

fn schedule(item: &Node) -> Option<Schedule> {
    Some(Schedule {
        cron: text(item, "cron")?,
        timezone: text(item, "timezone").filter(|zone| !zone.is_empty()),
    })
}

fn events(on: &Arc<Node>) -> IndexMap<String, EventDefinition> {
    let event = |node: &Node| EventDefinition {
        types: list(node, "types").unwrap_or_default(),
        branches: list(node, "branches"),
        branches_ignore: list(node, "branches-ignore"),
        tags: list(node, "tags"),
        tags_ignore: list(node, "tags-ignore"),
        paths: list(node, "paths"),
        paths_ignore: list(node, "paths-ignore"),
        workflows: list(node, "workflows"),
        schedules: node.items().iter().filter_map(|item| schedule(item)).collect(),
        // Those of `workflow_call` are part of the plan.
        inputs: node.get("inputs").map(inputs).unwrap_or_default(),
    };
    match on.value {
        Value::Map(_) => {
            let entries = on.entries().iter();
            entries.filter_map(|entry| Some((entry.key.text()?, event(&entry.value)))).collect()
        }
        _ => {
            let names = on.one_or_many();
            names.iter().filter_map(|name| Some((name.text()?, EventDefinition::default()))).collect()
        }
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
concurrency: { group: g, queue: max }
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
        timeout-minutes: ${{ matrix.m }}
  next:
    needs: [fix]
    outputs: { a: '${{ steps.x.outputs.a }}' }
    steps:
      - { uses: agent, with: { from: needs.fix } }
";
        let workflow = read("w.yml", text).unwrap();
        assert_eq!(workflow.name, "fix");
        assert_eq!(workflow.on["issues"].types, ["labeled"]);
        assert!(workflow.on["issue_comment"].types.is_empty());
        let plan = &workflow.plan;
        assert_eq!(plan.env["A"].text().unwrap(), "1");
        assert_eq!(plan.concurrency.as_ref().map(|concurrency| concurrency.queue), Some(Queue::Max));
        let job = &plan.jobs[0];
        assert_eq!(job.env["B"].text().unwrap(), "y");
        assert_eq!((job.at.line, job.at.column), (7, 3));
        assert_eq!(job.steps[1].with["max-turns"], 3);
        assert_eq!(job.steps[1].at.line, 13);
        assert_eq!(job.steps[2].continue_on_error, Dynamic::Value(true));
        assert_eq!(job.steps[2].timeout_minutes, Some(Dynamic::Expression("${{ matrix.m }}".to_owned())));
        let next = &plan.jobs[1];
        assert_eq!((next.needs.as_slice(), next.from.as_deref()), (&["fix".to_owned()][..], Some("fix")));
        assert!(next.steps[0].with.is_empty());
        // What is stored reads back.
        let json = serde_json::to_string(&workflow).unwrap();
        assert_eq!(serde_json::from_str::<Workflow>(&json).unwrap(), workflow);
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
            "on: push\njobs:\n  a:\n    uses: other/repo/.github/workflows/x.yml@v1",
            "w.yml:4:11: error: `other/repo/.github/workflows/x.yml@v1` can't run here",
        );
        refused(
            "on: push\njobs:\n  a:\n    steps: [{uses: agent, with: {from: needs.b}}]",
            "w.yml:4:40: error: `from` names a job that this one needs",
        );
        for (key, value) in [("container", "x"), ("services", "{a: {image: x}}")] {
            refused(
                &format!("on: push\njobs:\n  a:\n    {key}: {value}\n    steps: [{{run: x}}]"),
                &format!("w.yml:4:5: error: `{key}` of a job is not run by Cloud Code"),
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
