//! Being stopped: by signals, by time, by silence; what was done by then is saved.

use std::fs;
use std::process::Child;

use cloud_code_model::task::{Conclusion, StepConclusion as S};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::Lab;

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until the step writes to the pipe.
fn hear(lab: &Lab) -> String {
    fs::read_to_string(lab.beside("fifo")).unwrap()
}

#[test]
fn a_signal_is_passed_on_and_the_work_is_saved() {
    for name in [Signal::INT, Signal::TERM] {
        let lab = Lab::new();
        lab.fifo();
        lab.write_tasking(&lab.tasking(
            r#"
- id: long
  run: |
    trap 'echo saved > saved.txt; exit 0' INT
    echo half > half.txt
    echo ready > ../fifo
    while :; do sleep 0.02; done
- { run: "echo never > never.txt", if: always() }
"#,
            "",
        ));
        let child = lab.start();
        assert_eq!(hear(&lab), "ready\n");
        signal(&child, name);
        let left = lab.wait(child);
        left.expect(Conclusion::Cancelled);
        assert_eq!(left.conclusions(), [S::Cancelled, S::Cancelled]);
        assert!(left.report.salvaged);
        let changes = left.report.tasks[0].changes.as_ref().unwrap();
        assert_eq!(lab.files(&changes.head), ["README.md", "half.txt", "saved.txt"]);
        lab.check_bundle(&left.report);
    }
}

/// A step that ignores SIGINT and SIGTERM, with a child that does too.
const STUBBORN: &str = r#"
- run: |
    trap '' INT TERM
    echo half > half.txt
    echo ready > ../fifo
    sh -c "trap '' INT TERM; while :; do sleep 1; done"
"#;

#[test]
fn a_stubborn_step_is_killed_after_its_graces() {
    let lab =
        Lab::new().env("CLOUD_CODE_INTERRUPT_SECONDS", "0.05").env("CLOUD_CODE_TERMINATE_SECONDS", "0.05");
    lab.fifo();
    lab.write_tasking(&lab.tasking(STUBBORN, ""));
    let child = lab.start();
    hear(&lab);
    signal(&child, Signal::INT);
    let left = lab.wait(child);
    left.expect(Conclusion::Cancelled);
    assert_eq!(left.step(0).exit_code, Some(137));
    assert!(left.report.salvaged);
}

#[test]
fn a_second_signal_makes_it_quick() {
    let lab = Lab::new().env("CLOUD_CODE_INTERRUPT_SECONDS", "3600");
    lab.fifo();
    lab.write_tasking(&lab.tasking(STUBBORN, ""));
    let child = lab.start();
    hear(&lab);
    // Told apart, or two of one kind would become one.
    signal(&child, Signal::INT);
    signal(&child, Signal::TERM);
    let left = lab.wait(child);
    left.expect(Conclusion::Cancelled);
    assert_eq!(left.step(0).exit_code, Some(137));
}

#[test]
fn the_time_limits() {
    let check = |step: &str, more: &str, words: &str| {
        let lab = Lab::new();
        let left = lab.run(&format!("{step}\n- run: echo never > never.txt"), more);
        left.expect(Conclusion::TimedOut);
        assert_eq!(left.conclusions(), [S::TimedOut, S::Skipped], "{:?}", left.report);
        assert!(left.message().contains(words), "{}", left.message());
        assert!(left.report.salvaged);
        assert_eq!(
            lab.files(&left.report.tasks[0].changes.as_ref().unwrap().head),
            ["README.md", "half.txt"]
        );
    };
    let agent =
        "- { uses: agent, with: { cli: script, prompt: p, command: 'echo half > half.txt; sleep 3600' } }";
    check(
        "- run: echo half > half.txt; sleep 3600",
        "limits: { timeout-minutes: 0.015 }",
        "job's time limit",
    );
    check(agent, "limits: { timeout-minutes: 0.015 }", "job's time limit");
    check("- { run: 'echo half > half.txt; sleep 3600', timeout-minutes: 0.015 }", "", "step's time limit");
    check(agent, "limits: { silence-minutes: 0.015 }", "it said nothing for 0.015 minutes");
}

#[test]
fn a_spent_budget_stops_the_cli_and_the_next_one_is_not_started() {
    let lab = Lab::new();
    let left = lab.run(
        r#"
- uses: agent
  with:
    cli: script
    prompt: p
    command: echo half > half.txt; echo '{"type":"usage","cost_usd":0.4}'
- id: second
  uses: agent
  continue-on-error: true
  with:
    cli: script
    prompt: p
    command: echo "$CLOUD_CODE_BUDGET_USD" > budget.txt; echo '{"type":"usage","cost_usd":0.7}'; sleep 3600
- { id: third, uses: agent, with: { cli: script, prompt: p, command: "touch never.txt" } }
"#,
        "limits: { budget-usd: 1.0 }",
    );
    left.expect(Conclusion::BudgetExceeded);
    assert_eq!(left.conclusions(), [S::Success, S::BudgetExceeded, S::BudgetExceeded]);
    let budget: f64 = fs::read_to_string(lab.root().join("budget.txt")).unwrap().trim().parse().unwrap();
    assert!((budget - 0.6).abs() < 1e-9);
    assert!(!lab.root().join("never.txt").exists());
    assert!(left.report.salvaged);
}

#[test]
fn a_waiting_agent_stops_at_once() {
    let lab = Lab::new();
    lab.fifo();
    lab.write_tasking(&format!(
        "{}closed: false\n",
        lab.tasking("- run: echo x > x; echo ready > ../fifo", "")
    ));
    let child = lab.start();
    hear(&lab);
    signal(&child, Signal::TERM);
    // Whichever came first, the step's end or the signal: the work is there and the report is closed.
    let left = lab.wait(child);
    assert!(matches!(left.conclusion(), Conclusion::Success | Conclusion::Cancelled));
    lab.check_bundle(&left.report);
}
