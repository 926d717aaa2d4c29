//! `cli: gemini`: the program `gemini` of the npm package `@google/gemini-cli`, headless.
//!
//! Flags, records and error shapes were taken from runs of version 0.61.0 against a scripted server.

use std::path::Path;

use cloud_code_model::task::{PricedBy, Usage};
use serde_json::{Value, json};

use super::fault::{self, Spoken, number, text};
use super::{
    Cli, End, Event, Failure, FailureKind, Launch, Partial, Reader, Session, Store, Turn, tell_exit,
};
use crate::environment::Variables;

pub(super) struct Gemini;

/// A home of its own, below the home.
const HOME: &str = ".cloud-code/gemini";

impl Cli for Gemini {
    fn launch(&self, turn: &Turn<'_>) -> Result<Launch, String> {
        // The prompt comes on standard input, which with no `-p` means: headless. An untrusted folder would end it (55).
        let mut args: Vec<String> =
            ["--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"]
                .map(str::to_owned)
                .into();
        let mut option = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        if let Some(model) = &turn.step.model {
            option("--model", model);
        }
        match turn.session {
            Session::New(id) => option("--session-id", id),
            Session::Resume(id) => option("--resume", id),
        }
        args.extend(turn.step.args.iter().cloned());
        let vertex = turn.variable("GOOGLE_GENAI_USE_VERTEXAI").is_some_and(|value| value == "true");
        // With another base URL it would choose a way of signing in that wants more than a key. A home of its own keeps
        // these settings apart from a user's; the sessions lie there too.
        let mut settings = json!({
            "security": { "auth": { "selectedType": if vertex { "vertex-ai" } else { "gemini-api-key" } } },
            "general": { "enableAutoUpdate": false, "enableAutoUpdateNotification": false },
            "privacy": { "usageStatisticsEnabled": false },
        });
        if let Some(turns) = turn.step.max_turns {
            settings["model"] = json!({ "maxSessionTurns": turns });
        }
        let home = turn.home.join(HOME);
        let env = Variables::from([
            ("GEMINI_CLI_HOME".to_owned(), home.display().to_string()),
            // Otherwise it complains of each start's terminal.
            ("TERM".to_owned(), "xterm-256color".to_owned()),
            ("COLORTERM".to_owned(), "truecolor".to_owned()),
        ]);
        Ok(Launch {
            args,
            env,
            prompt_on_stdin: true,
            files: vec![(home.join(".gemini/settings.json"), settings.to_string())],
            keeps_turn_limit: true,
            ..Launch::of("gemini")
        })
    }

    fn reader(&self, _: &Turn<'_>) -> Box<dyn Reader> {
        Box::new(GeminiReader::default())
    }

    fn install_hint(&self) -> &'static str {
        "install it with `npm install -g @google/gemini-cli`, or use the gemini agent image"
    }

    /// `.gemini/tmp/PROJECT/chats/session-TIME-ID.jsonl`, with the first eight characters of the id.
    fn store(&self, home: &Path, _: &Variables) -> Option<Store> {
        let is_part = |path: &[&str], id: &str| {
            let short = id.get(..8).unwrap_or(id);
            let ours = |file: &str| {
                file.starts_with("session-")
                    && file.strip_suffix(".jsonl").is_some_and(|name| name.ends_with(&format!("-{short}")))
            };
            matches!(path, [".gemini", "tmp", _, "chats", file] if ours(file))
        };
        Some(Store { root: home.join(HOME), is_part, exchange: None })
    }
}

#[derive(Default)]
struct GeminiReader {
    started: bool,
    model: Option<String>,
    /// Text that is still being said, and the last that was.
    saying: String,
    last_message: Option<String>,
    spoken: Spoken,
    result: Option<Value>,
    errors: Vec<String>,
}

impl Reader for GeminiReader {
    fn line(&mut self, line: &str, emit: &mut dyn FnMut(Event)) {
        let Some(record) = fault::record(line, emit) else { return };
        match text(&record, "type") {
            "init" => {
                self.started = true;
                self.model = Some(text(&record, "model").to_owned());
                emit(Event::Session(text(&record, "session_id").to_owned()));
            }
            "message" if text(&record, "role") == "assistant" => {
                self.speak(emit);
                self.saying.push_str(text(&record, "content"));
            }
            "tool_use" => {
                self.speak(emit);
                self.flush(emit);
                let input = record.get("parameters").unwrap_or(&Value::Null);
                let name = text(&record, "tool_name").to_owned();
                if name == "ask_user" {
                    emit(Event::Question(fault::in_short(input)));
                }
                emit(Event::ToolCall { name, input: fault::in_short(input) });
            }
            "tool_result" => {
                self.spoken.answered();
                let failed = text(&record, "status") != "success";
                emit(Event::ToolResult { failed, output: text(&record, "output").to_owned() });
            }
            "error" => {
                self.flush(emit);
                let message = text(&record, "message").to_owned();
                if text(&record, "severity") == "error" {
                    self.errors.push(message.clone());
                }
                emit(Event::Message(message));
            }
            "result" => {
                self.flush(emit);
                self.result = Some(record);
                if let Some(usage) = self.usage() {
                    emit(Event::Usage(usage));
                }
                emit(Event::Closing);
            }
            _ => {}
        }
    }

    fn exited(&mut self, code: i32) -> End {
        let known = self.stopped();
        let said = self.result.as_ref().and_then(|result| result.get("error"));
        let said =
            said.map(|error| text(error, "message").to_owned()).or_else(|| self.errors.last().cloned());
        let status = self.result.as_ref().map(|result| text(result, "status"));
        let failure = match (status, code) {
            (Some("success"), 0) => None,
            (_, 53) => Some(Failure::last("gemini: the turn limit is reached")),
            (_, 42) if !self.started => Some(Failure {
                kind: FailureKind::SessionLost,
                message: "gemini did not take its input (exit code 42)".to_owned(),
            }),
            (Some("success"), _) => {
                Some(Failure::last(format!("gemini reported success, but then: {}", tell_exit(code))))
            }
            // With an error of the API, its exit code is the lowest byte of the status, which says nothing.
            (Some(_), _) => {
                let message = said.unwrap_or_else(|| "it failed and does not say why".to_owned());
                Some(Failure { kind: fault::kind(None, &message), message: format!("gemini: {message}") })
            }
            (None, 41) => Some(Failure::last("gemini: it cannot sign in (exit code 41)")),
            (None, 0) => Some(Failure::last("gemini ended without its closing record")),
            (None, _) => {
                Some(Failure::last(format!("gemini ended without its closing record: {}", tell_exit(code))))
            }
        };
        End { known, failure }
    }

    fn stopped(&mut self) -> Partial {
        self.flush(&mut |_| {});
        Partial {
            summary: self.last_message.clone(),
            usage: self.usage(),
            turns: self.spoken.known(),
            model: self.model.clone(),
            question: self.last_message.as_deref().and_then(fault::closing_question),
        }
    }
}

impl GeminiReader {
    fn speak(&mut self, emit: &mut dyn FnMut(Event)) {
        if self.spoken.said() {
            emit(Event::Turn);
        }
    }

    /// Text comes in pieces; what was said up to here is one message.
    fn flush(&mut self, emit: &mut dyn FnMut(Event)) {
        let said = std::mem::take(&mut self.saying);
        if !said.trim().is_empty() {
            self.last_message = Some(said.clone());
            emit(Event::Message(said));
        }
    }

    /// Only the closing record has tokens. Thoughts are in the total alone, and are paid as output.
    fn usage(&self) -> Option<Usage> {
        let stats = self.result.as_ref()?.get("stats")?;
        let input = number(stats, "input_tokens");
        let cached = number(stats, "cached").min(input);
        let rest = number(stats, "total_tokens").saturating_sub(input);
        if number(stats, "total_tokens") == 0 {
            // Nobody answered, or the answer broke off before its tokens were told.
            return None;
        }
        Some(Usage {
            input_tokens: input - cached,
            cached_input_tokens: cached,
            output_tokens: number(stats, "output_tokens").max(rest),
            cost_usd: None,
            priced_by: PricedBy::Unpriced,
        })
    }
}

#[cfg(test)]
#[path = "gemini_tests.rs"]
mod tests;
