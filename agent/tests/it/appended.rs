//! Tasks that are appended while the agent is at work: the same place, the same conversation, one change.

use std::fs;

use cloud_code_model::task::Conclusion;

use crate::harness::{Lab, Left};

/// Works through a first task, in whose course a second is appended; `{append}` in a step stands for that.
fn run(first: &str, second: &str, more: &str) -> (Lab, Left) {
    let lab = Lab::new().env("CLOUD_CODE_HEARTBEAT_SECONDS", "0.02");
    let open = "closed: false\nidle-minutes: 0\n";
    let one = lab.tasking(&first.replace("{append}", "mv ../both.yaml .cloud-code/tasking.yaml"), more);
    let two = lab.tasking(second, more).split_once("tasks:\n").unwrap().1.replace("id: t1", "id: t-17");
    fs::write(lab.beside("both.yaml"), format!("{one}{two}{open}")).unwrap();
    lab.write_tasking(&format!("{one}{open}"));
    let left = lab.wait(lab.start());
    (lab, left)
}

fn tasks(left: &Left) -> Vec<(&str, Conclusion)> {
    left.report.tasks.iter().map(|task| (task.id.as_str(), task.conclusion.unwrap())).collect()
}

#[test]
fn a_task_goes_on_where_the_one_before_it_ended() {
    let (lab, left) = run(
        r#"
- id: prep
  run: |
    mkdir -p "$RUNNER_TEMP/tools"; echo 'echo tool' > "$RUNNER_TEMP/tools/tool"; chmod +x "$RUNNER_TEMP/tools/tool"
    echo "$RUNNER_TEMP/tools" >> "$GITHUB_PATH"; echo A=1 >> "$GITHUB_ENV"; echo b=2 >> "$GITHUB_OUTPUT"
- id: fix
  uses: agent
  with: { cli: script, prompt: p, command: 'echo one > one.txt; echo $CLOUD_CODE_SESSION >> ../sessions; echo {\"type\":\"session\",\"id\":\"$CLOUD_CODE_SESSION\"}; {append}' }
- id: review
  uses: agent
  with: { cli: script, prompt: p, session: new, command: 'echo $CLOUD_CODE_SESSION >> ../sessions; echo {\"type\":\"session\",\"id\":\"$CLOUD_CODE_SESSION\"}' }
"#,
        r#"
- id: fix
  uses: agent
  with: { cli: script, prompt: p, command: 'echo $CLOUD_CODE_SESSION >> ../sessions; echo {\"type\":\"session\",\"id\":\"$CLOUD_CODE_SESSION\"}' }
- id: review
  uses: agent
  with: { cli: script, prompt: p, command: 'echo $CLOUD_CODE_SESSION >> ../sessions; echo {\"type\":\"session\",\"id\":\"$CLOUD_CODE_SESSION\"}' }
- run: echo "$A ${{ steps.prep.outputs.b }} $(tool)" > two.txt
"#,
        "",
    );
    left.expect(Conclusion::Success);
    assert_eq!(tasks(&left), [("t1", Conclusion::Success), ("t-17", Conclusion::Success)]);
    assert_eq!(fs::read_to_string(lab.root().join("two.txt")).unwrap(), "1 2 tool\n");
    // Each step goes on with its own conversation.
    let sessions = fs::read_to_string(lab.beside("sessions")).unwrap();
    let sessions: Vec<&str> = sessions.lines().collect();
    assert!(sessions[0] != sessions[1] && sessions[..2] == sessions[2..], "{sessions:?}");
    // One bundle, with the work of both.
    assert_eq!(left.report.tasks[0].changes.as_ref().unwrap().bundle, None);
    lab.check_bundle(&left.report);
    let changes = left.report.tasks[1].changes.as_ref().unwrap();
    assert_eq!(lab.files(&changes.head), ["README.md", "one.txt", "two.txt"]);
    assert_eq!((changes.commits, changes.files), (2, 2));
}

#[test]
fn a_change_that_is_taken_back_leaves_no_bundle() {
    let (lab, left) = run("- run: 'echo one > one.txt; {append}'", "- run: git reset -q --hard HEAD~1", "");
    left.expect(Conclusion::Success);
    assert_eq!(tasks(&left), [("t1", Conclusion::Success), ("t-17", Conclusion::NoChanges)]);
    assert!(left.report.tasks.iter().all(|task| task.changes.as_ref().unwrap().bundle.is_none()));
    assert!(!lab.root().join(".cloud-code/changes.bundle").exists());
}

/// A question is answered by what follows; after anything worse, and without money or time, nothing follows.
#[test]
fn what_may_follow() {
    let step = |command: &str| {
        format!("- {{ uses: agent, with: {{ cli: script, prompt: p, command: {command:?} }} }}")
    };
    let check = |first: &str, more: &str, conclusion: Conclusion, begun: usize| {
        let (_, left) = run(&step(first), &step("echo two > two.txt"), more);
        left.expect(conclusion);
        assert_eq!(left.report.tasks.len(), begun, "{first} {more}");
        if conclusion == Conclusion::Success {
            assert_eq!(left.report.message, None);
        }
    };
    let question = r#"echo '{"type":"question","text":"Which one?"}'; {append}"#;
    check(question, "", Conclusion::Success, 2);
    check("{append}; exit 3", "", Conclusion::Failure, 1);
    let spends = r#"echo one > one.txt; echo '{"type":"usage","cost_usd":0.5}'; {append}"#;
    check(spends, "limits: { budget-usd: 0.5 }", Conclusion::Success, 1);
    check(spends, "limits: { budget-usd: 0.6 }", Conclusion::Success, 2);
    check(
        "echo one > one.txt; {append}; sleep 0.7",
        "limits: { timeout-minutes: 0.01 }",
        Conclusion::TimedOut,
        1,
    );
}

/// The budget and the time are the attempt's: what the first task took is gone.
#[test]
fn limits_count_from_the_first_task() {
    let spends = r#"echo '{"type":"usage","cost_usd":0.75}'; {append}"#;
    let first = format!("- {{ uses: agent, with: {{ cli: script, prompt: p, command: {spends:?} }} }}");
    let left = r#"echo $CLOUD_CODE_BUDGET_USD > left.txt; echo '{"type":"usage","cost_usd":0.5}'"#;
    let second = format!("- {{ uses: agent, with: {{ cli: script, prompt: p, command: {left:?} }} }}");
    let (lab, left) = run(&first, &second, "limits: { budget-usd: 1 }");
    left.expect(Conclusion::BudgetExceeded);
    assert_eq!(fs::read_to_string(lab.root().join("left.txt")).unwrap(), "0.25\n");
    let (_, left) = run("- run: '{append}'", "- run: sleep 60", "limits: { timeout-minutes: 0.01 }");
    left.expect(Conclusion::TimedOut);
    assert_eq!(left.report.tasks.len(), 2);
}
