//! `cli: claude-code`: the program `claude` of the npm package `@anthropic-ai/claude-code`, headless.
//!
//! Flags, records and error shapes were taken from runs of version 2.1.197 against a scripted server.

use std::path::{Path, PathBuf};

use cloud_code_model::task::{PricedBy, Usage};
use serde::Deserialize;
use serde_json::Value;

use super::claude_spent::{self, ModelTokens, Spent};
use super::fault::{self, in_short};
use super::{
    Cli, End, Event, Failure, FailureKind, Launch, Partial, Reader, Session, Store, Turn, tell_exit,
};
use crate::environment::Variables;
use cloud_code_model::task::shorten;

pub(super) struct ClaudeCode;

impl Cli for ClaudeCode {
    fn launch(&self, turn: &Turn<'_>) -> Result<Launch, String> {
        // `stream-json` with `-p` needs `--verbose`.
        let mut args: Vec<String> =
            ["-p", "--output-format", "stream-json", "--verbose", "--permission-mode", "bypassPermissions"]
                .map(str::to_owned)
                .into();
        let mut option = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        if let Some(model) = &turn.step.model {
            option("--model", model);
        }
        if let Some(turns) = turn.step.max_turns {
            option("--max-turns", &turns.to_string());
        }
        if let Some(budget) = turn.budget_usd {
            option("--max-budget-usd", &format!("{budget:.6}"));
        }
        match turn.session {
            Session::New(id) => option("--session-id", id),
            Session::Resume(id) => option("--resume", id),
        }
        args.extend(turn.step.args.iter().cloned());
        let mut env: Variables = [
            ("CLAUDE_CONFIG_DIR", config_dir(turn.home, turn.variables).display().to_string()),
            ("DISABLE_TELEMETRY", "1".to_owned()),
            ("DISABLE_ERROR_REPORTING", "1".to_owned()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        if turn.root {
            // Bypassing permissions is refused to the superuser unless it is told that it sits in a sandbox.
            env.insert("IS_SANDBOX".to_owned(), "1".to_owned());
        }
        Ok(Launch { args, env, prompt_on_stdin: true, keeps_turn_limit: true, ..Launch::of("claude") })
    }

    fn reader(&self, turn: &Turn<'_>) -> Box<dyn Reader> {
        let before = match turn.session {
            Session::New(_) => Spent::default(),
            Session::Resume(id) => claude_spent::before(&config_dir(turn.home, turn.variables), id),
        };
        Box::new(ClaudeReader { before, ..ClaudeReader::default() })
    }

    fn install_hint(&self) -> &'static str {
        "install it with `npm install -g @anthropic-ai/claude-code`, or use the claude-code agent image"
    }

    fn store(&self, home: &Path, variables: &Variables) -> Option<Store> {
        Some(Store {
            root: config_dir(home, variables),
            is_part: |path, id| matches!(path, ["projects", _, file] if file.strip_suffix(".jsonl") == Some(id)),
            exchange: None,
        })
    }
}

/// Where it keeps its settings and conversations.
fn config_dir(home: &Path, variables: &Variables) -> PathBuf {
    super::set(variables, "CLAUDE_CONFIG_DIR").map_or_else(|| home.join(".claude"), PathBuf::from)
}

#[derive(Default)]
struct ClaudeReader {
    /// What the conversation had used before this start.
    before: Spent,
    result: Option<ResultRecord>,
    /// Turns and tokens counted by hand, for when no result comes.
    turns: u32,
    usage: Option<Usage>,
    last_message: Option<String>,
    last_id: Option<String>,
    model: Option<String>,
    /// The server refuses the credentials: nothing more will come.
    refused: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ResultRecord {
    #[serde(default)]
    subtype: String,
    // A record that does not say so did not succeed.
    #[serde(default = "yes")]
    is_error: bool,
    result: Option<String>,
    num_turns: Option<u32>,
    total_cost_usd: Option<f64>,
    #[serde(default)]
    usage: Tokens,
    #[serde(default, rename = "modelUsage")]
    model_usage: std::collections::BTreeMap<String, ModelTokens>,
    #[serde(default)]
    errors: Vec<String>,
    api_error_status: Option<u16>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation_input_tokens: u64,
}

impl ResultRecord {
    /// Tokens by model are right even where `usage` is all zeros, as after a spent budget; they and the cost count from the
    /// conversation's beginning.
    fn usage(&self, before: Spent) -> Usage {
        let tokens = if self.model_usage.is_empty() {
            self.usage
        } else {
            let since = ModelTokens::sum(self.model_usage.values()).since(before.tokens);
            Tokens {
                input_tokens: since.input_tokens,
                output_tokens: since.output_tokens,
                cache_read_input_tokens: since.cache_read_input_tokens,
                cache_creation_input_tokens: since.cache_creation_input_tokens,
            }
        };
        let cost_usd = self.total_cost_usd.filter(|cost| cost.is_finite() && *cost >= 0.0);
        let cost_usd = cost_usd.map(|cost| (cost - before.cost_usd).max(0.0));
        Usage {
            input_tokens: tokens.input_tokens.saturating_add(tokens.cache_creation_input_tokens),
            cached_input_tokens: tokens.cache_read_input_tokens,
            output_tokens: tokens.output_tokens,
            cost_usd,
            priced_by: if cost_usd.is_some() { PricedBy::Cli } else { PricedBy::Unpriced },
        }
    }

    fn failure(&self) -> Option<Failure> {
        if self.subtype == "success" && !self.is_error {
            return None;
        }
        let said =
            self.errors.first().or(self.result.as_ref()).cloned().unwrap_or_else(|| self.subtype.clone());
        let said = shorten(said.trim(), 2000);
        let kind = match (self.subtype.as_str(), self.api_error_status) {
            ("error_max_budget_usd", _) => FailureKind::Budget,
            ("error_max_turns", _) => FailureKind::Final,
            ("error_during_execution", _) if said.starts_with("No conversation found") => {
                FailureKind::SessionLost
            }
            (_, Some(408 | 429 | 500..=599)) => FailureKind::Heals,
            (_, Some(_)) => FailureKind::Final,
            // Without a status nobody answered: refused, dropped, timed out.
            ("success", None) if said.starts_with("API Error") => FailureKind::Heals,
            _ => FailureKind::Final,
        };
        Some(Failure { kind, message: format!("claude: {said}") })
    }
}

impl Reader for ClaudeReader {
    fn line(&mut self, line: &str, emit: &mut dyn FnMut(Event)) {
        let Some(record) = fault::record(line, emit) else { return };
        if let Some(session) = record.get("session_id").and_then(Value::as_str) {
            emit(Event::Session(session.to_owned()));
        }
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "system" if text("subtype") == "api_retry" => {
                let status = record.get("error_status").and_then(Value::as_u64);
                let shown = status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
                let reason = format!("{} ({shown})", text("error"));
                emit(Event::Retry { reason: reason.clone() });
                // It goes on knocking for minutes with a key that is refused. Once may be a token that it renews.
                let again = record.get("attempt").and_then(Value::as_u64).is_some_and(|attempt| attempt > 1);
                if again && matches!(status, Some(401 | 403)) {
                    self.refused =
                        Some(format!("claude: the LLM's server refuses the credentials: {reason}"));
                    emit(Event::Closing);
                }
            }
            "assistant" => self.assistant(&record, emit),
            "user" => tool_results(&record, emit),
            "result" => {
                if let Ok(result) = serde_json::from_value::<ResultRecord>(record) {
                    self.result = Some(result);
                    emit(Event::Closing);
                }
            }
            _ => {}
        }
    }

    fn exited(&mut self, code: i32) -> End {
        let known = self.stopped();
        let failed = match &self.result {
            None if code == 0 => Some(Failure::last("claude ended without its closing record")),
            None => {
                Some(Failure::last(format!("claude ended without its closing record: {}", tell_exit(code))))
            }
            Some(result) => result.failure().or_else(|| {
                (code != 0)
                    .then(|| Failure::last(format!("claude reported success, but then: {}", tell_exit(code))))
            }),
        };
        // Stopped while it was knocking, it leaves a record that says something else.
        let failure = failed.map(|failure| self.refused.clone().map_or(failure, Failure::last));
        End { known, failure }
    }

    fn stopped(&mut self) -> Partial {
        match &self.result {
            Some(result) => Partial {
                // With an error, the text is the error's.
                summary: result
                    .result
                    .clone()
                    .filter(|_| !result.is_error)
                    .or_else(|| self.last_message.clone()),
                usage: Some(result.usage(self.before)),
                turns: result.num_turns,
                model: self.model.clone(),
                ..Partial::default()
            },
            None => Partial {
                summary: self.last_message.clone(),
                usage: self.usage,
                turns: (self.turns > 0).then_some(self.turns),
                model: self.model.clone(),
                ..Partial::default()
            },
        }
    }
}

impl ClaudeReader {
    fn assistant(&mut self, record: &Value, emit: &mut dyn FnMut(Event)) {
        let Some(message) = record.get("message") else { return };
        self.model = message.get("model").and_then(Value::as_str).map(str::to_owned).or(self.model.take());
        // Each block of an answer may come in a record of its own, under one id and with the same usage.
        let id = message.get("id").and_then(Value::as_str).map(str::to_owned);
        let again = id.is_some() && id == self.last_id;
        self.last_id = id;
        let tokens = message.get("usage").and_then(|usage| Tokens::deserialize(usage).ok());
        if let Some(tokens) = tokens.filter(|_| !again) {
            self.turns = self.turns.saturating_add(1);
            let usage = self.usage.get_or_insert_default();
            let input = tokens.input_tokens.saturating_add(tokens.cache_creation_input_tokens);
            usage.input_tokens = usage.input_tokens.saturating_add(input);
            usage.cached_input_tokens =
                usage.cached_input_tokens.saturating_add(tokens.cache_read_input_tokens);
            usage.output_tokens = usage.output_tokens.saturating_add(tokens.output_tokens);
        }
        for block in blocks(message) {
            let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
            match text("type") {
                "text" => {
                    self.last_message = Some(text("text").to_owned());
                    emit(Event::Message(text("text").to_owned()));
                }
                "thinking" => emit(Event::Thought(text("thinking").to_owned())),
                "tool_use" => {
                    let input = block.get("input").unwrap_or(&Value::Null);
                    let name = text("name").to_owned();
                    if name == "AskUserQuestion" {
                        emit(Event::Question(question(input)));
                    }
                    emit(Event::ToolCall { name, input: in_short(input) });
                }
                _ => {}
            }
        }
    }
}

fn tool_results(record: &Value, emit: &mut dyn FnMut(Event)) {
    for block in record.get("message").map(blocks).unwrap_or_default() {
        if block.get("type").and_then(Value::as_str) == Some("tool_result") {
            let failed = block.get("is_error").and_then(Value::as_bool).unwrap_or(false);
            let output = match block.get("content") {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Array(parts)) => {
                    let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
                    texts.collect::<Vec<_>>().join("\n")
                }
                _ => String::new(),
            };
            emit(Event::ToolResult { failed, output });
        }
    }
}

fn blocks(message: &Value) -> &[Value] {
    message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The questions of the tool AskUserQuestion, one a line.
fn question(input: &Value) -> String {
    let questions = input.get("questions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> =
        questions.iter().filter_map(|question| question.get("question").and_then(Value::as_str)).collect();
    if texts.is_empty() { in_short(input) } else { texts.join("\n") }
}

#[cfg(test)]
#[path = "claude_code_tests.rs"]
mod tests;
