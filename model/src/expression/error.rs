//! What can go wrong with an expression, in GitHub's words.
//!
//! Every error here is the author's (of the workflow), never ours: the texts are those that GitHub prints, so that a search for one finds
//! GitHub's own help. The texts of the first group come from `ParseException` and `ExpressionResources` of github.com/actions/runner.

/// When an expression was found to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A character sequence that is no symbol of the language: `1 = 2`, `'open`, `0x1p2`.
    Lexing,
    /// Legal symbols in the wrong place, an unknown name, a wrong number of parameters, too long or too deep.
    Parsing,
    /// Legal text whose value could not be had: a bad format string, broken JSON, too much memory.
    Evaluation,
}

/// An expression that cannot be read or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// When it was found.
    pub kind: ErrorKind,
    /// The whole text, as GitHub has it, with the position in words where GitHub's has one.
    pub message: String,
    /// Where in the expression: counted from 1, in UTF-16 units, as GitHub counts. None where the whole expression is meant.
    pub position: Option<usize>,
    /// Where in the text that was given to the parser (for a template: the whole template): a byte offset from 0.
    pub offset: usize,
}

impl ExpressionError {
    /// An error about the symbol `raw` at byte `offset` of `source`: `{what}: '{raw}'. Located at position …`.
    pub(super) fn at(kind: ErrorKind, what: &str, raw: &str, offset: usize, source: &str) -> Self {
        let position = position_of(source, offset);
        Self {
            kind,
            message: format!("{what}: '{raw}'. Located at position {position} within expression: {source}"),
            position: Some(position),
            offset,
        }
    }

    /// An error about the expression as a whole.
    pub(super) fn whole(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), position: None, offset: 0 }
    }

    /// An error in evaluating the part that begins at byte `offset` of `source`.
    pub(super) fn evaluation(message: impl Into<String>, offset: usize, source: &str) -> Self {
        Self {
            kind: ErrorKind::Evaluation,
            message: message.into(),
            position: Some(position_of(source, offset)),
            offset,
        }
    }

    /// The same error for an expression that begins `by` bytes into a longer text.
    pub(super) fn shifted(mut self, by: usize) -> Self {
        self.offset += by;
        self
    }
}

/// GitHub's position of byte `offset` in `source`: from 1, in UTF-16 units.
pub(super) fn position_of(source: &str, offset: usize) -> usize {
    let before = source.get(..offset).unwrap_or(source);
    utf16_len(before) + 1
}

/// The length of `text` in UTF-16 units, which is what GitHub's limits and positions count.
pub(super) fn utf16_len(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}
