//! Jobs that call other workflows: whether what they pass is asked for, and what they ask for is allowed.

use super::super::finding::{Finding, Report};
use super::super::schema::PERMISSIONS;
use super::super::suggest::hint;
use super::super::yaml::{Document, Limits, Node, Position, Value};
use super::{check as check_file, check_action};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The workflows that jobs call, and the actions that steps use.
pub trait Files {
    /// The text of the workflow that `uses:` names, or of the file of an action; None where it is not at hand, and is then not looked into.
    fn text(&self, uses: &str) -> Option<String>;

    /// Whether it is certain that there is no such file.
    fn is_missing(&self, _uses: &str) -> bool {
        false
    }
}

/// No file is at hand.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn text(&self, _uses: &str) -> Option<String> {
        None
    }
}

/// Limits of calls, GitHub's by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReusableOptions {
    /// How deep a called workflow may call others.
    pub depth: usize,
    /// Jobs of the workflow and of all that it calls.
    pub jobs: usize,
    /// Whether a token that names no permissions may only read contents and packages; else it may write.
    pub limited: bool,
}

impl Default for ReusableOptions {
    fn default() -> Self {
        Self { depth: 9, jobs: 4096, limited: false }
    }
}

/// Files that one check reads at most, however often they call each other.
const MOST_FILES: usize = 256;

type Levels = BTreeMap<&'static str, u8>;

pub(super) fn check(
    path: &str,
    document: &Document,
    limits: &Limits,
    options: &ReusableOptions,
    files: &dyn Files,
) -> Vec<Finding> {
    let mut walk =
        Walk { limits, options, files, jobs: 0, read: 0, actions: HashMap::new(), report: Report::new(path) };
    let granted = levels(document.root.get("permissions"));
    let allowed = granted.unwrap_or_else(|| default_levels(options.limited));
    walk.workflow(path, &document.root, 0, &allowed);
    walk.report.into_findings()
}

struct Walk<'a> {
    limits: &'a Limits,
    options: &'a ReusableOptions,
    files: &'a dyn Files,
    jobs: usize,
    read: usize,
    /// The actions that were looked at; None where one is broken.
    actions: HashMap<String, Option<Document>>,
    report: Report,
}

impl Walk<'_> {
    fn workflow(&mut self, path: &str, root: &Node, depth: usize, granted: &Levels) {
        let Some(jobs) = root.get("jobs") else { return };
        for entry in jobs.entries() {
            let job = &entry.value;
            let at = entry.key.at;
            self.jobs += 1;
            self.actions(path, job.get("steps"), 0);
            let Some(uses) = job.get("uses").filter(|uses| !uses.has_expression()) else { continue };
            let name = uses.text().unwrap_or_default();
            if self.read >= MOST_FILES {
                continue;
            }
            let Some(text) = self.files.text(&name) else {
                if name.starts_with("./") && self.files.is_missing(&name) {
                    let message = format!("there is no workflow `{name}`");
                    self.report.error_in(path, uses.at, "reusable-workflow", message);
                }
                continue;
            };
            self.read += 1;
            if depth >= self.options.depth {
                let message =
                    format!("workflows call each other more than {} levels deep", self.options.depth);
                self.report.error_in(path, at, "reusable-workflow", message);
                continue;
            }
            let outcome = check_file(&name, &text, self.limits);
            let broken = outcome.has_errors();
            self.report.append(outcome.findings);
            let Some(called) = outcome.document.filter(|_| !broken) else { continue };
            let allowed = levels(job.get("permissions")).unwrap_or_else(|| granted.clone());
            self.interface(&called.root, job, uses, path);
            self.permissions(path, &called.root, &name, at, &allowed);
            self.workflow(&name, &called.root, depth + 1, &allowed);
        }
        if depth == 0 && self.jobs > self.options.jobs {
            let message =
                format!("there are more than {} jobs, those of called workflows counted", self.options.jobs);
            self.report.error_in(path, jobs.at, "reusable-workflow", message);
        }
    }

    /// The actions of the same repository that steps use, each looked at once.
    fn actions(&mut self, path: &str, steps: Option<&Arc<Node>>, depth: usize) {
        for step in steps.map_or(&[][..], |steps| steps.items()) {
            let Some(uses) = step.get("uses").filter(|uses| !uses.has_expression()) else { continue };
            let Some(folder) = uses.text().filter(|name| name.starts_with("./")) else { continue };
            let folder = folder.trim_end_matches('/');
            let files = ["action.yml", "action.yaml"].map(|name| format!("{folder}/{name}"));
            let found = files.iter().find_map(|file| Some((file, self.files.text(file)?)));
            let Some((file, text)) = found else {
                if files.iter().all(|file| self.files.is_missing(file)) {
                    let message =
                        format!("there is no `action.yml` in `{folder}`, unless an earlier step makes it");
                    self.report.warn_in(path, uses.at, "action", message);
                }
                continue;
            };
            if self.read >= MOST_FILES || depth > self.options.depth {
                return;
            }
            self.read += usize::from(!self.actions.contains_key(file));
            if !self.actions.contains_key(file) {
                let outcome = check_action(file, &text, self.limits);
                self.report.append(outcome.findings.clone());
                let document = outcome.document.clone().filter(|_| !outcome.has_errors());
                self.actions.insert(file.clone(), document.clone());
                let inner = document.as_ref().and_then(|document| document.root.get("runs")?.get("steps"));
                self.actions(file, inner, depth + 1);
            }
            if let Some(Some(action)) = self.actions.get(file).cloned() {
                self.given(path, &action.root, step, uses);
            }
        }
    }

    /// What a step gives an action.
    fn given(&mut self, path: &str, action: &Node, step: &Node, uses: &Node) {
        let inputs = action.get("inputs").map_or(&[][..], |inputs| inputs.entries());
        let with = step.get("with").map_or(&[][..], |with| with.entries());
        let same = |a: &Node, b: &Node| {
            a.text().is_some_and(|a| b.text().is_some_and(|b| a.eq_ignore_ascii_case(&b)))
        };
        for input in inputs {
            let required = input.value.get("required").is_some_and(|flag| flag.value == Value::Bool(true));
            let is_given = with.iter().any(|entry| same(&entry.key, &input.key));
            if required && input.value.get("default").is_none() && !is_given {
                let name = input.key.text().unwrap_or_default();
                let message = format!("the action requires the input `{name}`, which is not given");
                self.report.warn_in(path, uses.at, "action", message);
            }
        }
        let names: Vec<String> = inputs.iter().filter_map(|input| input.key.text()).collect();
        for entry in with.iter().filter(|entry| !inputs.iter().any(|input| same(&input.key, &entry.key))) {
            let name = entry.key.text().unwrap_or_default();
            let near = hint(&name, names.iter().map(String::as_str));
            self.report.warn_in(
                path,
                entry.key.at,
                "action",
                format!("the action has no input `{name}`{near}"),
            );
        }
    }

    /// Inputs and secrets: what is required is there, what is there is known and has the right type.
    fn interface(&mut self, called: &Node, job: &Node, uses: &Arc<Node>, path: &str) {
        let on = called.get("on");
        let is_callable = on.is_some_and(|on| {
            on.entry("workflow_call").is_some()
                || on.one_or_many().iter().any(|event| event.as_str() == Some("workflow_call"))
        });
        if !is_callable {
            let message = format!("`{path}` calls a workflow without `on: workflow_call`");
            self.report.error_in(path, uses.at, "reusable-workflow", message);
            return;
        }
        let call = on.and_then(|on| on.get("workflow_call"));
        let inherits = job.get("secrets").and_then(|secrets| secrets.as_str()) == Some("inherit");
        for (kind, given) in [("input", job.get("with")), ("secret", job.get("secrets"))] {
            let defined = call.and_then(|call| call.get(if kind == "input" { "inputs" } else { "secrets" }));
            let defined = defined.map_or(&[][..], |defined| defined.entries());
            let given = given.map_or(&[][..], |given| given.entries());
            let same = |a: &Node, b: &Node| {
                a.text().is_some_and(|a| b.text().is_some_and(|b| a.eq_ignore_ascii_case(&b)))
            };
            for definition in defined {
                let required =
                    definition.value.get("required").is_some_and(|flag| flag.value == Value::Bool(true));
                let passed = given.iter().any(|entry| same(&entry.key, &definition.key));
                if required && !passed && !(kind == "secret" && inherits) {
                    let name = definition.key.text().unwrap_or_default();
                    let message =
                        format!("the called workflow requires the {kind} `{name}`, which is not passed");
                    self.report.error_in(path, uses.at, "reusable-workflow", message);
                }
            }
            for entry in given {
                let definition = defined.iter().find(|definition| same(&entry.key, &definition.key));
                let name = entry.key.text().unwrap_or_default();
                match definition {
                    None => {
                        let names: Vec<String> =
                            defined.iter().filter_map(|definition| definition.key.text()).collect();
                        let near = hint(&name, names.iter().map(String::as_str));
                        let message = format!("the called workflow has no {kind} `{name}`{near}");
                        self.report.error_in(path, entry.key.at, "reusable-workflow", message);
                    }
                    Some(definition) if kind == "input" => {
                        let wanted =
                            definition.value.get("type").and_then(|kind| kind.text()).unwrap_or_default();
                        let fits = match (wanted.as_str(), &entry.value.value) {
                            ("boolean", value) => matches!(value, Value::Bool(_)),
                            ("number", value) => matches!(value, Value::Number(_)),
                            _ => true,
                        };
                        if !fits && !entry.value.has_expression() {
                            let message =
                                format!("the input `{name}` is a {wanted}, found {}", entry.value.kind());
                            self.report.error_in(path, entry.value.at, "reusable-workflow", message);
                        }
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn permissions(&mut self, path: &str, called: &Node, name: &str, at: Position, allowed: &Levels) {
        let mut asked = vec![(format!("the workflow `{name}`"), levels(called.get("permissions")))];
        for entry in called.get("jobs").map_or(&[][..], |jobs| jobs.entries()) {
            let job =
                entry.value.get("name").or(Some(&entry.key)).and_then(|name| name.text()).unwrap_or_default();
            asked.push((format!("its job `{job}`"), levels(entry.value.get("permissions"))));
        }
        for (who, levels) in asked {
            let Some(levels) = levels else { continue };
            let level = |scope: &str| allowed.get(scope).copied().unwrap_or(0);
            let more: Vec<_> = levels
                .iter()
                .filter(|&(scope, &asked)| asked > level(scope))
                .map(|(scope, &asked)| {
                    format!(
                        "`{scope}: {}` (allowed: {})",
                        LEVELS[usize::from(asked.min(2))],
                        LEVELS[usize::from(level(scope).min(2))]
                    )
                })
                .collect();
            if !more.is_empty() {
                let message = format!(
                    "calling `{name}`: {who} asks for more than this job may do: {}",
                    more.join(", ")
                );
                self.report.error_in(path, at, "reusable-workflow", message);
            }
        }
    }
}

const LEVELS: [&str; 3] = ["none", "read", "write"];

fn default_levels(limited: bool) -> Levels {
    PERMISSIONS
        .iter()
        .map(|(scope, _)| {
            let level = match *scope {
                "contents" | "packages" if limited => 1,
                "id-token" => 0,
                _ if limited => 0,
                _ => 2,
            };
            (*scope, level)
        })
        .collect()
}

/// What `permissions` asks for; None where it is not there. A scope that a mapping leaves out is `none`.
fn levels(node: Option<&Arc<Node>>) -> Option<Levels> {
    let node = node?;
    let all = |level: u8| PERMISSIONS.iter().map(|(scope, _)| (*scope, level)).collect();
    match &node.value {
        Value::Text(word) if word == "read-all" => Some(all(1)),
        Value::Text(word) if word == "write-all" => Some(all(2)),
        Value::Map(_) => Some(
            PERMISSIONS
                .iter()
                .map(|(scope, _)| {
                    let word = node.get(scope).and_then(|level| level.text()).unwrap_or_default();
                    (*scope, LEVELS.iter().position(|level| *level == word).map_or(0, |level| level as u8))
                })
                .collect(),
        ),
        _ => None,
    }
}
