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
    assert_eq!(left.report.tasks[1].changes.as_ref().unwrap().bundle.as_deref(), Some("changes-2.bundle"));
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
