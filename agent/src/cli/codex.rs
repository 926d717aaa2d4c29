//! `cli: codex`: the program `codex` of the npm package `@openai/codex`, headless.
//!
//! Flags, records and error shapes were taken from runs of version 0.169.0 against a scripted server. It tells its tokens
//! for the whole conversation, those of earlier starts with them, so that what was there before is taken off: it stands
//! in the conversation's own file.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use cloud_code_model::task::{PricedBy, Usage};
use serde_json::Value;

use super::fault::{self, Spoken, number, text};
use super::{
    Cli, End, Event, Failure, FailureKind, Launch, Partial, Reader, Session, Store, Turn, tell_exit,
};
use crate::environment::Variables;

pub(super) struct Codex;

impl Cli for Codex {
    fn launch(&self, turn: &Turn<'_>) -> Result<Launch, String> {
        // Its own sandbox needs rights that a container does not give: the container is the sandbox.
        let mut args: Vec<String> =
            ["exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
                .map(str::to_owned)
                .into();
        let mut option = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        option("-c", "check_for_update_on_startup=false");
        option("-c", "analytics.enabled=false");
        if let Some(url) = turn.variable("OPENAI_BASE_URL") {
            // It has no variable for this: another server is another provider.
            let url = Value::from(url.trim_end_matches('/'));
            let provider = format!(
                "model_providers.cc={{name=\"cc\",base_url={url},env_key=\"CODEX_API_KEY\",wire_api=\"responses\",supports_websockets=false}}"
            );
            option("-c", "model_provider=cc");
            option("-c", &provider);
        }
        if let Some(model) = &turn.step.model {
            option("-m", model);
        }
        args.extend(turn.step.args.iter().cloned());
        if let Session::Resume(id) = turn.session {
            args.extend(["resume".to_owned(), id.clone()]);
        }
        args.push("-".to_owned());
        let mut env = Variables::new();
        // Its own key goes before the one that other CLIs take, too.
        if let Some(key) = turn.variable("CODEX_API_KEY").or_else(|| turn.variable("OPENAI_API_KEY")) {
            env.insert("CODEX_API_KEY".to_owned(), key.to_owned());
        }
        Ok(Launch { args, env, prompt_on_stdin: true, ..Launch::of("codex") })
    }

    fn reader(&self, turn: &Turn<'_>) -> Box<dyn Reader> {
        let home = codex_home(turn.home, turn.variables);
        let before = match turn.session {
            Session::New(_) => Tokens::default(),
            Session::Resume(id) => recorded(&home, id).unwrap_or_default(),
        };
        Box::new(CodexReader { home, before, ..CodexReader::default() })
    }

    fn install_hint(&self) -> &'static str {
        "install it with `npm install -g @openai/codex`, or use the codex agent image"
    }

    fn store(&self, home: &Path, variables: &Variables) -> Option<Store> {
        let is_part = |path: &[&str], id: &str| {
            let ours = |file: &str| {
                file.strip_suffix(".jsonl").is_some_and(|name| name.ends_with(&format!("-{id}")))
            };
            matches!(path, ["sessions", _, _, _, file] if ours(file))
        };
        Some(Store { root: codex_home(home, variables), is_part, exchange: None })
    }
}

/// Where it keeps its settings and conversations.
fn codex_home(home: &Path, variables: &Variables) -> PathBuf {
    super::set(variables, "CODEX_HOME").map_or_else(|| home.join(".codex"), PathBuf::from)
}

#[derive(Default)]
struct CodexReader {
    home: PathBuf,
    /// Tokens of the conversation before this start.
    before: Tokens,
    thread: Option<String>,
    total: Option<Tokens>,
    completed: bool,
    failed: Option<String>,
    last_error: Option<String>,
    last_message: Option<String>,
    spoken: Spoken,
}

/// Tokens as it counts them: those from the cache are part of the input, thoughts are part of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Tokens {
    input: u64,
    cached: u64,
    output: u64,
}

impl Tokens {
    fn read(usage: &Value) -> Tokens {
        Tokens {
            input: number(usage, "input_tokens"),
            cached: number(usage, "cached_input_tokens"),
            output: number(usage, "output_tokens"),
        }
    }

    fn since(self, before: Tokens) -> Usage {
        let input = self.input.saturating_sub(before.input);
        let cached = self.cached.saturating_sub(before.cached).min(input);
        Usage {
            input_tokens: input - cached,
            cached_input_tokens: cached,
            output_tokens: self.output.saturating_sub(before.output),
            cost_usd: None,
            priced_by: PricedBy::Unpriced,
        }
    }
}

impl Reader for CodexReader {
    fn line(&mut self, line: &str, emit: &mut dyn FnMut(Event)) {
        let Some(record) = fault::record(line, emit) else { return };
        match text(&record, "type") {
            "thread.started" => {
                let id = text(&record, "thread_id").to_owned();
                self.thread = Some(id.clone());
                emit(Event::Session(id));
            }
            "item.started" | "item.completed" => {
                let begins = text(&record, "type") == "item.started";
                if let Some(item) = record.get("item") {
                    self.item(item, begins, emit);
                }
            }
            "error" => {
                let message = text(&record, "message").to_owned();
                if message.starts_with("Reconnecting") {
                    emit(Event::Retry { reason: message });
                } else {
                    self.last_error = Some(message);
                }
            }
            "turn.completed" => {
                if let Some(usage) = record.get("usage") {
                    let total = Tokens::read(usage);
                    self.total = Some(total);
                    emit(Event::Usage(total.since(self.before)));
                }
                self.completed = true;
                emit(Event::Closing);
            }
            "turn.failed" => {
                let error = record.get("error").unwrap_or(&Value::Null);
                self.failed = Some(text(error, "message").to_owned());
                emit(Event::Closing);
            }
            _ => {}
        }
    }

    fn exited(&mut self, code: i32) -> End {
        let known = self.stopped();
        let told = self.failed.clone().or_else(|| self.last_error.clone().filter(|_| !self.completed));
        let failure = match told {
            Some(message) => {
                Some(Failure { kind: fault::kind(None, &message), message: format!("codex: {message}") })
            }
            None if self.completed && code == 0 => None,
            None if self.completed => {
                Some(Failure::last(format!("codex reported success, but then: {}", tell_exit(code))))
            }
            None if code == 0 => Some(Failure::last("codex ended without its closing record")),
            // Why, it says on standard error: `no rollout found for thread id …` where the conversation is not there.
            None if self.thread.is_none() && code == 1 => Some(Failure {
                kind: FailureKind::SessionLost,
                message: format!("codex did not start: {}", tell_exit(code)),
            }),
            None => {
                Some(Failure::last(format!("codex ended without its closing record: {}", tell_exit(code))))
            }
        };
        End { known, failure }
    }

    fn stopped(&mut self) -> Partial {
        // A start that failed or was stopped says nothing of its tokens; the conversation's file does.
        let thread = self.thread.as_deref();
        let total = self.total.or_else(|| recorded(&self.home, thread?));
        Partial {
            summary: self.last_message.clone(),
            usage: total.map(|total| total.since(self.before)),
            turns: self.spoken.known(),
            question: self.last_message.as_deref().and_then(fault::closing_question),
            ..Partial::default()
        }
    }
}

impl CodexReader {
    fn item(&mut self, item: &Value, begins: bool, emit: &mut dyn FnMut(Event)) {
        let kind = text(item, "type");
        let tool = matches!(kind, "command_execution" | "file_change" | "mcp_tool_call" | "web_search");
        if matches!(kind, "agent_message" | "reasoning") || (begins && tool) {
            self.speak(emit);
        }
        let failed = text(item, "status") == "failed";
        match (kind, begins) {
            ("agent_message", false) => {
                let said = text(item, "text").to_owned();
                self.last_message = Some(said.clone());
                emit(Event::Message(said));
            }
            ("reasoning", false) => emit(Event::Thought(text(item, "text").to_owned())),
            ("command_execution", true) => {
                emit(Event::ToolCall { name: "command".to_owned(), input: text(item, "command").to_owned() });
            }
            ("command_execution", false) => {
                let output = text(item, "aggregated_output").to_owned();
                emit(Event::ToolResult { failed, output });
            }
            ("file_change", true) => {
                let changes = item.get("changes").and_then(Value::as_array);
                let changes = changes.map(Vec::as_slice).unwrap_or_default().iter();
                let paths: Vec<String> = changes
                    .map(|change| format!("{} {}", text(change, "kind"), text(change, "path")))
                    .collect();
                emit(Event::ToolCall { name: "files".to_owned(), input: paths.join(", ") });
            }
            ("mcp_tool_call", true) => {
                let name = format!("{}.{}", text(item, "server"), text(item, "tool"));
                let input = item.get("arguments").map(fault::in_short).unwrap_or_default();
                emit(Event::ToolCall { name, input });
            }
            ("web_search", true) => {
                emit(Event::ToolCall {
                    name: "web search".to_owned(),
                    input: text(item, "query").to_owned(),
                });
            }
            ("file_change" | "mcp_tool_call", false) => {
                emit(Event::ToolResult { failed, output: text(item, "status").to_owned() });
            }
            // Warnings, such as that a model is not known to it.
            ("error", false) => emit(Event::Message(text(item, "message").to_owned())),
            _ => {}
        }
        if tool && !begins {
            self.spoken.answered();
        }
    }

    fn speak(&mut self, emit: &mut dyn FnMut(Event)) {
        if self.spoken.said() {
            emit(Event::Turn);
        }
    }
}

/// What a conversation has used so far, from its own file: `sessions/YEAR/MONTH/DAY/rollout-TIME-ID.jsonl`.
fn recorded(home: &Path, thread: &str) -> Option<Tokens> {
    let ending = format!("-{thread}.jsonl");
    let mut folders = vec![(home.join("sessions"), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let name = entry.file_name();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth < 3 {
                folders.push((entry.path(), depth + 1));
            } else if !is_folder && name.to_string_lossy().ends_with(&ending) {
                let lines = BufReader::new(File::open(entry.path()).ok()?).lines().map_while(Result::ok);
                let counts = lines.filter(|line| line.contains("\"token_count\"")).filter_map(|line| {
                    let record: Value = serde_json::from_str(&line).ok()?;
                    record.pointer("/payload/info/total_token_usage").map(Tokens::read)
                });
                return counts.last();
            }
        }
    }
    None
}

#[cfg(test)]
#[path = "codex_tests.rs"]
mod tests;
