//! Findings as SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), which code scanning of forges reads.

use super::finding::{Finding, RULES, Severity};
use serde_json::{Value, json};

/// The findings of any number of files as one SARIF log.
pub fn sarif(findings: &[Finding]) -> Value {
    let rules: Vec<Value> =
        RULES.iter().map(|(id, text)| json!({ "id": id, "shortDescription": { "text": text } })).collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "cloud-code", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    json!({
        "ruleId": finding.rule,
        "ruleIndex": RULES.iter().position(|row| row.0 == finding.rule),
        "level": level,
        "message": { "text": finding.message },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": finding.file },
                "region": { "startLine": finding.line, "startColumn": finding.column },
            },
        }],
    })
}
