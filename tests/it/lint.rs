//! `cloud-code workflow lint|eval` as a person or a program runs it: what it prints, and how it ends.

use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const GOOD: &str = "on: push\njobs: {a: {runs-on: docker, steps: [{run: x}]}}\n";
const WARNED: &str =
    "on: push\njobs: {é: {}, a: {runs-on: docker, steps: [{run: 'echo ${{ github.head_ref }}'}]}}\n";
const BROKEN: &str = "on: pusch\njobs:\n  a:\n    runs-on: docker\n    steps:\n      - runn: x\n";

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// Runs `workflow ARGS` in a folder.
fn run(folder: &Path, args: &[&str], stdin: &str) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cloud-code"))
        .arg("workflow")
        .args(args)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn exit_codes() {
    let folder =
        folder(&[("good.yml", GOOD), ("warned.yml", &WARNED.replace("é: {}, ", "")), ("broken.yml", BROKEN)]);
    let check = |files: &[&str], code: i32, lines: usize, err: &str| {
        let args: Vec<&str> = ["lint"].iter().chain(files).copied().collect();
        let ended = run(folder.path(), &args, "");
        assert_eq!(
            (ended.code, ended.out.lines().count()),
            (code, lines),
            "{files:?}: {} {}",
            ended.out,
            ended.err
        );
        assert!(
            ended.err.contains(err) && (err.is_empty() == ended.err.is_empty()),
            "{files:?}: {}",
            ended.err
        );
    };
    check(&["good.yml"], 0, 0, "");
    check(&["warned.yml"], 0, 1, "");
    check(&["broken.yml"], 1, 3, "");
    check(&["good.yml", "warned.yml", "broken.yml"], 1, 4, "");
    // A file that can't be read is told, and the others are still checked.
    check(&["none.yml", "broken.yml"], 2, 3, "none.yml: No such file");
    check(&["none.yml"], 2, 0, "none.yml: No such file");
    check(&["."], 2, 0, ".: Is a directory");
    assert_eq!(run(folder.path(), &["lint"], "").code, 2, "a file must be named");
    assert_eq!(
        run(folder.path(), &["lint", "--json", "--sarif", "good.yml"], "").code,
        2,
        "one form at a time"
    );
}

#[test]
fn findings_as_lines_and_as_json() {
    let folder = folder(&[("good.yml", GOOD), ("broken.yml", BROKEN)]);
    let ended = run(folder.path(), &["lint", "broken.yml"], "");
    insta::assert_snapshot!(ended.out.lines().next().unwrap(), @"broken.yml:1:5: error: there is no event `pusch`; did you mean `push`? [event]");
    let ended = run(folder.path(), &["lint", "--json", "broken.yml"], "");
    let json = ended.json();
    assert_eq!(ended.code, 1);
    insta::assert_snapshot!(json[0], @r#"{"file":"broken.yml","line":1,"column":5,"severity":"error","rule":"event","message":"there is no event `pusch`; did you mean `push`?"}"#);
    assert_eq!(json.as_array().unwrap().len(), 3);
    let ended = run(folder.path(), &["lint", "--json", "good.yml"], "");
    assert_eq!((ended.code, ended.json()), (0, serde_json::json!([])));
}

#[test]
fn standard_input() {
    let folder = folder(&[]);
    let ended = run(folder.path(), &["lint", "-"], BROKEN);
    assert_eq!(ended.code, 1);
    assert!(ended.out.starts_with("-:1:5: error: "), "{}", ended.out);
    assert_eq!(run(folder.path(), &["lint", "-"], GOOD).code, 0);
}

/// What SARIF 2.1.0 requires of a log, and what code scanning reads of it.
#[test]
fn sarif() {
    let folder = folder(&[("good.yml", GOOD), ("warned.yml", WARNED), ("broken.yml", BROKEN)]);
    let ended = run(folder.path(), &["lint", "--sarif", "good.yml", "warned.yml", "broken.yml"], "");
    assert_eq!(ended.code, 1);
    let log = ended.json();
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().ends_with("sarif-2.1.0.json"));
    let runs = log["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    let driver = &runs[0]["tool"]["driver"];
    assert_eq!(driver["name"], "cloud-code");
    let rules = driver["rules"].as_array().unwrap();
    let ids: Vec<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted, ids, "each rule once, in order");
    assert!(rules.iter().all(|rule| !rule["shortDescription"]["text"].as_str().unwrap().is_empty()));
    let results = runs[0]["results"].as_array().unwrap();
    let mut files = Vec::new();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()), "{result}");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        files.push(place["artifactLocation"]["uri"].as_str().unwrap());
        let region = &place["region"];
        assert!(
            region["startLine"].as_u64().unwrap() >= 1 && region["startColumn"].as_u64().unwrap() >= 1,
            "{region}"
        );
    }
    files.dedup();
    assert_eq!(files, ["warned.yml", "broken.yml"]);
    // Columns are characters: `é` is one.
    assert_eq!(runs[0]["columnKind"], "unicodeCodePoints");
    let injection = results.iter().find(|result| result["ruleId"] == "injection").unwrap();
    let column = WARNED.lines().nth(1).unwrap().split("github.head_ref").next().unwrap().chars().count() + 1;
    assert_eq!(injection["locations"][0]["physicalLocation"]["region"]["startColumn"], column);
    let nothing = run(folder.path(), &["lint", "--sarif", "good.yml"], "");
    assert_eq!((nothing.code, &nothing.json()["runs"][0]["results"]), (0, &serde_json::json!([])));
}

#[test]
fn what_a_workflow_brings_in_is_checked_as_well() {
    let action = "inputs: {who: {required: true}}\nruns:\n  using: composite\n  steps:\n    - {runn: x}\n";
    let called = "on: workflow_call\njobs: {a: {needs: b, steps: [{run: x}]}}\n";
    let main = "on: push\njobs:\n  a: {steps: [{uses: ./tools/greet}, {uses: ./tools/none}]}\n  b: {uses: ./.cloud-code/called.yml}\n  c: {uses: ./.cloud-code/none.yml}\n";
    let files = [
        (".cloud-code/main.yml", main),
        (".cloud-code/called.yml", called),
        ("tools/greet/action.yml", action),
    ];
    let folder = folder(&files);
    let ended = run(folder.path(), &["lint", ".cloud-code/main.yml"], "");
    let heads: Vec<String> = ended
        .out
        .lines()
        .map(|line| {
            let place = line.split(": ").next().unwrap();
            format!("{place} {}", line.rsplit(' ').next().unwrap())
        })
        .collect();
    assert_eq!(
        heads,
        [
            ".cloud-code/main.yml:3:3 [missing-key]",
            ".cloud-code/main.yml:3:45 [action]",
            ".cloud-code/main.yml:5:13 [reusable-workflow]",
            ".cloud-code/called.yml:2:8 [missing-key]",
            ".cloud-code/called.yml:2:19 [needs]",
            "tools/greet/action.yml:5:7 [missing-key]",
            "tools/greet/action.yml:5:8 [unknown-key]",
        ],
        "{}",
        ended.out
    );
    assert_eq!(ended.code, 1);
}

#[test]
fn hostile_files_are_refused_quickly() {
    let bomb: String = (1..40)
        .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", ")))
        .collect();
    let bomb = format!("a0: &a0 [x, x]\n{bomb}");
    let big = "# much\n".repeat(25 * 1024 * 1024 / 7);
    let mut jobs = String::from("on: push\njobs:\n");
    for job in 0..10_000 {
        jobs.push_str(&format!("  j{job}: {{runs-on: docker, steps: [{{run: x}}]}}\n"));
    }
    let folder = folder(&[
        ("bomb.yml", &bomb),
        ("big.yml", &big),
        ("deep.yml", &format!("on: {}", "[".repeat(200_000))),
        ("bytes.yml", "on: push\njobs: \u{0}\u{7f}"),
        ("jobs.yml", &jobs),
    ]);
    for file in ["bomb.yml", "big.yml", "deep.yml", "bytes.yml", "jobs.yml"] {
        let begun = std::time::Instant::now();
        let ended = run(folder.path(), &["lint", file], "");
        // Seconds, on whatever machine; without limits it would be for ever.
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{file}: {:?}", begun.elapsed());
        assert_eq!(
            (ended.code, ended.out.lines().count(), ended.err.as_str()),
            (1, 1, ""),
            "{file}: {}",
            ended.out
        );
    }
}

#[test]
fn expressions() {
    let folder = folder(&[("c.json", r#"{"matrix": {"os": ["a", "B"]}}"#)]);
    let check = |args: &[&str], code: i32, out: &str, err: &str| {
        let args: Vec<&str> = ["eval"].iter().chain(args).copied().collect();
        let ended = run(folder.path(), &args, "");
        assert_eq!((ended.code, ended.out.trim()), (code, out), "{args:?}: {}", ended.err);
        assert!(
            ended.err.contains(err) && (err.is_empty() == ended.err.is_empty()),
            "{args:?}: {}",
            ended.err
        );
    };
    check(&["1 + 1"], 1, "", "position 3");
    check(&["contains(matrix.os, 'b')", "--contexts", "c.json"], 0, "true", "");
    check(&["format('{0}', 1)"], 0, "\"1\"", "");
    check(&["0 / 0"], 1, "", "position");
    check(&["fromJSON('{')"], 1, "", "fromJson");
    check(&["NaN"], 0, "\"NaN\"", "");
    check(&["a", "--contexts", "none.json"], 1, "", "none.json");
}
