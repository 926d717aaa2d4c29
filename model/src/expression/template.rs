//! Text with `${{ expressions }}` in it, as the values of a workflow file are.
//!
//! An expression begins at `${{` and ends at the next `}}` that stands outside a string in single quotes. Text around expressions is kept as it
//! is; there is no way to escape `${{` but an expression: `${{ '${{' }}`. A template that is one expression and nothing else keeps the kind of its
//! value; any other is a string.

use super::Expression;
use super::contexts::{Contexts, Host};
use super::error::{ErrorKind, ExpressionError};
use super::memory::{self, Counter, Exceeded, TEMPLATE_MEMORY};
use super::options::ParseOptions;
use super::references::Reference;
use super::value::Value;

const OPEN: &str = "${{";

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    segments: Vec<Segment>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Segment {
    /// Text that stands for itself.
    Text(String),
    /// An expression.
    Expression {
        /// What stands between the braces, without blanks around it.
        expression: Expression,
        /// Where the expression itself begins in the template: a byte offset from 0.
        offset: usize,
    },
}

impl Template {
    /// Parses `text`, with any context and all functions allowed in expressions.
    ///
    /// # Errors
    /// The first expression that is not closed, empty or wrong; [`ExpressionError::offset`] counts from the beginning of `text`.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        Self::parse_with(text, &ParseOptions::default())
    }

    /// Parses `text` with what `options` allow in expressions.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse_with(text: &str, options: &ParseOptions) -> Result<Self, ExpressionError> {
        let mut segments = Vec::new();
        let mut at = 0;
        while let Some(length) = rest(text, at).find(OPEN) {
            let open = at + length;
            if length > 0 {
                segments.push(Segment::Text(rest(text, at).get(..length).unwrap_or_default().to_owned()));
            }
            let inside = open + OPEN.len();
            let Some(length) = find_close(rest(text, inside)) else {
                let message = format!(
                    "The expression is not closed. An unescaped {OPEN} sequence was found, but the closing }}}} sequence was not found."
                );
                return Err(ExpressionError::whole(ErrorKind::Parsing, message).shifted(open));
            };
            let raw = rest(text, inside).get(..length).unwrap_or_default();
            let source = raw.trim();
            let offset = inside + (raw.len() - raw.trim_start().len());
            if source.is_empty() {
                return Err(
                    ExpressionError::whole(ErrorKind::Parsing, "An expression was expected").shifted(open)
                );
            }
            let expression =
                Expression::parse_with(source, options).map_err(|error| error.shifted(offset))?;
            segments.push(Segment::Expression { expression, offset });
            at = inside + length + 2;
        }
        if at < text.len() {
            segments.push(Segment::Text(rest(text, at).to_owned()));
        }
        Ok(Self { segments })
    }

    /// The pieces in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether there is no expression in it.
    pub fn is_literal(&self) -> bool {
        self.expressions().next().is_none()
    }

    /// The expression, where the template is one and nothing else.
    pub fn single(&self) -> Option<&Expression> {
        match self.segments.as_slice() {
            [Segment::Expression { expression, .. }] => Some(expression),
            _ => None,
        }
    }

    /// The expressions and where each begins, in bytes from 0.
    pub fn expressions(&self) -> impl Iterator<Item = (&Expression, usize)> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Text(_) => None,
            Segment::Expression { expression, offset } => Some((expression, *offset)),
        })
    }

    /// The contexts and functions that are used; offsets count from the beginning of the template.
    pub fn references(&self) -> Vec<Reference> {
        let shifted = |(expression, offset): (&Expression, usize)| {
            let references = expression.references().into_iter();
            references.map(move |mut reference| {
                reference.offset += offset;
                reference
            })
        };
        self.expressions().flat_map(shifted).collect()
    }

    /// The value: that of the expression where the template is one and nothing else, else the text of [`Template::render`].
    ///
    /// # Errors
    /// The first expression that cannot be evaluated, or with whose value the text passes [`TEMPLATE_MEMORY`]; the offset counts from the beginning of the template.
    pub fn evaluate(&self, contexts: &Contexts, host: &dyn Host) -> Result<Value, ExpressionError> {
        match self.segments.as_slice() {
            [Segment::Expression { expression, offset }] => expression
                .evaluate_within(contexts, host, TEMPLATE_MEMORY)
                .map_err(|error| error.shifted(*offset)),
            _ => self.render(contexts, host).map(Value::from),
        }
    }

    /// The text with the values in place of the expressions.
    ///
    /// # Errors
    /// As [`Template::evaluate`].
    pub fn render(&self, contexts: &Contexts, host: &dyn Host) -> Result<String, ExpressionError> {
        let mut rendered = String::new();
        let mut counter = Counter::new(TEMPLATE_MEMORY);
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => rendered.push_str(text),
                Segment::Expression { expression, offset } => {
                    let value = expression
                        .evaluate_within(contexts, host, TEMPLATE_MEMORY)
                        .map_err(|error| error.shifted(*offset))?;
                    let text = value.to_display_string();
                    counter.add_string(&text).map_err(|Exceeded| {
                        let source = expression.source();
                        ExpressionError::evaluation(memory::exceeded(source), 0, source).shifted(*offset)
                    })?;
                    rendered.push_str(&text);
                }
            }
        }
        Ok(rendered)
    }
}

fn rest(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

/// The bytes before the `}}` that closes an expression.
fn find_close(text: &str) -> Option<usize> {
    let mut in_string = false;
    let mut last = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            // A doubled quote inside a string closes and opens it again.
            b'\'' => in_string = !in_string,
            b'}' if !in_string && last == b'}' => return Some(at - 1),
            _ => {}
        }
        last = byte;
    }
    None
}
