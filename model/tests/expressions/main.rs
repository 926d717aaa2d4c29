//! The expression language: GitHub's own cases where they are at hand, and tables of our own for each rule.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod conformance;
mod errors;
mod functions;
mod language;
mod limits;
mod properties;
mod status;
mod templates;

use cloud_code_model::expression::{
    Contexts, ErrorKind, Expression, ExpressionError, Host, JobStatus, Value,
};
use serde_json::json;

/// A host whose files hash to the patterns that were asked for.
struct Files(JobStatus);

impl Host for Files {
    fn hash_files(&self, patterns: &[String]) -> Result<String, String> {
        match patterns {
            [one] if one == "broken" => Err("cannot read".to_owned()),
            _ => Ok(format!("<{}>", patterns.join("|"))),
        }
    }

    fn status(&self) -> JobStatus {
        self.0
    }
}

fn contexts(json: serde_json::Value) -> Contexts {
    Value::from(json).as_object().cloned().map(Contexts::from).unwrap_or_default()
}

fn eval(expression: &str, json: serde_json::Value) -> Result<Value, ExpressionError> {
    Expression::parse(expression)?.evaluate(&contexts(json), &Files(JobStatus::Success))
}

/// Each expression has the value beside it.
#[track_caller]
fn check(rows: &[(&str, serde_json::Value)]) {
    check_with(json!({}), rows);
}

#[track_caller]
fn check_with(contexts: serde_json::Value, rows: &[(&str, serde_json::Value)]) {
    for (expression, expected) in rows {
        match eval(expression, contexts.clone()) {
            Ok(value) => assert_eq!(value, Value::from(expected), "{expression}"),
            Err(error) => panic!("{expression}: {error}"),
        }
    }
}

/// Each expression fails with the kind and text beside it.
#[track_caller]
fn check_errors(rows: &[(&str, ErrorKind, &str)]) {
    for (expression, kind, message) in rows {
        match eval(expression, json!({ "github": { "ref": "main" } })) {
            Ok(value) => panic!("{expression}: no error but {value:?}"),
            Err(error) => assert_eq!((error.kind, error.message.as_str()), (*kind, *message), "{expression}"),
        }
    }
}
