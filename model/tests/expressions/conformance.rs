//! GitHub's own cases (actions/languageservices, expressions/testdata), which are not part of this repository.

use std::path::PathBuf;

use cloud_code_model::expression::{ErrorKind, Expression, JobStatus, ParseOptions, Value};

use crate::{Files, contexts};

/// Where the cases are, unless the environment says otherwise: beside the repository.
fn conformance() -> PathBuf {
    match std::env::var_os("CLOUD_CODE_CONFORMANCE") {
        Some(folder) => folder.into(),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance")),
    }
}

#[test]
fn githubs_cases_pass() {
    let folder = conformance().join("expressions");
    if !folder.is_dir() {
        println!("SKIPPED: no conformance cases at {}", folder.display());
        return;
    }
    let mut ran = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let groups = file.as_object().into_iter().flatten();
        for (group, case) in
            groups.flat_map(|(group, cases)| cases.as_array().unwrap().iter().map(move |case| (group, case)))
        {
            ran += 1;
            if let Err(reason) = run_case(case) {
                wrong.push(format!("{}: {group}: {}: {reason}", path.display(), case["expr"]));
            }
        }
    }
    println!("{ran} of GitHub's expression cases ran");
    assert!(ran > 0, "the folder has no cases");
    assert!(wrong.is_empty(), "{} of {ran} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn run_case(case: &serde_json::Value) -> Result<(), String> {
    let source = case["expr"].as_str().unwrap();
    let contexts = contexts(case["contexts"].clone());
    let names: Vec<_> = contexts.names().collect();
    let options = ParseOptions::contexts(names.iter().copied());
    let found = Expression::parse_with(source, &options)
        .and_then(|it| it.evaluate(&contexts, &Files(JobStatus::Success)));
    if let Some(expected) = case.get("err") {
        let error = found.err().ok_or("no error")?;
        let kind = match error.kind {
            ErrorKind::Lexing => "lexing",
            ErrorKind::Parsing => "parsing",
            ErrorKind::Evaluation => "evaluation",
        };
        if expected["kind"] != kind {
            return Err(format!("error of kind {kind}"));
        }
        // GitHub's own runner looks for the text inside the message, too.
        return if error.message.contains(expected["value"].as_str().unwrap()) {
            Ok(())
        } else {
            Err(error.message)
        };
    }
    let value = found.map_err(|error| error.message)?;
    if case["result"]["kind"] != value.kind() {
        return Err(format!("kind {}", value.kind()));
    }
    // Compared as text, too, so that the order of keys counts.
    let expected = Value::from(&case["result"]["value"]);
    let (found, expected) = (value.to_json().to_string(), expected.to_json().to_string());
    if found == expected { Ok(()) } else { Err(found) }
}
