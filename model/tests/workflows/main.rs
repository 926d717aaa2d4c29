//! The reader and the checks of workflow files.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "the conformance tests say how many cases ran")]

mod conformance;
mod meaning;
mod properties;
mod rules;

use cloud_code_model::workflow::{Finding, Severity, lint};

/// The findings of a text, as `line:column severity rule`.
fn found(text: &str) -> Vec<String> {
    lint("w.yml", text).iter().map(short).collect()
}

fn short(finding: &Finding) -> String {
    let Finding { line, column, severity, rule, .. } = finding;
    format!("{line}:{column} {severity} {rule}")
}

fn errors(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.severity == Severity::Error).collect()
}
