//! `if`s that say the same whatever happens, and expressions that are certain to fail.

use super::super::finding::Report;
use super::super::schema::{Form, place_of};
use super::Checked;
use crate::expression::{Contexts, JobStatus, ReferenceKind};

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    for site in checked.sites {
        for error in site.expressions().iter().flat_map(|expression| expression.certain_errors()) {
            let at = place_of(checked.document, &site.node, 0);
            report.warn(at, "expression", error.message);
        }
        let Form::Condition(condition) = &site.form else { continue };
        if condition.is_text() {
            let message =
                "text stands around `${{ }}`, so this is always true; write the whole as one expression";
            report.warn(site.node.at, "condition", message);
            continue;
        }
        let Some(expression) = condition.expression() else { continue };
        let pure = |name: &str| {
            !["always", "success", "failure", "cancelled", "hashFiles"]
                .iter()
                .any(|status| status.eq_ignore_ascii_case(name))
        };
        let constant = condition.references().iter().all(|reference| {
            matches!(reference.kind, ReferenceKind::Function { .. }) && pure(&reference.name)
        });
        if constant && let Ok(value) = expression.evaluate(&Contexts::new(), &JobStatus::Success) {
            report.warn(
                site.node.at,
                "condition",
                format!("this is always {}; nothing in it can change", value.is_truthy()),
            );
        }
    }
}
