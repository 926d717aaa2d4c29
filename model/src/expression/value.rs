//! The values of the language: null, booleans, numbers, strings, arrays and objects, and how they become one another.
//!
//! Strings, arrays and objects are shared, so a copy costs nothing.

use std::sync::Arc;

use super::collections::{Array, Object};
use super::{ignore_case, number};

/// A value.
///
/// `PartialEq` is by content and with case, for tests and callers; the language's own equality is [`Value::loosely_equals`].
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// No value; also what a missing property gives.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    String(Arc<str>),
    /// An array.
    Array(Array),
    /// An object.
    Object(Object),
}

impl Value {
    /// A string.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    /// The kind's name, as GitHub's messages have it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::Bool(_) => "Boolean",
            Self::Number(_) => "Number",
            Self::String(_) => "String",
            Self::Array(_) => "Array",
            Self::Object(_) => "Object",
        }
    }

    /// Whether it is neither array nor object.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// Whether it counts as true: all but null, false, 0, NaN and the empty string.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(value) => *value != 0.0 && !value.is_nan(),
            Self::String(value) => !value.is_empty(),
            Self::Array(_) | Self::Object(_) => true,
        }
    }

    /// The text that the value has inside other text: null is empty, numbers have up to 15 digits, arrays and objects are the words `Array`
    /// and `Object`.
    pub fn to_display_string(&self) -> Arc<str> {
        match self {
            Self::Null => "".into(),
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
            Self::Number(value) => number::format(*value).into(),
            Self::String(value) => value.clone(),
            Self::Array(_) | Self::Object(_) => self.kind().into(),
        }
    }

    /// The number that the value counts as: null and false are 0, true is 1, a string is read, arrays and objects are NaN.
    pub fn to_number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Number(value) => *value,
            Self::String(value) => number::parse(value),
            Self::Array(_) | Self::Object(_) => f64::NAN,
        }
    }

    /// The text, where the value is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// The array, where the value is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(value) => Some(value),
            _ => None,
        }
    }

    /// The object, where the value is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(value) => Some(value),
            _ => None,
        }
    }

    /// `==` of the language: values of different kinds are made numbers (see [`Value::to_number`]), strings are compared without case, arrays
    /// and objects are equal only to themselves.
    pub fn loosely_equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::String(left), Self::String(right)) => ignore_case::equal(left, right),
            (Self::Array(left), Self::Array(right)) => left.is(right),
            (Self::Object(left), Self::Object(right)) => left.is(right),
            _ if self.is_primitive() && other.is_primitive() => self.to_number() == other.to_number(),
            _ => false,
        }
    }

    /// The order of the language, as `<` and `>` see it. None where two values have none: NaN, arrays, objects, null with null.
    pub fn loosely_compares(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Null, Self::Null) => None,
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            (Self::String(left), Self::String(right)) => Some(ignore_case::compare(left, right)),
            _ if self.is_primitive() && other.is_primitive() => {
                self.to_number().partial_cmp(&other.to_number())
            }
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl From<Array> for Value {
    fn from(value: Array) -> Self {
        Self::Array(value)
    }
}

impl From<Object> for Value {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}
