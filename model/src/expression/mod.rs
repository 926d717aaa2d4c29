//! The expression language of GitHub Actions: what stands inside `${{ }}`.
//!
//! Own lexer, parser and evaluator, with the meaning, the limits and the error texts of GitHub's (github.com/actions/runner,
//! `src/Sdk/Expressions`). Pure: files and the status of a job come from the caller through [`Host`]. No text makes it panic, recurse deeply
//! or take more than time in proportion to its length.
//!
//! # Grammar
//!
//! ```text
//! expression = or ;                                       blank text is null
//! or         = and  { "||" and } ;                        the first operand that is true, else the last
//! and        = same { "&&" same } ;                       the first operand that is false, else the last
//! same       = order { ( "==" | "!=" ) order } ;
//! order      = not { ( "<" | "<=" | ">" | ">=" ) not } ;
//! not        = { "!" } part ;
//! part       = literal | access ;
//! access     = ( context | call | "(" or ")" ) { "." name | "." "*" | "[" or "]" | "[" "*" "]" } ;
//! call       = name "(" [ or { "," or } ] ")" ;
//! context    = name ;
//! name       = ( letter | "_" ) { letter | digit | "_" | "-" } ;            ASCII
//! literal    = "null" | "true" | "false" | number | string ;               these words as written, others without case
//! number     = [ "+" | "-" ] decimal with fraction and exponent | "0x" hex digits | "0o" octal digits | [ "+" | "-" ] "Infinity" | "NaN" ;
//! string     = "'" { any character, "'" as "''" } "'" ;
//! ```
//!
//! A number, a name and a broken symbol reach to the next blank or one of `( [ ) ] , . ! > < = & |` (a number past dots).
//!
//! # Meaning
//!
//! - False are null, `false`, 0, NaN and `''`.
//! - Values of different kinds are compared as numbers; strings without case; arrays and objects are equal to themselves only.
//! - A property that is not there is null, of whatever it is asked; keys are found without case.
//! - `*` gives the values of an array or object; an index behind it goes to each of them, and those that do not have it are left out.
//! - Limits: 21,000 UTF-16 units, a tree 50 levels deep (a chain of `&&` or `||` is one level),
//!   1 MiB while evaluating, 10 MiB for the value of a key in a workflow.

mod collections;
mod condition;
mod contexts;
mod error;
mod evaluator;
mod functions;
mod ignore_case;
mod json;
mod lexer;
mod memory;
mod number;
mod options;
mod parser;
mod references;
pub mod template;
mod tree;
mod types;
mod value;
mod value_json;

use std::fmt;

pub use collections::{Array, Object};
pub use condition::{Condition, condition, condition_with};
pub use contexts::{Contexts, Host, JobStatus};
pub use error::{ErrorKind, ExpressionError};
pub use memory::{EXPRESSION_MEMORY, TEMPLATE_MEMORY};
pub use options::{AllowedFunction, ParseOptions};
pub use references::{PathPart, Reference, ReferenceKind};
pub use types::{Type, TypeProblem};
pub use value::Value;

/// A parsed expression: the text inside `${{ }}`.
///
/// It is shown as text that reads back as the same expression, with brackets around each operator.
#[derive(Debug, Clone)]
pub struct Expression {
    source: String,
    tree: tree::Tree,
}

impl Expression {
    /// Parses `source`, with any context and all functions allowed.
    ///
    /// # Errors
    /// The first thing that is wrong, in GitHub's words.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Self::parse_with(source, &ParseOptions::default())
    }

    /// Parses `source` with what `options` allow.
    ///
    /// # Errors
    /// The first thing that is wrong, in GitHub's words.
    pub fn parse_with(source: &str, options: &ParseOptions) -> Result<Self, ExpressionError> {
        Ok(Self { source: source.to_owned(), tree: parser::parse(source, options)? })
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether there is nothing but blanks: the value is then null.
    pub fn is_empty(&self) -> bool {
        self.tree.root.is_none()
    }

    /// The value, holding at most [`EXPRESSION_MEMORY`] while it is evaluated.
    ///
    /// # Errors
    /// Where a function refuses what it is given, where a host cannot hash files, and where the memory limit is passed.
    pub fn evaluate(&self, contexts: &Contexts, host: &dyn Host) -> Result<Value, ExpressionError> {
        self.evaluate_within(contexts, host, EXPRESSION_MEMORY)
    }

    /// The value, holding at most `limit` bytes while it is evaluated.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn evaluate_within(
        &self,
        contexts: &Contexts,
        host: &dyn Host,
        limit: usize,
    ) -> Result<Value, ExpressionError> {
        evaluator::evaluate(&self.tree, &self.source, contexts, host, limit)
    }

    /// The contexts and functions it uses, in the order of the text.
    pub fn references(&self) -> Vec<Reference> {
        references::of(&self.tree, &self.source)
    }

    /// What is certain to fail whenever it is evaluated: calls of `format` and `fromJSON` whose first parameter is a literal that they refuse.
    /// Not an error of parsing, since the call may never be reached.
    pub fn certain_errors(&self) -> Vec<ExpressionError> {
        functions::certain_errors(&self.tree, &self.source)
    }

    /// The kind of its value, as far as that can be told before it is evaluated, and what in it hardly means what it says. `contexts` knows
    /// the kinds of contexts by their names.
    pub fn type_in(&self, contexts: &dyn Fn(&str) -> Type) -> (Type, Vec<TypeProblem>) {
        types::of(&self.tree, contexts)
    }

    /// Whether it asks how the job stands: `success()` is then not implied in an `if`.
    pub fn uses_status_function(&self) -> bool {
        self.tree
            .nodes
            .iter()
            .any(|node| matches!(&node.kind, tree::NodeKind::Call { function, .. } if function.is_status()))
    }

    /// The value, where the expression is a mere literal.
    pub fn as_literal(&self) -> Option<&Value> {
        match &self.tree.get(self.tree.root?)?.kind {
            tree::NodeKind::Literal(value) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tree.root {
            Some(root) => self.tree.write(root, true, formatter),
            None => Ok(()),
        }
    }
}

/// Two expressions are equal where they are shown as the same text.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}
