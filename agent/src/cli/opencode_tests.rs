//! Transcripts of opencode 1.18.33, and what becomes of them.
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
                 cost: Option<f64>| {
        let played = Stage::new().play(&OpenCode, &transcript("opencode", name), code);
        played.expect(failure);
        assert_eq!((played.tokens(), played.end.known.turns), (tokens, turns), "{name}");
        let found = played.end.known.usage.and_then(|usage| usage.cost_usd);
        assert_eq!(found, cost, "{name}");
        assert!(played.session().is_some_and(|id| id.starts_with("ses_")), "{name}");
    };
    let (heals, last) = (FailureKind::Heals, FailureKind::Final);
    check("success.jsonl", 0, None, (2000, 0, 200), Some(2), Some(0.009));
    check("resumed.jsonl", 0, None, (1000, 0, 100), Some(1), Some(0.0045));
    check("openai.jsonl", 0, None, (2000, 0, 200), Some(2), Some(0.0009));
    check("retried.jsonl", 0, None, (2000, 0, 200), Some(2), Some(0.009));
    check("dropped.jsonl", 0, None, (1000, 0, 100), Some(1), Some(0.0045));
    check("failed-command.jsonl", 0, None, (2000, 0, 200), Some(2), Some(0.009));
    check("unauthorized.jsonl", 1, Some((last, "opencode: invalid API key")), (0, 0, 0), None, None);
    check("unknown-model.jsonl", 1, Some((last, "The model m does not exist")), (0, 0, 0), None, None);
    check("nonesuch.jsonl", 1, Some((last, "is the model's name right?")), (0, 0, 0), None, None);
    check("rate-limited.jsonl", 1, Some((heals, "rate limit")), (0, 0, 0), None, None);
    check("overloaded.jsonl", 1, Some((heals, "Overloaded")), (0, 0, 0), None, None);
    check("overloaded.jsonl", 0, Some((heals, "Overloaded")), (0, 0, 0), None, None);
}

#[test]
fn events() {
    let played = Stage::new().play(&OpenCode, &transcript("opencode", "success.jsonl"), 0);
    let input = "echo fixed > fixed.txt; cat fixed.txt".to_owned();
    assert!(played.events.contains(&Event::ToolCall { name: "bash".to_owned(), input }));
    assert!(played.events.contains(&Event::ToolResult { failed: false, output: "fixed\n".to_owned() }));
    assert_eq!(played.events.last(), Some(&Event::Closing));
    assert_eq!(played.count(|event| matches!(event, Event::Closing)), 1);
    assert_eq!(
        played.end.known.summary.as_deref(),
        Some("I mended it, and that is all there is to say about the matter.")
    );
}

#[test]
fn odd_endings() {
    let check = |lines: &[&str], code: i32, failure: Option<(FailureKind, &str)>| {
        Stage::new().play(&OpenCode, lines, code).expect(failure);
    };
    let start = r#"{"type":"step_start","sessionID":"ses_1","part":{}}"#;
    let finish = |reason: &str| {
        format!(r#"{{"type":"step_finish","sessionID":"ses_1","part":{{"reason":"{reason}"}}}}"#)
    };
    let last = FailureKind::Final;
    check(&[start, &finish("stop")], 0, None);
    check(&[start, &finish("stop")], 1, Some((last, "reported success, but then: exit code 1")));
    check(&[start, &finish("length")], 0, Some((last, "stopped because of `length`")));
    check(&[start, &finish("tool-calls")], 0, Some((last, "without its closing record")));
    check(&[start, &finish("stop"), start], 0, Some((last, "without its closing record")));
    check(&[start], 139, Some((last, "killed by signal 11")));
    check(&[], 1, Some((FailureKind::SessionLost, "did not start")));
}

#[test]
fn a_price_of_nothing_is_none() {
    let finish = r#"{"type":"step_finish","sessionID":"s","part":{"reason":"stop","cost":0,"tokens":{"input":10,"output":1,"reasoning":2,"cache":{"read":5,"write":3}}}}"#;
    let played = Stage::new().play(&OpenCode, &[finish], 0);
    assert_eq!(played.tokens(), (13, 5, 3));
    let usage = played.end.known.usage.unwrap();
    assert_eq!((usage.cost_usd, usage.priced_by), (None, PricedBy::Unpriced));
}

#[test]
fn the_command_line() {
    let mut stage = Stage::new().set("ANTHROPIC_BASE_URL", "http://a/").set("OPENAI_BASE_URL", "http://o/v1");
    stage.step.model = Some("anthropic/claude-sonnet-4-5".to_owned());
    let launch = stage.launch(&OpenCode);
    assert_eq!(launch.args.join(" "), "run --format json --auto --model anthropic/claude-sonnet-4-5");
    assert!(launch.prompt_on_stdin);
    let config: Value = serde_json::from_str(&launch.env["OPENCODE_CONFIG_CONTENT"]).unwrap();
    assert_eq!(config["provider"]["anthropic"]["options"]["baseURL"], "http://a/v1");
    assert_eq!(config["provider"]["openai"]["options"]["baseURL"], "http://o/v1");
    let launch = stage.resuming("ses_1").launch(&OpenCode);
    assert!(launch.args.join(" ").ends_with("--session ses_1"));
}
