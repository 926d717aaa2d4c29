//! What the scripted LLM says, turn by turn.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tools;
use super::wire::Asked;

/// Tokens that a turn says it has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from the cache.
    pub cache_read_input_tokens: u64,
    /// Tokens written to the cache.
    pub cache_creation_input_tokens: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            input_tokens: 1_000,
            output_tokens: 100,
            cache_read_input_tokens: 0,
            cache_creation_input_tokens: 0,
        }
    }
}

/// One turn of a script: something said, or something that goes wrong before the next thing is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Says a text and ends.
    Text {
        /// What is said.
        text: String,
        /// What it cost.
        #[serde(default)]
        usage: Usage,
    },
    /// Calls a tool of the program, and goes on when it has the result.
    ToolUse {
        /// The tool's name, such as `Bash` or `Write`.
        name: String,
        /// Its input.
        input: Value,
        /// What it cost.
        #[serde(default)]
        usage: Usage,
    },
    /// 429 with `retry-after`.
    RateLimited {
        /// The header's value, in seconds.
        retry_after: u64,
    },
    /// 529 from Anthropic, 503 from the others: the service is overloaded.
    Overloaded,
    /// 401, as for a bad key.
    Unauthorized,
    /// Any other status, with an error body.
    Status {
        /// The HTTP status.
        status: u16,
        /// The error's message.
        message: String,
    },
    /// Breaks off in the middle of the next turn.
    DropStream,
    /// Says nothing for this long, then closes the connection.
    Hang {
        /// How long.
        seconds: u64,
    },
}

impl Turn {
    /// Says a text, at the usual cost.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), usage: Usage::default() }
    }

    /// Calls a tool, at the usual cost.
    #[must_use]
    pub fn tool(name: impl Into<String>, input: Value) -> Self {
        Self::ToolUse { name: name.into(), input, usage: Usage::default() }
    }

    /// Runs a command line with claude-code's `Bash` tool; other programs hear their own tool's name.
    #[must_use]
    pub fn bash(command: &str) -> Self {
        Self::tool("Bash", serde_json::json!({ "command": command, "description": "Run a command" }))
    }

    /// Writes a file with claude-code's `Write` tool, which wants an absolute path; other programs hear their own tool's
    /// name, and aider, which has no tools, wants a path in the repository.
    #[must_use]
    pub fn write(path: &str, content: &str) -> Self {
        Self::tool("Write", serde_json::json!({ "file_path": path, "content": content }))
    }

    /// The same with other costs; faults cost nothing.
    #[must_use]
    pub fn costing(mut self, cost: Usage) -> Self {
        if let Self::Text { usage, .. } | Self::ToolUse { usage, .. } = &mut self {
            *usage = cost;
        }
        self
    }

    pub(super) fn says_something(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::ToolUse { .. })
    }
}

/// A script for the conversations that it is meant for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// Only conversations whose first prompt has this text in it; None: all.
    #[serde(default)]
    pub when: Option<String>,
    /// The turns; after the last one, `Done.` is said.
    pub turns: Vec<Turn>,
}

/// What is due in a conversation in which the LLM has spoken `spoken` times, with what it will say after a fault.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Due {
    /// Index in the script; None past its end.
    pub(super) index: Option<usize>,
    pub(super) turn: Turn,
    pub(super) next_text: Turn,
}

impl Due {
    /// The harmless answer to a side request.
    pub(super) fn beside() -> Self {
        Self { index: None, next_text: Turn::text("Work"), turn: Turn::text("Work") }
    }

    /// The same, said with the tools of the program that asks.
    pub(super) fn fitted(self, asked: &Asked) -> Self {
        let (turn, next_text) = (tools::fit(&self.turn, asked), tools::fit(&self.next_text, asked));
        Self { turn, next_text, ..self }
    }
}

impl Script {
    /// Finds the turn; `seen` says which faults (by index) this conversation has had.
    pub(super) fn due(&self, spoken: usize, seen: impl Fn(usize) -> bool) -> Due {
        let said: Vec<_> = self
            .turns
            .iter()
            .enumerate()
            .filter(|(_, turn)| turn.says_something())
            .map(|(at, _)| at)
            .collect();
        let position = said.get(spoken).copied().unwrap_or(self.turns.len());
        let first = match spoken {
            0 => 0,
            _ => said.get(spoken - 1).map_or(self.turns.len(), |at| at + 1),
        };
        let next_text = self.turns.get(position).cloned().unwrap_or_else(|| Turn::text("Done."));
        let fault = (first..position).find(|index| !seen(*index));
        match fault {
            Some(index) => Due { index: Some(index), turn: self.turns[index].clone(), next_text },
            None => Due {
                index: (position < self.turns.len()).then_some(position),
                turn: next_text.clone(),
                next_text,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_found_by_how_far_the_conversation_is() {
        let script = Script {
            when: None,
            turns: vec![
                Turn::Overloaded,
                Turn::bash("ls"),
                Turn::RateLimited { retry_after: 1 },
                Turn::Overloaded,
                Turn::text("end"),
            ],
        };
        let check = |spoken: usize, seen: &[usize], index: Option<usize>| {
            assert_eq!(script.due(spoken, |at| seen.contains(&at)).index, index, "{spoken} {seen:?}");
        };
        check(0, &[], Some(0));
        check(0, &[0], Some(1));
        check(1, &[0], Some(2));
        check(1, &[0, 2], Some(3));
        check(1, &[0, 2, 3], Some(4));
        check(2, &[], None);
    }

    #[test]
    fn scripts_are_read_from_json() {
        let text = r#"{"turns": [{"text": {"text": "hi"}}, "overloaded", {"hang": {"seconds": 3}},
            {"tool_use": {"name": "Bash", "input": {"command": "ls"}, "usage": {"output_tokens": 5}}}]}"#;
        let script: Script = serde_json::from_str(text).unwrap_or_default();
        assert_eq!(script.turns.len(), 4);
        assert_eq!(script.turns[0], Turn::text("hi"));
        let cost = Usage { output_tokens: 5, ..Usage::default() };
        assert_eq!(script.turns[3], Turn::tool("Bash", serde_json::json!({ "command": "ls" })).costing(cost));
    }
}
