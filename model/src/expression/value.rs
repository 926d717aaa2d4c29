//! The values of the language: null, booleans, numbers, strings, arrays and objects, and how they become one another.
//!
//! Strings, arrays and objects are shared, so a copy costs nothing, and two arrays or objects are equal in the language only where they are
//! the same one (`==` compares by identity, as GitHub does). Objects keep the order of their keys and are looked up without case.

use std::collections::HashMap;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::ignore_case::{self, fold};
use super::number;

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

    /// The value as JSON. Numbers without a fraction become integers where a double holds them exactly; JSON has no NaN and no infinities,
    /// they become the strings `NaN`, `Infinity` and `-Infinity`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => serde_json::Value::Bool(*value),
            Self::Number(value) => match integer(*value) {
                Some(integer) => integer.into(),
                None => serde_json::Number::from_f64(*value)
                    .map_or_else(|| number::format(*value).into(), serde_json::Value::Number),
            },
            Self::String(value) => value.as_ref().into(),
            Self::Array(array) => array.iter().map(Self::to_json).collect(),
            Self::Object(object) => {
                let entries = object.iter().map(|(key, value)| (key.to_owned(), value.to_json()));
                serde_json::Value::Object(entries.collect())
            }
        }
    }
}

/// The integer that `number` is, where it is one and a double holds all its neighbours too.
#[expect(clippy::cast_possible_truncation, reason = "checked against 2^53 before")]
fn integer(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// An array, shared.
#[derive(Debug, Clone)]
pub struct Array {
    items: Arc<Vec<Value>>,
    /// Whether a `*` made it: an index then goes to each item instead of the array.
    filtered: bool,
}

impl Array {
    /// The array that a `*` gives.
    pub(super) fn filtered(items: Vec<Value>) -> Self {
        Self { items: Arc::new(items), filtered: true }
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.filtered
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The item at `index`, from 0.
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.items.get(index)
    }

    /// The items in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Value> {
        self.items.iter()
    }

    /// Whether both are one and the same array.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items)
    }
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl FromIterator<Value> for Array {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        Self { items: Arc::new(items.into_iter().collect()), filtered: false }
    }
}

/// An object, shared: keys in the order they came in, found without case unless made otherwise.
#[derive(Debug, Clone, Default)]
pub struct Object {
    data: Arc<Entries>,
}

#[derive(Debug, Clone, Default)]
struct Entries {
    pairs: Vec<(Arc<str>, Value)>,
    /// From the key (folded, unless case counts) to its place in `pairs`.
    places: HashMap<String, usize>,
    case_sensitive: bool,
}

impl Entries {
    fn place(&self, key: &str) -> Option<usize> {
        if self.case_sensitive { self.places.get(key).copied() } else { self.places.get(&fold(key)).copied() }
    }

    /// Adds a pair; where the key is there already, the first one stays.
    fn add(&mut self, key: Arc<str>, value: Value) {
        let name = if self.case_sensitive { key.to_string() } else { fold(&key) };
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.places.entry(name) {
            vacant.insert(self.pairs.len());
            self.pairs.push((key, value));
        }
    }
}

impl Object {
    /// An object whose keys are told apart by case, such as the `env` of a job on Linux. Of two equal keys the first one stays.
    pub fn case_sensitive<K: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Self {
        let mut entries = Entries { case_sensitive: true, ..Entries::default() };
        for (key, value) in pairs {
            entries.add(key.into(), value);
        }
        Self { data: Arc::new(entries) }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.data.pairs.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.data.pairs.is_empty()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let place = self.data.place(key)?;
        self.data.pairs.get(place).map(|(_, value)| value)
    }

    /// Sets `key`; a key that is there keeps its place and its spelling.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: Value) {
        let key = key.into();
        let entries = Arc::make_mut(&mut self.data);
        match entries.place(&key).and_then(|place| entries.pairs.get_mut(place)) {
            Some((_, old)) => *old = value,
            None => entries.add(key, value),
        }
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.data.pairs.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// Whether both are one and the same object.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.data, &other.data)
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

/// Keys that differ only in case are one key: the first one stays.
impl<K: Into<Arc<str>>> FromIterator<(K, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(pairs: I) -> Self {
        let mut entries = Entries::default();
        for (key, value) in pairs {
            entries.add(key.into(), value);
        }
        Self { data: Arc::new(entries) }
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

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(value) => Self::Number(value.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(value) => Self::from(value.as_str()),
            serde_json::Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(pairs) => {
                Self::Object(pairs.iter().map(|(key, value)| (key.as_str(), Self::from(value))).collect())
            }
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        Self::from(&json)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => match integer(*value) {
                Some(integer) => serializer.serialize_i64(integer),
                None if value.is_finite() => serializer.serialize_f64(*value),
                None => serializer.serialize_str(&number::format(*value)),
            },
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(array) => {
                let mut sequence = serializer.serialize_seq(Some(array.len()))?;
                for item in array.iter() {
                    sequence.serialize_element(item)?;
                }
                sequence.end()
            }
            Self::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (key, value) in object.iter() {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of the language are doubles")]
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of the language are doubles")]
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items.into_iter().collect()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Entries::default();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            entries.add(key.into(), value);
        }
        Ok(Value::Object(Object { data: Arc::new(entries) }))
    }
}

impl Value {
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
