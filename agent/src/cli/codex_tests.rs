//! Transcripts of codex 0.169.0, and what becomes of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::playback::{Stage, transcript};
use super::*;

const THREAD: &str = "01a206b4-e5b1-7552-b736-f592f63a0954";

#[test]
fn transcripts() {
    let check = |name: &str,
                 code: i32,
                 failure: Option<(FailureKind, &str)>,
                 tokens: (u64, u64, u64),
                 turns: Option<u32>,
                 summary: Option<&str>| {
        let played = Stage::new().play(&Codex, &transcript("codex", name), code);
        played.expect(failure);
        assert_eq!((played.tokens(), played.end.known.turns), (tokens, turns), "{name}");
        assert_eq!(played.end.known.summary.as_deref(), summary, "{name}");
        assert!(played.session().is_some(), "{name}");
    };
    let (heals, last) = (FailureKind::Heals, FailureKind::Final);
    let mended = Some("I mended it, and that is all there is to say about the matter.");
    check("success.jsonl", 0, None, (2000, 0, 200), Some(2), mended);
    check("retried.jsonl", 0, None, (2000, 0, 200), Some(2), Some("Mended after waiting."));
    let done = Some("Done after the break in the stream, with a long text.");
    check("dropped.jsonl", 0, None, (1000, 0, 100), Some(1), done);
    check("failed-command.jsonl", 0, None, (2000, 0, 200), Some(2), Some("It failed."));
    check("unauthorized.jsonl", 1, Some((last, "401 Unauthorized")), (0, 0, 0), None, None);
    check("unknown-model.jsonl", 1, Some((last, "codex: The model m does not exist")), (0, 0, 0), None, None);
    check("rate-limited.jsonl", 1, Some((heals, "429 Too Many Requests")), (0, 0, 0), None, None);
    check("overloaded.jsonl", 1, Some((heals, "503 Service Unavailable")), (0, 0, 0), None, None);
    check("dropped-for-good.jsonl", 1, Some((heals, "stream disconnected")), (0, 0, 0), None, None);
    // A record of failure is one whatever the exit code says.
    check("overloaded.jsonl", 0, Some((heals, "503 Service Unavailable")), (0, 0, 0), None, None);
}

#[test]
fn events() {
    let played = Stage::new().play(&Codex, &transcript("codex", "success.jsonl"), 0);
    assert_eq!(played.session(), Some(THREAD));
    let command = "/bin/bash -lc 'echo fixed > fixed.txt; cat fixed.txt'".to_owned();
    assert!(played.events.contains(&Event::ToolCall { name: "command".to_owned(), input: command }));
    assert!(played.events.contains(&Event::ToolResult { failed: false, output: "fixed\n".to_owned() }));
    assert_eq!(played.events.last(), Some(&Event::Closing));
    let retried = Stage::new().play(&Codex, &transcript("codex", "retried.jsonl"), 0);
    assert_eq!(retried.count(|event| matches!(event, Event::Retry { .. })), 2);
    let failed = Stage::new().play(&Codex, &transcript("codex", "failed-command.jsonl"), 0);
    assert!(failed.events.contains(&Event::ToolResult { failed: true, output: "bad\n".to_owned() }));
}

#[test]
fn tokens_of_earlier_starts_are_taken_off() {
    let stage = Stage::new().resuming(THREAD);
    let lines = transcript("codex", "resumed.jsonl");
    assert_eq!(stage.play(&Codex, &lines, 0).tokens(), (3000, 0, 300), "without the conversation's file");
    let folder = stage.dir.path().join(".codex/sessions/2026/11/23");
    fs::create_dir_all(&folder).unwrap();
    let count = |input: u64| {
        format!(
            r#"{{"type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{"input_tokens":{input},"cached_input_tokens":500,"output_tokens":200}}}}}}}}"#
        )
    };
    let file = folder.join(format!("rollout-2026-11-23T04-40-48-{THREAD}.jsonl"));
    fs::write(&file, format!("{}\n{}\nnonsense \"token_count\"\n", count(1000), count(2000))).unwrap();
    assert_eq!(stage.play(&Codex, &lines, 0).tokens(), (1000, 0, 100));
    // One that failed says nothing of its tokens; the file does.
    let mut reader = Codex.reader(&stage.turn());
    reader.line(&lines[0], &mut |_| {});
    fs::write(&file, count(2600)).unwrap();
    assert_eq!(reader.stopped().usage.map(|usage| usage.input_tokens), Some(600));
}

#[test]
fn odd_endings() {
    let check = |lines: &[&str], code: i32, failure: Option<(FailureKind, &str)>| {
        Stage::new().play(&Codex, lines, code).expect(failure);
    };
    let started = r#"{"type":"thread.started","thread_id":"t"}"#;
    let completed = r#"{"type":"turn.completed","usage":{}}"#;
    let last = FailureKind::Final;
    check(&[started, completed], 0, None);
    check(&[started, completed], 1, Some((last, "reported success, but then: exit code 1")));
    check(&[started], 0, Some((last, "without its closing record")));
    check(&[started], 137, Some((last, "killed by signal 9")));
    check(&[], 1, Some((FailureKind::SessionLost, "did not start")));
    let ask = r#"{"type":"item.completed","item":{"type":"agent_message","text":"Looked.\n\nWhich one?"}}"#;
    let played = Stage::new().play(&Codex, &[started, ask, completed], 0);
    assert_eq!(played.end.known.question.as_deref(), Some("Which one?"));
}

#[test]
fn the_command_line() {
    let mut stage = Stage::new();
    stage.step.args = vec!["--search".to_owned()];
    let launch = stage.launch(&Codex);
    assert_eq!(
        launch.args.join(" "),
        "exec --json --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox \
         -c check_for_update_on_startup=false -c analytics.enabled=false -c features.plugins=false --search -"
    );
    assert!(launch.prompt_on_stdin && launch.env.is_empty());
    let mut stage = stage.set("OPENAI_BASE_URL", "http://h/v1/").set("OPENAI_API_KEY", "k").resuming("t-1");
    stage.step.model = Some("gpt-5".to_owned());
    let launch = stage.launch(&Codex);
    let args = launch.args.join(" ");
    assert!(
        args.contains("-c model_provider=cc -c model_providers.cc={name=\"cc\",base_url=\"http://h/v1\","),
        "{args}"
    );
    assert!(args.ends_with("-m gpt-5 --search resume t-1 -"), "{args}");
    assert_eq!(launch.env["CODEX_API_KEY"], "k");
    let stage = Stage::new().set("OPENAI_API_KEY", "k").set("CODEX_API_KEY", "its own");
    assert_eq!(stage.launch(&Codex).env["CODEX_API_KEY"], "its own");
}
