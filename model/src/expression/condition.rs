//! The `if` of jobs and steps: an expression where `${{ }}` may be left out, and `success()` is implied unless it asks for the status itself.

use super::Expression;
use super::contexts::{Contexts, Host};
use super::error::ExpressionError;
use super::memory::TEMPLATE_MEMORY;
use super::options::ParseOptions;
use super::references::Reference;
use super::template::Template;

/// A parsed `if`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    body: Body,
    implies_success: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    /// Nothing but the implied `success()`.
    Nothing,
    Expression {
        expression: Expression,
        offset: usize,
    },
    /// Text around `${{ }}`: a string, which is true as soon as it is not empty.
    Text(Template),
}

/// Parses the `if` of a job or step, with any context and all functions allowed. Blank text means `success()`.
///
/// # Errors
/// The first thing that is wrong, in GitHub's words.
pub fn condition(text: &str) -> Result<Condition, ExpressionError> {
    condition_with(text, &ParseOptions::default())
}

/// Parses the `if` of a job or step with what `options` allow.
///
/// # Errors
/// As [`condition`].
pub fn condition_with(text: &str, options: &ParseOptions) -> Result<Condition, ExpressionError> {
    let body = if text.contains("${{") {
        let template = Template::parse_with(text, options)?;
        let single = template.single().is_some().then(|| template.expressions().next()).flatten();
        match single {
            Some((expression, offset)) => Body::Expression { expression: expression.clone(), offset },
            None => Body::Text(template),
        }
    } else {
        let offset = text.len() - text.trim_start().len();
        let expression =
            Expression::parse_with(text.trim(), options).map_err(|error| error.shifted(offset))?;
        if expression.is_empty() { Body::Nothing } else { Body::Expression { expression, offset } }
    };
    let asks_status = match &body {
        Body::Nothing => false,
        Body::Expression { expression, .. } => expression.uses_status_function(),
        Body::Text(template) => {
            template.expressions().any(|(expression, _)| expression.uses_status_function())
        }
    };
    Ok(Condition { body, implies_success: !asks_status })
}

impl Condition {
    /// Whether `success()` has to hold too because the text asks for no status.
    pub fn implies_success(&self) -> bool {
        self.implies_success
    }

    /// The expression, unless the text is blank or mixes `${{ }}` with other text.
    pub fn expression(&self) -> Option<&Expression> {
        match &self.body {
            Body::Expression { expression, .. } => Some(expression),
            Body::Nothing | Body::Text(_) => None,
        }
    }

    /// Whether text stands around `${{ }}`: the whole is then a string and true whatever the expressions say, which is hardly meant.
    pub fn is_text(&self) -> bool {
        matches!(self.body, Body::Text(_))
    }

    /// The contexts and functions that are used (not the implied `success()`); offsets count from the beginning of the text.
    pub fn references(&self) -> Vec<Reference> {
        match &self.body {
            Body::Nothing => Vec::new(),
            Body::Text(template) => template.references(),
            Body::Expression { expression, offset } => {
                let mut references = expression.references();
                for reference in &mut references {
                    reference.offset += offset;
                }
                references
            }
        }
    }

    /// Whether the job or step is to run. Where the implied `success()` does not hold, nothing else is evaluated.
    ///
    /// # Errors
    /// As [`Expression::evaluate`]; the offset counts from the beginning of the text.
    pub fn evaluate(&self, contexts: &Contexts, host: &dyn Host) -> Result<bool, ExpressionError> {
        if self.implies_success && !host.success(&[]) {
            return Ok(false);
        }
        match &self.body {
            Body::Nothing => Ok(true),
            Body::Text(template) => Ok(!template.render(contexts, host)?.is_empty()),
            Body::Expression { expression, offset } => {
                let value = expression
                    .evaluate_within(contexts, host, TEMPLATE_MEMORY)
                    .map_err(|error| error.shifted(*offset))?;
                Ok(value.is_truthy())
            }
        }
    }
}
