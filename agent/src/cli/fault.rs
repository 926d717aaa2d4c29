//! What can be read out of a CLI's words: its records, which errors may pass, which answers are questions, how often the LLM spoke.

use serde_json::Value;

use super::{Event, FailureKind};
use cloud_code_model::task::shorten;

/// Errors that come back however often one asks, although their status says that they may pass.
const SPENT: [&str; 5] =
    ["insufficient_quota", "current quota", "quota exceeded", "credit balance", "billing"];

/// Errors without a status: nobody answered, or the answer broke off.
const BROKEN: [&str; 14] = [
    "overloaded",
    "rate limit",
    "ratelimit",
    "timed out",
    "timeout",
    "disconnected",
    "connection",
    "connect error",
    "terminated",
    "fetch failed",
    "error sending request",
    "econn",
    "socket",
    "network error",
];

/// The record on a line of a CLI that prints one JSON value a line. What it prints besides, as some do now and then, is passed on as its
/// words, and is no record.
pub(super) fn record(line: &str, emit: &mut dyn FnMut(Event)) -> Option<Value> {
    let record = serde_json::from_str(line).ok();
    if record.is_none() && !line.trim().is_empty() {
        emit(Event::Message(line.to_owned()));
    }
    record
}

/// Can an error pass? `status` is the HTTP status, where the CLI gives it apart from the text.
pub(super) fn kind(status: Option<u16>, message: &str) -> FailureKind {
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match status.or_else(|| status_in(&message)) {
        _ if has(&SPENT) => FailureKind::Final,
        Some(408 | 429 | 500..=599) => FailureKind::Heals,
        Some(_) => FailureKind::Final,
        None if has(&BROKEN) => FailureKind::Heals,
        None => FailureKind::Final,
    }
}

/// The HTTP status in an error's text: a number from 400 to 599 soon after a word such as `status` or `code`.
fn status_in(message: &str) -> Option<u16> {
    let words: Vec<&str> = message
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    words.iter().enumerate().find_map(|(at, word)| {
        let status = word.parse().ok().filter(|status| (400..=599).contains(status) && word.len() == 3)?;
        let before = &words[at.saturating_sub(3)..at];
        let told = ["status", "code", "error", "http"].iter().any(|known| before.contains(known));
        told.then_some(status)
    })
}

/// An answer that ends in a question, for CLIs that have no tool to ask with. It matters only where nothing was changed.
pub(super) fn closing_question(text: &str) -> Option<String> {
    let last = text.trim().rsplit("\n\n").next()?.trim();
    last.ends_with('?').then(|| shorten(last, 4000))
}

/// Counts how often the LLM spoke, where a CLI tells only what it said: all that comes before a tool's result is one answer.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    pub(super) count: u32,
    speaking: bool,
}

impl Spoken {
    /// It said something, or used a tool. Is that a new answer?
    pub(super) fn said(&mut self) -> bool {
        let new = !self.speaking;
        self.speaking = true;
        self.count = self.count.saturating_add(u32::from(new));
        new
    }

    /// A tool answered.
    pub(super) fn answered(&mut self) {
        self.speaking = false;
    }

    pub(super) fn known(&self) -> Option<u32> {
        (self.count > 0).then_some(self.count)
    }
}

/// A field's text, empty where there is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A field's number, 0 where there is none.
pub(super) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// The one input of a tool that says most: a command, a path, a pattern; else all of it.
pub(super) fn in_short(input: &Value) -> String {
    let telling =
        ["command", "cmd", "file_path", "filePath", "path", "pattern", "url", "query", "description"];
    let text = telling.into_iter().find_map(|name| input.get(name).and_then(Value::as_str));
    shorten(&text.map_or_else(|| input.to_string(), str::to_owned), 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_errors_may_pass() {
        let check = |status: Option<u16>, message: &str, expected: FailureKind| {
            assert_eq!(kind(status, message), expected, "{status:?} {message}");
        };
        let (heals, last) = (FailureKind::Heals, FailureKind::Final);
        check(Some(429), "", heals);
        check(Some(529), "Overloaded", heals);
        check(Some(401), "connection", last);
        check(Some(429), "You exceeded your current quota, please check your plan and billing details", last);
        check(None, "exceeded retry limit, last status: 429 Too Many Requests", heals);
        check(None, "unexpected status 401 Unauthorized: no, url: http://h:503/v1", last);
        check(None, r#"[API Error: {"error":{"code":503,"message":"x"}}]"#, heals);
        check(None, "stream disconnected before completion: Transport error", heals);
        check(None, "[API Error: terminated]", heals);
        check(None, "litellm.RateLimitError: no", heals);
        check(None, "The model m does not exist", last);
        check(None, "no such thing in line 503", last);
        check(None, "", last);
    }

    #[test]
    fn answers_that_ask() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(closing_question(text).as_deref(), expected, "{text}");
        };
        check("Done.\n\nWhich of the two do you want?\n", Some("Which of the two do you want?"));
        check("Why? Because.", None);
        check("Is it so?\n\nIt is.", None);
        check("", None);
    }
}
