//! `cli: script`: any command line. It finds the prompt in the file that `CLOUD_CODE_PROMPT_FILE` names.
//!
//! `CLOUD_CODE_SESSION_DIR` names a folder for its conversation: when it says its session, what it leaves there is there again when
//! the conversation is gone on with.
//!
//! It may say more on standard output, one JSON object a line: `{"type":"message","text":…}`, `{"type":"summary","text":…}`,
//! `{"type":"session","id":…}`, `{"type":"question","text":…}`, `{"type":"tool","name":…,"input":…}` and
//! `{"type":"usage","input_tokens":…,"cached_input_tokens":…,"output_tokens":…,"cost_usd":…,"turns":…}` (all so far).
//! Any other line is a message, and the last one is the summary unless one was given. Exit code 0 is success.

use std::path::Path;

use cloud_code_model::task::{PricedBy, Usage, is_session_id};
use serde::Deserialize;

use super::{Cli, End, Event, Failure, Launch, Partial, Reader, Session, Store, Turn, tell_exit};
use crate::environment::Variables;

pub(super) struct Script;

/// Where conversations lie, below the home.
const CONVERSATIONS: &str = ".cloud-code/script";

impl Cli for Script {
    fn launch(&self, turn: &Turn<'_>) -> Result<Launch, String> {
        let command = turn.step.command.as_ref().ok_or("with.command: `cli: script` needs a command line")?;
        let mut args = vec!["-c".to_owned(), command.clone()];
        if !turn.step.args.is_empty() {
            args.push("sh".to_owned());
            args.extend(turn.step.args.iter().cloned());
        }
        let (Session::New(session) | Session::Resume(session)) = turn.session;
        let mut env = std::collections::BTreeMap::from([
            ("CLOUD_CODE_PROMPT_FILE".to_owned(), turn.prompt_file.display().to_string()),
            ("CLOUD_CODE_SESSION".to_owned(), session.clone()),
        ]);
        let mut files = Vec::new();
        if is_session_id(session) {
            let folder = turn.home.join(CONVERSATIONS).join(session);
            env.insert("CLOUD_CODE_SESSION_DIR".to_owned(), folder.display().to_string());
            // A file of its own, so that the folder is there.
            files.push((folder.join(".session"), session.clone()));
        }
        if let Some(model) = &turn.step.model {
            env.insert("CLOUD_CODE_MODEL".to_owned(), model.clone());
        }
        if let Some(turns) = turn.step.max_turns {
            env.insert("CLOUD_CODE_MAX_TURNS".to_owned(), turns.to_string());
        }
        if let Some(budget) = turn.budget_usd {
            env.insert("CLOUD_CODE_BUDGET_USD".to_owned(), budget.to_string());
        }
        Ok(Launch { args, env, files, keeps_turn_limit: true, ..Launch::of("sh") })
    }

    fn reader(&self, _: &Turn<'_>) -> Box<dyn Reader> {
        Box::new(ScriptReader::default())
    }

    fn install_hint(&self) -> &'static str {
        "the image needs a `sh`"
    }

    fn store(&self, home: &Path, _: &Variables) -> Option<Store> {
        Some(Store {
            root: home.join(CONVERSATIONS),
            is_part: |path, id| path.len() > 1 && path[0] == id,
            exchange: None,
        })
    }
}

#[derive(Default)]
struct ScriptReader {
    known: Partial,
    last_line: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Message {
        text: String,
    },
    Thought {
        text: String,
    },
    Summary {
        text: String,
    },
    Session {
        id: String,
    },
    Question {
        text: String,
    },
    Tool {
        name: String,
        #[serde(default)]
        input: String,
    },
    Usage {
        #[serde(default)]
        input_tokens: u64,
        #[serde(default)]
        cached_input_tokens: u64,
        #[serde(default)]
        output_tokens: u64,
        cost_usd: Option<f64>,
        turns: Option<u32>,
    },
}

impl Reader for ScriptReader {
    fn line(&mut self, line: &str, emit: &mut dyn FnMut(Event)) {
        let known =
            line.trim_start().starts_with('{').then(|| serde_json::from_str::<Line>(line).ok()).flatten();
        match known {
            None => {
                if !line.trim().is_empty() {
                    self.last_line = Some(line.trim().to_owned());
                    emit(Event::Message(line.to_owned()));
                }
            }
            Some(Line::Message { text }) => emit(Event::Message(text)),
            Some(Line::Thought { text }) => emit(Event::Thought(text)),
            Some(Line::Summary { text }) => {
                emit(Event::Message(text.clone()));
                self.known.summary = Some(text);
            }
            Some(Line::Session { id }) => emit(Event::Session(id)),
            Some(Line::Question { text }) => emit(Event::Question(text)),
            Some(Line::Tool { name, input }) => emit(Event::ToolCall { name, input }),
            Some(Line::Usage { input_tokens, cached_input_tokens, output_tokens, cost_usd, turns }) => {
                // A negative price would be a discount on the budget.
                let cost_usd = cost_usd.filter(|cost| cost.is_finite() && *cost >= 0.0);
                let priced_by = if cost_usd.is_some() { PricedBy::Cli } else { PricedBy::Unpriced };
                let usage = Usage { input_tokens, cached_input_tokens, output_tokens, cost_usd, priced_by };
                self.known.usage = Some(usage);
                self.known.turns = turns.or(self.known.turns);
                emit(Event::Usage(usage));
            }
        }
    }

    fn exited(&mut self, code: i32) -> End {
        let failure = (code != 0).then(|| Failure::last(format!("the command failed: {}", tell_exit(code))));
        End { known: self.stopped(), failure }
    }

    fn stopped(&mut self) -> Partial {
        let mut known = self.known.clone();
        known.summary = known.summary.or_else(|| self.last_line.clone());
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let mut reader = ScriptReader::default();
        let mut events = Vec::new();
        for line in [
            r#"{"type":"session","id":"s1"}"#,
            r#"{"type":"usage","input_tokens":5,"output_tokens":2,"cost_usd":0.5,"turns":3}"#,
            r#"{"type":"tool","name":"Edit","input":"a.rs"}"#,
            r#"{"type":"unheard of"}"#,
            r#"{"half": "#,
            "plain",
            "  ",
        ] {
            reader.line(line, &mut |event| events.push(event));
        }
        let usage = Usage {
            input_tokens: 5,
            cached_input_tokens: 0,
            output_tokens: 2,
            cost_usd: Some(0.5),
            priced_by: PricedBy::Cli,
        };
        let message = |text: &str| Event::Message(text.to_owned());
        assert_eq!(
            events,
            [
                Event::Session("s1".to_owned()),
                Event::Usage(usage),
                Event::ToolCall { name: "Edit".to_owned(), input: "a.rs".to_owned() },
                message(r#"{"type":"unheard of"}"#),
                message(r#"{"half": "#),
                message("plain"),
            ]
        );
        let end = reader.exited(0);
        assert_eq!(end.failure, None);
        assert_eq!(
            end.known,
            Partial {
                summary: Some("plain".to_owned()),
                usage: Some(usage),
                turns: Some(3),
                ..Partial::default()
            }
        );
        reader.line(r#"{"type":"summary","text":"done"}"#, &mut |_| {});
        assert_eq!(reader.exited(0).known.summary.as_deref(), Some("done"));
    }

    #[test]
    fn a_code_other_than_zero_is_a_failure() {
        let check = |code: i32, words: &str| {
            let failure = ScriptReader::default().exited(code).failure;
            assert!(failure.is_some_and(|failure| failure.message.contains(words)), "{code}");
        };
        check(1, "exit code 1");
        check(137, "killed by signal 9 (out of memory");
        check(139, "killed by signal 11");
    }

    #[test]
    fn a_negative_price_is_none() {
        let mut reader = ScriptReader::default();
        reader.line(r#"{"type":"usage","cost_usd":-5}"#, &mut |_| {});
        assert_eq!(reader.exited(0).known.usage.and_then(|usage| usage.cost_usd), None);
    }
}
