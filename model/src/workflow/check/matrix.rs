//! `strategy.matrix`: vectors with values, and `exclude` items that exclude something.

use super::super::finding::Report;
use super::super::suggest::hint;
use super::super::yaml::{Entry, Node, Value};
use super::Checked;

/// GitHub starts at most this many jobs of one matrix.
const MOST_JOBS: usize = 256;

/// Values are compared with each other up to so many pairs; a matrix of that size is refused or made by a machine.
const MOST_PAIRS: usize = 1 << 22;

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    for (_, job) in checked.jobs() {
        let Some(strategy) = job.get("strategy") else { continue };
        if let Some(limit) = strategy.get("max-parallel")
            && matches!(limit.value, Value::Number(number) if number < 1.0 || number.fract() != 0.0)
        {
            report.warn(limit.at, "matrix", "`max-parallel` is a whole number of at least 1");
        }
        if let Some(matrix) = strategy.get("matrix").filter(|matrix| matches!(matrix.value, Value::Map(_))) {
            one(matrix, report);
        }
    }
}

fn one(matrix: &Node, report: &mut Report) {
    let is_vector = |entry: &&Entry| !matches!(entry.key.as_str(), Some("include" | "exclude"));
    let vectors: Vec<&Entry> = matrix.entries().iter().filter(is_vector).collect();
    let mut jobs = usize::from(!vectors.is_empty());
    let mut is_known = true;
    for vector in &vectors {
        let name = vector.key.text().unwrap_or_default();
        match &vector.value.value {
            Value::List(items) if items.is_empty() => {
                report.error(
                    vector.value.at,
                    "matrix",
                    format!("the vector `{name}` has no values, so there is no job"),
                );
            }
            Value::List(items) => {
                jobs = jobs.saturating_mul(items.len());
                is_known &= !items.iter().any(|item| item.has_expression());
                let compared =
                    if vector.value.size().saturating_mul(MOST_JOBS) > MOST_PAIRS { 0 } else { MOST_JOBS };
                for (number, item) in items.iter().enumerate().take(compared) {
                    if items.iter().take(number).any(|other| same(other, item)) && !has_expression(item) {
                        report.warn(
                            item.at,
                            "matrix",
                            format!("this value of `{name}` stands twice, so its jobs run twice"),
                        );
                    }
                }
            }
            _ => is_known = false,
        }
    }
    let excludes = matrix.get("exclude");
    if is_known && excludes.is_none() && jobs > MOST_JOBS {
        report.error(
            matrix.at,
            "matrix",
            format!("this makes {jobs} jobs; a matrix makes at most {MOST_JOBS}"),
        );
    }
    if let Some(exclude) = excludes {
        if vectors.is_empty() && !exclude.has_expression() {
            report.warn(exclude.at, "matrix", "there is nothing to exclude from: the matrix has no vectors");
            return;
        }
        if matrix.size().saturating_mul(exclude.size()) > MOST_PAIRS {
            return;
        }
        for item in exclude.items() {
            for entry in item.entries() {
                excluded(entry, &vectors, report);
            }
        }
    }
}

fn excluded(entry: &Entry, vectors: &[&Entry], report: &mut Report) {
    let Some(name) = entry.key.as_str().filter(|_| !entry.key.has_expression()) else { return };
    let vector =
        vectors.iter().find(|vector| vector.key.as_str().is_some_and(|key| key.eq_ignore_ascii_case(name)));
    let Some(vector) = vector else {
        let names: Vec<_> = vectors.iter().filter_map(|vector| vector.key.as_str()).collect();
        let message =
            format!("`{name}` is no vector of this matrix, so this excludes nothing{}", hint(name, names));
        report.warn(entry.key.at, "matrix", message);
        return;
    };
    if vector.value.has_expression() || has_expression(&entry.value) {
        return;
    }
    let items = vector.value.items();
    if !items.iter().any(|item| matches_filter(item, &entry.value)) {
        report.warn(
            entry.value.at,
            "matrix",
            format!("`{name}` never has this value, so this excludes nothing"),
        );
    }
}

fn has_expression(node: &Node) -> bool {
    node.has_expression()
        || node.items().iter().any(|item| has_expression(item))
        || node.entries().iter().any(|entry| has_expression(&entry.value))
}

/// Whether a value of a vector is meant by a filter: mappings by their keys, scalars as text, what is not known yet always.
fn matches_filter(item: &Node, filter: &Node) -> bool {
    if has_expression(item) || filter.has_expression() {
        return true;
    }
    match (&item.value, &filter.value) {
        (Value::Map(_), Value::Map(keys)) => keys.iter().all(|entry| {
            let name = entry.key.text().unwrap_or_default();
            item.get(&name).is_some_and(|value| matches_filter(value, &entry.value))
        }),
        _ => same(item, filter),
    }
}

fn same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| matches_filter(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.key.text() == b.key.text() && same(&a.value, &b.value))
        }
        _ => one.text().is_some() && one.text() == other.text(),
    }
}
