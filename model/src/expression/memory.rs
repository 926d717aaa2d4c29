//! How much an evaluation may hold at once, counted as GitHub does (`EvaluationMemory`, `MemoryCounter` of github.com/actions/runner):
//! two bytes a UTF-16 unit and a little for each value. What deeper levels held is given back when a level's result is known to be all that is
//! left of them.

use super::error::utf16_len;
use super::value::Value;

/// The most bytes that an expression by itself may hold while it is evaluated: 1 MiB.
pub const EXPRESSION_MEMORY: usize = 1024 * 1024;
/// The most bytes that the value of a key in a workflow (a template or a condition) may hold while it is evaluated: 10 MiB.
pub const TEMPLATE_MEMORY: usize = 10 * 1024 * 1024;
const OBJECT_BYTES: usize = 24;
const STRING_BYTES: usize = 26;
/// A reference to an item, in an array made by `*`.
pub(super) const ITEM_BYTES: usize = 8;

/// The limit was passed.
#[derive(Debug)]
pub(super) struct Exceeded;

/// The bytes of a string.
pub(super) fn string_bytes(text: &str) -> usize {
    STRING_BYTES + utf16_len(text) * 2
}

/// The bytes of a value by itself; what an array or object refers to does not count.
pub(super) fn value_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => string_bytes(text),
        _ => OBJECT_BYTES,
    }
}

/// Bytes that one function collects while it builds its result.
pub(super) struct Counter {
    bytes: usize,
    limit: usize,
}

impl Counter {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: 0, limit }
    }

    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limit { Err(Exceeded) } else { Ok(()) }
    }

    pub(super) fn add_string(&mut self, text: &str) -> Result<(), Exceeded> {
        self.add(string_bytes(text))
    }
}

/// Bytes that the whole evaluation holds, by level of the tree.
pub(super) struct Memory {
    levels: Vec<usize>,
    total: usize,
    limit: usize,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self { levels: Vec::new(), total: 0, limit }
    }

    /// An empty counter with the same limit.
    pub(super) fn counter(&self) -> Counter {
        Counter::new(self.limit)
    }

    /// Counts the result of a node at `level`. `complete` says that the result refers to nothing that deeper levels made.
    pub(super) fn add(&mut self, level: usize, bytes: usize, complete: bool) -> Result<(), Exceeded> {
        if complete {
            let deeper = self.levels.split_off(self.levels.len().min(level + 1));
            self.total -= deeper.into_iter().sum::<usize>();
        }
        if self.levels.len() <= level {
            self.levels.resize(level + 1, 0);
        }
        if let Some(held) = self.levels.get_mut(level) {
            *held += bytes;
        }
        self.total += bytes;
        if self.total > self.limit { Err(Exceeded) } else { Ok(()) }
    }
}

/// The text of the error for an expression that passes the limit.
pub(super) fn exceeded(source: &str) -> String {
    format!(
        "The maximum allowed memory size was exceeded while evaluating the following expression: {source}"
    )
}
