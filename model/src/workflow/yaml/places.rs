//! Where a byte of the text of a file stands: everything is counted once, when the file is read, so that an answer takes a search and no walk
//! through the text. A file may have a hundred thousand expressions in one scalar, and a finding for each.

use super::node::{Node, NodeId, Position};
use std::collections::HashMap;
use std::sync::Arc;

const OPEN: &str = "${{";

/// The text of a file, and what was counted in it.
#[derive(Debug, Clone)]
pub(super) struct Places {
    text: Arc<str>,
    /// Where each line begins, in bytes. As in YAML, a lone carriage return ends a line, too.
    lines: Vec<usize>,
    /// The bytes that begin no character.
    inner: Vec<usize>,
    /// Of each scalar with expressions, where they begin.
    opened: HashMap<NodeId, Opened>,
}

/// Where expressions begin: they look the same in the source as in the value, whatever quotes, folds and escapes do to the text between them.
#[derive(Debug, Clone)]
struct Opened {
    in_value: Vec<usize>,
    in_source: Vec<usize>,
    on_one_line: bool,
}

impl Places {
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|&(at, &byte)| {
            byte == b'\n' || (byte == b'\r' && bytes.get(at + 1).is_none_or(|&next| next != b'\n'))
        });
        let inner = bytes.iter().enumerate().filter(|&(_, byte)| byte & 0b1100_0000 == 0b1000_0000);
        Self {
            text: text.into(),
            lines: std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect(),
            inner: inner.map(|(at, _)| at).collect(),
            opened: HashMap::new(),
        }
    }

    /// Counts the expressions of a scalar that was just read.
    pub(super) fn remember(&mut self, node: &Node) {
        let Some(value) = node.as_str().filter(|value| value.contains(OPEN)) else { return };
        let raw = self.text.get(node.source.clone()).unwrap_or_default();
        let all = |text: &str| text.match_indices(OPEN).map(|(at, _)| at).collect();
        let opened =
            Opened { in_value: all(value), in_source: all(raw), on_one_line: !raw.trim_end().contains('\n') };
        self.opened.insert(node.id, opened);
    }

    pub(super) fn is_on_one_line(&self, node: &Node) -> bool {
        match self.opened.get(&node.id) {
            Some(opened) => opened.on_one_line,
            None => self.text.get(node.source.clone()).is_none_or(|raw| !raw.trim_end().contains('\n')),
        }
    }

    pub(super) fn position_in(&self, node: &Node, offset: usize) -> Position {
        let (Some(value), Some(raw)) = (node.as_str(), self.text.get(node.source.clone())) else {
            return node.at;
        };
        let expression = self.opened.get(&node.id).and_then(|opened| {
            let before = opened.in_value.partition_point(|&at| at + OPEN.len() <= offset);
            Some((*opened.in_value.get(before.checked_sub(1)?)?, *opened.in_source.get(before - 1)?))
        });
        let found = match expression {
            Some((in_value, in_source)) => Some(in_source + (offset - in_value)),
            None => {
                let first = value.trim_start().split('\n').next().unwrap_or_default();
                let skipped = value.len() - value.trim_start().len();
                raw.find(first).map(|at| at + offset.saturating_sub(skipped))
            }
        };
        match found.filter(|&at| raw.is_char_boundary(at)) {
            Some(at) => self.of_byte(node.source.start + at),
            None => node.at,
        }
    }

    fn of_byte(&self, byte: usize) -> Position {
        let line = self.lines.partition_point(|&start| start <= byte).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        Position { line, column: self.characters(start, byte) + 1 }
    }

    /// The characters from one byte to another.
    fn characters(&self, from: usize, to: usize) -> usize {
        let inner = |byte: usize| self.inner.partition_point(|&at| at < byte);
        to.saturating_sub(from).saturating_sub(inner(to) - inner(from))
    }

    /// The place that the parser names by line, from 1, and column, from 0. At the end of a file it may name a line that is not there.
    pub(super) fn of_marker(&self, line: usize, column: usize) -> Position {
        let last = self.lines.len();
        if line <= last {
            return Position { line: line.max(1), column: column + 1 };
        }
        let start = self.lines.last().copied().unwrap_or(0);
        Position { line: last, column: self.characters(start, self.text.len()) + 1 }
    }
}
