//! Remarks that steps made on the code (`::error file=…,line=…::…`), for people.

use super::quiet_line;
use cloud_code_model::run::StepSummary;
use cloud_code_model::task::{Annotation, AnnotationLevel};
use std::fmt::Write;

/// Up to `max` of them, worst first, one a line.
pub(super) fn list(steps: &[StepSummary], max: usize) -> String {
    let mut all: Vec<&Annotation> = steps.iter().flat_map(|step| &step.annotations).collect();
    all.sort_by_key(|annotation| std::cmp::Reverse(annotation.level as u8));
    let mut out = String::new();
    for annotation in all.iter().take(max) {
        let mark = match annotation.level {
            AnnotationLevel::Failure => "❌",
            AnnotationLevel::Warning => "⚠️",
            AnnotationLevel::Notice => "ℹ️",
        };
        let place = match annotation.place() {
            Some(place) => format!("`{}`: ", place.replace('`', "'")),
            None => String::new(),
        };
        let title = annotation.title.as_deref().map(|title| format!("{title}: ")).unwrap_or_default();
        let said = quiet_line(&format!("{title}{}", annotation.message), 300);
        let _ = writeln!(out, "- {mark} {place}{said}");
    }
    if all.len() > max {
        let _ = writeln!(out, "- … and {} more", all.len() - max);
    }
    if out.is_empty() { out } else { format!("\n{out}") }
}
