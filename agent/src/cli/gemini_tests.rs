//! Transcripts of gemini 0.61.0, and what becomes of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::playback::{Stage, transcript};
use super::*;

#[test]
fn transcripts() {
    let check = |name: &str,
                 code: i32,
                 failure: Option<(FailureKind, &str)>,
                 tokens: (u64, u64, u64),
                 turns: Option<u32>,
                 summary: Option<&str>| {
        let played = Stage::new().play(&Gemini, &transcript("gemini", name), code);
        played.expect(failure);
        assert_eq!((played.tokens(), played.end.known.turns), (tokens, turns), "{name}");
        assert_eq!(played.end.known.summary.as_deref(), summary, "{name}");
        assert_eq!(played.end.known.model.as_deref(), Some("gemini-2.5-pro"), "{name}");
        assert_eq!(played.events.last(), Some(&Event::Closing), "{name}");
    };
    let (heals, last) = (FailureKind::Heals, FailureKind::Final);
    let mended = Some("I mended it, and that is all there is to say about the matter.");
    check("success.jsonl", 0, None, (2000, 0, 200), Some(2), mended);
    check("resumed.jsonl", 0, None, (1000, 0, 100), Some(1), Some("And once more."));
    check("retried.jsonl", 0, None, (2000, 0, 200), Some(2), Some("Mended after waiting."));
    check("failed-command.jsonl", 0, None, (2000, 0, 200), Some(2), Some("It failed."));
    // Its exit code is 401 modulo 256, which is no signal.
    check("unauthorized.jsonl", 145, Some((last, "401")), (0, 0, 0), None, None);
    check("unknown-model.jsonl", 1, Some((last, "The model m does not exist")), (0, 0, 0), None, None);
    let half = Some("Done after the break in the stream, with");
    check("dropped.jsonl", 1, Some((heals, "terminated")), (0, 0, 0), Some(1), half);
    check("turn-limit.jsonl", 53, Some((last, "the turn limit is reached")), (2000, 0, 200), Some(2), None);
}

#[test]
fn events() {
    let played = Stage::new().play(&Gemini, &transcript("gemini", "success.jsonl"), 0);
    assert_eq!(played.session(), Some("1ad0e5e3-7506-495a-998f-5275411084c9"));
    let input = "echo fixed > fixed.txt; cat fixed.txt".to_owned();
    assert!(played.events.contains(&Event::ToolCall { name: "run_shell_command".to_owned(), input }));
    assert!(played.events.contains(&Event::ToolResult { failed: false, output: "fixed".to_owned() }));
    assert_eq!(played.count(|event| matches!(event, Event::Message(_))), 1, "pieces are one message");
}

#[test]
fn odd_endings() {
    let check = |lines: &[&str], code: i32, failure: Option<(FailureKind, &str)>| {
        Stage::new().play(&Gemini, lines, code).expect(failure);
    };
    let init = r#"{"type":"init","session_id":"s","model":"m"}"#;
    let success = r#"{"type":"result","status":"success","stats":{}}"#;
    let last = FailureKind::Final;
    check(&[init, success], 0, None);
    check(&[init, success], 1, Some((last, "reported success, but then: exit code 1")));
    check(&[init], 0, Some((last, "without its closing record")));
    check(&[init], 137, Some((last, "killed by signal 9")));
    check(&[], 41, Some((last, "cannot sign in")));
    check(&[], 42, Some((FailureKind::SessionLost, "did not take its input")));
    check(&[init, r#"{"type":"result"}"#], 0, Some((last, "does not say why")));
}

#[test]
fn thoughts_are_paid_as_output_and_cached_tokens_are_not_paid_twice() {
    let result = r#"{"type":"result","status":"success","stats":{"total_tokens":1500,"input_tokens":1000,"output_tokens":200,"cached":600}}"#;
    assert_eq!(Stage::new().play(&Gemini, &[result], 0).tokens(), (400, 600, 500));
}

#[test]
fn the_command_line() {
    let mut stage = Stage::new();
    stage.step.model = Some("gemini-2.5-pro".to_owned());
    stage.step.max_turns = Some(7);
    let launch = stage.launch(&Gemini);
    assert_eq!(
        launch.args.join(" "),
        "--output-format stream-json --approval-mode yolo --skip-trust --model gemini-2.5-pro --session-id u-1"
    );
    let settings: Value = serde_json::from_str(&launch.files[0].1).unwrap();
    assert_eq!(settings["security"]["auth"]["selectedType"], "gemini-api-key");
    assert_eq!(settings["model"]["maxSessionTurns"], 7);
    assert!(launch.files[0].0.starts_with(&launch.env["GEMINI_CLI_HOME"]));
    let stage = stage.set("GOOGLE_GENAI_USE_VERTEXAI", "true").resuming("s-1");
    let launch = stage.launch(&Gemini);
    assert!(launch.args.join(" ").ends_with("--resume s-1"));
    assert!(launch.files[0].1.contains("vertex-ai"));
}
