//! The other coding CLIs, played by scripts that repeat recorded transcripts: odd endings and what the agent makes of them.

use std::fs;
use std::path::Path;

use cloud_code_model::task::{Conclusion, PricedBy};

use crate::harness::{Lab, Left};

/// A CLI, its program, and a model that the price table knows (or, for opencode, that it prices itself).
const CLIS: [(&str, &str, &str); 3] =
    [("codex", "codex", "gpt-5"), ("gemini", "gemini", "gemini-2.5-pro"), ("opencode", "opencode", "gpt-5")];

fn transcript(cli: &str, name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(cli);
    folder.join(name).display().to_string()
}

/// A program that changes a file and then runs `script`; `$N` is the number of its start.
fn play(lab: &Lab, program: &str, script: &str) {
    lab.program(
        program,
        &format!(
            "#!/bin/bash\n# Its database is asked for the conversation at the end.\n[ \"$1\" = export ] && exit 1\ncount=$(cat ../count 2>/dev/null || echo 0); N=$((count + 1)); echo $N > ../count\n\
             echo \"$@\" >> ../args; cat >> ../prompts; echo work > work.txt\n{script}\n"
        ),
    );
}

fn step(cli: &str, model: &str) -> String {
    format!("- {{ id: fix, uses: agent, with: {{ cli: {cli}, model: {model}, prompt: 'the prompt' }} }}")
}

fn run(lab: Lab, (cli, program, model): (&str, &str, &str), script: &str, more: &str) -> (Lab, Left) {
    play(&lab, program, script);
    let left = lab.run(&step(cli, model), more);
    (lab, left)
}

#[test]
fn success_is_reported_with_tokens_and_cost() {
    for known in CLIS {
        let (lab, left) =
            run(Lab::new(), known, &format!("cat '{}'", transcript(known.0, "success.jsonl")), "");
        left.expect(Conclusion::Success);
        let step = left.step(0);
        let usage = step.usage.unwrap();
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, step.turns),
            (2000, 200, Some(2)),
            "{}",
            known.0
        );
        // 2,000 tokens for 1.25 and 200 for 10 a million, where the table says it.
        let (cost, by) =
            if known.0 == "opencode" { (0.009, PricedBy::Cli) } else { (0.0045, PricedBy::Table) };
        assert!((usage.cost_usd.unwrap() - cost).abs() < 1e-9, "{}: {usage:?}", known.0);
        assert_eq!(usage.priced_by, by, "{}", known.0);
        assert!(step.session.as_deref().is_some_and(|id| id.len() > 20), "{}", known.0);
        assert!(step.summary.as_deref().is_some_and(|text| text.starts_with("I mended it")), "{}", known.0);
        assert_eq!(fs::read_to_string(lab.beside("prompts")).unwrap(), "the prompt");
        assert!(!fs::read_to_string(lab.beside("args")).unwrap().contains("the prompt"));
    }
}

#[test]
fn an_unknown_model_is_unpriced() {
    let known = ("codex", "codex", "a-model-of-tomorrow");
    let (_, left) = run(Lab::new(), known, &format!("cat '{}'", transcript("codex", "success.jsonl")), "");
    let usage = left.expect(Conclusion::Success).step(0).usage.unwrap();
    assert_eq!((usage.cost_usd, usage.priced_by, usage.input_tokens), (None, PricedBy::Unpriced, 2000));
    let lab =
        Lab::new().env("CLOUD_CODE_PRICES", "models: { a-model-of-tomorrow: { input: 1000, output: 0 } }");
    let (_, left) = run(lab, known, &format!("cat '{}'", transcript("codex", "success.jsonl")), "");
    assert_eq!(left.expect(Conclusion::Success).step(0).usage.unwrap().cost_usd, Some(2.0));
}

#[test]
fn a_spent_budget_stops_and_keeps_the_work() {
    for known in CLIS {
        let script = format!("cat '{}'; sleep 3600", transcript(known.0, "success.jsonl"));
        let (lab, left) = run(Lab::new(), known, &script, "limits: { budget-usd: 0.001 }");
        left.expect(Conclusion::BudgetExceeded);
        assert!(left.report.salvaged, "{}", known.0);
        let head = left.report.tasks[0].changes.as_ref().unwrap().head.clone();
        assert!(lab.files(&head).contains(&"work.txt".to_owned()), "{}", known.0);
    }
}

#[test]
fn odd_endings() {
    for known in CLIS {
        let success = transcript(known.0, "success.jsonl");
        let check = |script: &str, conclusion: Conclusion, words: &str| {
            let (_, left) = run(Lab::new(), known, script, "");
            left.expect(conclusion);
            assert!(left.message().contains(words), "{} {script}: {}", known.0, left.message());
        };
        let failure = Conclusion::Failure;
        check("", failure, "without its closing record");
        check(&format!("head -n 3 '{success}'"), failure, "without its closing record");
        check(&format!("head -c -40 '{success}'"), failure, "without its closing record");
        check(&format!("head -n 3 '{success}'; kill -9 $$"), failure, "killed by signal 9");
        check(&format!("cat '{success}'; exit 3"), failure, "reported success, but then: exit code 3");
        check(&format!("cat '{}'; exit 0", transcript(known.0, "unauthorized.jsonl")), failure, "API key");
        check("echo why not >&2; exit 1", failure, "standard error ended with:\nwhy not");
        // Nothing in the way of its records does harm.
        let noise =
            "printf '\\377\\376\\n{\"half\": \\n'; head -c 3000000 /dev/zero | tr '\\0' z; echo; echo null";
        check(&format!("{noise}; cat '{success}'"), Conclusion::Success, "");
    }
}

#[test]
fn one_that_lingers_has_succeeded_and_one_that_hangs_has_not() {
    for known in CLIS {
        let success = transcript(known.0, "success.jsonl");
        let lab = Lab::new().env("CLOUD_CODE_LINGER_SECONDS", "0.05");
        let (_, left) = run(lab, known, &format!("cat '{success}'; sleep 3600"), "");
        left.expect(Conclusion::Success);
        let script = format!("head -n 3 '{success}'; sleep 3600");
        let (_, left) = run(Lab::new(), known, &script, "limits: { silence-minutes: 0.03 }");
        left.expect(Conclusion::TimedOut);
        assert!(left.message().contains("it said nothing for"), "{}", left.message());
        assert!(left.report.salvaged);
    }
}

#[test]
fn what_heals_is_tried_again_in_the_same_session() {
    let resumed = [("codex", "resume 01a"), ("gemini", "--resume "), ("opencode", "--session ses_")];
    let broken = [("codex", "overloaded"), ("gemini", "dropped"), ("opencode", "overloaded")];
    for ((known, (_, option)), (_, broken)) in CLIS.into_iter().zip(resumed).zip(broken) {
        let (broken, success) =
            (transcript(known.0, &format!("{broken}.jsonl")), transcript(known.0, "success.jsonl"));
        let script = format!("if [ $N = 1 ]; then cat '{broken}'; exit 1; fi; cat '{success}'");
        let (lab, left) = run(Lab::new(), known, &script, "");
        left.expect(Conclusion::Success);
        let args = fs::read_to_string(lab.beside("args")).unwrap();
        let args: Vec<&str> = args.lines().collect();
        assert!(args.len() == 2 && !args[0].contains(option) && args[1].contains(option), "{args:?}");
        // What would come back for ever is not tried again.
        let script = format!("cat '{}'; exit 1", transcript(known.0, "unauthorized.jsonl"));
        let (lab, left) = run(Lab::new(), known, &script, "");
        left.expect(Conclusion::Failure);
        assert_eq!(fs::read_to_string(lab.beside("count")).unwrap(), "1\n", "{}", known.0);
    }
}

#[test]
fn a_lost_session_is_begun_anew() {
    let lost = [("codex", "resume s-0", 1), ("gemini", "--resume s-0", 42), ("opencode", "--session s-0", 1)];
    for (known, (_, option, code)) in CLIS.into_iter().zip(lost) {
        let lab = Lab::new();
        let success = transcript(known.0, "success.jsonl");
        let script =
            format!("case \"$*\" in *'{option}'*) echo no session >&2; exit {code};; esac; cat '{success}'");
        play(&lab, known.1, &script);
        let left = lab.run(&step(known.0, known.2).replace("prompt:", "session: s-0, prompt:"), "");
        left.expect(Conclusion::Success);
        assert!(left.log.contains("the earlier session is not here: a new one is begun"), "{}", left.log);
        assert_eq!(fs::read_to_string(lab.beside("prompts")).unwrap(), "the promptthe prompt");
    }
}

/// gemini keeps no session of a first answer that broke off.
#[test]
fn a_session_that_broke_off_too_early_is_begun_anew() {
    let (broken, success) = (transcript("gemini", "dropped.jsonl"), transcript("gemini", "success.jsonl"));
    let script = format!("case $N in 1) cat '{broken}'; exit 1;; 2) exit 42;; esac; cat '{success}'");
    let (lab, left) = run(Lab::new(), CLIS[1], &script, "");
    left.expect(Conclusion::Success);
    let prompts = fs::read_to_string(lab.beside("prompts")).unwrap();
    assert!(prompts.starts_with("the promptThe connection") && prompts.ends_with("the prompt"), "{prompts}");
    let args = fs::read_to_string(lab.beside("args")).unwrap();
    assert_eq!(args.matches("--session-id").count(), 2, "{args}");
    // One that is lost every time is no loop without end.
    let (lab, left) = run(Lab::new(), CLIS[1], "exit 42", "");
    left.expect(Conclusion::Failure);
    assert_eq!(fs::read_to_string(lab.beside("count")).unwrap(), "1\n");
}

#[test]
fn a_question_without_a_change_needs_input() {
    for known in CLIS {
        let success = transcript(known.0, "success.jsonl");
        let script = "sed 's/all there is to say about the matter\\.\\| say about the matter\\./which one?/'";
        let (_, left) = run(Lab::new(), known, &format!("rm work.txt; {script} '{success}'"), "");
        left.expect(Conclusion::NeedsInput);
        assert!(left.message().ends_with("which one?"), "{}", left.message());
    }
}

#[test]
fn the_turn_limit_is_kept_for_those_who_do_not() {
    for known in [CLIS[0], CLIS[2]] {
        let lab = Lab::new();
        play(
            &lab,
            known.1,
            &format!(
                "cat '{}' | while read -r line; do echo \"$line\"; sleep 0.05; done; sleep 3600",
                transcript(known.0, "success.jsonl")
            ),
        );
        let left = lab.run(&step(known.0, known.2).replace("prompt:", "max-turns: 1, prompt:"), "");
        left.expect(Conclusion::Failure);
        assert!(left.message().contains("turn limit"), "{}", left.message());
    }
}

/// aider says 0 whatever happens; its log and its history say more.
#[test]
fn aider() {
    let check = |name: &str, more: &str, conclusion: Conclusion, words: &str| {
        let lab = Lab::new();
        let file = |end: &str| transcript("aider", &format!("{name}.{end}"));
        play(
            &lab,
            "aider",
            &format!(
                "while [ $# -gt 0 ]; do case $1 in --analytics-log) cat '{}' > \"$2\";; \
                 --chat-history-file) cat '{}' > \"$2\";; esac; shift; done; cat '{}'; {more}",
                file("jsonl"),
                file("md"),
                file("txt")
            ),
        );
        let left = lab.run(&step("aider", "openai/gpt-4o"), "");
        left.expect(conclusion);
        assert!(left.message().contains(words), "{name}: {}", left.message());
        (lab, left)
    };
    let (_, left) = check("success", "", Conclusion::Success, "");
    let usage = left.step(0).usage.unwrap();
    assert_eq!((usage.input_tokens, usage.cost_usd, usage.priced_by), (1000, Some(0.0035), PricedBy::Cli));
    check("success", "exit 2", Conclusion::Failure, "exit code 2");
    check("success", "kill -9 $$", Conclusion::Failure, "killed by signal 9");
    let (lab, _) = check("unauthorized", "", Conclusion::Failure, "litellm.");
    assert_eq!(fs::read_to_string(lab.beside("count")).unwrap(), "1\n");
    let (lab, _) = check("empty", "", Conclusion::Failure, "the model's answer was empty");
    assert_eq!(fs::read_to_string(lab.beside("count")).unwrap(), "4\n", "that may pass");
}
