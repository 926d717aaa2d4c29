//! What is fuzzed, one function a target: bytes in, and a panic where a promise is broken. cargo-fuzz drives them from `fuzz_targets/`, and a
//! test of the crate `model` drives them on a stable compiler with inputs of its own making.
//!
//! Beside "no panic, no endless loop" each target holds what it gets against something that must be true of it, said at each assertion.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test; each driver calls one or all of the targets"
)]

use cloud_code_model::expression::template::Template;
use cloud_code_model::expression::{Contexts, Expression, JobStatus, Value, condition};
use cloud_code_model::mask::{MIN_BYTES, Masker};
use cloud_code_model::run::preview;
use cloud_code_model::task::{self, Grant, Report, Tasking, WorkflowCommand};
use cloud_code_model::workflow::{self, Severity, yaml};
use cloud_code_model::{command, untrusted};
use serde_json::json;

/// A target's name and function.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All targets; the name is also that of the folder with its corpus.
pub(crate) const TARGETS: &[Target] = &[
    ("workflow", workflow),
    ("expression", expression),
    ("task", task),
    ("step_output", step_output),
    ("mask", mask),
    ("comment", comment),
];

/// The reader of workflow files, the checks, composite actions, and the plan of what was read.
pub(crate) fn workflow(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut findings = workflow::lint("tools/x/action.yml", &text);
    findings.extend(workflow::lint("w.yml", &text));
    // As YAML counts lines: a lone carriage return ends one, too.
    let lines = text.replace("\r\n", "\n").replace('\r', "\n").split('\n').count();
    for finding in &findings {
        assert!(finding.line >= 1 && finding.column >= 1, "places count from 1: {finding}");
        assert!(finding.line <= lines, "a finding stands in the file of {lines} lines: {finding}");
    }
    assert!(workflow::sarif(&findings)["runs"].is_array(), "findings are always a log");
    if let Ok(document) = yaml::parse(&text, &yaml::Limits::default()) {
        let _ = document.root.to_json();
    }
    let Ok(mut workflow) = workflow::read("w.yml", &text) else { return };
    let mut errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let error = errors.find(|finding| finding.file == "w.yml");
    assert!(error.is_none(), "what can run has no error: {error:?}");
    // Whatever file it asks for is this one: workflows and actions that bring themselves in come to an end.
    let (limits, options) = (yaml::Limits::default(), workflow::ReusableOptions::default());
    let _ = workflow::lint_with("w.yml", &text, &limits, &options, &Itself(&text));
    let _ = workflow.plan.clone().resolve(&|_| Some(Some(text.to_string())));
    let _ = workflow.plan.resolve(&|path| {
        let action = path.ends_with("action.yml");
        Some(action.then(|| "runs: {using: composite, steps: [{run: x, shell: sh}]}".to_owned()))
    });
    for name in workflow.on.keys().take(4) {
        let event = json!({
            "event_name": name,
            "event": { "action": "opened", "issue": { "number": 1, "title": "a" }, "pull_request": { "number": 2 }, "ref": "refs/heads/main" },
        });
        if let Ok(asked) = preview::Asked::from_json(&event, None) {
            assert!(preview::preview(&workflow, &asked).is_object(), "a plan is always told");
        }
    }
}

/// A repository in which every file has the same text.
struct Itself<'a>(&'a str);

impl workflow::Files for Itself<'_> {
    fn text(&self, _uses: &str) -> Option<String> {
        Some(self.0.to_owned())
    }
}

/// Expressions, templates and `if`s: reading, showing, evaluating.
pub(crate) fn expression(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let contexts = Contexts::new()
        .with(
            "github",
            Value::from(
                json!({ "event": { "a": [1, 2.5, null, { "b": "c" }], "Ä": "ß" }, "ref": "refs/heads/main" }),
            ),
        )
        .with("matrix", Value::from(json!({ "os": ["a", "b"], "n": 3 })))
        .with("env", Value::from(json!({ "A": "x", "empty": "" })));
    if let Ok(parsed) = Expression::parse(&text) {
        for reference in parsed.references() {
            assert!(text.is_char_boundary(reference.offset), "a place is that of a character");
            assert!(reference.position >= 1, "positions count from 1");
        }
        let _ = parsed.certain_errors();
        let shown = parsed.to_string();
        if let Ok(again) = Expression::parse(&shown) {
            assert_eq!(again.to_string(), shown, "what is shown reads back as the same: {text:?}");
        }
        let value = parsed.evaluate(&contexts, &JobStatus::Success);
        if let Ok(value) = &value {
            let _ = (value.to_json(), value.to_display_string());
        }
        let again = parsed.evaluate(&contexts, &JobStatus::Success);
        let shown = |value| format!("{value:?}");
        assert_eq!(shown(&again), shown(&value), "the same every time");
    }
    if let Ok(template) = Template::parse(&text) {
        let _ = template.evaluate(&contexts, &JobStatus::Failure);
    }
    if let Ok(condition) = condition(&text) {
        let _ = condition.evaluate(&contexts, &JobStatus::Cancelled);
    }
}

/// `tasking.yaml`, `reporting.yaml`, and a grant.
pub(crate) fn task(bytes: &[u8]) {
    if let Ok(tasking) = Tasking::parse(bytes)
        && let Ok(written) = tasking.to_yaml()
    {
        let again = Tasking::parse(written.as_bytes()).expect("what is written can be read");
        assert_eq!(again.to_yaml().ok(), Some(written), "and says the same");
    }
    if let Ok(report) = Report::parse(bytes, 1 << 20) {
        let _ = report.check();
        if let Ok(written) = report.to_yaml() {
            let again = Report::parse(written.as_bytes(), usize::MAX).expect("what is written can be read");
            assert_eq!(again.to_yaml().ok(), Some(written), "and says the same");
        }
    }
    let _ = Grant::parse(bytes);
}

/// What a step prints and writes: workflow commands, and the files of outputs.
pub(crate) fn step_output(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        if let Some(WorkflowCommand::Annotation(annotation)) = WorkflowCommand::parse(line) {
            assert!(annotation.line != Some(0) && annotation.column != Some(0), "places count from 1");
            assert!(annotation.message.len() <= line.len(), "escapes only get shorter");
        }
    }
    for (name, value) in task::answer_pairs("GITHUB_OUTPUT", &text).unwrap_or_default() {
        assert!(!name.is_empty() && name.trim() == name, "a name is one: {name:?}");
        assert!(!value.contains('\0'), "no variable has such a value");
    }
}

/// The mask: the first line holds the secrets, divided by NUL; what follows is masked.
pub(crate) fn mask(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (head, text) = bytes.split_at(end);
    let head = String::from_utf8_lossy(head);
    let secrets: Vec<&str> = head.split('\0').take(8).collect();
    let masker = Masker::new(secrets.iter().map(|secret| (*secret).to_owned()));
    let whole = {
        let mut stream = masker.stream();
        let mut out = stream.push(text);
        out.append(&mut stream.finish());
        out
    };
    for size in [1, 7] {
        let mut stream = masker.stream();
        let mut out: Vec<u8> = text.chunks(size).flat_map(|piece| stream.push(piece)).collect();
        out.append(&mut stream.finish());
        assert_eq!(out, whole, "it is the same however the stream is cut");
    }
    for secret in secrets.iter().filter(|secret| secret.len() >= MIN_BYTES && !secret.contains('*')) {
        let there = whole.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!there, "{secret:?} is still there: {:?}", String::from_utf8_lossy(&whole));
    }
}

/// A comment: commands in it, and what of it a person sees.
pub(crate) fn comment(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(command::Command::Unknown { word }) = command::parse(&text) {
        assert!(word.chars().count() <= 40, "an unknown word is told in short");
    }
    let seen = untrusted::visible(&text, 1000);
    assert!(seen.len() <= 4 * 1000 + 80, "what is seen is cut");
    assert!(!seen.contains("<!--"), "no comment is left: {seen:?}");
}
