//! Arrays and objects.
//!
//! They are shared, and two of them are equal in the language only where they are the same one. Objects keep the order of their keys and are
//! looked up without case.

use std::collections::HashMap;
use std::sync::Arc;

use super::ignore_case::fold;
use super::value::Value;

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

    /// The same array as one that no `*` made.
    pub(super) fn into_plain(self) -> Self {
        Self { filtered: false, ..self }
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
