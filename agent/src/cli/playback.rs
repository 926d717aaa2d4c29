//! For tests: plays recorded transcripts to a reader. They lie in tests/fixtures/CLI/ and come from real runs of the pinned
//! versions against the scripted server; only paths and ports were changed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use cloud_code_model::task::AgentStep;

use super::*;

/// The lines of a transcript.
pub(super) fn transcript(cli: &str, name: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(cli).join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines().map(str::to_owned).collect()
}

/// What a step and its surroundings say.
pub(super) struct Stage {
    pub(super) dir: tempfile::TempDir,
    pub(super) step: AgentStep,
    pub(super) session: Session,
    pub(super) variables: Variables,
    prompt: PathBuf,
}

impl Stage {
    pub(super) fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let prompt = dir.path().join("step/prompt.txt");
        fs::create_dir(dir.path().join("step")).unwrap();
        Stage {
            dir,
            step: AgentStep::default(),
            session: Session::New("u-1".to_owned()),
            variables: Variables::new(),
            prompt,
        }
    }

    pub(super) fn set(mut self, name: &str, value: &str) -> Stage {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn resuming(mut self, id: &str) -> Stage {
        self.session = Session::Resume(id.to_owned());
        self
    }

    pub(super) fn turn(&self) -> Turn<'_> {
        Turn {
            step: &self.step,
            prompt_file: &self.prompt,
            session: &self.session,
            budget_usd: None,
            home: self.dir.path(),
            root: false,
            variables: &self.variables,
        }
    }

    pub(super) fn launch(&self, cli: &dyn Cli) -> Launch {
        cli.launch(&self.turn()).unwrap()
    }

    pub(super) fn play(&self, cli: &dyn Cli, lines: &[impl AsRef<str>], code: i32) -> Played {
        let mut reader = cli.reader(&self.turn());
        let mut events = Vec::new();
        for line in lines {
            reader.line(line.as_ref(), &mut |event| events.push(event));
        }
        Played { end: reader.exited(code), events }
    }
}

/// What a reader made of a transcript.
pub(super) struct Played {
    pub(super) events: Vec<Event>,
    pub(super) end: End,
}

impl Played {
    /// Tokens: input, from the cache, output.
    pub(super) fn tokens(&self) -> (u64, u64, u64) {
        let usage = self.end.known.usage.unwrap_or_default();
        (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens)
    }

    pub(super) fn session(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            Event::Session(id) => Some(id.as_str()),
            _ => None,
        })
    }

    pub(super) fn count(&self, which: fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| which(event)).count()
    }

    /// Checks for success, or the failure's kind and words.
    #[track_caller]
    pub(super) fn expect(&self, failure: Option<(FailureKind, &str)>) {
        match (&self.end.failure, failure) {
            (None, None) => {}
            (Some(found), Some((kind, words))) => {
                assert_eq!(found.kind, kind, "{found:?}");
                assert!(found.message.contains(words), "{found:?}");
            }
            (found, expected) => panic!("expected {expected:?}, found {found:?}"),
        }
    }
}

/// A transcript that breaks off anywhere, even in the middle of a line, is never a success, and never a panic.
#[test]
fn half_a_transcript_is_no_success() {
    let check = |name: &str, file: &str| {
        let cli = find(name).unwrap();
        let whole = transcript(name, file).join("\n");
        let stage = Stage::new();
        stage.play(cli, &whole.lines().collect::<Vec<_>>(), 0).expect(None);
        let last = whole.rfind('\n').unwrap() + 1;
        let cuts =
            (0..whole.len()).step_by(97).chain(last..whole.len()).filter(|at| whole.is_char_boundary(*at));
        for at in cuts {
            let lines: Vec<&str> = whole[..at].lines().collect();
            for code in [0, 1, 137] {
                assert!(stage.play(cli, &lines, code).end.failure.is_some(), "{name} cut at {at}");
            }
        }
    };
    check("codex", "success.jsonl");
    check("codex", "retried.jsonl");
    check("gemini", "success.jsonl");
    check("opencode", "success.jsonl");
}

/// Records of odd shapes do no harm.
#[test]
fn noise_is_survived() {
    let odd = [
        "",
        "null",
        "[]",
        "{}",
        "7",
        "\"",
        "{\"type\":7}",
        "{\"type\":null,\"part\":3}",
        "\u{feff}{}",
        "Error: no",
    ];
    let mut lines: Vec<String> = odd.map(str::to_owned).into();
    let kinds = [
        "thread.started",
        "item.started",
        "item.completed",
        "turn.completed",
        "turn.failed",
        "error",
        "init",
        "message",
        "tool_use",
        "tool_result",
        "result",
        "step_start",
        "step_finish",
        "text",
        "assistant",
        "user",
    ];
    for kind in kinds {
        lines.push(format!("{{\"type\":\"{kind}\"}}"));
        for field in ["item", "part", "usage", "error", "stats", "state", "message", "parameters", "tokens"] {
            for value in
                ["null", "[]", "{}", "-1", "\"x\"", "1e999", "{\"type\":\"command_execution\",\"tokens\":[]}"]
            {
                lines.push(format!("{{\"type\":\"{kind}\",\"{field}\":{value}}}"));
            }
        }
    }
    for (name, cli) in REGISTRY {
        let mut stage = Stage::new();
        stage.step.command = Some("true".to_owned());
        for code in [0, 1, 137] {
            stage.play(cli, &lines, code);
        }
        assert!(name == "script" || stage.play(cli, &odd, 0).end.failure.is_some(), "{name}");
    }
}
