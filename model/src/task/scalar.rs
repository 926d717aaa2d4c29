//! Reading YAML scalars the way Actions does: `CI: true` and `PORT: 80` in an `env` are the strings "true" and "80".

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

/// A scalar's text; `None` for a list or a map. Null is the empty string, as in Actions.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// For `env` and `outputs`: a map whose values are scalars.
pub(crate) fn map<'de, D: Deserializer<'de>>(from: D) -> Result<IndexMap<String, String>, D::Error> {
    let map = Option::<IndexMap<String, Value>>::deserialize(from)?.unwrap_or_default();
    map.into_iter()
        .map(|(key, value)| match text(&value) {
            Some(value) => Ok((key, value)),
            None => Err(D::Error::custom(format!("`{key}` must be a string, number or boolean"))),
        })
        .collect()
}

/// For `if`: a string, or the bare booleans and numbers that YAML makes of `if: true`.
pub(crate) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Option::<Value>::deserialize(from)? {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match text(&value) {
            Some(value) => Ok(Some(value)),
            None => Err(D::Error::custom("expected a string, number or boolean")),
        },
    }
}
