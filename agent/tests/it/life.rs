//! The life of the agent: heartbeats, restarts, appended tasks, bad taskings, floods, odd images.

use std::fs;

use cloud_code_model::task::{Conclusion, Status, StepConclusion as S};

use crate::harness::Lab;

#[test]
fn the_report_beats_while_a_step_runs() {
    let lab = Lab::new().env("CLOUD_CODE_HEARTBEAT_SECONDS", "0.02");
    // The step itself waits for three heartbeats, and sees itself running.
    let left = lab.run(
        r#"
- timeout-minutes: 0.5
  run: |
    beat() { sed -n 's/^sequence: //p' .cloud-code/reporting.yaml; }
    grep -q 'status: in_progress' .cloud-code/reporting.yaml
    begin=$(beat)
    until [ "$(beat)" -ge $((begin + 3)) ]; do sleep 0.01; done
    echo x > x
"#,
        "",
    );
    left.expect(Conclusion::Success);
    assert!(left.report.sequence >= 5);
    assert_eq!(left.report.status, Status::Completed);
}

#[test]
fn a_restart_carries_on_the_sequence_and_a_completed_attempt_is_left_alone() {
    let lab = Lab::new();
    let report = |attempt: u32, rest: &str| {
        format!(
            "version: 1\nrun: r-1\njob: implement\nattempt: {attempt}\nsequence: 41\nat: 2026-01-01T00:00:00Z\n{rest}\n"
        )
    };
    let path = lab.root().join(".cloud-code/reporting.yaml");
    fs::write(&path, report(1, "status: in_progress")).unwrap();
    let left = lab.run("- run: echo x > x", "");
    left.expect(Conclusion::Success);
    assert!(left.report.sequence > 41);
    // Another attempt's completed report is no reason not to work.
    fs::write(&path, report(7, "status: completed\nconclusion: failure")).unwrap();
    lab.wait(lab.start()).expect(Conclusion::Success);
    let done = report(1, "status: completed\nconclusion: cancelled");
    fs::write(&path, &done).unwrap();
    lab.wait(lab.start()).expect(Conclusion::Cancelled);
    assert_eq!(fs::read_to_string(&path).unwrap(), done);
}

#[test]
fn a_tasking_that_cannot_be_read_is_answered_where_that_is_possible() {
    let lab = Lab::new();
    lab.write_tasking(&lab.tasking("- run: x", "").replace("version: 1", "version: 9"));
    let left = lab.wait(lab.start());
    left.expect(Conclusion::Failure);
    assert!(left.message().contains("has version 9, this agent reads version 1"), "{}", left.message());

    let refused = |lab: &Lab, words: &str| {
        let output = lab.start().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(words), "{text}");
    };
    let lab = Lab::new();
    refused(&lab, "tasking.yaml: No such file");
    lab.write_tasking(": : :");
    refused(&lab, "tasking.yaml cannot be read");
    let lab = Lab::new().env("CLOUD_CODE_HEARTBEAT_SECONDS", "often");
    lab.write_tasking(&lab.tasking("- run: x", ""));
    refused(&lab, "CLOUD_CODE_HEARTBEAT_SECONDS");
}

#[test]
fn appended_tasks_are_worked_on_until_the_job_is_closed() {
    let lab = Lab::new().env("CLOUD_CODE_HEARTBEAT_SECONDS", "0.02");
    let one = lab.tasking("- run: mv ../second.yaml .cloud-code/tasking.yaml", "");
    let two = lab.tasking("- run: 'true'", "");
    let appended =
        two.split_once("tasks:\n").unwrap().1.replace("id: t1", "id: t2").replace("'true'", "echo x > x");
    fs::write(lab.beside("second.yaml"), format!("{two}{appended}closed: true\n")).unwrap();
    lab.write_tasking(&format!("{one}closed: false\n"));
    let left = lab.wait(lab.start());
    left.expect(Conclusion::Success);
    let tasks: Vec<_> =
        left.report.tasks.iter().map(|task| (task.id.as_str(), task.conclusion.unwrap())).collect();
    assert_eq!(tasks, [("t1", Conclusion::NoChanges), ("t2", Conclusion::Success)]);
    assert_eq!(left.report.tasks[1].changes.as_ref().unwrap().bundle.as_deref(), Some("changes.bundle"));
}

#[test]
fn a_flood_is_capped_and_takes_little_memory() {
    let lab = Lab::new().env("CLOUD_CODE_LOG_BYTES", "200000");
    let left = lab.run(
        r#"
- shell: sh
  run: yes "a line of the flood" | head -c 50000000; head -c 20000000 /dev/zero | tr '\0' x; printf '\377\376 not text\n'
- uses: agent
  with: { cli: script, prompt: p, command: "yes '{\"type\":\"message\",\"text\":\"m\"}' | head -c 3000000; head -c 10000000 /dev/zero | tr '\\\\0' y; echo; echo the end" }
- run: grep VmHWM /proc/$PPID/status > memory.txt
"#,
        "",
    );
    left.expect(Conclusion::Success);
    assert_eq!(left.step(1).summary.as_deref(), Some("the end"));
    for name in ["log.txt", "transcript.jsonl"] {
        let size = fs::metadata(lab.root().join(".cloud-code").join(name)).unwrap().len();
        assert!((150_000..210_000).contains(&size), "{name}: {size}");
    }
    assert!(left.log.contains("the log is full"), "no notice");
    let memory = fs::read_to_string(lab.root().join("memory.txt")).unwrap();
    let kilobytes: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    // A debug build; the release build is smaller still.
    assert!(kilobytes < 32_000, "{memory}");
}

#[test]
fn an_unwritable_home_is_replaced() {
    let lab = Lab::new().env("HOME", "/proc");
    let left = lab.run("- run: echo \"$HOME\" > home.txt && touch \"$HOME/x\" && rm \"$HOME/x\"", "");
    left.expect(Conclusion::Success);
    assert_ne!(fs::read_to_string(lab.root().join("home.txt")).unwrap(), "/proc\n");
}

#[test]
fn temporary_files_are_taken_away_and_stdout_is_short() {
    let lab = Lab::new();
    let left = lab.run("- run: seq 1000; echo x > x", "");
    left.expect(Conclusion::Success);
    assert_eq!(fs::read_dir(lab.beside("tmp")).unwrap().count(), 0);
    let stdout = String::from_utf8_lossy(&left.output.stdout).into_owned();
    assert!(stdout.lines().count() < 10, "{stdout}");
    assert!(stdout.contains("step step-1: success") && stdout.contains("finished: success"), "{stdout}");
    assert!(left.log.contains("\n1000\n"));
    assert_eq!(left.conclusions(), [S::Success]);
}

#[test]
fn a_report_that_cannot_be_written_is_exit_code_1() {
    let lab = Lab::new();
    lab.write_tasking(
        &lab.tasking("- run: rm .cloud-code/reporting.yaml; mkdir .cloud-code/reporting.yaml", ""),
    );
    let output = lab.start().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the report cannot be written"));
}

/// A warm agent goes on with its conversation, and ends by itself when nothing comes.
#[test]
fn a_warm_agent_keeps_its_session_and_ends_when_it_is_idle() {
    let lab = Lab::new().env("CLOUD_CODE_HEARTBEAT_SECONDS", "0.02");
    let agent = |more: &str, session: &str| {
        format!(
            "- {{ uses: agent, with: {{ cli: script, prompt: p{session}, command: 'echo $CLOUD_CODE_SESSION >> ../sessions; \
             echo {{\\\"type\\\":\\\"session\\\",\\\"id\\\":\\\"$CLOUD_CODE_SESSION\\\"}}{more}' }} }}"
        )
    };
    let one = lab.tasking(&agent("; mv ../second.yaml .cloud-code/tasking.yaml", ""), "");
    let tasks = |id: &str, session: &str| {
        let text = lab.tasking(&agent("", session), "");
        text.split_once("tasks:\n").unwrap().1.replace("id: t1", &format!("id: {id}"))
    };
    let second = format!("{one}{}{}idle-minutes: 0.005\n", tasks("t2", ""), tasks("t3", ", session: new"));
    fs::write(lab.beside("second.yaml"), format!("{second}closed: false\n")).unwrap();
    lab.write_tasking(&format!("{one}closed: false\n"));
    let left = lab.wait(lab.start());
    left.expect(Conclusion::NoChanges);
    assert_eq!(left.report.tasks.len(), 3);
    assert!(left.log.contains("no task came for a while"), "{}", left.log);
    let sessions = fs::read_to_string(lab.beside("sessions")).unwrap();
    let sessions: Vec<&str> = sessions.lines().collect();
    assert!(sessions.len() == 3 && sessions[0] == sessions[1] && sessions[1] != sessions[2], "{sessions:?}");
}

/// On a pull request, what CLIs read as instructions is the default branch's, and no part of the change.
#[test]
fn instructions_are_the_default_branchs() {
    let lab = Lab::new();
    let git = |script: &str| {
        let script = format!(
            "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b\n{script}"
        );
        let ran =
            std::process::Command::new("sh").arg("-ec").arg(script).current_dir(lab.root()).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    git("echo ours > AGENTS.md; echo ours > GEMINI.md; mkdir docs; echo ours > docs/CLAUDE.md; git add -A; git commit -qm trusted
         git update-ref refs/remotes/origin/main HEAD
         echo theirs > AGENTS.md; git rm -q GEMINI.md; mkdir .claude; echo theirs > .claude/settings.json; echo theirs > .env
         rm docs/CLAUDE.md; ln -s ../README.md docs/CLAUDE.md; git add -A; git commit -qm theirs");
    let head = lab.repository().head().unwrap().target().unwrap().to_string();
    let steps = "- run: 'cat AGENTS.md GEMINI.md docs/CLAUDE.md > seen.txt; test ! -e .claude/settings.json; test ! -e .env; git status --porcelain > ../status; \
                 git add -A; git commit -qm seen; echo more > more.txt; cat README.md > ../readme'";
    let tasking = lab.tasking(steps, "restore-instructions: true").replace(&lab.base, &head);
    lab.write_tasking(&tasking);
    let left = lab.wait(lab.start());
    left.expect(Conclusion::Success);
    let changes = left.report.tasks[0].changes.as_ref().unwrap();
    assert_eq!((changes.commits, changes.files), (2, 2), "{:?}", lab.files(&changes.head));
    let root = lab.root();
    assert_eq!(fs::read_to_string(root.join("seen.txt")).unwrap(), "ours\nours\nours\n");
    assert_eq!(fs::read_to_string(lab.beside("status")).unwrap(), "?? seen.txt\n");
    assert_eq!(fs::read_to_string(lab.beside("readme")).unwrap(), "hello\n", "no link was written through");
    assert!(
        left.log.contains(
            "not part of the change: .claude/settings.json, .env, AGENTS.md, GEMINI.md, docs/CLAUDE.md"
        ),
        "{}",
        left.log
    );
    let kept = lab.files(&changes.head);
    assert!(
        kept.contains(&".claude/settings.json".to_owned()) && !kept.contains(&"GEMINI.md".to_owned()),
        "{kept:?}"
    );
}

/// An old agent with a new server, and a new agent with an old server: what the other does not know is passed over, and what it
/// does not say has a default.
#[test]
fn old_and_new_meet() {
    // As the first release wrote it: no limits, no closed, no context.
    let lab = Lab::new();
    let old = format!(
        "version: 1\nrun: r-1\njob: implement\nattempt: 1\ntasks:\n- id: t1\n  repository: {{ owner: acme, name: shop }}\n  base: {}\n  \
         branch: b\n  steps:\n  - run: echo x > x.txt\n",
        lab.base
    );
    lab.write_tasking(&old);
    lab.wait(lab.start()).expect(Conclusion::Success);
    // As a later one may write it, with fields of every kind that nobody knows yet.
    let lab = Lab::new();
    let new = lab.tasking(
        "- { run: echo x > x.txt, uses-gpu: { kind: [1] } }",
        "limits: { carbon-grams: 3 }\nreviewers: [ann]",
    );
    lab.write_tasking(&format!("{new}signature: abc\npriority: 7\n"));
    let left = lab.wait(lab.start());
    left.expect(Conclusion::Success);
    // Its report, read by a server to which half of it is new, and by one to which half of it is missing.
    let text = fs::read_to_string(lab.root().join(".cloud-code/reporting.yaml")).unwrap();
    let later = format!("{text}energy-joules: {{ step: [12] }}\n");
    cloud_code_model::task::Report::parse(later.as_bytes(), 1 << 20).unwrap();
    let first = "version: 1\nrun: r-1\njob: implement\nattempt: 1\nsequence: 3\nat: 2026-11-23T01:02:03Z\nstatus: in_progress\n";
    let report = cloud_code_model::task::Report::parse(first.as_bytes(), 1 << 20).unwrap();
    assert!(report.tasks.is_empty() && !report.salvaged);
}
