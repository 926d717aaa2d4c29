//! Kinds of values: what contexts hold, expressions that hardly mean what they say, and values that don't fit where they stand.

use super::super::finding::Report;
use super::super::schema::{Form, Part, Site, place_of};
use super::super::yaml::{Node, Value};
use super::{Checked, properties};
use crate::expression::template::Template;
use crate::expression::{Expression, Type};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    let known = Known::of(checked);
    for site in checked.sites {
        let job = site.key(1).filter(|_| site.key(0) == Some("jobs")).map(str::to_lowercase);
        let contexts = |name: &str| known.context(&name.to_lowercase(), job.as_deref());
        let expressions: Vec<(&Expression, usize)> = match &site.form {
            Form::Template(template) => template.expressions().collect(),
            Form::Condition(condition) => condition.expression().map(|one| (one, 0)).into_iter().collect(),
        };
        for (expression, offset) in expressions {
            let (kind, problems) = expression.type_in(&contexts);
            for problem in problems {
                let at = place_of(checked.document, &site.node, offset + problem.offset);
                report.warn(at, "type", problem.message);
            }
            if let Some(message) = misplaced(site, expression, &kind) {
                report.warn(place_of(checked.document, &site.node, offset), "type", message);
            }
        }
    }
}

/// Why a value of this kind can't stand where it does.
fn misplaced(site: &Site, expression: &Expression, kind: &Type) -> Option<String> {
    let Form::Template(template) = &site.form else { return None };
    let last = site.path.last()?;
    let key = match last {
        Part::Key(key) => Some(&**key),
        Part::Item(_) => None,
    };
    let depth = site.path.len();
    let in_job = site.key(0) == Some("jobs");
    let in_text = template.single().is_none() || key == Some("run");
    let source = expression.source();
    if in_text {
        return (kind.is_collection() || *kind == Type::Null).then(|| {
            format!(
                "`{source}` is {}, and says nothing useful in text; take a property of it, or `toJSON(…)`",
                kind.words()
            )
        });
    }
    let is_text = |kind: &Type| *kind == Type::Text;
    let wrong: (&dyn Fn(&Type) -> bool, &str) = match key {
        Some("timeout-minutes" | "max-parallel") if in_job => {
            (&|kind| kind.is_collection() || matches!(kind, Type::Text | Type::Bool | Type::Null), "a number")
        }
        Some("continue-on-error" | "fail-fast" | "cancel-in-progress") => {
            (&|kind| kind.is_collection() || matches!(kind, Type::Text | Type::Number), "true or false")
        }
        Some("env" | "services" | "credentials") if in_job || depth == 1 => {
            (&|kind| kind.is_scalar() || matches!(kind, Type::List(_)), "a mapping")
        }
        Some("matrix") if in_job && depth == 4 => {
            (&|kind| kind.is_scalar() || matches!(kind, Type::List(_)), "a mapping")
        }
        Some("include" | "exclude") if in_job && depth == 5 => {
            (&|kind| kind.is_scalar() || matches!(kind, Type::Map(..)), "a list")
        }
        Some(_) if in_job && depth == 5 && site.key(3) == Some("matrix") => {
            (&|kind| kind.is_scalar() || matches!(kind, Type::Map(..)), "a list")
        }
        Some("runs-on") => (&|kind| matches!(kind, Type::Bool | Type::Null), "text or a list"),
        Some(_) if depth >= 2 && site.key(depth - 2) == Some("env") => (&|kind| kind.is_collection(), "text"),
        _ => (&is_text, ""),
    };
    let (is_wrong, expected) = wrong;
    (!expected.is_empty() && is_wrong(kind)).then(|| {
        let hint = if is_text(kind) { "; `fromJSON(…)` makes it one, where the text is" } else { "" };
        format!("`{}` takes {expected}, and `{source}` is {}{hint}", key.unwrap_or_default(), kind.words())
    })
}

struct Known {
    jobs: HashMap<String, Job>,
    inputs: Type,
    github: Type,
}

struct Job {
    needs: Type,
    matrix: Type,
}

impl Known {
    fn of(checked: &Checked<'_>) -> Self {
        let on = checked.root().get("on");
        let mut inputs: Option<Type> = None;
        for event in ["workflow_dispatch", "workflow_call"] {
            let Some(node) = on.and_then(|on| on.get(event)?.get("inputs")) else { continue };
            let rows =
                node.entries().iter().filter_map(|entry| Some((entry.key.text()?, input(&entry.value))));
            let here = Type::Map(rows.collect(), None);
            inputs = Some(match inputs {
                Some(before) => before.or(here),
                None => here,
            });
        }
        let outputs = |entries: &Node| {
            let names = entries.get("outputs").map_or(&[][..], |outputs| outputs.entries());
            let rows = names.iter().filter_map(|entry| Some((entry.key.text()?, Type::Text)));
            Type::Map(rows.collect(), Some(Box::new(Type::Text)))
        };
        let jobs = checked.jobs();
        let of_jobs: HashMap<String, Type> = jobs
            .iter()
            .filter_map(|(key, job)| {
                let rows = vec![("result".to_owned(), Type::Text), ("outputs".to_owned(), outputs(job))];
                Some((key.text()?.to_lowercase(), Type::Map(rows, None)))
            })
            .collect();
        let job = |job: &Arc<Node>| {
            let needs = job.get("needs").map(Node::one_or_many).unwrap_or_default();
            // A job that needs thousands has them all alike.
            let rows = needs.iter().take(64).filter_map(|need| {
                let name = need.text()?;
                Some((name.clone(), of_jobs.get(&name.to_lowercase())?.clone()))
            });
            Job { needs: Type::Map(rows.collect(), Some(Box::new(Type::Any))), matrix: matrix(job) }
        };
        let rows = properties::GITHUB.iter().map(|&name| match name {
            "event" => (name.to_owned(), Type::map_of(Type::Any)),
            "ref_protected" => (name.to_owned(), Type::Any),
            _ => (name.to_owned(), Type::Text),
        });
        Self {
            jobs: jobs
                .iter()
                .filter_map(|(key, value)| Some((key.text()?.to_lowercase(), job(value))))
                .collect(),
            inputs: inputs.unwrap_or(Type::Any),
            github: Type::Map(rows.collect(), Some(Box::new(Type::Any))),
        }
    }

    /// What a context holds.
    fn context(&self, name: &str, job: Option<&str>) -> Type {
        let rows = |rows: &[(&str, Type)]| {
            let rows = rows.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone()));
            Type::Map(rows.collect(), Some(Box::new(Type::Any)))
        };
        let job = job.and_then(|key| self.jobs.get(key));
        match name {
            "github" => self.github.clone(),
            "inputs" => self.inputs.clone(),
            "env" | "vars" | "secrets" | "runner" => Type::map_of(Type::Text),
            "matrix" => job.map_or(Type::Any, |job| job.matrix.clone()),
            "needs" => job.map_or(Type::Any, |job| job.needs.clone()),
            "steps" => Type::map_of(rows(&[
                ("outputs", Type::map_of(Type::Text)),
                ("outcome", Type::Text),
                ("conclusion", Type::Text),
            ])),
            "strategy" => rows(&[
                ("fail-fast", Type::Bool),
                ("job-index", Type::Number),
                ("job-total", Type::Number),
                ("max-parallel", Type::Number),
            ]),
            "job" => rows(&[
                ("status", Type::Text),
                ("container", Type::map_of(Type::Any)),
                ("services", Type::map_of(Type::Any)),
            ]),
            _ => Type::Any,
        }
    }
}

fn input(definition: &Node) -> Type {
    match definition.get("type").and_then(|kind| kind.text()).as_deref() {
        Some("boolean") => Type::Bool,
        Some("number") => Type::Number,
        Some("string" | "choice" | "environment") | None => Type::Text,
        Some(_) => Type::Any,
    }
}

/// The kinds of a matrix' values, `include` counted; anything where an expression makes a part of it.
fn matrix(job: &Node) -> Type {
    /// Of so many values the kind is looked at; a longer vector is anything.
    const MOST: usize = 256;
    let Some(matrix) = job.get("strategy").and_then(|strategy| strategy.get("matrix")) else {
        return Type::Any;
    };
    if matrix.has_expression() || matrix.size() > 4096 {
        return Type::Any;
    }
    let mut rows = Type::Map(Vec::new(), Some(Box::new(Type::Any)));
    let mut add = |name: String, kind: Type| {
        let before = std::mem::replace(&mut rows, Type::Null);
        rows = before.or(Type::Map(vec![(name, kind)], None));
    };
    for entry in matrix.entries() {
        let Some(name) = entry.key.text() else { continue };
        match name.as_str() {
            "exclude" => {}
            "include" => {
                if entry.value.has_expression() {
                    return Type::Any;
                }
                for item in entry.value.items() {
                    for entry in item.entries() {
                        if let Some(name) = entry.key.text() {
                            add(name, kind_of(&entry.value));
                        }
                    }
                }
            }
            _ => {
                if let Type::List(kind) = kind_of(&entry.value)
                    && entry.value.has_expression()
                {
                    add(name, *kind);
                    continue;
                }
                let items = entry.value.items();
                let kinds = items.iter().map(|item| kind_of(item)).reduce(Type::or);
                add(name, kinds.filter(|_| items.len() <= MOST).unwrap_or(Type::Any));
            }
        }
    }
    rows
}

fn kind_of(node: &Node) -> Type {
    match &node.value {
        Value::Text(text) if node.has_expression() => {
            let template = Template::parse(text).ok();
            let kind = template.as_ref().and_then(|template| template.single());
            kind.map_or(Type::Any, |expression| expression.type_in(&|_| Type::Any).0)
        }
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        Value::Text(_) => Type::Text,
        Value::List(items) => {
            let kinds = items.iter().map(|item| kind_of(item)).reduce(Type::or);
            Type::List(Box::new(kinds.unwrap_or(Type::Any)))
        }
        Value::Map(entries) => {
            let rows = entries.iter().filter_map(|entry| Some((entry.key.text()?, kind_of(&entry.value))));
            Type::Map(rows.collect(), None)
        }
    }
}
