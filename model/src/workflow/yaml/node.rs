//! The tree.

use crate::expression;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A place in a file: line and column from 1; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

impl Position {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Whether it is where a file begins.
    pub fn is_start(&self) -> bool {
        *self == Self::START
    }
}

impl Default for Position {
    fn default() -> Self {
        Self::START
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// Tells nodes of one document apart; an alias has the id of what it stands for.
pub type NodeId = usize;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Which node of its document this is.
    pub id: NodeId,
    /// Where it begins; for an alias, where the value that it stands for begins.
    pub at: Position,
    /// What it is.
    pub value: Value,
    /// Where a scalar stands in the source, in bytes.
    pub(super) source: std::ops::Range<usize>,
    /// Nodes in it, itself counted, aliases counted as what they stand for.
    pub(super) size: usize,
    /// Levels of collections in it: 0 for a scalar.
    pub(super) height: usize,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list. An alias shares what it stands for.
    List(Vec<Arc<Node>>),
    /// A mapping, in the order of the file; a key may stand twice.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Arc<Node>,
    /// The value.
    pub value: Arc<Node>,
}

impl Node {
    /// A scalar as text, as GitHub turns it into text: nothing for null, numbers with at most 15 digits. None for a collection.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            Value::Null => Some(String::new()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) => Some(expression::Value::Number(*number).to_display_string().to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text, where it is text and nothing else.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether an expression stands in it, so that its value is known only when it runs.
    pub fn has_expression(&self) -> bool {
        self.as_str().is_some_and(|text| text.contains("${{"))
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Scalars and collections in it, itself counted, what aliases bring as often as they bring it.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Arc<Node>] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The value under `key`, as it is written.
    pub fn get(&self, key: &str) -> Option<&Arc<Node>> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of `key`, as it is written.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.as_str() == Some(key))
    }

    /// The items of a list, or the node itself where it is a scalar: `needs: a` is `needs: [a]`. None for null.
    pub fn one_or_many(self: &Arc<Self>) -> Vec<Arc<Node>> {
        match &self.value {
            Value::List(items) => items.clone(),
            Value::Null | Value::Map(_) => Vec::new(),
            _ => vec![Arc::clone(self)],
        }
    }

    /// What kind of value it is, in words.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The value as JSON; numbers that JSON does not have are null. Of a key that stands twice the last counts.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => {
                (*number as i64).into()
            }
            Value::Number(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(|item| item.to_json()).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.text().unwrap_or_default(), entry.value.to_json()))
                .collect(),
        }
    }
}
