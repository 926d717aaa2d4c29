//! What aider 0.86.2 prints and logs, and what becomes of it.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::playback::{Stage, transcript};
use super::*;

/// Plays a run: what it printed (`NAME.txt`), its log (`NAME.jsonl`) and its history (`NAME.md`).
fn play(name: &str, code: i32) -> super::super::playback::Played {
    let stage = Stage::new();
    let files = Files::of(&stage.turn());
    let mut reader = Aider.reader(&stage.turn());
    fs::create_dir_all(files.history.parent().unwrap()).unwrap();
    fs::write(&files.history, transcript("aider", &format!("{name}.md")).join("\n")).unwrap();
    fs::write(&files.log, transcript("aider", &format!("{name}.jsonl")).join("\n")).unwrap();
    let mut events = Vec::new();
    for line in transcript("aider", &format!("{name}.txt")) {
        reader.line(&line, &mut |event| events.push(event));
    }
    super::super::playback::Played { end: reader.exited(code), events }
}

#[test]
fn transcripts() {
    let check = |name: &str,
                 code: i32,
                 failure: Option<(FailureKind, &str)>,
                 tokens: (u64, u64, u64),
                 cost: Option<f64>| {
        let played = play(name, code);
        played.expect(failure);
        let found = played.end.known.usage.and_then(|usage| usage.cost_usd);
        assert_eq!((played.tokens(), found), (tokens, cost), "{name}");
        assert_eq!(played.session(), Some("u-1"), "{name}");
    };
    let (heals, last) = (FailureKind::Heals, FailureKind::Final);
    check("success", 0, None, (1000, 0, 100), Some(0.0035));
    check("retried", 0, None, (1000, 0, 100), Some(0.0035));
    // It exits with 0 in all of these.
    check("unauthorized", 0, Some((last, "litellm.")), (0, 0, 0), None);
    check("unknown-model", 0, Some((last, "litellm.NotFoundError")), (0, 0, 0), None);
    check("empty", 0, Some((heals, "answer was empty")), (1000, 0, 100), Some(0.0035));
    check("success", 137, Some((last, "killed by signal 9")), (1000, 0, 100), Some(0.0035));
}

#[test]
fn what_it_says() {
    let played = play("success", 0);
    let known = played.end.known.clone();
    assert_eq!((known.turns, known.model.as_deref()), (Some(1), Some("openai/gpt-4o")));
    assert!(known.summary.is_some_and(|summary| summary.contains("fixed.txt") && !summary.contains('>')));
    let lines =
        ["litellm.RateLimitError: RateLimitError: OpenAIException - no", "Retrying in 4.0 seconds..."];
    let reason = lines[0].to_owned();
    assert!(Stage::new().play(&Aider, &lines, 0).events.contains(&Event::Retry { reason }));
}

#[test]
fn a_log_that_breaks_off_is_no_success() {
    let log = transcript("aider", "success.jsonl");
    for length in 0..log.len() {
        let logged = read_log(&log[..length].join("\n"));
        assert!(!logged.exited, "{length}");
    }
    assert!(read_log(&log.join("\n")).exited);
    Stage::new().play(&Aider, &["Aider v0.86.2"], 0).expect(Some((FailureKind::Final, "without an answer")));
}

#[test]
fn the_command_line() {
    let mut stage = Stage::new().set("OPENAI_BASE_URL", "http://h/v1");
    stage.step.model = Some("openai/gpt-4o".to_owned());
    let launch = stage.launch(&Aider);
    let args = launch.args.join(" ");
    assert!(args.starts_with("--yes-always ") && args.contains(" --model openai/gpt-4o"), "{args}");
    assert!(args.contains("--message-file ") && !args.contains("--restore-chat-history"), "{args}");
    assert_eq!(launch.env["OPENAI_API_BASE"], "http://h/v1");
    assert!(!launch.prompt_on_stdin);
    // An id leads nowhere else.
    let stage = stage.resuming("../../x");
    let files = Files::of(&stage.turn());
    assert!(files.history.ends_with(".cloud-code/aider/------x.md"), "{}", files.history.display());
    let played = stage.play(&Aider, &["x"], 0);
    assert!(
        played
            .events
            .contains(&Event::Message("the earlier conversation is not here: a new one is begun".to_owned()))
    );
    fs::create_dir_all(files.history.parent().unwrap()).unwrap();
    fs::write(&files.history, "#### hello\n").unwrap();
    assert!(stage.launch(&Aider).args.contains(&"--restore-chat-history".to_owned()));
}
