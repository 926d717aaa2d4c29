//! What a workflow file may say where: keys, forms of values, and which contexts and functions expressions may use.
//!
//! The facts are GitHub's (docs.github.com, "Workflow syntax" and "Contexts: availability"; github.com/actions/languageservices), carried over
//! into tables; `with` inputs of `uses: agent` and the job keys `budget-usd`, `retries` and `network` are ours.

mod actions;
mod events;
mod jobs;
mod uses;
mod validate;

pub(super) use actions::{COMPOSITE_ACTION, DOCKER_ACTION, NODE_ACTION};
pub(super) use events::{EVENTS, FILTERS};
pub(super) use jobs::{PERMISSIONS, ROOT};
pub(super) use uses::Uses;
pub(super) use validate::{Form, Part, Site, place_of, validate};

/// A place in the file: what its value looks like, and what expressions in it may use beside what they may use around it.
pub(super) struct Place {
    pub(super) uses: Uses,
    pub(super) shape: Shape,
}

/// The form of a value.
pub(super) enum Shape {
    /// Whatever it is.
    Anything,
    /// Nothing.
    Null,
    /// A scalar, taken as text; not empty where that is required.
    Text { required: bool },
    /// An `if`: an expression with or without `${{ }}`.
    Condition,
    /// One of these words.
    Words(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A number.
    Number,
    /// A list of such values.
    List(&'static Place),
    /// A mapping.
    Map(&'static Map),
    /// One of several forms.
    Either(&'static [&'static Place]),
}

/// A mapping. Where several are possible, the keys decide which one is meant.
pub(super) struct Map {
    /// What it is, in words: `a step that runs a script`.
    pub(super) what: &'static str,
    pub(super) keys: &'static [Key],
    /// The value of any other key; None where no other key is known.
    pub(super) others: Option<&'static Place>,
    /// Whether GitHub passes over a key that is not known.
    pub(super) lenient: bool,
}

/// A known key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) place: &'static Place,
    pub(super) required: bool,
}

const fn place(shape: Shape) -> Place {
    Place { uses: Uses::NONE, shape }
}

const fn with(uses: Uses, shape: Shape) -> Place {
    Place { uses, shape }
}

const fn key(name: &'static str, place: &'static Place) -> Key {
    Key { name, place, required: false }
}

const fn required(name: &'static str, place: &'static Place) -> Key {
    Key { name, place, required: true }
}

const fn map(what: &'static str, keys: &'static [Key]) -> Map {
    Map { what, keys, others: None, lenient: false }
}

/// A mapping whose keys are names that the user gives.
const fn named(what: &'static str, value: &'static Place) -> Map {
    Map { what, keys: &[], others: Some(value), lenient: false }
}

static ANYTHING: Place = place(Shape::Anything);
/// A mapping of anything.
static ANY_MAP: Map = named("a mapping", &ANYTHING);
static NULL: Place = place(Shape::Null);
static TEXT: Place = place(Shape::Text { required: false });
static NAME: Place = place(Shape::Text { required: true });
static FLAG: Place = place(Shape::Flag);
static NUMBER: Place = place(Shape::Number);
static TEXTS: Place = place(Shape::List(&TEXT));
static NAMES: Place = place(Shape::List(&NAME));
static NAME_OR_NAMES: Place = place(Shape::Either(&[&NAME, &NAMES]));
