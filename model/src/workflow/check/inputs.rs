//! Inputs of `workflow_dispatch` and `workflow_call`: types, defaults, options.

use super::super::finding::Report;
use super::super::yaml::{Entry, Value};
use super::Checked;
use std::collections::HashSet;

/// GitHub shows at most this many.
const MOST: usize = 25;

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    let Some(on) = checked.root().get("on") else { return };
    for event in ["workflow_dispatch", "workflow_call"] {
        let Some(event_entry) = on.entry(event) else { continue };
        let Some(inputs) = event_entry.value.get("inputs") else { continue };
        for entry in inputs.entries() {
            input(entry, event == "workflow_dispatch", report);
        }
        if event == "workflow_dispatch" && inputs.entries().len() > MOST {
            let message = format!(
                "`workflow_dispatch` has {} inputs; at most {MOST} are taken",
                inputs.entries().len()
            );
            report.warn(event_entry.key.at, "input", message);
        }
    }
}

fn input(entry: &Entry, dispatched: bool, report: &mut Report) {
    let name = entry.key.text().unwrap_or_default();
    let kind = entry.value.get("type").and_then(|kind| kind.text()).unwrap_or_else(|| "string".to_owned());
    if let Some(default) = entry.value.get("default").filter(|default| !default.has_expression()) {
        let fits = match (kind.as_str(), &default.value) {
            ("boolean", value) => {
                matches!(value, Value::Bool(_))
                    || matches!(value, Value::Text(text) if text == "true" || text == "false")
            }
            ("number", value) => {
                matches!(value, Value::Number(_))
                    || matches!(value, Value::Text(text) if text.parse::<f64>().is_ok())
            }
            _ => true,
        };
        if !fits {
            report.warn(
                default.at,
                "input",
                format!("the default of `{name}` is no {kind}, which is its type"),
            );
        }
        let required = entry.value.get("required").is_some_and(|flag| flag.value == Value::Bool(true));
        if required && !dispatched {
            report.warn(default.at, "input", format!("`{name}` is required, so its default is never used"));
        }
    }
    if !dispatched {
        return;
    }
    let options = entry.value.entry("options");
    match (kind.as_str(), options) {
        ("choice", options) => {
            let items = options.map_or(&[][..], |options| options.value.items());
            if items.is_empty() {
                report.warn(entry.key.at, "input", format!("`{name}` is a choice, but has no `options`"));
                return;
            }
            let mut seen = HashSet::new();
            for item in items {
                let text = item.text().unwrap_or_default();
                if text.is_empty() {
                    report.warn(item.at, "input", format!("an option of `{name}` is empty"));
                }
                if !seen.insert(text.clone()) {
                    report.warn(item.at, "input", format!("the option `{text}` stands twice"));
                }
            }
            if let Some(default) = entry.value.get("default")
                && !default.text().is_some_and(|text| seen.contains(&text))
            {
                report.warn(default.at, "input", format!("the default of `{name}` is none of its options"));
            }
        }
        (_, Some(options)) => {
            report.warn(
                options.key.at.min(entry.key.at),
                "input",
                format!("`{name}` has `options`, which only the type `choice` takes"),
            );
        }
        _ => {}
    }
}
