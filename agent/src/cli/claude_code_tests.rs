//! Records as claude 2.1.197 wrote them, shortened, and what becomes of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use cloud_code_model::task::AgentStep;

use std::fs;

use super::super::playback::Stage;
use super::*;

fn read(lines: &[&str], code: i32) -> (Vec<Event>, End) {
    let mut reader = ClaudeReader::default();
    let mut events = Vec::new();
    for line in lines {
        reader.line(line, &mut |event| events.push(event));
    }
    let end = reader.exited(code);
    (events, end)
}

const ASSISTANT: &str = r#"{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"Looking."},{"type":"tool_use","id":"tu_1","name":"Bash","input":{"command":"ls","description":"x"}}],"usage":{"input_tokens":1000,"output_tokens":1,"cache_read_input_tokens":500,"cache_creation_input_tokens":7}},"session_id":"s1"}"#;
const USER: &str = r#"{"type":"user","message":{"role":"user","content":[{"tool_use_id":"tu_1","type":"tool_result","content":"done","is_error":false}]},"session_id":"s1"}"#;
const SUCCESS: &str = r#"{"type":"result","subtype":"success","is_error":false,"api_error_status":null,"num_turns":2,"result":"All done.","session_id":"s1","total_cost_usd":0.007,"usage":{"input_tokens":2000,"cache_creation_input_tokens":14,"cache_read_input_tokens":1000,"output_tokens":40},"modelUsage":{"m":{"inputTokens":2000,"outputTokens":40,"cacheReadInputTokens":1000,"cacheCreationInputTokens":14,"costUSD":0.007}}}"#;

#[test]
fn a_turn_with_a_tool() {
    let (events, end) = read(&[ASSISTANT, USER, SUCCESS], 0);
    assert!(events.contains(&Event::Session("s1".to_owned())));
    assert!(events.contains(&Event::Message("Looking.".to_owned())));
    assert!(events.contains(&Event::ToolCall { name: "Bash".to_owned(), input: "ls".to_owned() }));
    assert!(events.contains(&Event::ToolResult { failed: false, output: "done".to_owned() }));
    assert_eq!(events.last(), Some(&Event::Closing));
    assert_eq!(end.failure, None);
    let usage = Usage {
        input_tokens: 2014,
        cached_input_tokens: 1000,
        output_tokens: 40,
        cost_usd: Some(0.007),
        priced_by: PricedBy::Cli,
    };
    assert_eq!(
        end.known,
        Partial {
            summary: Some("All done.".to_owned()),
            usage: Some(usage),
            turns: Some(2),
            ..Partial::default()
        }
    );
}

#[test]
fn success_needs_the_record_and_the_exit_code() {
    let check = |lines: &[&str], code: i32, kind: FailureKind, words: &str| {
        let failure = read(lines, code).1.failure.unwrap();
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(failure.message.contains(words), "{failure:?}");
    };
    let result = |rest: &str| format!(r#"{{"type":"result",{rest}}}"#);
    check(&[ASSISTANT], 0, FailureKind::Final, "without its closing record");
    check(&[ASSISTANT], 137, FailureKind::Final, "killed by signal 9");
    check(&[SUCCESS], 1, FailureKind::Final, "reported success, but then: exit code 1");
    check(&[&SUCCESS[..SUCCESS.len() - 5]], 0, FailureKind::Final, "without its closing record");
    let with_status = |status: &str| {
        result(&format!(
            r#""subtype":"success","is_error":true,"api_error_status":{status},"result":"API Error: {status} no""#
        ))
    };
    check(&[&with_status("401")], 1, FailureKind::Final, "API Error: 401");
    let knock = |attempt: u32, status: u32| {
        format!(
            r#"{{"type":"system","subtype":"api_retry","attempt":{attempt},"max_retries":10,"error_status":{status},"error":"authentication_failed"}}"#
        )
    };
    check(
        &[&knock(1, 401), &knock(2, 401)],
        0,
        FailureKind::Final,
        "refuses the credentials: authentication_failed (401)",
    );
    let stopped =
        result(r#""subtype":"error_during_execution","is_error":true,"errors":["[ede_diagnostic]"]"#);
    check(&[&knock(2, 401), &stopped], 0, FailureKind::Final, "refuses the credentials");
    check(&[&knock(1, 401)], 1, FailureKind::Final, "without its closing record");
    check(&[&knock(1, 529), &knock(2, 529)], 1, FailureKind::Final, "without its closing record");
    check(&[&with_status("400")], 1, FailureKind::Final, "API Error: 400");
    check(&[&with_status("429")], 1, FailureKind::Heals, "API Error: 429");
    check(&[&with_status("529")], 1, FailureKind::Heals, "API Error: 529");
    check(&[&with_status("null")], 1, FailureKind::Heals, "API Error");
    let turns = result(
        r#""subtype":"error_max_turns","is_error":true,"errors":["Reached maximum number of turns (2)"]"#,
    );
    check(&[&turns], 1, FailureKind::Final, "Reached maximum number of turns (2)");
    let budget = result(
        r#""subtype":"error_max_budget_usd","is_error":true,"errors":["Reached maximum budget ($1)"]"#,
    );
    check(&[&budget], 1, FailureKind::Budget, "Reached maximum budget");
    let lost = result(
        r#""subtype":"error_during_execution","is_error":true,"errors":["No conversation found with session ID: 1"]"#,
    );
    check(&[&lost], 1, FailureKind::SessionLost, "No conversation found");
    check(&[&result(r#""subtype":"success""#)], 0, FailureKind::Final, "success");
}

#[test]
fn the_text_of_an_error_is_no_summary() {
    let failed = r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":401,"result":"API Error: 401"}"#;
    assert_eq!(read(&[failed], 1).1.known.summary, None);
    assert_eq!(read(&[ASSISTANT, failed], 1).1.known.summary.as_deref(), Some("Looking."));
}

#[test]
fn usage_is_counted_where_no_record_came_and_a_spent_budget_has_its_tokens() {
    let (_, end) = read(&[ASSISTANT, ASSISTANT], 1);
    let usage = end.known.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.cached_input_tokens, usage.output_tokens), (2014, 1000, 2));
    assert_eq!((usage.cost_usd, end.known.turns), (None, Some(2)));
    let spent = r#"{"type":"result","subtype":"error_max_budget_usd","is_error":true,"total_cost_usd":0.003,"usage":{"input_tokens":0},"modelUsage":{"m":{"inputTokens":1000,"outputTokens":20}}}"#;
    assert_eq!(read(&[spent], 1).1.known.usage.unwrap().input_tokens, 1000);
}

#[test]
fn questions_and_retries_are_events() {
    let ask = r#"{"type":"assistant","message":{"content":[{"type":"tool_use","name":"AskUserQuestion","input":{"questions":[{"question":"Which?"}]}}]}}"#;
    assert!(read(&[ask], 0).0.contains(&Event::Question("Which?".to_owned())));
    let retry = r#"{"type":"system","subtype":"api_retry","attempt":1,"max_retries":1,"error_status":529,"error":"overloaded"}"#;
    assert_eq!(read(&[retry], 0).0, [Event::Retry { reason: "overloaded (529)".to_owned() }]);
}

#[test]
fn the_command_line() {
    let step = AgentStep {
        model: Some("sonnet".to_owned()),
        max_turns: Some(7),
        args: vec!["--strict-mcp-config".to_owned()],
        ..AgentStep::default()
    };
    let mut turn = Turn {
        step: &step,
        prompt_file: Path::new("/tmp/p"),
        session: &Session::New("u-1".to_owned()),
        budget_usd: Some(0.5),
        home: Path::new("/home/x"),
        root: true,
        variables: &Variables::new(),
    };
    let line = |turn: &Turn<'_>| {
        let launch = ClaudeCode.launch(turn).unwrap();
        (launch.args.join(" "), launch.env)
    };
    let (args, env) = line(&turn);
    assert_eq!(
        args,
        "-p --output-format stream-json --verbose --permission-mode bypassPermissions --model sonnet --max-turns 7 \
         --max-budget-usd 0.500000 --session-id u-1 --strict-mcp-config"
    );
    assert_eq!(env["IS_SANDBOX"], "1");
    assert_eq!(env["CLAUDE_CONFIG_DIR"], "/home/x/.claude");
    let resumed = Session::Resume("u-1".to_owned());
    turn.session = &resumed;
    turn.root = false;
    let (args, env) = line(&turn);
    assert!(args.contains("--resume u-1"));
    assert!(!env.contains_key("IS_SANDBOX"));
}

/// A resumed conversation counts on from where it ended.
#[test]
fn what_was_spent_before_is_taken_off() {
    let stage = Stage::new().resuming("s-1");
    let folder = stage.dir.path().join(".claude/projects/-work");
    fs::create_dir_all(&folder).unwrap();
    let state = |input: u64, cost: f64| {
        format!(
            r#"{{"type":"cost-state","totalCostUSD":{cost},"modelUsage":{{"m":{{"inputTokens":{input},"outputTokens":200}}}}}}"#
        )
    };
    let text = format!("{}\n{}\nnonsense \"cost-state\"\n", state(1000, 0.25), state(2000, 0.5));
    fs::write(folder.join("s-1.jsonl"), text).unwrap();
    let result = r#"{"type":"result","subtype":"success","is_error":false,"result":"ok","total_cost_usd":0.75,"usage":{"input_tokens":1},"modelUsage":{"m":{"inputTokens":3000,"outputTokens":300}}}"#;
    let check = |stage: &Stage, tokens: (u64, u64, u64), cost: f64| {
        let played = stage.play(&ClaudeCode, &[result], 0);
        assert_eq!(played.tokens(), tokens);
        assert_eq!(played.end.known.usage.and_then(|usage| usage.cost_usd), Some(cost));
    };
    check(&stage, (1000, 0, 100), 0.25);
    check(&Stage::new(), (3000, 0, 300), 0.75);
    let elsewhere = stage.resuming("../-work/s-1");
    check(&elsewhere, (3000, 0, 300), 0.75);
}
