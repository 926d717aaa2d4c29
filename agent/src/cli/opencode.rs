//! `cli: opencode`: the program `opencode` of the npm package `opencode-ai`, headless. docs/adding-a-cli.md walks through
//! this file.
//!
//! Flags, records and error shapes were taken from runs of version 1.18.33 against a scripted server.

use std::path::Path;

use cloud_code_model::task::{PricedBy, Usage};
use serde_json::{Map, Value, json};

use super::fault::{self, number, text};
use super::{
    Cli, End, Event, Exchange, Failure, FailureKind, Launch, Partial, Reader, Session, Store, Turn, tell_exit,
};
use crate::environment::Variables;

pub(super) struct OpenCode;

/// So that it fetches nothing by itself.
const QUIET: &[(&str, &str)] = &[
    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
    ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
    ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
];

impl Cli for OpenCode {
    fn launch(&self, turn: &Turn<'_>) -> Result<Launch, String> {
        // Without `--auto` every permission is refused.
        let mut args: Vec<String> = ["run", "--format", "json", "--auto"].map(str::to_owned).into();
        let mut option = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        if let Some(model) = &turn.step.model {
            option("--model", model);
        }
        if let Session::Resume(id) = turn.session {
            option("--session", id);
        }
        args.extend(turn.step.args.iter().cloned());
        let mut providers = Map::new();
        for (name, variable) in [("anthropic", "ANTHROPIC_BASE_URL"), ("openai", "OPENAI_BASE_URL")] {
            if let Some(url) = turn.variable(variable) {
                let url = url.trim_end_matches('/');
                let url = if url.ends_with("/v1") { url.to_owned() } else { format!("{url}/v1") };
                providers.insert(name.to_owned(), json!({ "options": { "baseURL": url } }));
            }
        }
        let config = json!({
            "share": "disabled",
            "autoupdate": false,
            "provider": providers,
            // A title would cost a request that no record tells of.
            "agent": { "title": { "disable": true } },
        });
        let quiet = QUIET.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut env: Variables = quiet.collect();
        env.insert("OPENCODE_CONFIG_CONTENT".to_owned(), config.to_string());
        Ok(Launch { args, env, prompt_on_stdin: true, ..Launch::of("opencode") })
    }

    fn reader(&self, _: &Turn<'_>) -> Box<dyn Reader> {
        Box::new(OpenCodeReader::default())
    }

    fn install_hint(&self) -> &'static str {
        "install it with `npm install -g opencode-ai`, or use the opencode agent image"
    }

    /// It keeps them in SQLite: too tangled to be carried, or masked, as files.
    fn store(&self, home: &Path, _: &Variables) -> Option<Store> {
        let exchange = Exchange {
            program: "opencode",
            take_out: |id| ["export", id].map(str::to_owned).into(),
            put_back: |file| ["import", file].map(str::to_owned).into(),
            env: QUIET,
        };
        Some(Store {
            root: home.join(".cloud-code/opencode"),
            is_part: |path, id| matches!(path, [file] if file.strip_suffix(".json") == Some(id)),
            exchange: Some(exchange),
        })
    }
}

#[derive(Default)]
struct OpenCodeReader {
    /// Why the last step ended: `tool-calls` goes on, `stop` is the end.
    reason: Option<String>,
    usage: Option<Usage>,
    turns: u32,
    last_message: Option<String>,
    error: Option<Failure>,
    started: bool,
}

impl Reader for OpenCodeReader {
    fn line(&mut self, line: &str, emit: &mut dyn FnMut(Event)) {
        let Some(record) = fault::record(line, emit) else { return };
        let session = text(&record, "sessionID");
        if !session.is_empty() {
            self.started = true;
            emit(Event::Session(session.to_owned()));
        }
        let part = record.get("part").unwrap_or(&Value::Null);
        match text(&record, "type") {
            "step_start" => {
                self.turns = self.turns.saturating_add(1);
                self.reason = None;
                emit(Event::Turn);
            }
            "text" => {
                let said = text(part, "text").to_owned();
                self.last_message = Some(said.clone());
                emit(Event::Message(said));
            }
            "reasoning" => emit(Event::Thought(text(part, "text").to_owned())),
            "tool_use" => tool(part, emit),
            "step_finish" => {
                self.reason = Some(text(part, "reason").to_owned());
                self.error = None;
                emit(Event::Usage(self.add(part)));
                if self.reason.as_deref() != Some("tool-calls") {
                    emit(Event::Closing);
                }
            }
            "error" => {
                let error = record.get("error").unwrap_or(&Value::Null);
                self.error = Some(failure(error));
            }
            _ => {}
        }
    }

    fn exited(&mut self, code: i32) -> End {
        let known = self.stopped();
        let failure = match (&self.error, self.reason.as_deref()) {
            (Some(failure), _) => Some(failure.clone()),
            (None, Some("stop")) if code == 0 => None,
            (None, Some("stop")) => {
                Some(Failure::last(format!("opencode reported success, but then: {}", tell_exit(code))))
            }
            (None, Some(reason)) if reason != "tool-calls" => {
                Some(Failure::last(format!("opencode: the model stopped because of `{reason}`")))
            }
            // Why, it says on standard error: `Session not found` where the conversation is not there.
            (None, _) if !self.started && code == 1 => Some(Failure {
                kind: FailureKind::SessionLost,
                message: format!("opencode did not start: {}", tell_exit(code)),
            }),
            (None, _) if code == 0 => Some(Failure::last("opencode ended without its closing record")),
            (None, _) => {
                Some(Failure::last(format!("opencode ended without its closing record: {}", tell_exit(code))))
            }
        };
        End { known, failure }
    }

    fn stopped(&mut self) -> Partial {
        Partial {
            summary: self.last_message.clone(),
            usage: self.usage.map(priced),
            turns: (self.turns > 0).then_some(self.turns),
            question: self.last_message.as_deref().and_then(fault::closing_question),
            ..Partial::default()
        }
    }
}

impl OpenCodeReader {
    /// Adds a step's tokens and cost to those so far.
    fn add(&mut self, part: &Value) -> Usage {
        let tokens = part.get("tokens").unwrap_or(&Value::Null);
        let cache = tokens.get("cache").unwrap_or(&Value::Null);
        let cost = part.get("cost").and_then(Value::as_f64).filter(|cost| cost.is_finite() && *cost >= 0.0);
        let usage = self.usage.get_or_insert_default();
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut usage.input_tokens, number(tokens, "input"));
        add(&mut usage.input_tokens, number(cache, "write"));
        add(&mut usage.cached_input_tokens, number(cache, "read"));
        add(&mut usage.output_tokens, number(tokens, "output"));
        add(&mut usage.output_tokens, number(tokens, "reasoning"));
        usage.cost_usd = Some(usage.cost_usd.unwrap_or_default() + cost.unwrap_or_default());
        priced(*usage)
    }
}

/// A model whose price it does not know costs 0 with it: that is no price.
fn priced(usage: Usage) -> Usage {
    let cost_usd = usage.cost_usd.filter(|cost| *cost > 0.0);
    Usage {
        cost_usd,
        priced_by: if cost_usd.is_some() { PricedBy::Cli } else { PricedBy::Unpriced },
        ..usage
    }
}

fn tool(part: &Value, emit: &mut dyn FnMut(Event)) {
    let state = part.get("state").unwrap_or(&Value::Null);
    let input = state.get("input").unwrap_or(&Value::Null);
    let name = text(part, "tool").to_owned();
    if name == "question" {
        emit(Event::Question(fault::in_short(input)));
    }
    emit(Event::ToolCall { name, input: fault::in_short(input) });
    let failed = text(state, "status") == "error";
    let output = text(state, if failed { "error" } else { "output" }).to_owned();
    emit(Event::ToolResult { failed, output });
}

/// `{name, data: {message, statusCode?, isRetryable?}}`.
fn failure(error: &Value) -> Failure {
    let data = error.get("data").unwrap_or(&Value::Null);
    let said = [text(data, "message"), text(error, "message"), text(error, "name")];
    let message = said.into_iter().find(|text| !text.is_empty()).unwrap_or("it does not say why");
    let status = data.get("statusCode").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    // A model that it does not know is such an error too.
    let hint = if text(error, "name") == "UnknownError" { " (is the model's name right?)" } else { "" };
    Failure { kind: fault::kind(status, message), message: format!("opencode: {message}{hint}") }
}

#[cfg(test)]
#[path = "opencode_tests.rs"]
mod tests;
