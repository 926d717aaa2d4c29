//! The functions of the language. Parameters are evaluated when a function needs them, so an error in one that it does not need is none.

use super::error::ExpressionError;
use super::evaluator::Evaluator;
use super::ignore_case;
use super::json;
use super::memory::{Counter, Exceeded};
use super::options::Function;
use super::tree::{Node, NodeId, NodeKind, Tree};
use super::value::Value;

impl Evaluator<'_> {
    /// The value of a call; the parser has counted the parameters.
    pub(super) fn call(
        &mut self,
        function: Function,
        arguments: &[NodeId],
        node: &Node,
        level: usize,
    ) -> Result<Value, ExpressionError> {
        let mut call = Call { evaluator: self, arguments, node, level: level + 1 };
        match function {
            Function::Case => call.case(),
            Function::Contains => call.contains(),
            Function::StartsWith => call.compare(ignore_case::starts_with),
            Function::EndsWith => call.compare(ignore_case::ends_with),
            Function::Format => call.format(),
            Function::Join => call.join(),
            Function::ToJson => call.write_json(),
            Function::FromJson => call.read_json(),
            Function::HashFiles => call.hash_files(),
            Function::Always => Ok(Value::Bool(true)),
            Function::Cancelled => Ok(Value::Bool(call.evaluator.host.cancelled())),
            Function::Success => {
                let jobs = call.texts()?;
                Ok(Value::Bool(call.evaluator.host.success(&jobs)))
            }
            Function::Failure => {
                let jobs = call.texts()?;
                Ok(Value::Bool(call.evaluator.host.failure(&jobs)))
            }
        }
    }
}

/// One call while it runs.
struct Call<'e, 'a, 'n> {
    evaluator: &'e mut Evaluator<'a>,
    arguments: &'n [NodeId],
    node: &'n Node,
    /// The level of the arguments.
    level: usize,
}

impl Call<'_, '_, '_> {
    fn argument(&mut self, at: usize) -> Result<Value, ExpressionError> {
        match self.arguments.get(at) {
            Some(&argument) => self.evaluator.value(argument, self.level),
            None => Ok(Value::Null),
        }
    }

    fn texts(&mut self) -> Result<Vec<String>, ExpressionError> {
        let mut texts = Vec::with_capacity(self.arguments.len());
        for at in 0..self.arguments.len() {
            texts.push(self.argument(at)?.to_display_string().to_string());
        }
        Ok(texts)
    }

    fn fail<T>(&self, message: String) -> Result<T, ExpressionError> {
        Err(self.evaluator.fail(message, self.node))
    }

    fn count(&self, counter: &mut Counter, text: &str) -> Result<(), ExpressionError> {
        self.evaluator.count(counter, text, self.node)
    }

    /// `case(predicate, value, …, default)`
    fn case(&mut self) -> Result<Value, ExpressionError> {
        let default = self.arguments.len().saturating_sub(1);
        for at in (0..default).step_by(2) {
            match self.argument(at)? {
                Value::Bool(true) => return self.argument(at + 1),
                Value::Bool(false) => {}
                _ => return self.fail("case predicate must evaluate to a boolean value".to_owned()),
            }
        }
        self.argument(default)
    }

    /// `contains(text, part)` or `contains(array, item)`
    fn contains(&mut self) -> Result<Value, ExpressionError> {
        let whole = self.argument(0)?;
        let found = match &whole {
            Value::Array(array) if !array.is_empty() => {
                let wanted = self.argument(1)?;
                array.iter().any(|item| wanted.loosely_equals(item))
            }
            Value::Array(_) | Value::Object(_) => false,
            primitive => {
                let text = primitive.to_display_string();
                let part = self.argument(1)?;
                part.is_primitive() && ignore_case::contains(&text, &part.to_display_string())
            }
        };
        Ok(Value::Bool(found))
    }

    /// `startsWith(text, part)`, `endsWith(text, part)`
    fn compare(&mut self, test: fn(&str, &str) -> bool) -> Result<Value, ExpressionError> {
        let whole = self.argument(0)?;
        if !whole.is_primitive() {
            return Ok(Value::Bool(false));
        }
        let part = self.argument(1)?;
        let found = part.is_primitive() && test(&whole.to_display_string(), &part.to_display_string());
        Ok(Value::Bool(found))
    }

    /// `join(array, separator)`
    fn join(&mut self) -> Result<Value, ExpressionError> {
        let items = self.argument(0)?;
        let Value::Array(array) = &items else {
            return Ok(if items.is_primitive() {
                Value::String(items.to_display_string())
            } else {
                Value::from("")
            });
        };
        let mut separator = ",".into();
        if array.len() > 1 && self.arguments.len() > 1 {
            let given = self.argument(1)?;
            if given.is_primitive() {
                separator = given.to_display_string();
            }
        }
        let mut counter = self.evaluator.memory.counter();
        let mut joined = String::new();
        for (at, item) in array.iter().enumerate() {
            if at > 0 {
                self.count(&mut counter, &separator)?;
                joined.push_str(&separator);
            }
            let text = item.to_display_string();
            self.count(&mut counter, &text)?;
            joined.push_str(&text);
        }
        Ok(Value::from(joined))
    }

    /// `toJSON(value)`
    fn write_json(&mut self) -> Result<Value, ExpressionError> {
        let value = self.argument(0)?;
        let text = json::write(&value, self.evaluator.memory.counter())
            .map_err(|Exceeded| self.evaluator.too_much(self.node))?;
        Ok(Value::from(text))
    }

    /// `fromJSON(text)`
    fn read_json(&mut self) -> Result<Value, ExpressionError> {
        let text = self.argument(0)?.to_display_string();
        match json::read(&text) {
            Ok(value) => Ok(value),
            Err(reason) => self.fail(bad_json(&reason)),
        }
    }

    /// `hashFiles(pattern, …)`
    fn hash_files(&mut self) -> Result<Value, ExpressionError> {
        let patterns = self.texts()?;
        match self.evaluator.host.hash_files(&patterns) {
            Ok(hash) => Ok(Value::from(hash)),
            Err(reason) => self
                .fail(format!("hashFiles('{}') failed. {reason}", patterns.join(", ").replace('\'', "''"))),
        }
    }

    /// `format(text, value, …)`: `{0}` is the first value, `{{` and `}}` are braces.
    fn format(&mut self) -> Result<Value, ExpressionError> {
        let pattern = self.argument(0)?.to_display_string();
        let supplied = self.arguments.len().saturating_sub(1);
        let pieces = match pieces(&pattern, supplied) {
            Ok(pieces) => pieces,
            Err(what) => return self.fail(bad_pattern(what, &pattern)),
        };
        let mut values: Vec<Option<Value>> = vec![None; supplied];
        let mut counter = self.evaluator.memory.counter();
        let mut formatted = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    self.count(&mut counter, text)?;
                    formatted.push_str(text);
                }
                Piece::Argument(at, specifiers) => {
                    let value = match values.get(at).cloned().flatten() {
                        Some(value) => value,
                        None => self.argument(at + 1)?,
                    };
                    if !specifiers.is_empty() {
                        let kind = value.kind();
                        return self.fail(format!(
                            "The format specifiers '{specifiers}' are not valid for objects of type '{kind}'"
                        ));
                    }
                    let text = value.to_display_string();
                    if !text.is_empty() {
                        self.count(&mut counter, &text)?;
                    }
                    formatted.push_str(&text);
                    if let Some(slot) = values.get_mut(at) {
                        *slot = Some(value);
                    }
                }
            }
        }
        Ok(Value::from(formatted))
    }
}

fn bad_json(reason: &str) -> String {
    format!("Error parsing JSON when evaluating fromJson: {reason}")
}

fn bad_pattern(what: &str, pattern: &str) -> String {
    format!("The following format string {what}: {pattern}")
}

/// The errors of calls that fail for a literal parameter, whatever else is given.
pub(super) fn certain_errors(tree: &Tree, source: &str) -> Vec<ExpressionError> {
    let mut errors = Vec::new();
    for node in &tree.nodes {
        let NodeKind::Call { function, arguments, .. } = &node.kind else { continue };
        let first = arguments.first().and_then(|&id| tree.get(id));
        let Some(NodeKind::Literal(literal)) = first.map(|node| &node.kind) else { continue };
        let text = literal.to_display_string();
        let message = match function {
            Function::Format => pieces(&text, arguments.len() - 1).err().map(|what| bad_pattern(what, &text)),
            Function::FromJson => json::read(&text).err().map(|reason| bad_json(&reason)),
            _ => None,
        };
        errors.extend(message.map(|message| ExpressionError::evaluation(message, node.offset, source)));
    }
    errors
}

/// The parameters behind a format string, from 0, that it does not name; none where it is broken.
pub(super) fn unused_arguments(pattern: &str, supplied: usize) -> Vec<usize> {
    let Ok(pieces) = pieces(pattern, supplied) else { return Vec::new() };
    let mut used = vec![false; supplied];
    for piece in pieces {
        if let Piece::Argument(at, _) = piece
            && let Some(flag) = used.get_mut(at)
        {
            *flag = true;
        }
    }
    used.iter().enumerate().filter(|(_, used)| !**used).map(|(at, _)| at).collect()
}

/// A piece of a format string.
enum Piece<'p> {
    Text(&'p str),
    /// The place of a value, and what stands behind its `:`.
    Argument(usize, String),
}

/// A brace that neither is doubled nor encloses a number.
const INVALID: &str = "is invalid";
/// A number for which there is no value.
const MISSING: &str = "references more arguments than were supplied";

/// Takes a format string apart; the error says what is wrong with it.
fn pieces(pattern: &str, supplied: usize) -> Result<Vec<Piece<'_>>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        let (text, from_brace) = rest.split_at(at);
        let (brace, behind) = from_brace.split_at(1);
        if let Some(behind) = behind.strip_prefix(brace) {
            // Doubled: the text with one of the two.
            pieces.push(Piece::Text(rest.get(..=at).unwrap_or_default()));
            rest = behind;
            continue;
        }
        if brace == "}" {
            return Err(INVALID);
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        let digits = behind.len() - behind.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = behind.split_at(digits);
        // A place is a byte, as with GitHub.
        let place: u8 = number.parse().map_err(|_| INVALID)?;
        let (specifiers, behind) = specifiers(behind).ok_or(INVALID)?;
        if usize::from(place) >= supplied {
            return Err(MISSING);
        }
        pieces.push(Piece::Argument(usize::from(place), specifiers));
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// What stands between the number and the closing brace, and what comes after that; None where no brace closes it.
fn specifiers(behind: &str) -> Option<(String, &str)> {
    if let Some(rest) = behind.strip_prefix('}') {
        return Some((String::new(), rest));
    }
    let mut rest = behind.strip_prefix(':')?;
    let mut specifiers = String::new();
    loop {
        let (text, after) = rest.split_once('}')?;
        specifiers.push_str(text);
        match after.strip_prefix('}') {
            None => return Some((specifiers, after)),
            Some(after) => {
                specifiers.push('}');
                rest = after;
            }
        }
    }
}
