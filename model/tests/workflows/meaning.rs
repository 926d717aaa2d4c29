//! The meaning that GitHub's reader gives a workflow, made from our tree: its own form of jobs, steps and values.

use cloud_code_model::expression::condition;
use cloud_code_model::expression::template::{Segment, Template};
use cloud_code_model::workflow::yaml::{Node, Value};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// The jobs of a workflow without what GitHub makes up: ids that begin with `__`, and what called workflows bring.
pub(crate) fn jobs(root: &Node) -> Json {
    let jobs = root.get("jobs").unwrap().entries().iter();
    jobs.map(|entry| job(&entry.key.text().unwrap(), &entry.value)).collect()
}

/// The same of what the suite expects.
pub(crate) fn without_made_up(mut expected: Json) -> Json {
    for job in expected.as_array_mut().unwrap() {
        let job = job.as_object_mut().unwrap();
        for key in ["jobs", "input-definitions", "secret-definitions", "permissions", "outputs-definitions"] {
            job.remove(key);
        }
        if job["type"] == "reusableWorkflowJob" {
            job.remove("outputs");
        }
        if job.get("needs").is_some_and(|needs| needs == &json!([])) {
            job.remove("needs");
        }
        for step in job.get_mut("steps").into_iter().flat_map(|steps| steps.as_array_mut().unwrap()) {
            let step = step.as_object_mut().unwrap();
            if step["id"].as_str().is_some_and(|id| id.starts_with("__")) {
                step.remove("id");
            }
            if ["wait", "wait-all", "cancel"].iter().any(|key| step.contains_key(*key)) {
                step.remove("name");
            }
        }
    }
    expected
}

fn job(key: &str, node: &Node) -> Json {
    let calls = node.get("uses").is_some();
    let mut out = Map::new();
    out.insert("type".into(), if calls { "reusableWorkflowJob" } else { "job" }.into());
    out.insert("id".into(), key.into());
    out.insert("name".into(), node.get("name").map_or(key.into(), |name| value(name, true)));
    out.insert("if".into(), when(node));
    for entry in node.entries() {
        let (name, node) = (entry.key.text().unwrap(), &entry.value);
        match name.as_str() {
            "name" | "if" | "permissions" => {}
            "needs" => {
                let needs: Json = node.one_or_many().iter().map(|need| value(need, true)).collect();
                out.insert(name, needs);
            }
            "uses" => {
                out.insert("ref".into(), value(node, true));
            }
            "with" => {
                out.insert("input-values".into(), value(node, false));
            }
            "secrets" if node.as_str() == Some("inherit") => {
                out.insert("inherit-secrets".into(), true.into());
            }
            "secrets" => {
                out.insert("secret-values".into(), value(node, false));
            }
            "steps" => {
                out.insert(name, node.items().iter().map(step).collect());
            }
            "strategy"
            | "concurrency"
            | "timeout-minutes"
            | "cancel-timeout-minutes"
            | "continue-on-error" => {
                out.insert(name, value(node, false));
            }
            _ => {
                out.insert(name, value(node, true));
            }
        }
    }
    Json::Object(out)
}

fn step(node: &Arc<Node>) -> Json {
    let mut out = Map::new();
    let plain = ["wait", "wait-all", "cancel"].iter().find(|key| node.entry(key).is_some());
    if plain.is_none() {
        out.insert("if".into(), when(node));
    }
    for entry in node.entries() {
        let (name, node) = (entry.key.text().unwrap(), &entry.value);
        match name.as_str() {
            "if" => {}
            "wait" => {
                out.insert(name, node.one_or_many().iter().map(|one| value(one, true)).collect());
            }
            "wait-all" => {
                out.insert(name, (node.value != Value::Bool(false)).into());
            }
            "timeout-minutes" | "continue-on-error" | "background" => {
                out.insert(name, value(node, false));
            }
            _ => {
                out.insert(name, value(node, true));
            }
        }
    }
    Json::Object(out)
}

/// A value; `texts` where the language takes scalars as text.
pub(crate) fn value(node: &Arc<Node>, texts: bool) -> Json {
    match &node.value {
        Value::List(items) => {
            json!({ "type": 1, "seq": items.iter().map(|item| value(item, texts)).collect::<Vec<_>>() })
        }
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| {
                let key = entry.key.text().unwrap();
                let key = if key == "${{ insert }}" {
                    json!({ "type": 4, "directive": "insert" })
                } else {
                    key.into()
                };
                json!({ "Key": key, "Value": value(&entry.value, texts) })
            });
            json!({ "type": 2, "map": entries.collect::<Vec<_>>() })
        }
        Value::Text(text) if text.contains("${{") => json!({ "type": 3, "expr": expression(text) }),
        Value::Number(number) if !texts && !number.is_finite() => node.text().unwrap().into(),
        Value::Text(text) => text.trim_end_matches('\n').into(),
        Value::Null if texts => "".into(),
        _ if texts => node.text().unwrap().into(),
        _ => node.to_json(),
    }
}

fn expression(text: &str) -> String {
    let template = Template::parse(text.trim_end_matches('\n')).unwrap();
    if let Some(single) = template.single() {
        return single.source().to_owned();
    }
    let (mut format, mut parts) = (String::new(), Vec::new());
    for segment in template.segments() {
        match segment {
            Segment::Text(text) => {
                format.push_str(&text.replace('\'', "''").replace('{', "{{").replace('}', "}}"))
            }
            Segment::Expression { expression, .. } => {
                format.push_str(&format!("{{{}}}", parts.len()));
                parts.push(expression.source().to_owned());
            }
        }
    }
    format!("format('{format}', {})", parts.join(", "))
}

fn when(node: &Node) -> Json {
    let text = node.get("if").and_then(|when| when.text()).unwrap_or_default();
    let parsed = condition(&text).unwrap();
    let source = if text.contains("${{") { expression(&text) } else { text.trim().to_owned() };
    let expr = match (source.is_empty(), parsed.implies_success()) {
        (true, _) => "success()".to_owned(),
        (false, true) => format!("success() && ({source})"),
        (false, false) => source,
    };
    json!({ "type": 3, "expr": expr })
}
