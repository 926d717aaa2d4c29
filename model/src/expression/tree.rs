//! The tree of a parsed expression. Nodes lie in one list and name each other by place, so that neither building nor dropping a tree goes
//! deeper than a loop, whatever the text is.

use std::fmt::{self, Write as _};

use super::lexer::{Operator, is_keyword};
use super::options::Function;
use super::value::Value;

/// The place of a node in its tree.
pub(super) type NodeId = usize;

#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    Literal(Value),
    /// `*` as an index.
    Wildcard,
    /// A context.
    NamedValue(Box<str>),
    Call {
        function: Function,
        /// The name as it was written.
        name: Box<str>,
        arguments: Vec<NodeId>,
    },
    /// `object.index` or `object[index]`.
    Index {
        object: NodeId,
        index: NodeId,
    },
    Not(NodeId),
    /// Comparisons only.
    Compare {
        operator: Operator,
        left: NodeId,
        right: NodeId,
    },
    /// Two or more operands.
    And(Vec<NodeId>),
    /// Two or more operands.
    Or(Vec<NodeId>),
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Where the node's own token begins in the source, in bytes.
    pub(super) offset: usize,
    /// The levels from here down, 1 for a leaf.
    pub(super) height: usize,
}

/// A parsed expression. An empty text has no root.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Option<NodeId>,
}

impl Tree {
    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub(super) fn height(&self, id: NodeId) -> usize {
        self.get(id).map_or(0, |node| node.height)
    }

    pub(super) fn push(&mut self, kind: NodeKind, offset: usize) -> NodeId {
        let height = 1 + match &kind {
            NodeKind::Literal(_) | NodeKind::Wildcard | NodeKind::NamedValue(_) => 0,
            NodeKind::Call { arguments: parts, .. } | NodeKind::And(parts) | NodeKind::Or(parts) => {
                self.highest(parts)
            }
            NodeKind::Index { object, index } => self.highest(&[*object, *index]),
            NodeKind::Compare { left, right, .. } => self.highest(&[*left, *right]),
            NodeKind::Not(part) => self.height(*part),
        };
        self.nodes.push(Node { kind, offset, height });
        self.nodes.len() - 1
    }

    pub(super) fn highest(&self, parts: &[NodeId]) -> usize {
        parts.iter().map(|&part| self.height(part)).max().unwrap_or(0)
    }

    /// Writes the expression as text that reads back as the same tree; `bare` leaves out the brackets around an outermost operator.
    pub(super) fn write(&self, id: NodeId, bare: bool, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(node) = self.get(id) else {
            return Ok(());
        };
        match &node.kind {
            NodeKind::Literal(value) => write_literal(value, out),
            NodeKind::Wildcard => out.write_char('*'),
            NodeKind::NamedValue(name) => out.write_str(name),
            NodeKind::Call { name, arguments, .. } => {
                write!(out, "{name}(")?;
                self.write_list(arguments, ", ", true, out)?;
                out.write_char(')')
            }
            NodeKind::Index { object, index } => self.write_index(*object, *index, out),
            NodeKind::Not(part) => {
                out.write_char('!')?;
                self.write(*part, false, out)
            }
            NodeKind::Compare { operator, left, right } => {
                self.write_operator(&[*left, *right], operator.symbol(), bare, out)
            }
            NodeKind::And(parts) => self.write_operator(parts, "&&", bare, out),
            NodeKind::Or(parts) => self.write_operator(parts, "||", bare, out),
        }
    }

    fn write_operator(
        &self,
        parts: &[NodeId],
        symbol: &str,
        bare: bool,
        out: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        if !bare {
            out.write_char('(')?;
        }
        self.write_list(parts, &format!(" {symbol} "), false, out)?;
        if !bare {
            out.write_char(')')?;
        }
        Ok(())
    }

    fn write_list(
        &self,
        parts: &[NodeId],
        between: &str,
        bare: bool,
        out: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        for (at, &part) in parts.iter().enumerate() {
            if at > 0 {
                out.write_str(between)?;
            }
            self.write(part, bare, out)?;
        }
        Ok(())
    }

    fn write_index(&self, object: NodeId, index: NodeId, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A literal or `!x` only has properties inside brackets.
        let closed = self.get(object).map(|node| &node.kind);
        if matches!(closed, Some(NodeKind::Literal(_) | NodeKind::Not(_))) {
            out.write_char('(')?;
            self.write(object, true, out)?;
            out.write_char(')')?;
        } else {
            self.write(object, false, out)?;
        }
        match self.get(index).map(|node| &node.kind) {
            Some(NodeKind::Wildcard) => out.write_str(".*"),
            Some(NodeKind::Literal(Value::String(name))) if is_keyword(name) => write!(out, ".{name}"),
            _ => {
                out.write_char('[')?;
                self.write(index, true, out)?;
                out.write_char(']')
            }
        }
    }
}

fn write_literal(value: &Value, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Number(value) if value.is_finite() => {
            out.write_str(format!("{value:?}").trim_end_matches(".0"))
        }
        Value::Number(_) => out.write_str(&value.to_display_string()),
        Value::String(value) => write!(out, "'{}'", value.replace('\'', "''")),
        // No text is read as an array or object literal.
        Value::Array(_) | Value::Object(_) => out.write_str(value.kind()),
    }
}
