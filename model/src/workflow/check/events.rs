//! `on`: which events there are, with which types and filters.

use super::super::finding::Report;
use super::super::schema::{EVENTS, FILTERS};
use super::super::suggest::hint;
use super::super::yaml::{Node, Value};
use super::{Checked, cron, glob};
use std::sync::Arc;

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    let Some(on) = checked.root().get("on") else { return };
    match &on.value {
        Value::Map(entries) => {
            if entries.is_empty() {
                report.warn(on.at, "event", "no event is named, so nothing starts this workflow");
            }
            for entry in entries {
                let Some(name) = entry.key.as_str() else { continue };
                if known(name, &entry.key, report) {
                    filters(name, &entry.value, report);
                }
            }
        }
        _ => {
            for name in on.one_or_many() {
                let Some(text) = name.as_str().filter(|_| !name.has_expression()) else { continue };
                if known(text, &name, report) && text == "schedule" {
                    report.warn(
                        name.at,
                        "event",
                        "`schedule` starts nothing without its `cron` lines: `schedule: [{ cron: … }]`",
                    );
                }
            }
        }
    }
}

fn known(name: &str, at: &Node, report: &mut Report) -> bool {
    let known = EVENTS.iter().any(|row| row.0 == name);
    if !known && !name.is_empty() {
        let near = hint(name, EVENTS.iter().map(|row| row.0));
        report.error(at.at, "event", format!("there is no event `{name}`{near}"));
    }
    known
}

fn filters(event: &str, node: &Arc<Node>, report: &mut Report) {
    match event {
        "schedule" => return cron::check(node, report),
        "workflow_call" | "workflow_dispatch" => return,
        _ => {}
    }
    let types = EVENTS.iter().find(|row| row.0 == event).map_or(&[][..], |row| row.1);
    for entry in node.entries() {
        let Some(key) = entry.key.as_str() else { continue };
        let events = FILTERS.iter().find(|row| row.0 == key).map(|row| row.1);
        match (key, events) {
            ("types", _) if event == "repository_dispatch" => {}
            ("types", _) if types.is_empty() => {
                report.error(entry.key.at, "event", format!("the event `{event}` has no activity types"));
            }
            ("types", _) => {
                for item in entry.value.one_or_many() {
                    let Some(text) = item.text() else { continue };
                    if !types.contains(&text.as_str()) {
                        let message = format!(
                            "the event `{event}` has no activity type `{text}`; it has `{}`{}",
                            types.join("`, `"),
                            hint(&text, types.iter().copied())
                        );
                        report.error(item.at, "event", message);
                    }
                }
            }
            (_, Some(events)) if events.contains(&event) => patterns(key, &entry.value, report),
            (_, Some(events)) => {
                let message =
                    format!("the event `{event}` has no filter `{key}`; it is for `{}`", events.join("`, `"));
                report.error(entry.key.at, "event", message);
            }
            (_, None) => {
                let mut names: Vec<_> =
                    FILTERS.iter().filter(|row| row.1.contains(&event)).map(|row| row.0).collect();
                if !types.is_empty() || event == "repository_dispatch" {
                    names.insert(0, "types");
                }
                let known =
                    if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
                let near = hint(key, names.iter().copied());
                let message = format!("`{key}` is not known under `{event}`; known: {known}{near}");
                report.error(entry.key.at, "unknown-key", message);
            }
        }
    }
    for filter in ["branches", "tags", "paths"] {
        let other = format!("{filter}-ignore");
        if let (Some(first), Some(second)) = (node.entry(filter), node.entry(&other)) {
            let at = first.key.at.max(second.key.at);
            let message = format!(
                "`{filter}` and `{other}` can't both filter one event; write `!pattern` in `{filter}` instead"
            );
            report.error(at, "event", message);
        }
    }
}

fn patterns(filter: &str, node: &Arc<Node>, report: &mut Report) {
    if matches!(node.value, Value::List(ref items) if items.is_empty()) {
        report.warn(node.at, "event", format!("`{filter}` is empty; leave it out, or name a pattern"));
    }
    for item in node.one_or_many() {
        let Some(text) = item.text().filter(|text| !text.is_empty()) else { continue };
        let wrong = match filter {
            "workflows" | "names" => None,
            "paths" | "paths-ignore" => glob::path(&text),
            "versions" => glob::pattern(&text),
            _ => glob::reference(&text),
        };
        if let Some(wrong) = wrong {
            report.warn(item.at, "glob", format!("the pattern `{text}` {wrong}"));
        }
    }
}
