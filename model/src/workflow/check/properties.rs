//! Properties that a context does not have: the value is then null, which is hardly meant.

use super::super::finding::Report;
use super::super::schema::{Part, Site, place_of};
use super::super::suggest::hint;
use super::super::yaml::{Node, Position};
use super::{Checked, steps_of};
use crate::expression::{PathPart, Reference, ReferenceKind};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(super) const GITHUB: &[&str] = &[
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "action_status",
    "actor",
    "actor_id",
    "api_url",
    "artifact_cache_size_limit",
    "base_ref",
    "env",
    "event",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "output",
    "path",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "repositoryUrl",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "secret_source",
    "server_url",
    "sha",
    "state",
    "step_summary",
    "token",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "workspace",
];
const RUNNER: &[&str] = &["arch", "debug", "environment", "name", "os", "temp", "tool_cache", "workspace"];
const JOB: &[&str] = &[
    "check_run_id",
    "container",
    "services",
    "status",
    "workflow_file_path",
    "workflow_ref",
    "workflow_repository",
    "workflow_sha",
];
const STRATEGY: &[&str] = &["fail-fast", "job-index", "job-total", "max-parallel"];
const NEED: &[&str] = &["outputs", "result"];
const STEP: &[&str] = &["conclusion", "outcome", "outputs"];

/// The names that a context has, found without case.
#[derive(Default)]
pub(super) struct Names {
    all: Vec<String>,
    folded: HashSet<String>,
    /// An expression stands among the names, so that any is possible.
    open: bool,
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let all: Vec<String> = names.into_iter().collect();
        let folded = all.iter().map(|name| name.to_ascii_lowercase()).collect();
        let open = all.iter().any(|name| name.contains("${{"));
        Self { all, folded, open }
    }
}

/// What is known of a job that expressions ask for.
#[derive(Default)]
struct Job {
    needs: Names,
    outputs: Option<Names>,
    steps: Names,
    /// The number of each step that has an id; empty where steps stand side by side.
    order: HashMap<String, usize>,
    /// None where an expression makes the matrix.
    matrix: Option<Names>,
}

struct Known {
    jobs: HashMap<String, Job>,
    ids: Names,
    inputs: Names,
    dispatched: Option<Names>,
    /// The secrets of a workflow that is only ever called and names them.
    secrets: Option<Names>,
}

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    let known = Known::of(checked);
    for site in checked.sites {
        for reference in site.references() {
            let ReferenceKind::Context { path } = &reference.kind else { continue };
            let names: Vec<&str> = path
                .iter()
                .map_while(|part| match part {
                    PathPart::Name(name) => Some(name.as_str()),
                    PathPart::Star | PathPart::Computed => None,
                })
                .collect();
            if let Some(message) = known.wrong(site, &reference.name.to_lowercase(), &names) {
                report.warn(place(checked, site, &reference), "property", message);
            }
        }
    }
}

fn place(checked: &Checked<'_>, site: &Site, reference: &Reference) -> Position {
    place_of(checked.document, &site.node, reference.offset)
}

fn keys(node: Option<&Arc<Node>>) -> Vec<String> {
    let entries = node.map_or(&[][..], |node| node.entries());
    entries.iter().filter_map(|entry| entry.key.text()).collect()
}

impl Known {
    fn of(checked: &Checked<'_>) -> Self {
        let on = checked.root().get("on");
        let names_event = |event: &str| {
            on.is_some_and(|on| {
                on.entry(event).is_some() || on.one_or_many().iter().any(|name| name.as_str() == Some(event))
            })
        };
        let inputs_of = |event: &str| keys(on.and_then(|on| on.get(event)?.get("inputs")));
        let call = on.and_then(|on| on.get("workflow_call"));
        let only_called = on.is_some_and(|on| on.entries().len() == 1);
        let secrets = call
            .and_then(|call| call.entry("secrets"))
            .filter(|_| only_called)
            .map(|entry| keys(Some(&entry.value)).into_iter().collect());
        let jobs = checked.jobs();
        let job = |job: &Node| {
            let calls = job.entry("uses").is_some();
            Job {
                needs: job
                    .get("needs")
                    .map(Node::one_or_many)
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|need| need.text())
                    .collect(),
                outputs: (!calls).then(|| keys(job.get("outputs")).into_iter().collect()),
                steps: steps_of(job).iter().filter_map(|step| step.get("id")?.text()).collect(),
                order: order(job),
                matrix: matrix(job).map(Names::from_iter),
            }
        };
        Self {
            jobs: jobs
                .iter()
                .filter_map(|(key, value)| Some((key.text()?.to_lowercase(), job(value))))
                .collect(),
            ids: jobs.iter().filter_map(|(key, _)| key.text()).collect(),
            inputs: [inputs_of("workflow_call"), inputs_of("workflow_dispatch")]
                .concat()
                .into_iter()
                .collect(),
            dispatched: names_event("workflow_dispatch")
                .then(|| inputs_of("workflow_dispatch").into_iter().collect()),
            secrets,
        }
    }

    /// What is wrong with asking the context `name` for `path`.
    fn wrong(&self, site: &Site, name: &str, path: &[&str]) -> Option<String> {
        let job = site
            .key(1)
            .filter(|_| site.key(0) == Some("jobs"))
            .and_then(|key| self.jobs.get(&key.to_lowercase()));
        match (name, path) {
            ("github", ["event", "inputs", input, ..]) => self
                .dispatched
                .as_ref()
                .and_then(|inputs| unknown("the inputs of `workflow_dispatch`", input, inputs)),
            ("github", [property, ..]) => unknown_word("`github`", property, GITHUB),
            ("runner", [property, ..]) => unknown_word("`runner`", property, RUNNER),
            ("job", [property, ..]) => unknown_word("`job`", property, JOB),
            ("strategy", [property, ..]) => unknown_word("`strategy`", property, STRATEGY),
            ("inputs", [input, ..]) => unknown("the inputs of this workflow", input, &self.inputs),
            ("secrets", [secret, ..]) if !secret.eq_ignore_ascii_case("github_token") => self
                .secrets
                .as_ref()
                .and_then(|secrets| unknown("the secrets that this workflow takes", secret, secrets)),
            ("matrix", [vector, ..]) => {
                job?.matrix.as_ref().and_then(|vectors| unknown("the matrix of this job", vector, vectors))
            }
            ("needs", [need, rest @ ..]) => {
                unknown("the jobs that this one needs directly", need, &job?.needs)
                    .or_else(|| self.of_job(need, rest))
            }
            ("jobs", [id, rest @ ..]) => {
                unknown("the jobs of this workflow", id, &self.ids).or_else(|| self.of_job(id, rest))
            }
            ("steps", [step, rest @ ..]) => unknown("the ids of steps of this job", step, &job?.steps)
                .or_else(|| later(job?, site, step))
                .or_else(|| unknown_word("a step", rest.first()?, STEP)),
            _ => None,
        }
    }

    fn of_job(&self, id: &str, path: &[&str]) -> Option<String> {
        match path {
            ["outputs", output, ..] => {
                let outputs = self.jobs.get(&id.to_lowercase())?.outputs.as_ref()?;
                unknown(&format!("the outputs of the job `{id}`"), output, outputs)
            }
            [property, ..] => unknown_word("a job", property, NEED),
            [] => None,
        }
    }
}

/// The number of each step by its id; nothing where steps stand side by side, or run beside those that follow.
fn order(job: &Node) -> HashMap<String, usize> {
    let steps = job.get("steps").map_or(&[][..], |steps| steps.items());
    if steps.iter().any(|step| step.entry("parallel").is_some() || step.entry("background").is_some()) {
        return HashMap::new();
    }
    let ids = steps.iter().enumerate();
    ids.filter_map(|(number, step)| Some((step.get("id")?.text()?.to_ascii_lowercase(), number))).collect()
}

/// A step of which nothing is known yet where it is asked for.
fn later(job: &Job, site: &Site, id: &str) -> Option<String> {
    let Some(Part::Item(here)) = site.path.get(3).filter(|_| site.key(2) == Some("steps")) else {
        return None;
    };
    let number = *job.order.get(&id.to_ascii_lowercase())?;
    match number.cmp(here) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => {
            Some(format!("the step `{id}` is this one, of which nothing is known yet"))
        }
        std::cmp::Ordering::Greater => {
            Some(format!("the step `{id}` comes later, so the value is null here"))
        }
    }
}

pub(super) fn unknown(what: &str, name: &str, known: &Names) -> Option<String> {
    if known.open || known.folded.contains(&name.to_ascii_lowercase()) {
        return None;
    }
    Some(missing(what, name, known.all.iter().map(String::as_str)))
}

/// The same of a context whose names never change.
fn unknown_word(what: &str, name: &str, known: &[&str]) -> Option<String> {
    let is_known = known.iter().any(|known| known.eq_ignore_ascii_case(name));
    (!is_known).then(|| missing(what, name, known.iter().copied()))
}

fn missing<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    format!("{what}: there is no `{name}`, so the value is null{}", hint(name, known))
}

fn matrix(job: &Node) -> Option<Vec<String>> {
    let Some(strategy) = job.get("strategy") else { return Some(Vec::new()) };
    let Some(matrix) = strategy.get("matrix") else {
        return (!strategy.has_expression()).then(Vec::new);
    };
    let include = matrix.get("include");
    let items = include.map_or(&[][..], |include| include.items());
    if matrix.has_expression()
        || include.is_some_and(|include| include.has_expression())
        || items.iter().any(|item| item.has_expression())
    {
        return None;
    }
    let mut names = keys(Some(matrix));
    names.retain(|name| name != "include" && name != "exclude");
    for item in items {
        names.extend(keys(Some(item)));
    }
    Some(names)
}
