//! Rules of the house, read off the source files: which room may know which, how long a file may be, what must be listed.

use cloud_code::config::variables;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of the workspace, by their paths from its root.
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for part in ["src", "tests", "model", "agent", "forge", "git", "functions"] {
        walk(&root().join(part), &mut found);
    }
    let mut sources: Vec<_> = found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .filter(|(name, _)| !name.contains("/target/"))
        .collect();
    sources.sort();
    assert!(sources.len() > 200, "the sources were not found");
    sources
}

/// The code of a file without its comments and its unit tests, which may know more.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// Rooms of the root crate that a file names, with what follows: `adapters::github`, `ports`, …
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // A path that begins elsewhere, such as `some_crate::x`.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let path: String =
            code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
        if path.is_empty() {
            // `use crate::{a, b::c};`
            let group = code[at + 7..].trim_start_matches('{').split('}').next().unwrap_or_default();
            found.extend(group.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
        } else {
            found.insert(path.trim_end_matches(':').to_owned());
        }
    }
    found
}

#[test]
fn no_arrow_is_turned_round() {
    // Room, and the rooms of its own crate that it may name.
    let rooms: &[(&str, &[&str])] = &[
        ("src/ports/", &["ports"]),
        ("src/app/", &["app", "ports", "comments", "metrics"]),
        ("src/comments.rs", &["ports", "words"]),
        ("src/words.rs", &[]),
        ("src/http/", &["http", "ports", "metrics", "words"]),
        ("src/config/", &["config", "ports", "app"]),
        ("src/metrics.rs", &[]),
        ("src/adapters/github/", &["adapters::github", "ports"]),
        ("src/adapters/memory/", &["adapters::memory", "ports"]),
        ("src/adapters/disk/", &["adapters::disk", "ports"]),
        ("src/adapters/vps/sql/", &["adapters::vps::sql", "ports"]),
        ("src/adapters/vps/docker/", &["adapters::vps::docker", "ports"]),
        ("src/adapters/vps/process/", &["adapters::vps::process", "ports"]),
        ("src/adapters/vps/vault/", &["adapters::vps::vault", "ports"]),
        ("src/adapters/git/", &["adapters::git", "ports"]),
        ("src/adapters/aws/", &["adapters::aws", "ports"]),
        ("src/adapters/vps/", &["adapters::vps", "ports"]),
        ("src/adapters/layered.rs", &["ports"]),
        ("src/entry/aws.rs", &["adapters", "config", "ports"]),
        (
            "src/entry/lambda/",
            &[
                "entry::lambda",
                "entry::messages",
                "entry::health",
                "entry::aws",
                "adapters",
                "app",
                "http",
                "config",
                "ports",
                "metrics",
            ],
        ),
        ("src/entry/health.rs", &["app", "http", "ports"]),
        (
            "src/entry/vps/",
            &[
                "entry::vps",
                "entry::worker",
                "entry::aws",
                "entry::health",
                "adapters",
                "app",
                "http",
                "config",
                "ports",
                "metrics",
            ],
        ),
        ("src/entry/worker.rs", &["app", "ports", "metrics", "entry::messages"]),
        ("src/entry/messages.rs", &["app", "ports"]),
        (
            "src/entry/",
            &["entry", "adapters", "app", "http", "config", "ports", "metrics", "comments", "words"],
        ),
    ];
    let mut problems = Vec::new();
    for (name, text) in sources() {
        let Some((_, allowed)) = rooms.iter().find(|(room, _)| name.starts_with(room)) else { continue };
        for path in named(&code(&text)) {
            let fits = |room: &&str| path == **room || path.starts_with(&format!("{room}::"));
            if !allowed.iter().any(fits) {
                problems.push(format!("{name} names crate::{path}; it may name {}", allowed.join(", ")));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn crates_know_only_what_they_may() {
    // Folder, and what its code must not name.
    let rules: &[(&str, &[&str])] = &[
        (
            "model/src/",
            &[
                "std::fs",
                "std::net",
                "std::time",
                "std::process",
                "std::env",
                "tokio",
                "rand::",
                "cloud_code::",
                "Timestamp::now",
            ],
        ),
        ("agent/src/", &["cloud_code::", "cloud_code_forge"]),
        (
            "git/src/",
            &["cloud_code::", "cloud_code_agent", "cloud_code_forge", "cloud_code_model", "std::process"],
        ),
        ("forge/src/", &["cloud_code::", "cloud_code_agent", "cloud_code_model"]),
        (
            "src/ports/",
            &[
                "aws_sdk",
                "lambda_http",
                "cloud_code_git",
                "cloud_code_agent",
                "cloud_code_forge",
                "sqlx",
                "bollard",
                "octocrab",
                "axum",
            ],
        ),
        (
            "src/app/",
            &[
                "aws_sdk",
                "lambda_http",
                "cloud_code_git",
                "cloud_code_agent",
                "cloud_code_forge",
                "sqlx",
                "bollard",
                "octocrab",
                "axum",
                "std::fs",
                "std::env",
            ],
        ),
        (
            "src/http/",
            &[
                "aws_sdk",
                "lambda_http",
                "cloud_code_git",
                "cloud_code_agent",
                "cloud_code_forge",
                "sqlx",
                "bollard",
                "octocrab",
                "std::env",
            ],
        ),
        ("src/main.rs", &["adapters", "ports"]),
    ];
    let mut problems = Vec::new();
    for (name, text) in sources() {
        // A file of unit tests beside the code.
        if name.ends_with("tests.rs") {
            continue;
        }
        let code = code(&text);
        for (_, forbidden) in rules.iter().filter(|(room, _)| name.starts_with(room)) {
            for word in forbidden.iter().filter(|word| names(&code, word)) {
                problems.push(format!("{name} names {word}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Whether the code has the word, not as the end of a longer one.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn files_have_one_subject_and_a_header() {
    let mut problems = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > 500 {
            problems.push(format!("{name} has {lines} lines: two subjects?"));
        }
        if name.starts_with("src/") && !text.starts_with("//!") {
            problems.push(format!("{name} has no header that says what it is for"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn nothing_is_left_undone() {
    // Written apart, so that this file does not find itself.
    let undone = [["todo", "!("], ["unimplemented", "!("], ["#[ignore", "]"]].map(|parts| parts.concat());
    let mut problems = Vec::new();
    for (name, text) in sources() {
        for word in &undone {
            // In a string of a test's own it is no macro.
            let found = code_and_tests(&text).lines().any(|line| names(line, word) && !line.contains('"'));
            if found {
                problems.push(format!("{name} has {word}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn code_and_tests(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn env_example() {
    let (path, wanted) = (root().join(".env.example"), variables::example());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "run: UPDATE=1 cargo test --test it env_example");
}

#[test]
fn every_variable_that_is_read_is_listed() {
    let known: BTreeSet<_> = variables::VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(known.len(), variables::VARIABLES.len(), "a name stands twice");
    let mut problems = Vec::new();
    for (name, text) in sources() {
        if !name.starts_with("src/") {
            continue;
        }
        let code = code(&text);
        // The environment is read at the edge; these two pass their own on, as they say.
        let edge = ["src/config/", "src/adapters/vps/process/"].iter().any(|edge| name.starts_with(edge));
        for call in ["env::var(", "env::var_os(", "env::vars(", "env::vars_os("] {
            if code.contains(call) && !edge {
                problems.push(format!("{name} reads the environment: that is for src/config"));
            }
        }
        if !name.starts_with("src/config/") {
            continue;
        }
        for call in [".get(\"", ".required(\"", ".parsed(\"", ".flag(\"", ".list(\""] {
            for (at, _) in code.match_indices(call) {
                let variable = code[at + call.len()..].split('"').next().unwrap_or_default();
                let home = ["HOME", "XDG_CACHE_HOME", "NO_COLOR", "LOG"].contains(&variable);
                if !known.contains(variable) && !home {
                    problems.push(format!("{name} reads {variable}, which is not in the table of variables"));
                }
            }
        }
    }
    // What is listed is read somewhere, by name or by the table of CLIs.
    let sources: String = sources()
        .into_iter()
        .filter(|(name, _)| {
            name.starts_with("src/") && name != "src/config/variables.rs" || name == "model/src/cli.rs"
        })
        .map(|(_, text)| text)
        .collect();
    for variable in known {
        if !sources.contains(&format!("\"{variable}\"")) {
            problems.push(format!("{variable} is listed and nobody reads it"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_map_is_short() {
    let Ok(map) = fs::read_to_string(root().join("ARCHITECTURE.md")) else { return };
    assert!(map.lines().count() <= 150, "ARCHITECTURE.md has {} lines; at most 150", map.lines().count());
}

/// Each side's dependencies stay out of the other's programs; and the functions are shells.
#[test]
fn features_keep_the_sides_apart() {
    let tree = |arguments: &[&str]| {
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.current_dir(root()).args(["tree", "--offline", "--locked", "-e", "normal", "--prefix", "none"]);
        let output = cargo.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let check = |arguments: &[&str], forbidden: &[&str]| {
        let tree = tree(arguments);
        let names: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        let found: Vec<_> =
            names.iter().filter(|name| forbidden.iter().any(|word| name.starts_with(word))).collect();
        assert!(found.is_empty(), "cargo tree {arguments:?} has {found:?}");
    };
    check(
        &["-p", "cloud-code-functions"],
        &["bollard", "sqlx", "libsqlite3", "cloud-code-agent", "cloud-code-forge", "redis", "vaultrs"],
    );
    check(
        &["-p", "cloud-code", "--no-default-features", "--features", "vps"],
        &["aws-sdk-", "aws-config", "lambda_"],
    );
    check(&["-p", "cloud-code-agent"], &["aws-sdk-", "aws-config", "cloud-code-forge"]);
    for (name, text) in sources().into_iter().filter(|(name, _)| name.starts_with("functions/")) {
        assert!(text.lines().count() <= 25, "{name} has {} lines: more than a shell", text.lines().count());
    }
}
