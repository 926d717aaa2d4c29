//! claude-code, played by scripts: its records, its failures, its odd endings.

use std::fs;

use cloud_code_model::task::{Conclusion, StepConclusion as S};

use crate::harness::{Lab, Left};

const STEP: &str = "- { id: fix, uses: agent, with: { cli: claude-code, model: sonnet, prompt: 'the prompt', max-turns: 9 } }";

const INIT: &str = r#"{"type":"system","subtype":"init","session_id":"s-1"}"#;
const SUCCESS: &str = r#"{"type":"result","subtype":"success","is_error":false,"num_turns":2,"result":"All done.","session_id":"s-1","total_cost_usd":0.02,"usage":{"input_tokens":20,"output_tokens":4}}"#;

fn result(rest: &str) -> String {
    format!(r#"{{"type":"result","session_id":"s-1",{rest}}}"#)
}

/// A `claude` that changes a file and then runs `script`; `$N` is the number of its start.
fn play(lab: &Lab, script: &str) {
    lab.program(
        "claude",
        &format!(
            "#!/bin/bash\ncount=$(cat ../count 2>/dev/null || echo 0); N=$((count + 1)); echo $N > ../count\n\
             echo \"$@\" >> ../args; cat >> ../prompts; echo work > work.txt\n{script}\n"
        ),
    );
}

fn run(script: &str) -> (Lab, Left) {
    let lab = Lab::new();
    play(&lab, script);
    let left = lab.run(STEP, "limits: { budget-usd: 2 }");
    (lab, left)
}

#[test]
fn success() {
    let (lab, left) = run(&format!("echo '{INIT}'\necho '{SUCCESS}'"));
    left.expect(Conclusion::Success);
    let step = left.step(0);
    assert_eq!(
        (step.summary.as_deref(), step.session.as_deref(), step.turns),
        (Some("All done."), Some("s-1"), Some(2))
    );
    assert_eq!(step.usage.unwrap().cost_usd, Some(0.02));
    assert_eq!(left.report.tasks[0].outputs["summary"], "All done.");
    assert_eq!(fs::read_to_string(lab.beside("prompts")).unwrap(), "the prompt");
    let args = fs::read_to_string(lab.beside("args")).unwrap();
    assert!(args.starts_with("-p --output-format stream-json --verbose"), "{args}");
    assert!(args.contains("--model sonnet --max-turns 9 --max-budget-usd 2.000000 --session-id "), "{args}");
    assert_eq!(lab.transcript(), format!("{INIT}\n{SUCCESS}\n"));
}

#[test]
fn endings_that_are_no_success() {
    let check = |script: &str, conclusion: Conclusion, words: &str| {
        let (_, left) = run(script);
        left.expect(conclusion);
        assert!(left.message().contains(words), "{script}: {}", left.message());
        assert!(left.report.salvaged, "{script}");
    };
    let failure = Conclusion::Failure;
    check(&format!("echo '{INIT}'; exit 0"), failure, "without its closing record");
    check(
        &format!("echo '{INIT}'; echo why not >&2; exit 7"),
        failure,
        "exit code 7; standard error ended with:\nwhy not",
    );
    check(&format!("echo '{INIT}'; kill -9 $$"), failure, "killed by signal 9 (out of memory");
    check(&format!("echo '{SUCCESS}'; exit 1"), failure, "reported success, but then: exit code 1");
    check(&format!("echo '{}'", &SUCCESS[..60]), failure, "without its closing record");
    check(&format!("printf %s '{}'", &SUCCESS[..60]), failure, "without its closing record");
    let bad_key =
        result(r#""subtype":"success","is_error":true,"api_error_status":401,"result":"API Error: 401""#);
    check(&format!("echo '{bad_key}'"), failure, "API Error: 401");
    let turns = result(
        r#""subtype":"error_max_turns","is_error":true,"errors":["Reached maximum number of turns (9)"]"#,
    );
    check(&format!("echo '{turns}'; exit 1"), failure, "Reached maximum number of turns (9)");
    let budget = result(
        r#""subtype":"error_max_budget_usd","is_error":true,"errors":["Reached maximum budget ($2)"]"#,
    );
    check(&format!("echo '{budget}'; exit 1"), Conclusion::BudgetExceeded, "Reached maximum budget");
}

#[test]
fn noise_before_the_record_does_no_harm() {
    let (lab, left) = run(&format!(
        "printf '\\377\\376 not text\\n{{\"half\": \\n'; head -c 3000000 /dev/zero | tr '\\0' z; echo; \
         printf '{{\"type\":\"user\",\"message\":{{\"content\":\"'; head -c 3000000 /dev/zero | tr '\\0' z; echo '\"}}}}'\n\
         echo 'null'; echo '[]'; echo '{{}}'; echo '{{\"type\":\"assistant\"}}'; echo '{{\"type\":7}}'\nprintf %s '{SUCCESS}'"
    ));
    left.expect(Conclusion::Success);
    assert!(lab.transcript().len() < 10_000);
    assert!(left.log.contains("a line of over 1048576 bytes is left out"));
}

#[test]
fn one_that_lingers_after_its_record_is_stopped_and_has_succeeded() {
    let lab = Lab::new().env("CLOUD_CODE_LINGER_SECONDS", "0.05");
    play(&lab, &format!("echo '{SUCCESS}'; sleep 3600"));
    let left = lab.run(STEP, "");
    left.expect(Conclusion::Success);
    assert_eq!(left.step(0).summary.as_deref(), Some("All done."));
}

#[test]
fn a_failure_that_heals_is_tried_again_in_the_same_session() {
    let overloaded = result(
        r#""subtype":"success","is_error":true,"api_error_status":529,"result":"API Error: 529 overloaded","total_cost_usd":0.5"#,
    );
    let (lab, left) = run(&format!(
        "echo '{INIT}'\nif [ $N -lt 3 ]; then echo '{overloaded}'; exit 1; fi\necho '{SUCCESS}'"
    ));
    left.expect(Conclusion::Success);
    let args = fs::read_to_string(lab.beside("args")).unwrap();
    let args: Vec<&str> = args.lines().collect();
    assert_eq!(args.len(), 3);
    assert!(
        args[0].contains("--session-id")
            && args[1].ends_with("--resume s-1")
            && args[2].ends_with("--resume s-1")
    );
    // What was spent counts, and what is left is what the next one may spend.
    assert!(args[2].contains("--max-budget-usd 1.000000"), "{}", args[2]);
    assert_eq!(left.step(0).usage.unwrap().cost_usd, Some(1.02));
    assert!(fs::read_to_string(lab.beside("prompts")).unwrap().starts_with("the promptThe connection"));

    // For ever is not tried.
    let (lab, left) = run(&format!("echo '{INIT}'\necho '{}'; exit 1", overloaded.replace("0.5", "0")));
    left.expect(Conclusion::Failure);
    assert!(left.message().contains("529"));
    assert_eq!(fs::read_to_string(lab.beside("count")).unwrap(), "4\n");
}

#[test]
fn a_session_that_is_not_there_is_begun_anew() {
    let lost = result(
        r#""subtype":"error_during_execution","is_error":true,"errors":["No conversation found with session ID: s-0"]"#,
    );
    let lab = Lab::new();
    play(&lab, &format!("case \"$*\" in *--resume*) echo '{lost}'; exit 1;; esac\necho '{SUCCESS}'"));
    let left = lab.run(&STEP.replace("max-turns: 9", "session: s-0"), "");
    left.expect(Conclusion::Success);
    let args = fs::read_to_string(lab.beside("args")).unwrap();
    assert!(args.lines().next().unwrap().ends_with("--resume s-0"), "{args}");
    assert!(args.lines().last().unwrap().contains("--session-id"), "{args}");
    assert_eq!(fs::read_to_string(lab.beside("prompts")).unwrap(), "the promptthe prompt");
}

#[test]
fn a_question_instead_of_a_change_needs_input() {
    let ask = r#"{"type":"assistant","message":{"content":[{"type":"tool_use","name":"AskUserQuestion","input":{"questions":[{"question":"Which one?"}]}}]}}"#;
    let (_, left) = run(&format!("rm work.txt; echo '{ask}'; echo '{SUCCESS}'"));
    left.expect(Conclusion::NeedsInput);
    assert_eq!(left.conclusions(), [S::NeedsInput]);
    assert_eq!(left.message(), "Which one?");
    let (_, left) = run(&format!("echo '{ask}'; echo '{SUCCESS}'"));
    left.expect(Conclusion::Success);
}

#[test]
fn a_missing_program_is_told() {
    let lab = Lab::new().env("PATH", "/usr/bin:/bin");
    let left = lab.run(STEP, "");
    left.expect(Conclusion::Failure);
    assert!(left.message().contains("this image has no `claude`: install it with"), "{}", left.message());
}
