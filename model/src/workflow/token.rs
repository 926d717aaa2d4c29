//! A value of a workflow file as it is written, expressions and all, with its place: what is kept of a file until the moment when its
//! expressions can be evaluated.

use super::yaml::{Node, Position, Value as Yaml};
use crate::expression::template::Template;
use crate::expression::{Array, Contexts, Host, Object, Value};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A value and where it stands.
///
/// As JSON it is `[line, column, value]`: many are stored with each run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "(usize, usize, TokenValue)", into = "(usize, usize, TokenValue)")]
pub struct Token {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub value: TokenValue,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TokenValue {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Text, which may hold expressions.
    Text(String),
    /// A list.
    List(Vec<Token>),
    /// A mapping. A key may hold expressions too.
    Map(IndexMap<String, Token>),
}

impl From<(usize, usize, TokenValue)> for Token {
    fn from((line, column, value): (usize, usize, TokenValue)) -> Self {
        Self { at: Position { line, column }, value }
    }
}

impl From<Token> for (usize, usize, TokenValue) {
    fn from(token: Token) -> Self {
        (token.at.line, token.at.column, token.value)
    }
}

/// Why a value can't be had: what a user wrote, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct PlanError {
    /// Where the value begins.
    pub at: Position,
    /// What is wrong.
    pub message: String,
}

impl Token {
    /// What a node says.
    pub fn of(node: &Node) -> Self {
        let value = match &node.value {
            Yaml::Null => TokenValue::Null,
            Yaml::Bool(flag) => TokenValue::Bool(*flag),
            Yaml::Number(number) => TokenValue::Number(*number),
            Yaml::Text(text) => TokenValue::Text(text.clone()),
            Yaml::List(items) => TokenValue::List(items.iter().map(|item| Self::of(item)).collect()),
            Yaml::Map(entries) => TokenValue::Map(
                entries
                    .iter()
                    .map(|entry| (entry.key.text().unwrap_or_default(), Self::of(&entry.value)))
                    .collect(),
            ),
        };
        Self { at: node.at, value }
    }

    /// The text of a scalar, as it is written.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            TokenValue::Null => Some(String::new()),
            TokenValue::Bool(flag) => Some(flag.to_string()),
            TokenValue::Number(number) => Some(Value::Number(*number).to_display_string().to_string()),
            TokenValue::Text(text) => Some(text.clone()),
            TokenValue::List(_) | TokenValue::Map(_) => None,
        }
    }

    /// The value under a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            TokenValue::Map(entries) => entries.get(key),
            _ => None,
        }
    }

    /// Whether an expression stands in it or below it.
    pub fn has_expression(&self) -> bool {
        match &self.value {
            TokenValue::Text(text) => text.contains("${{"),
            TokenValue::List(items) => items.iter().any(Self::has_expression),
            TokenValue::Map(entries) => {
                entries.iter().any(|(key, value)| key.contains("${{") || value.has_expression())
            }
            _ => false,
        }
    }

    /// An error at this place.
    pub fn error(&self, message: impl Into<String>) -> PlanError {
        PlanError { at: self.at, message: message.into() }
    }

    /// The value with every expression evaluated. `${{ insert }}: …` brings the entries of the mapping that its value gives.
    ///
    /// # Errors
    /// The first expression that can't be evaluated, or an `insert` of what is no mapping.
    pub fn evaluate(&self, contexts: &Contexts, host: &dyn Host) -> Result<Value, PlanError> {
        Ok(match &self.value {
            TokenValue::Null => Value::Null,
            TokenValue::Bool(flag) => Value::Bool(*flag),
            TokenValue::Number(number) => Value::Number(*number),
            TokenValue::Text(text) => self.evaluate_text(text, contexts, host)?,
            TokenValue::List(items) => {
                let values: Result<Vec<_>, _> =
                    items.iter().map(|item| item.evaluate(contexts, host)).collect();
                Value::Array(values?.into_iter().collect::<Array>())
            }
            TokenValue::Map(entries) => {
                let mut pairs = Vec::with_capacity(entries.len());
                for (key, token) in entries {
                    let value = token.evaluate(contexts, host)?;
                    if inserts(key) {
                        let Value::Object(object) = &value else {
                            return Err(token.error(format!(
                                "`${{{{ insert }}}}` needs a mapping, and this is {}",
                                value.kind()
                            )));
                        };
                        pairs.extend(object.iter().map(|(key, value)| (key.to_owned(), value.clone())));
                    } else if key.contains("${{") {
                        let name = token.evaluate_text(key, contexts, host)?;
                        pairs.push((name.to_display_string().to_string(), value));
                    } else {
                        pairs.push((key.clone(), value));
                    }
                }
                Value::Object(pairs.into_iter().collect::<Object>())
            }
        })
    }

    /// The value as text.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn render(&self, contexts: &Contexts, host: &dyn Host) -> Result<String, PlanError> {
        Ok(self.evaluate(contexts, host)?.to_display_string().to_string())
    }

    fn evaluate_text(&self, text: &str, contexts: &Contexts, host: &dyn Host) -> Result<Value, PlanError> {
        if !text.contains("${{") {
            return Ok(Value::from(text));
        }
        Template::parse(text)
            .and_then(|template| template.evaluate(contexts, host))
            .map_err(|error| self.error(error.to_string()))
    }
}

fn inserts(key: &str) -> bool {
    let inside = key.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    inside.is_some_and(|inside| inside.trim() == "insert")
}
