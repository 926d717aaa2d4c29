//! JSON as `toJSON` writes it and `fromJSON` reads it.

use std::fmt::Write as _;

use super::memory::{Counter, Exceeded};
use super::value::Value;

/// `value` as JSON over several lines, two blanks a level, numbers as in text; empty arrays and objects stay on their line.
pub(super) fn write(value: &Value, counter: Counter) -> Result<String, Exceeded> {
    let mut writer = Writer { text: String::new(), counter };
    writer.value(value, 0)?;
    Ok(writer.text)
}

/// The value of a JSON text. Of keys that differ only in case the first one stays. Nested deeper than 127 levels it is refused.
pub(super) fn read(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Err("empty input".to_owned());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

struct Writer {
    text: String,
    counter: Counter,
}

impl Writer {
    fn value(&mut self, value: &Value, level: usize) -> Result<(), Exceeded> {
        match value {
            Value::Array(array) if array.is_empty() => self.push("[]"),
            Value::Object(object) if object.is_empty() => self.push("{}"),
            Value::Array(array) => {
                self.push("[")?;
                for (at, item) in array.iter().enumerate() {
                    self.line(at > 0, level + 1)?;
                    self.value(item, level + 1)?;
                }
                self.line(false, level)?;
                self.push("]")
            }
            Value::Object(object) => {
                self.push("{")?;
                for (at, (key, item)) in object.iter().enumerate() {
                    self.line(at > 0, level + 1)?;
                    self.push(&quote(key))?;
                    self.counter.add(": ".len() * 2)?;
                    self.text.push_str(": ");
                    self.value(item, level + 1)?;
                }
                self.line(false, level)?;
                self.push("}")
            }
            Value::Null => self.push("null"),
            Value::String(text) => self.push(&quote(text)),
            Value::Bool(_) | Value::Number(_) => self.push(&value.to_display_string()),
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Exceeded> {
        self.counter.add_string(text)?;
        self.text.push_str(text);
        Ok(())
    }

    /// A new line at `level`, after a comma where `more` says so.
    fn line(&mut self, more: bool, level: usize) -> Result<(), Exceeded> {
        let indent = level * 2;
        self.counter.add((indent + 1 + usize::from(more)) * 2)?;
        if more {
            self.text.push(',');
        }
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', indent));
        Ok(())
    }
}

/// `text` as a JSON string. Beside what JSON demands, the line separators of Unicode are escaped, as GitHub does.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
