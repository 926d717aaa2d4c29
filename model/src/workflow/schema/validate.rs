//! Holds a tree against the tables, tells what does not fit, and collects where expressions stand.

use super::uses::Uses;
use super::{Map, Place, Shape};
use crate::expression::template::Template;
use crate::expression::{
    Condition, Expression, ExpressionError, ParseOptions, Reference, ReferenceKind, condition_with,
};
use crate::workflow::finding::Report;
use crate::workflow::suggest::hint;
use crate::workflow::yaml::{Document, Node, Position, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A step of the way from the root to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::workflow) enum Part {
    Key(Arc<str>),
    Item(usize),
}

/// What stands in a value that holds an expression.
pub(in crate::workflow) enum Form {
    Template(Template),
    Condition(Condition),
}

/// A value that holds an expression.
pub(in crate::workflow) struct Site {
    /// The way from the root.
    pub(in crate::workflow) path: Vec<Part>,
    pub(in crate::workflow) node: Arc<Node>,
    pub(in crate::workflow) form: Form,
}

impl Site {
    /// The expressions in it; for an `if` the one that it is.
    pub(in crate::workflow) fn expressions(&self) -> Vec<&Expression> {
        match &self.form {
            Form::Template(template) => template.expressions().map(|(expression, _)| expression).collect(),
            Form::Condition(condition) => condition.expression().into_iter().collect(),
        }
    }

    /// What the expressions use; offsets count from the beginning of the value.
    pub(in crate::workflow) fn references(&self) -> Vec<Reference> {
        match &self.form {
            Form::Template(template) => template.references(),
            Form::Condition(condition) => condition.references(),
        }
    }

    /// The key at a level of the way.
    pub(in crate::workflow) fn key(&self, level: usize) -> Option<&str> {
        match self.path.get(level)? {
            Part::Key(key) => Some(key),
            Part::Item(_) => None,
        }
    }
}

/// Where an expression's findings go: GitHub names the value, unless it is a block of several lines.
pub(in crate::workflow) fn place_of(document: &Document, node: &Node, offset: usize) -> Position {
    if document.is_on_one_line(node) { node.at } else { document.position_in(node, offset) }
}

/// Checks the root against `place`.
pub(in crate::workflow) fn validate(
    document: &Document,
    place: &'static Place,
    report: &mut Report,
) -> Vec<Site> {
    let mut validator =
        Validator { document, report, sites: Vec::new(), path: Vec::new(), options: BTreeMap::new() };
    validator.check(place, &document.root, Uses::NONE);
    validator.sites
}

struct Validator<'a> {
    document: &'a Document,
    report: &'a mut Report,
    sites: Vec<Site>,
    path: Vec<Part>,
    options: BTreeMap<Uses, ParseOptions>,
}

impl Validator<'_> {
    fn check(&mut self, place: &'static Place, node: &Arc<Node>, around: Uses) {
        let uses = around.and(place.uses);
        if let Shape::Either(places) = place.shape {
            return self.either(places, node, uses);
        }
        if node.has_expression() {
            return self.expression(place, node, uses);
        }
        match (&place.shape, &node.value) {
            (Shape::Anything, _) => self.anything(node, uses),
            (Shape::Null, Value::Null)
            | (Shape::Flag, Value::Bool(_))
            | (Shape::Number, Value::Number(_)) => {}
            (Shape::Condition, Value::List(_) | Value::Map(_))
            | (Shape::Text { .. }, Value::List(_) | Value::Map(_)) => self.unexpected("text", node),
            (Shape::Condition, _) => self.condition(node, uses),
            (Shape::Text { required }, _) => {
                if *required && node.text().is_some_and(|text| text.is_empty()) {
                    self.report.error(node.at, "value", format!("{} is empty; it needs a text", self.here()));
                }
            }
            (Shape::Words(words), Value::Text(_) | Value::Bool(_) | Value::Number(_) | Value::Null) => {
                let text = node.text().unwrap_or_default();
                if !words.contains(&text.as_str()) {
                    let (here, list) = (self.here(), words.join("`, `"));
                    let message = format!(
                        "`{text}` is no value of {here}; expected `{list}`{}",
                        hint(&text, words.iter().copied())
                    );
                    self.report.error(node.at, "value", message);
                }
            }
            (Shape::List(place), Value::List(items)) => {
                for (number, item) in items.iter().enumerate() {
                    self.path.push(Part::Item(number));
                    self.check(place, item, uses);
                    self.path.pop();
                }
            }
            (Shape::Map(map), Value::Map(_)) => self.map(&[(map, uses)], node),
            (shape, _) => self.unexpected(expected(shape), node),
        }
    }

    /// Any of several forms: by the kind of the value, then, for mappings, by their keys.
    fn either(&mut self, places: &'static [&'static Place], node: &Arc<Node>, uses: Uses) {
        if matches!(node.value, Value::Map(_)) {
            let maps: Vec<(&'static Map, Uses)> = places
                .iter()
                .filter_map(|place| match place.shape {
                    Shape::Map(map) => Some((map, uses.and(place.uses))),
                    _ => None,
                })
                .collect();
            if !maps.is_empty() {
                return self.map(&maps, node);
            }
        }
        let fits = places.iter().find(|place| {
            let template = node.has_expression();
            match (&place.shape, &node.value) {
                (Shape::Anything, _)
                | (Shape::Null, Value::Null)
                | (Shape::Flag, Value::Bool(_))
                | (Shape::Number, Value::Number(_))
                | (Shape::List(_), Value::List(_)) => true,
                (Shape::Words(words), Value::Text(text)) => words.contains(&text.as_str()) || template,
                (Shape::Text { required }, value) => {
                    !matches!(value, Value::List(_) | Value::Map(_)) && (!*required || *value != Value::Null)
                }
                (Shape::Condition, value) => !matches!(value, Value::List(_) | Value::Map(_)),
                (_, Value::Text(_)) => template && !matches!(place.shape, Shape::Null),
                _ => false,
            }
        });
        match fits {
            Some(place) => self.check(place, node, uses),
            None => {
                let mut forms: Vec<String> = Vec::new();
                for place in places {
                    let form = match place.shape {
                        Shape::Words(words) => format!("`{}`", words.join("`, `")),
                        _ => expected(&place.shape).to_owned(),
                    };
                    if !forms.contains(&form) {
                        forms.push(form);
                    }
                }
                self.unexpected(&forms.join(" or "), node);
            }
        }
    }

    fn unexpected(&mut self, expected: &str, node: &Node) {
        let shown = match node.text() {
            Some(text) if !text.is_empty() && text.len() <= 60 => format!("{} `{text}`", node.kind()),
            _ => node.kind().to_owned(),
        };
        let message =
            format!("{} has the wrong kind of value: expected {expected}, found {shown}", self.here());
        self.report.error(node.at, "value", message);
    }

    /// The place in words.
    fn here(&self) -> String {
        let key = self.path.iter().rev().find_map(|part| match part {
            Part::Key(key) => Some(key),
            Part::Item(_) => None,
        });
        match (self.path.last(), key) {
            (Some(Part::Item(_)), Some(key)) => format!("an item of `{key}`"),
            (_, Some(key)) => format!("`{key}`"),
            (_, None) => "the file".to_owned(),
        }
    }

    fn map(&mut self, candidates: &[(&'static Map, Uses)], node: &Arc<Node>) {
        let mut left: Vec<(&'static Map, Uses)> = candidates.to_vec();
        let mut seen: HashMap<String, Position> = HashMap::new();
        for entry in node.entries() {
            let key = &entry.key;
            let Some(name) = key.text() else {
                self.report.error(key.at, "unknown-key", format!("a key must be text, found {}", key.kind()));
                continue;
            };
            if let Some(first) = seen.insert(name.to_lowercase(), key.at) {
                let message =
                    format!("the key `{name}` stands already at {first}; keys are told apart without case");
                self.report.error(key.at, "duplicate-key", message);
                continue;
            }
            self.path.push(Part::Key(name.as_str().into()));
            let known = left.iter().any(|(map, _)| map.keys.iter().any(|known| known.name == name));
            if known {
                left.retain(|(map, _)| {
                    map.keys.iter().any(|known| known.name == name) || map.others.is_some()
                });
            }
            self.entry(&name, entry, known, &left);
            self.path.pop();
        }
        self.complete(&left, node, &seen);
    }

    fn entry(
        &mut self,
        name: &str,
        entry: &crate::workflow::yaml::Entry,
        known: bool,
        left: &[(&'static Map, Uses)],
    ) {
        let key = &entry.key;
        let Some(&(map, uses)) = left.first() else { return };
        if known {
            let place = map.keys.iter().find(|known| known.name == name).map(|known| known.place);
            if let Some(place) = place.or(map.others) {
                self.check(place, &entry.value, uses);
            }
            return;
        }
        if name == "<<" {
            let message =
                "merge keys `<<` are not known in workflows; repeat the keys, or alias the whole value";
            self.report.error(key.at, "unknown-key", message);
            return;
        }
        if key.has_expression() {
            // `${{ insert }}: …` brings a mapping that an expression gives; other names are evaluated.
            let inserts = name.trim_start_matches("${{").trim_end_matches("}}").trim() == "insert";
            if !inserts {
                self.template(key, uses);
            }
            match map.others {
                Some(_) => self.anything(&entry.value, uses),
                None => self.report.error(
                    key.at,
                    "unknown-key",
                    format!("{} takes no expression as a key", map.what),
                ),
            }
            return;
        }
        if let Some(place) = map.others {
            if name.is_empty() {
                self.report.error(
                    key.at,
                    "value",
                    format!("a key in {} is empty; it needs a name", map.what),
                );
            }
            return self.check(place, &entry.value, uses);
        }
        let mut names: Vec<&str> =
            left.iter().flat_map(|(map, _)| map.keys.iter().map(|known| known.name)).collect();
        names.sort_unstable();
        names.dedup();
        let what = if left.len() == 1 { map.what } else { "this place" };
        let message = format!(
            "`{name}` is not known in {what}; known are `{}`{}",
            names.join("`, `"),
            hint(name, names.iter().copied())
        );
        if left.iter().all(|(map, _)| map.lenient) {
            self.report.warn(key.at, "unknown-key", message);
        } else {
            self.report.error(key.at, "unknown-key", message);
        }
    }

    /// Whether all is there that is required.
    fn complete(&mut self, left: &[(&'static Map, Uses)], node: &Node, seen: &HashMap<String, Position>) {
        let missing = |map: &'static Map| {
            map.keys.iter().filter(|key| key.required && !seen.contains_key(key.name)).map(|key| key.name)
        };
        if left.iter().any(|&(map, _)| missing(map).next().is_none()) {
            return;
        }
        let message = match left {
            [(map, _)] => {
                let names: Vec<_> = missing(map).collect();
                format!("{} needs `{}`", map.what, names.join("` and `"))
            }
            _ => {
                let ways: Vec<_> = left
                    .iter()
                    .map(|(map, _)| {
                        format!("`{}` ({})", missing(map).collect::<Vec<_>>().join("`, `"), map.what)
                    })
                    .collect();
                format!("it can't be told what is meant; add one of {}", ways.join(", "))
            }
        };
        self.report.error(node.at, "missing-key", message);
    }

    /// Expressions anywhere in a value of any form.
    fn anything(&mut self, node: &Arc<Node>, uses: Uses) {
        match &node.value {
            Value::Text(_) if node.has_expression() => self.template(node, uses),
            Value::List(items) => {
                for (number, item) in items.iter().enumerate() {
                    self.path.push(Part::Item(number));
                    self.anything(item, uses);
                    self.path.pop();
                }
            }
            Value::Map(_) => self.map(&[(&super::ANY_MAP, uses)], node),
            _ => {}
        }
    }

    fn expression(&mut self, place: &'static Place, node: &Arc<Node>, uses: Uses) {
        match &place.shape {
            Shape::Condition => return self.condition(node, uses),
            Shape::Null => return self.unexpected("nothing", node),
            _ => {}
        }
        self.template(node, uses);
        let Some(Site { form: Form::Template(template), node: last, .. }) = self.sites.last() else { return };
        if !Arc::ptr_eq(last, node) {
            return;
        }
        // Only a whole value keeps its kind: text around an expression makes it text.
        let whole = template.single();
        let literal = whole.and_then(Expression::as_literal).map(crate::expression::Value::kind);
        let wrong = match (&place.shape, literal) {
            (Shape::List(_) | Shape::Map(_), _) if whole.is_none() => true,
            (Shape::List(_) | Shape::Map(_), Some(_)) => true,
            _ => false,
        };
        if wrong {
            self.unexpected(&format!("{} or one expression that gives it", expected(&place.shape)), node);
        }
    }

    fn template(&mut self, node: &Arc<Node>, uses: Uses) {
        let Some(text) = node.as_str() else { return };
        // Everything allowed first, so that each wrong name can be told.
        match Template::parse(text) {
            Err(error) => self.broken(node, &error),
            Ok(template) => {
                let allowed = self.allowed(node, &template.references(), uses);
                let options = self.options(uses).clone();
                if allowed && let Err(error) = Template::parse_with(text, &options) {
                    self.broken(node, &error);
                }
                let path = self.path.clone();
                self.sites.push(Site { path, node: Arc::clone(node), form: Form::Template(template) });
            }
        }
    }

    fn condition(&mut self, node: &Arc<Node>, uses: Uses) {
        let Some(text) = node.text() else { return };
        match condition_with(&text, &ParseOptions::default()) {
            Err(error) => self.broken(node, &error),
            Ok(condition) => {
                let allowed = self.allowed(node, &condition.references(), uses);
                let options = self.options(uses).clone();
                if allowed && let Err(error) = condition_with(&text, &options) {
                    self.broken(node, &error);
                }
                let path = self.path.clone();
                self.sites.push(Site { path, node: Arc::clone(node), form: Form::Condition(condition) });
            }
        }
    }

    fn options(&mut self, uses: Uses) -> &ParseOptions {
        self.options.entry(uses).or_insert_with(|| uses.options())
    }

    fn broken(&mut self, node: &Node, error: &ExpressionError) {
        let at = place_of(self.document, node, error.offset);
        let quotes =
            if error.message.contains('"') { ". Text in expressions stands in 'single quotes'" } else { "" };
        self.report.error(at, "expression", format!("{}{quotes}", error.message));
    }

    /// Whether everything that is used may be used here.
    fn allowed(&mut self, node: &Node, references: &[Reference], uses: Uses) -> bool {
        const CONTEXTS: [&str; 12] = [
            "github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "steps", "job", "runner",
            "env", "jobs",
        ];
        const EVERYWHERE: [&str; 8] =
            ["case", "contains", "endsWith", "format", "fromJSON", "join", "startsWith", "toJSON"];
        let mut allowed = true;
        for reference in references {
            let name = reference.name.as_str();
            let same = |known: &&str| known.eq_ignore_ascii_case(name);
            let at = place_of(self.document, node, reference.offset);
            match reference.kind {
                ReferenceKind::Context { .. } if uses.contexts().any(|known| same(&known)) => {}
                ReferenceKind::Context { .. } => {
                    allowed = false;
                    let here: Vec<_> = uses.contexts().collect();
                    let here =
                        if here.is_empty() { "none".to_owned() } else { format!("`{}`", here.join("`, `")) };
                    let message = if CONTEXTS.iter().any(same) {
                        format!("the context `{name}` is not available in {}; available: {here}", self.here())
                    } else {
                        format!(
                            "there is no context `{name}`; available here: {here}{}",
                            hint(name, CONTEXTS)
                        )
                    };
                    self.report.error(at, "context", message);
                }
                ReferenceKind::Function { .. } => {
                    if !EVERYWHERE.iter().any(same) && !uses.functions().any(|known| same(&known)) {
                        allowed = false;
                        let message = format!(
                            "the function `{name}` is not available in {}; status functions are for `if`, `hashFiles` is for steps",
                            self.here()
                        );
                        self.report.error(at, "context", message);
                    }
                }
            }
        }
        allowed
    }
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Anything => "anything",
        Shape::Null => "nothing",
        Shape::Text { .. } | Shape::Condition => "text",
        Shape::Words(_) => "a word",
        Shape::Flag => "true or false",
        Shape::Number => "a number",
        Shape::List(_) => "a list",
        Shape::Map(_) => "a mapping",
        Shape::Either(_) => "one of several forms",
    }
}
