//! From text to tokens. A token that may not follow the one before it is refused here already, which is what lets the parser trust the order
//! of what it gets. Source of the rules: `LexicalAnalyzer` of github.com/actions/runner.

use super::error::{ErrorKind, ExpressionError};
use super::number;
use super::value::Value;

/// An operator between or before operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    Not,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    And,
    Or,
}

impl Operator {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Not => "!",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::And => "&&",
            Self::Or => "||",
        }
    }
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TokenKind {
    /// `(` around a part.
    StartGroup,
    /// `)` around a part.
    EndGroup,
    /// `(` after a function's name.
    StartParameters,
    /// `)` of a call.
    EndParameters,
    StartIndex,
    EndIndex,
    Separator,
    Dereference,
    Wildcard,
    Literal,
    PropertyName,
    Function,
    NamedValue,
    Operator(Operator),
}

/// A token: its kind, where it stands in the source, and for a literal its value.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) value: Value,
}

/// Reads the tokens of one expression.
pub(super) struct Lexer<'a> {
    source: &'a str,
    at: usize,
    last: Option<TokenKind>,
    /// The kinds of the brackets that are open.
    open: Vec<TokenKind>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, at: 0, last: None, open: Vec::new() }
    }

    /// Whether a bracket is still open.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The next token, or None at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, ExpressionError> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        let Some(first) = self.rest().chars().next() else {
            return Ok(None);
        };
        let token = match first {
            '(' if self.last == Some(TokenKind::Function) => self.mark(TokenKind::StartParameters),
            '(' => self.mark(TokenKind::StartGroup),
            ')' if self.open.last() == Some(&TokenKind::StartParameters) => {
                self.mark(TokenKind::EndParameters)
            }
            ')' => self.mark(TokenKind::EndGroup),
            '[' => self.mark(TokenKind::StartIndex),
            ']' => self.mark(TokenKind::EndIndex),
            ',' => self.mark(TokenKind::Separator),
            '*' => self.mark(TokenKind::Wildcard),
            '\'' => self.string(),
            '!' | '>' | '<' | '=' | '&' | '|' => self.operator(),
            '.' if self.last != Some(TokenKind::Function) && begins_operand(self.last) => self.number(),
            '.' => self.mark(TokenKind::Dereference),
            '-' | '+' | '0'..='9' => self.number(),
            _ => self.keyword(),
        }?;
        self.last = Some(token.kind);
        Ok(Some(token))
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// A token of one ASCII character.
    fn mark(&mut self, kind: TokenKind) -> Result<Token, ExpressionError> {
        let start = self.at;
        self.at += 1;
        self.token(kind, start, Value::Null)
    }

    fn number(&mut self) -> Result<Token, ExpressionError> {
        let start = self.at;
        self.skip_word(|c| c == '.');
        let value = number::parse(self.raw(start));
        if value.is_nan() {
            return Err(self.unexpected(ErrorKind::Lexing, start));
        }
        self.token(TokenKind::Literal, start, Value::Number(value))
    }

    fn keyword(&mut self) -> Result<Token, ExpressionError> {
        let start = self.at;
        self.skip_word(|_| false);
        let raw = self.raw(start);
        if !is_keyword(raw) {
            return Err(self.unexpected(ErrorKind::Lexing, start));
        }
        if self.last == Some(TokenKind::Dereference) {
            return self.token(TokenKind::PropertyName, start, Value::from(raw));
        }
        let literal = match raw {
            "null" => Some(Value::Null),
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "NaN" => Some(Value::Number(f64::NAN)),
            "Infinity" => Some(Value::Number(f64::INFINITY)),
            _ => None,
        };
        if let Some(value) = literal {
            return self.token(TokenKind::Literal, start, value);
        }
        let kind = if self.rest().trim_start().starts_with('(') {
            TokenKind::Function
        } else {
            TokenKind::NamedValue
        };
        self.token(kind, start, Value::Null)
    }

    fn string(&mut self) -> Result<Token, ExpressionError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(length) = self.rest().find('\'') {
            text.push_str(self.rest().get(..length).unwrap_or_default());
            self.at += length + 1;
            if !self.rest().starts_with('\'') {
                return self.token(TokenKind::Literal, start, Value::from(text));
            }
            // Two quotes stand for one.
            text.push('\'');
            self.at += 1;
        }
        self.at = self.source.len();
        Err(self.unexpected(ErrorKind::Lexing, start))
    }

    fn operator(&mut self) -> Result<Token, ExpressionError> {
        use Operator::{And, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Not, NotEqual, Or};
        // Longer ones first.
        const OPERATORS: [Operator; 9] =
            [NotEqual, GreaterOrEqual, LessOrEqual, Equal, And, Or, Not, Greater, Less];
        let start = self.at;
        let found = OPERATORS.into_iter().find(|operator| self.rest().starts_with(operator.symbol()));
        if let Some(operator) = found {
            self.at += operator.symbol().len();
            return self.token(TokenKind::Operator(operator), start, Value::Null);
        }
        self.skip_word(|_| false);
        Err(self.unexpected(ErrorKind::Lexing, start))
    }

    /// Goes past one character and then up to the next boundary; `within` names boundaries that do not end the word.
    fn skip_word(&mut self, within: impl Fn(char) -> bool) {
        let rest = self.rest();
        let end = rest.char_indices().skip(1).find(|&(_, c)| is_boundary(c) && !within(c));
        self.at += end.map_or(rest.len(), |(at, _)| at);
    }

    fn raw(&self, start: usize) -> &'a str {
        self.source.get(start..self.at).unwrap_or_default()
    }

    fn unexpected(&self, kind: ErrorKind, start: usize) -> ExpressionError {
        ExpressionError::at(kind, "Unexpected symbol", self.raw(start), start, self.source)
    }

    /// The token from `start` to here, where it may stand after the last one and closes what is open.
    fn token(&mut self, kind: TokenKind, start: usize, value: Value) -> Result<Token, ExpressionError> {
        if !may_follow(kind, self.last) {
            return Err(self.unexpected(ErrorKind::Parsing, start));
        }
        let opened_by = match kind {
            TokenKind::EndGroup => Some(TokenKind::StartGroup),
            TokenKind::EndIndex => Some(TokenKind::StartIndex),
            TokenKind::EndParameters | TokenKind::Separator => Some(TokenKind::StartParameters),
            _ => None,
        };
        if opened_by.is_some() && self.open.last() != opened_by.as_ref() {
            return Err(self.unexpected(ErrorKind::Parsing, start));
        }
        match kind {
            TokenKind::StartGroup | TokenKind::StartIndex | TokenKind::StartParameters => {
                self.open.push(kind)
            }
            TokenKind::EndGroup | TokenKind::EndIndex | TokenKind::EndParameters => {
                self.open.pop();
            }
            _ => {}
        }
        Ok(Token { kind, start, end: self.at, value })
    }
}

/// Whether an operand has to come after `last`.
fn begins_operand(last: Option<TokenKind>) -> bool {
    use TokenKind::{Operator, Separator, StartGroup, StartIndex, StartParameters};
    matches!(last, None | Some(Separator | StartGroup | StartIndex | StartParameters | Operator(_)))
}

/// Whether `last` ends something that has properties.
fn ends_indexable(last: Option<TokenKind>) -> bool {
    use TokenKind::{EndGroup, EndIndex, EndParameters, NamedValue, PropertyName, Wildcard};
    matches!(last, Some(EndGroup | EndParameters | EndIndex | Wildcard | PropertyName | NamedValue))
}

fn may_follow(kind: TokenKind, last: Option<TokenKind>) -> bool {
    let ends_operand = || ends_indexable(last) || last == Some(TokenKind::Literal);
    match kind {
        TokenKind::StartGroup
        | TokenKind::Literal
        | TokenKind::Function
        | TokenKind::NamedValue
        | TokenKind::Operator(Operator::Not) => begins_operand(last),
        TokenKind::StartIndex | TokenKind::Dereference => ends_indexable(last),
        TokenKind::StartParameters => last == Some(TokenKind::Function),
        TokenKind::EndParameters => ends_operand() || last == Some(TokenKind::StartParameters),
        TokenKind::EndGroup | TokenKind::EndIndex | TokenKind::Separator | TokenKind::Operator(_) => {
            ends_operand()
        }
        TokenKind::Wildcard => matches!(last, Some(TokenKind::StartIndex | TokenKind::Dereference)),
        TokenKind::PropertyName => last == Some(TokenKind::Dereference),
    }
}

fn is_boundary(c: char) -> bool {
    matches!(c, '(' | '[' | ')' | ']' | ',' | '.' | '!' | '>' | '<' | '=' | '&' | '|') || c.is_whitespace()
}

/// Whether `text` is a name: an ASCII letter or `_`, then letters, digits, `_` and `-`.
pub(super) fn is_keyword(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
