//! One table for all coding CLIs: every odd way to end, and every limit, with its conclusion. The programs are played from recorded transcripts.

use std::path::Path;

use cloud_code_model::task::{Conclusion, StepConclusion};

use crate::harness::{Lab, Left};

/// A CLI, and shell that makes its program end well.
struct Played {
    cli: &'static str,
    program: &'static str,
    model: &'static str,
    success: String,
    /// What its transcript says last, which becomes a question where it ends in one.
    says: &'static str,
}

fn all() -> Vec<Played> {
    let fixture = |cli: &str, name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        folder.join(cli).join(name).display().to_string()
    };
    let cat = |cli: &str| format!("say < '{}'", fixture(cli, "success.jsonl"));
    let aider = format!(
        "while [ $# -gt 0 ]; do case $1 in --analytics-log) cat '{}' > \"$2\";; --chat-history-file) say < '{}' > \"$2\";; esac; shift; done; cat '{}'",
        fixture("aider", "success.jsonl"),
        fixture("aider", "success.md"),
        fixture("aider", "success.txt")
    );
    let played = |cli, program, model, success, says| Played { cli, program, model, success, says };
    vec![
        played("claude-code", "claude", "claude-sonnet-4-5", cat("claude-code"), "Done."),
        played("codex", "codex", "gpt-5", cat("codex"), "about the matter."),
        played("gemini", "gemini", "gemini-2.5-pro", cat("gemini"), "about the matter."),
        played("opencode", "opencode", "gpt-5", cat("opencode"), "about the matter."),
        played("aider", "aider", "openai/gpt-4o", aider, ""),
    ]
}

impl Played {
    /// Its program changes a file, then does this; `say` copies its input.
    fn run(&self, script: &str, lab: Lab, with: &str, more: &str) -> (Lab, Left) {
        let text = format!(
            "#!/bin/bash\n[ \"$1\" = export ] && exit 1\nsay() {{ cat; }}\nslowly() {{ while read -r line; do echo \"$line\"; sleep 0.03; done; }}\n[ -p /dev/stdin ] || [ ! -t 0 ] && cat > /dev/null\necho work > work.txt\n{script}\n"
        );
        lab.program(self.program, &text);
        let Played { cli, model, .. } = self;
        let step = format!(
            "- {{ id: fix, uses: agent, with: {{ cli: {cli}, model: {model}, prompt: 'the prompt'{with} }} }}"
        );
        let left = lab.run(&step, more);
        (lab, left)
    }
}

#[test]
fn odd_ends() {
    for played in all() {
        let Played { cli, success, .. } = &played;
        let check = |script: &str, more: &str, conclusion: Conclusion, words: &str| {
            let lab = Lab::new().env("CLOUD_CODE_RETRY_SECONDS", "0");
            let (lab, left) = played.run(script, lab, "", more);
            assert_eq!(left.conclusion(), conclusion, "{cli}: {script}\n{:#?}\n{}", left.report, left.log);
            assert!(left.message().contains(words), "{cli}: {script}: {}", left.message());
            assert_eq!(left.report.salvaged, conclusion != Conclusion::Success, "{cli}: {script}");
            // Whatever happened, the work is there.
            let head = left.report.tasks[0].changes.as_ref().unwrap().head.clone();
            assert!(lab.files(&head).contains(&"work.txt".to_owned()), "{cli}: {script}");
            left
        };
        let (failure, timed_out) = (Conclusion::Failure, Conclusion::TimedOut);
        check(success, "", Conclusion::Success, "");
        check("exit 0", "", failure, cli.split('-').next().unwrap());
        check("kill -SEGV $$", "", failure, "killed by signal 11");
        check("kill -9 $$", "", failure, "killed by signal 9");
        check(&format!("{success}; exit 3"), "", failure, "exit code 3");
        check("sleep 3600", "limits: { silence-minutes: 0.01 }", timed_out, "it said nothing for");
        let talks = "while :; do echo; sleep 0.02; done";
        check(talks, "limits: { timeout-minutes: 0.02 }", timed_out, "time limit");
        // It does not even heed a signal.
        let deaf = "trap '' INT TERM; while :; do sleep 0.05; done";
        let graces = [("CLOUD_CODE_INTERRUPT_SECONDS", "0.05"), ("CLOUD_CODE_TERMINATE_SECONDS", "0.05")];
        let lab = graces.into_iter().fold(Lab::new(), |lab, (name, value)| lab.env(name, value));
        let (_, left) = played.run(deaf, lab, "", "limits: { silence-minutes: 0.01 }");
        left.expect(timed_out);
        // A flood with and without ends of lines, before it ends well: nothing of it is held, the log stays small.
        let flood = "yes 'noise noise noise' | head -c 3000000; head -c 9000000 /dev/zero | tr '\\0' z; echo";
        let lab = Lab::new().env("CLOUD_CODE_LOG_BYTES", "200000");
        let (_, left) = played.run(&format!("{flood}; {success}"), lab, "", "");
        left.expect(Conclusion::Success);
        assert!(left.log.len() < 300_000, "{cli}: {}", left.log.len());
        if cli != &"aider" {
            let half = success.replace("say <", "head -c -30 <");
            check(&half, "", failure, "without its closing record");
        }
    }
}

#[test]
fn a_question_is_no_success() {
    for played in all().into_iter().filter(|played| !played.says.is_empty()) {
        let asks = played.success.replace("say <", &format!("sed 's/{}/which one?/' <", played.says));
        let (_, left) = played.run(&format!("rm work.txt; {asks}"), Lab::new(), "", "");
        let Played { cli, .. } = played;
        // claude has a tool to ask with, and is taken at its word.
        let expected = if cli == "claude-code" { Conclusion::NoChanges } else { Conclusion::NeedsInput };
        assert_eq!(left.conclusion(), expected, "{cli}: {:#?}", left.report);
    }
}

#[test]
fn limits_of_each() {
    for played in all() {
        let Played { cli, success, .. } = &played;
        // The task's budget and the step's own.
        for (with, more) in [("", "limits: { budget-usd: 0.0001 }"), (", budget-usd: 0.0001", "")] {
            let (_, left) = played.run(success, Lab::new(), with, more);
            assert_eq!(left.conclusion(), Conclusion::BudgetExceeded, "{cli}: {:#?}", left.report);
            assert!(left.report.salvaged && left.step(0).usage.is_some(), "{cli}");
            assert_eq!(left.step(0).conclusion, Some(StepConclusion::BudgetExceeded));
        }
        // What is told to those who count by themselves; the others are stopped at the turn after the last.
        let slowly = success.replace("say <", "slowly <");
        let (lab, left) =
            played.run(&format!("echo \"$@\" > ../args; {slowly}"), Lab::new(), ", max-turns: 1", "");
        let args = std::fs::read_to_string(lab.beside("args")).unwrap();
        match *cli {
            "claude-code" => assert!(args.contains("--max-turns 1 "), "{args}"),
            "gemini" => {
                let settings = lab.beside("home/.cloud-code/gemini/.gemini/settings.json");
                let settings = std::fs::read_to_string(settings).unwrap();
                assert!(settings.contains("\"maxSessionTurns\":1"), "{settings}");
            }
            // One turn is all that it takes.
            "aider" => drop(left.expect(Conclusion::Success)),
            _ => {
                left.expect(Conclusion::Failure);
                assert!(left.message().contains("turn limit"), "{cli}: {}", left.message());
            }
        }
    }
}
