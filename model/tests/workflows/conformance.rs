//! The suites of GitHub's reader (actions/languageservices) and of actionlint, which are not part of this repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cloud_code_model::workflow::yaml::{self, Limits};
use cloud_code_model::workflow::{Files, ReusableOptions, lint, lint_with};

use crate::{errors, meaning};

/// Where the cases are, unless the environment says otherwise: beside the repository. None, and a word about it, where they are not.
fn suite(name: &str) -> Option<Vec<PathBuf>> {
    let folder = match std::env::var_os("CLOUD_CODE_CONFORMANCE") {
        Some(folder) => folder.into(),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance")),
    };
    let folder = folder.join("workflows").join(name);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("SKIPPED: no conformance cases at {}", folder.display());
        return None;
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml"));
    paths.sort();
    assert!(!paths.is_empty(), "the folder has no cases");
    Some(paths)
}

/// Cases of the reader that fail, and why.
const READER_FAILS: &[(&str, &str)] = &[
    ("errors-anchor-tag", "obsolete: GitHub has taken anchors since 2025"),
    (
        "events-single-invalid",
        "of its two errors one is a warning here: a key that is not known right under `workflow_dispatch`, which another case takes",
    ),
    ("errors-reusable-workflow-max-result-size", "counts the bytes of the other reader's own result"),
];

struct Case {
    options: BTreeMap<String, String>,
    text: String,
    files: BTreeMap<String, String>,
    expected: serde_json::Value,
}

impl Files for Case {
    fn text(&self, uses: &str) -> Option<String> {
        self.files.get(uses).cloned()
    }
}

fn case(path: &Path) -> Case {
    let text = std::fs::read_to_string(path).unwrap();
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else {
            let last = documents.last_mut().unwrap();
            last.push_str(line);
            last.push('\n');
        }
    }
    let expected = serde_json::from_str(&documents.pop().unwrap()).unwrap();
    let mut documents = documents.into_iter();
    let options = documents.next().unwrap();
    let options = options.lines().filter_map(|line| line.split_once(": "));
    let options = options
        .map(|(key, value)| (key.to_owned(), value.split('#').next().unwrap().trim().to_owned()))
        .collect();
    let text = documents.next().unwrap();
    let mut files = BTreeMap::new();
    while let (Some(name), Some(text)) = (documents.next(), documents.next()) {
        files.insert(name.trim().to_owned(), text);
    }
    Case { options, text, files, expected }
}

/// What is wrong with how a case is read.
fn read(path: &Path) -> Option<String> {
    let case = case(path);
    let number = |key: &str| case.options.get(key).and_then(|value| value.parse::<usize>().ok());
    let mut limits = Limits::default();
    limits.depth = number("max-depth").unwrap_or(limits.depth);
    limits.bytes = number("max-file-size").unwrap_or(limits.bytes);
    let mut options = ReusableOptions::default();
    options.depth = number("max-nested-reusable-workflows-depth").unwrap_or(options.depth);
    options.jobs = number("max-job-limit").unwrap_or(options.jobs);
    options.limited = case.options.get("permissions-policy").is_some_and(|policy| policy == "LimitedRead");
    let name = format!(".github/workflows/{}", path.file_name().unwrap().to_str().unwrap());
    let findings = lint_with(&name, &case.text, &limits, &options, &case);
    let errors = errors(&findings);
    let Some(expected) = case.expected.get("errors") else {
        if let Some(error) = errors.first() {
            return Some(format!("valid, but: {error}"));
        }
        // With places in it, the result has another form; the places of errors cover them.
        if case.options.get("include-source").is_some_and(|flag| flag == "true") {
            return None;
        }
        let document = yaml::parse(&case.text, &limits).unwrap();
        let mut meant =
            vec![(meaning::jobs(&document.root), meaning::without_made_up(case.expected["jobs"].clone()))];
        for key in ["env", "defaults", "concurrency"] {
            if let Some(node) = document.root.get(key) {
                meant.push((meaning::value(node, key != "concurrency"), case.expected[key].clone()));
            }
        }
        let wrong = meant.into_iter().find(|(found, expected)| found != expected);
        return wrong.map(|(found, expected)| format!("expected {expected}\n   found {found}"));
    };
    if errors.is_empty() {
        return Some("invalid, but read without an error".to_owned());
    }
    for error in expected.as_array().unwrap() {
        let message = error["Message"].as_str().unwrap();
        let Some((file, rest)) = message.split_once(" (Line: ") else { continue };
        let file = file.trim_start_matches("In ");
        let (line, rest) = rest.split_once(", Col: ").unwrap();
        let (column, _) = rest.split_once(')').unwrap();
        // An error in a called workflow is told there where it is called, too.
        let there = |wanted: &str| {
            errors.iter().any(|error| {
                error.file == wanted && error.line.to_string() == line && error.column.to_string() == column
            })
        };
        if !there(file) {
            let all: Vec<_> = errors
                .iter()
                .map(|error| format!("{}:{}:{}", error.file, error.line, error.column))
                .collect();
            return Some(format!("expected {file}:{line}:{column}, found {}", all.join(", ")));
        }
    }
    None
}

#[test]
fn githubs_reader_cases() {
    let Some(paths) = suite("reader") else { return };
    let mut wrong = Vec::new();
    for path in &paths {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let found = read(path);
        let listed = READER_FAILS.iter().any(|row| row.0 == name);
        match found {
            Some(reason) if !listed => wrong.push(format!("{name}: {reason}")),
            None if listed => wrong.push(format!("{name}: passes now; take it off the list")),
            _ => {}
        }
    }
    println!("{} cases of GitHub's reader ran; {} are listed as failing", paths.len(), READER_FAILS.len());
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(READER_FAILS.len() * 20 <= paths.len(), "at least 95 % pass");
}

#[test]
fn what_actionlint_takes_has_no_error() {
    let Some(paths) = suite("actionlint-ok") else { return };
    let mut wrong = Vec::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        let findings = lint(path.file_name().unwrap().to_str().unwrap(), &text);
        wrong.extend(errors(&findings).iter().map(ToString::to_string));
    }
    println!("{} valid files of actionlint ran", paths.len());
    assert!(wrong.is_empty(), "{} errors:\n{}", wrong.len(), wrong.join("\n"));
}

/// Files of actionlint's in which nothing is found on an expected line, and why.
const ACTIONLINT_MISSES: &[(&str, &str)] = &[
    ("deprecated_action_inputs", "needs the metadata of other people's actions"),
    ("pyflakes_job_default_shell", "needs a checker of Python"),
    ("pyflakes_step_shell", "needs a checker of Python"),
];

#[test]
fn what_actionlint_finds_is_found() {
    let Some(paths) = suite("actionlint-err") else { return };
    let (mut wrong, mut lines, mut hit) = (Vec::new(), 0, 0);
    for path in &paths {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let out = std::fs::read_to_string(path.with_extension("out")).unwrap();
        let expected: BTreeSet<usize> =
            out.lines().filter_map(|line| line.split(':').nth(1)?.parse().ok()).collect();
        let found: BTreeSet<usize> = lint(name, &text).iter().map(|finding| finding.line).collect();
        let common = expected.intersection(&found).count();
        lines += expected.len();
        hit += common;
        if std::env::var_os("CONFORMANCE_LINES").is_some() && common < expected.len() {
            println!("{name}: not found on {:?}", expected.difference(&found).collect::<Vec<_>>());
        }
        let listed = ACTIONLINT_MISSES.iter().any(|row| row.0 == name);
        if (common == 0) != listed {
            wrong.push(format!("{name}: expected {expected:?}, found {found:?}"));
        }
    }
    println!(
        "{} invalid files of actionlint ran; {} are missed; {hit} of {lines} expected lines have a finding",
        paths.len(),
        ACTIONLINT_MISSES.len()
    );
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ACTIONLINT_MISSES.len() * 10 <= paths.len(), "at least 90 % have a finding on an expected line");
}
