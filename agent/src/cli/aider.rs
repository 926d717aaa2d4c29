//! `cli: aider`: the program `aider` of the Python package `aider-chat`, headless.
//!
//! Flags, words and error shapes were taken from runs of version 0.86.2 against a scripted server. It exits with 0
//! whatever happens, and prints text for people: what happened stands in its analytics log, which it writes for us alone.
//! It has no session ids; a conversation is a history file under the id that we give it.

use std::fs;
use std::path::{Path, PathBuf};

use cloud_code_model::task::{PricedBy, Usage};
use serde_json::Value;

use super::fault::{self, number, text};
use super::{
    Cli, End, Event, Failure, FailureKind, Launch, Partial, Reader, Session, Store, Turn, tell_exit,
};
use crate::environment::Variables;

pub(super) struct Aider;

/// Where its conversations lie, below the home.
const HISTORIES: &str = ".cloud-code/aider";

/// Where one conversation and one start have their files.
struct Files {
    history: PathBuf,
    inputs: PathBuf,
    log: PathBuf,
}

impl Files {
    fn of(turn: &Turn<'_>) -> Files {
        let (Session::New(id) | Session::Resume(id)) = turn.session;
        // The id may be a stranger's: it must not lead elsewhere.
        let id: String =
            id.chars().map(|part| if part.is_ascii_alphanumeric() { part } else { '-' }).collect();
        Files {
            history: turn.home.join(HISTORIES).join(format!("{id}.md")),
            inputs: turn.folder().join("aider-inputs.txt"),
            log: turn.folder().join("aider-log.jsonl"),
        }
    }
}

impl Cli for Aider {
    fn launch(&self, turn: &Turn<'_>) -> Result<Launch, String> {
        let files = Files::of(turn);
        let mut args: Vec<String> = [
            "--yes-always",
            "--no-stream",
            "--no-pretty",
            "--no-fancy-input",
            "--no-check-update",
            "--no-show-release-notes",
            "--no-show-model-warnings",
            "--no-detect-urls",
            "--no-suggest-shell-commands",
            "--no-gitignore",
            "--no-analytics",
            // The agent commits.
            "--no-auto-commits",
            "--no-dirty-commits",
        ]
        .map(str::to_owned)
        .into();
        let mut option = |name: &str, value: String| args.extend([name.to_owned(), value]);
        option("--message-file", turn.prompt_file.display().to_string());
        option("--analytics-log", files.log.display().to_string());
        option("--chat-history-file", files.history.display().to_string());
        option("--input-history-file", files.inputs.display().to_string());
        if let Some(model) = &turn.step.model {
            option("--model", model.clone());
        }
        let known = fs::exists(&files.history).unwrap_or(false);
        if known {
            args.push("--restore-chat-history".to_owned());
        }
        args.extend(turn.step.args.iter().cloned());
        let mut env = Variables::from([
            // Prices come with it; it need not look on the internet at each start.
            ("LITELLM_LOCAL_MODEL_COST_MAP".to_owned(), "True".to_owned()),
            // It breaks lines where it takes a terminal's edge to be.
            ("COLUMNS".to_owned(), "2000".to_owned()),
        ]);
        for (ours, its) in
            [("OPENAI_BASE_URL", "OPENAI_API_BASE"), ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE")]
        {
            if let Some(url) = turn.variable(ours) {
                env.insert(its.to_owned(), url.to_owned());
            }
        }
        // The log is of this start alone. The cache must not be empty, or it is fetched again and again.
        let mut written = vec![
            (files.log, String::new()),
            (turn.home.join(".aider/caches/model_prices_and_context_window.json"), "{\"-\":{}}".to_owned()),
        ];
        if !known {
            // Its folder has to be there.
            written.push((files.history, String::new()));
        }
        Ok(Launch { args, env, files: written, ..Launch::of("aider") })
    }

    fn reader(&self, turn: &Turn<'_>) -> Box<dyn Reader> {
        let files = Files::of(turn);
        let (Session::New(id) | Session::Resume(id)) = turn.session;
        let said = fs::metadata(&files.history).map_or(0, |data| data.len());
        let lost = matches!(turn.session, Session::Resume(_)) && said == 0;
        Box::new(AiderReader { files, session: Some(id.clone()), said, lost, ..AiderReader::default() })
    }

    fn install_hint(&self) -> &'static str {
        "install it with `pip install aider-chat`, or use the aider agent image"
    }

    fn store(&self, home: &Path, _: &Variables) -> Option<Store> {
        let is_part =
            |path: &[&str], id: &str| matches!(path, [file] if file.strip_suffix(".md") == Some(id));
        Some(Store { root: home.join(HISTORIES), is_part, exchange: None })
    }
}

impl Default for Files {
    fn default() -> Files {
        Files { history: PathBuf::new(), inputs: PathBuf::new(), log: PathBuf::new() }
    }
}

#[derive(Default)]
struct AiderReader {
    files: Files,
    /// Told with the first line.
    session: Option<String>,
    /// Bytes of the history that are from before.
    said: u64,
    lost: bool,
    model: Option<String>,
    error: Option<String>,
    empty: bool,
}

/// What the analytics log says of one start.
#[derive(Debug, Default, PartialEq)]
struct Logged {
    begun: u32,
    answered: u32,
    exited: bool,
    usage: Option<Usage>,
}

impl Reader for AiderReader {
    fn line(&mut self, line: &str, emit: &mut dyn FnMut(Event)) {
        if let Some(id) = self.session.take() {
            emit(Event::Session(id));
            if self.lost {
                emit(Event::Message("the earlier conversation is not here: a new one is begun".to_owned()));
            }
        }
        if line.trim().is_empty() {
            return;
        }
        if let Some(model) = line.strip_prefix("Main model: ") {
            self.model = model.split_whitespace().next().map(str::to_owned);
        }
        if line.contains("litellm.") && line.contains("Error") {
            self.error = Some(line.trim().to_owned());
        } else if line.starts_with("Retrying in ") {
            emit(Event::Retry { reason: self.error.clone().unwrap_or_default() });
        } else if line.starts_with("Empty response received from LLM") {
            self.empty = true;
        } else if line.starts_with("Tokens: ") {
            self.error = None;
            emit(Event::Turn);
        }
        emit(Event::Message(line.to_owned()));
    }

    fn exited(&mut self, code: i32) -> End {
        let known = self.stopped();
        let logged = self.logged();
        let failure = match &self.error {
            _ if code != 0 => Some(Failure::last(format!("aider failed: {}", tell_exit(code)))),
            Some(error) => {
                Some(Failure { kind: fault::kind(None, error), message: format!("aider: {error}") })
            }
            None if self.empty => Some(Failure {
                kind: FailureKind::Heals,
                message: "aider: the model's answer was empty".to_owned(),
            }),
            None if logged.answered == 0 || logged.answered < logged.begun => {
                Some(Failure::last("aider ended without an answer of the model"))
            }
            None if !logged.exited => Some(Failure::last("aider ended without its closing record")),
            None => None,
        };
        End { known, failure }
    }

    fn stopped(&mut self) -> Partial {
        let logged = self.logged();
        let summary = self.answer();
        Partial {
            question: summary.as_deref().and_then(fault::closing_question),
            summary,
            usage: logged.usage,
            turns: (logged.answered > 0).then_some(logged.answered),
            model: self.model.clone(),
        }
    }
}

impl AiderReader {
    fn logged(&self) -> Logged {
        read_log(&fs::read_to_string(&self.files.log).unwrap_or_default())
    }

    /// What the model said last, from the history: lines of aider's own begin with `>`, the user's with `####`.
    fn answer(&self) -> Option<String> {
        let history = fs::read_to_string(&self.files.history).ok()?;
        let new = history.get(usize::try_from(self.said).ok()?..)?;
        let after = new.lines().rev().take_while(|line| !line.starts_with("#### "));
        let mut lines: Vec<&str> = after.filter(|line| !line.starts_with("> ")).collect();
        lines.reverse();
        let said = lines.join("\n").trim().to_owned();
        let prompted = new.lines().any(|line| line.starts_with("#### "));
        Some(said).filter(|said| prompted && !said.is_empty())
    }
}

/// `{event, properties}` a line.
fn read_log(log: &str) -> Logged {
    let mut logged = Logged::default();
    for record in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let properties = record.get("properties").unwrap_or(&Value::Null);
        match text(&record, "event") {
            "message_send_starting" => logged.begun += 1,
            "message_send" => {
                logged.answered += 1;
                let cost = properties.get("cost").and_then(Value::as_f64).unwrap_or_default();
                let usage = logged.usage.get_or_insert_default();
                usage.input_tokens = usage.input_tokens.saturating_add(number(properties, "prompt_tokens"));
                usage.output_tokens =
                    usage.output_tokens.saturating_add(number(properties, "completion_tokens"));
                // A model whose price it does not know costs 0 with it: that is no price.
                if cost.is_finite() && cost > 0.0 {
                    usage.cost_usd = Some(usage.cost_usd.unwrap_or_default() + cost);
                    usage.priced_by = PricedBy::Cli;
                }
            }
            "exit" => logged.exited = true,
            _ => {}
        }
    }
    logged
}

#[cfg(test)]
#[path = "aider_tests.rs"]
mod tests;
