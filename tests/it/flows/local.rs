//! The command line without a server: `run` on a local folder, `demo`, and a server that can't start.

use crate::harness::{program, signal};
use rustix::process::Signal;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A home and a repository in it, with one commit and some work under way.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(desk.repo()).unwrap();
        desk.git(&["init", "-q", "-b", "main"]);
        fs::write(desk.repo().join("README.md"), "# desk\n").unwrap();
        desk.git(&["add", "-A"]);
        desk.git(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"]);
        desk
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("desk")
    }

    fn git(&self, args: &[&str]) -> String {
        let git = Command::new("git")
            .args(args)
            .current_dir(self.repo())
            .env("HOME", self.dir.path())
            .output()
            .unwrap();
        assert!(git.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&git.stderr));
        String::from_utf8(git.stdout).unwrap()
    }

    /// `cloud-code run` by the process runner, with this script as the agent.
    fn command(&self, script: &str) -> Command {
        let mut command = program(self.dir.path());
        command.arg("run").arg("--repo").arg(self.repo());
        command.args(["--runner", "process", "--title", "Do it", "--cli", "script", "--command", script]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, script: &str, more: &[&str]) -> Output {
        self.command(script).args(more).output().unwrap()
    }

    /// Nothing runs any more, and no checkout is left.
    fn assert_tidy(&self) {
        let left: Vec<_> = processes(self.dir.path());
        assert_eq!(left, Vec::<String>::new());
        let attempts = self.dir.path().join(".cache/cloud-code/attempts");
        for file in all_below(&attempts) {
            assert!(!file.components().any(|part| part.as_os_str() == "workspace"), "{}", file.display());
        }
    }
}

/// Command lines of processes that have the folder in their environment or stand in it.
fn processes(dir: &Path) -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let proc = entry.path();
        let cwd = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
        let environ = fs::read(proc.join("environ")).unwrap_or_default();
        let named = environ.windows(dir.as_os_str().len()).any(|part| part == dir.as_os_str().as_bytes());
        if (cwd || named) && entry.file_name().to_str() != Some(&own) {
            found.push(
                String::from_utf8_lossy(&fs::read(proc.join("cmdline")).unwrap_or_default())
                    .replace('\0', " "),
            );
        }
    }
    found
}

fn all_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(all_below(&entry.path()));
        }
    }
    found
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_change_becomes_a_branch_and_the_work_tree_is_left_alone() {
    let desk = Desk::new();
    fs::write(desk.repo().join("README.md"), "# half a thought\n").unwrap();
    fs::write(desk.repo().join("new.txt"), "untracked\n").unwrap();
    fs::write(desk.repo().join("staged.txt"), "staged\n").unwrap();
    desk.git(&["add", "staged.txt"]);
    let before = (desk.git(&["status", "--porcelain"]), desk.git(&["rev-parse", "HEAD"]));
    let output = desk.run("echo hello > greeting.txt; echo 'I said hello.'", &["--number", "7"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for wanted in ["I said hello.", "greeting.txt", "Branch cloud-code/issue-7 is at", "success"] {
        assert!(shown.contains(wanted), "{wanted:?} is not in:\n{shown}");
    }
    assert_eq!(desk.git(&["show", "cloud-code/issue-7:greeting.txt"]), "hello\n");
    assert_eq!(desk.git(&["show", "cloud-code/issue-7:README.md"]), "# desk\n");
    assert_eq!(before, (desk.git(&["status", "--porcelain"]), desk.git(&["rev-parse", "HEAD"])));
    assert_eq!(fs::read_to_string(desk.repo().join("README.md")).unwrap(), "# half a thought\n");
    // Once more: the old branch stays, a new one is made beside it.
    let output = desk.run("echo bye > greeting.txt", &["--number", "7"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(desk.git(&["show", "cloud-code/issue-7:greeting.txt"]), "hello\n");
    assert_eq!(desk.git(&["branch", "--list", "cloud-code/issue-7-*"]).lines().count(), 1);
    desk.assert_tidy();
}

#[test]
fn as_json() {
    let desk = Desk::new();
    let output = desk.run("printf 'a\\nb\\n' > x.txt", &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sha = desk.git(&["rev-parse", "cloud-code/issue-1"]);
    assert_eq!(json["conclusion"], "success");
    assert_eq!(json["sha"], sha.trim());
    assert_eq!(json["branch"], "cloud-code/issue-1");
    assert_eq!(
        (json["files"].as_u64(), json["insertions"].as_u64(), json["deletions"].as_u64()),
        (Some(1), Some(2), Some(0))
    );
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "run",
            "conclusion",
            "reason",
            "branch",
            "sha",
            "base",
            "files",
            "insertions",
            "deletions",
            "commits",
            "summary",
            "usage",
            "logs"
        ]
    );
    assert!(Path::new(json["logs"].as_str().unwrap()).is_dir());
    desk.assert_tidy();
}

#[test]
fn ends_other_than_success() {
    let desk = Desk::new();
    let nothing = desk.run("echo looked", &[]);
    assert_eq!(nothing.status.code(), Some(0), "{}", text(&nothing));
    assert!(text(&nothing).contains("no_changes"), "{}", text(&nothing));
    let failed = desk.run("echo x > x.txt; exit 3", &["--json"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    let json: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((json["conclusion"].as_str(), json["branch"].as_str()), (Some("failure"), None));
    assert!(json["reason"].as_str().unwrap().contains("exit code 3"), "{json}");
    let refused = desk.run("mkdir -p .github/workflows; echo x > .github/workflows/x.yml", &[]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains(".github/workflows/"), "{}", text(&refused));
    assert_eq!(desk.git(&["branch", "--list", "cloud-code/*"]), "");
    desk.assert_tidy();
}

#[test]
fn mistakes_are_told_before_anything_starts() {
    let desk = Desk::new();
    let plain = desk.dir.path().join("plain");
    fs::create_dir(&plain).unwrap();
    let check = |args: &[&str], wanted: &[&str]| {
        let output = program(desk.dir.path()).arg("run").args(args).output().unwrap();
        let shown = text(&output);
        assert!(!output.status.success(), "{args:?}: {shown}");
        for wanted in wanted {
            assert!(shown.contains(wanted), "{args:?}: {wanted:?} is not in {shown}");
        }
        assert!(!shown.contains("panicked") && !shown.contains("RUST_BACKTRACE"), "{shown}");
    };
    let repo = desk.repo().display().to_string();
    let base = ["--runner", "process", "--repo", &repo];
    let with = |more: &[&'static str]| base.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    check(&["--repo", &plain.display().to_string(), "--title", "x"], &["--repo", "plain"]);
    check(&["--repo", "/nowhere/at/all", "--title", "x"], &["--repo", "/nowhere/at/all"]);
    check(&with(&[]), &["--issue FILE"]);
    check(&with(&["--title", " "]), &["no title"]);
    check(
        &with(&["--title", "x", "--cli", "hal"]),
        &["--cli", "`hal`", "claude-code, codex, gemini, aider, opencode, script"],
    );
    check(&with(&["--title", "x", "--cli", "script"]), &["--command"]);
    check(&with(&["--title", "x", "--workflow", "missing.yml"]), &["--workflow missing.yml"]);
    check(&["--repo", &repo, "--title", "x", "--runner", "lambda"], &["--runner", "`lambda`"]);
    assert!(!desk.dir.path().join(".cache").exists(), "something was started");
}

#[test]
fn a_dry_run_touches_nothing() {
    let desk = Desk::new();
    let before = all_below(desk.dir.path());
    let output = desk.run("echo x > x.txt", &["--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    for wanted in ["issue      Do it", "cloud-code/issue-1", "no sandbox", "Nothing was started"] {
        assert!(text(&output).contains(wanted), "{}", text(&output));
    }
    let json = desk.run("echo x > x.txt", &["--dry-run", "--json"]);
    let plan: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((plan["from"].as_str(), plan["to"].as_str()), (Some("main"), Some("cloud-code/issue-1")));
    assert_eq!(all_below(desk.dir.path()), before);
}

/// Waits until a file is there.
fn wait_for(path: &Path, child: &mut Child) {
    let end = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(Instant::now() < end, "{} is not there", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn control_c_cancels() {
    let desk = Desk::new();
    let begun = desk.dir.path().join("begun");
    for json in [false, true] {
        let mut command = desk.command(&format!("echo x > x.txt; touch {}; sleep 600", begun.display()));
        if json {
            command.arg("--json");
        }
        let mut child = command.spawn().unwrap();
        wait_for(&begun, &mut child);
        signal(child.id().cast_signed(), Signal::INT);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output));
        assert!(text(&output).contains("cancelled"), "{}", text(&output));
        assert_eq!(desk.git(&["branch", "--list", "cloud-code/*"]), "");
        desk.assert_tidy();
        fs::remove_file(&begun).unwrap();
    }
}

#[test]
fn two_at_the_same_time() {
    let desk = Desk::new();
    let both = |number: u64| {
        let mut command = desk.command(&format!("sleep 1; echo {number} > {number}.txt"));
        command.args(["--number", &number.to_string()]).spawn().unwrap()
    };
    for child in [both(1), both(2)] {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    assert_eq!(desk.git(&["show", "cloud-code/issue-1:1.txt"]), "1\n");
    assert_eq!(desk.git(&["show", "cloud-code/issue-2:2.txt"]), "2\n");
    desk.assert_tidy();
}

#[test]
fn an_issue_and_a_workflow_from_files() {
    let desk = Desk::new();
    let issue = desk.dir.path().join("issue.md");
    fs::write(&issue, "# Count the lines\n\nOf README.md.\n").unwrap();
    fs::create_dir(desk.repo().join(".cloud-code")).unwrap();
    let workflow = "on: issues\njobs:\n  count:\n    steps:\n      - uses: agent\n        with:\n          cli: script\n          command: |\n            grep -q 'Of README.md.' \"$CLOUD_CODE_PROMPT_FILE\"\n            wc -l < README.md > lines.txt\n";
    fs::write(desk.repo().join(".cloud-code/count.yml"), workflow).unwrap();
    let mut command = program(desk.dir.path());
    command.args(["run", "--runner", "process", "--issue"]).arg(&issue).arg("--repo").arg(desk.repo());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(desk.git(&["show", "cloud-code/issue-1:lines.txt"]).trim(), "1");
    assert!(desk.git(&["log", "-1", "--format=%s", "cloud-code/issue-1"]).contains("Count the lines"));
    desk.assert_tidy();
}

#[test]
fn the_demo() {
    let desk = Desk::new();
    let output = program(desk.dir.path()).arg("demo").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("Pull request #2: Greet people by name"), "{}", text(&output));
    desk.assert_tidy();
}

#[test]
fn a_server_without_its_settings_names_the_variable() {
    let home = tempfile::tempdir().unwrap();
    let all = [
        ("GITHUB_WEBHOOK_SECRET", "a secret of good length"),
        ("GITHUB_APP_ID", "1"),
        ("GITHUB_APP_NAME", "app"),
        ("GITHUB_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"),
    ];
    let check = |env: &[(&str, &str)], wanted: &str| {
        let mut command = program(home.path());
        command
            .arg("serve")
            .env("DATA_DIR", home.path().join("data"))
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("RUNNER", "process");
        let output = command.envs(env.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{env:?}: {}", text(&output));
        assert!(text(&output).contains(wanted), "{env:?}: {wanted:?} is not in {}", text(&output));
    };
    for (missing, _) in all {
        let rest: Vec<_> = all.into_iter().filter(|(name, _)| *name != missing).collect();
        check(&rest, missing);
        let empty: Vec<_> =
            all.into_iter().map(|(name, value)| (name, if name == missing { " " } else { value })).collect();
        check(&empty, missing);
    }
    for (name, value) in [
        ("GITHUB_WEBHOOK_SECRET", "secret"),
        ("GITHUB_APP_ID", "one"),
        ("GITHUB_PRIVATE_KEY", "no key"),
        ("LISTEN_ADDR", "here"),
        ("API_TOKENS", "short"),
        ("DATABASE_URL", "postgres://x"),
        ("RUNNER", "lambda"),
        ("DEFAULT_CLI", "hal"),
        ("CONCURRENCY", "0"),
        ("DRAFT_PULL_REQUESTS", "perhaps"),
        ("LOG_FORMAT", "xml"),
    ] {
        let mut env: Vec<_> = all.into_iter().filter(|(known, _)| *known != name).collect();
        env.push((name, value));
        check(&env, name);
    }
}
