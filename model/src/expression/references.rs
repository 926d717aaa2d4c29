//! Which contexts and functions an expression uses, for checks that do not evaluate it.

use super::tree::{NodeId, NodeKind, Tree};
use super::value::Value;

/// One step from a context to a property of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPart {
    /// A property or item that the text names: `.title`, `['title']`, `[0]`.
    Name(String),
    /// `*`: all of them.
    Star,
    /// One that only the evaluation knows: `[matrix.os]`.
    Computed,
}

/// What is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceKind {
    /// A context, and what is taken from it.
    Context {
        /// The way from the context: `title` of `issue` of `event` for `github.event.issue.title`.
        path: Vec<PathPart>,
    },
    /// A call of a function.
    Function {
        /// How many parameters it is given.
        parameters: usize,
    },
}

/// A use of a context or a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name as it was written.
    pub name: String,
    /// What is used.
    pub kind: ReferenceKind,
    /// Where the name stands in the text that was parsed (for a template: the whole template): a byte offset from 0.
    pub offset: usize,
    /// Where it stands in the expression, as in error texts: from 1, in UTF-16 units.
    pub position: usize,
}

pub(super) fn of(tree: &Tree, source: &str) -> Vec<Reference> {
    // The index node, if any, whose object a node is.
    let mut indexed_by: Vec<Option<NodeId>> = vec![None; tree.nodes.len()];
    for (id, node) in tree.nodes.iter().enumerate() {
        if let NodeKind::Index { object, .. } = node.kind
            && let Some(place) = indexed_by.get_mut(object)
        {
            *place = Some(id);
        }
    }
    let next = |id: NodeId| indexed_by.get(id).copied().flatten();
    let positions = Positions::of(source);
    let mut references = Vec::new();
    for (id, node) in tree.nodes.iter().enumerate() {
        let (name, kind) = match &node.kind {
            NodeKind::NamedValue(name) => {
                let indices = std::iter::successors(next(id), |&id| next(id));
                let path = indices.map(|index| part(tree, index)).collect();
                (name, ReferenceKind::Context { path })
            }
            NodeKind::Call { name, arguments, .. } => {
                let parameters = arguments.len();
                (name, ReferenceKind::Function { parameters })
            }
            _ => continue,
        };
        references.push(Reference {
            name: name.to_string(),
            kind,
            offset: node.offset,
            position: positions.at(node.offset),
        });
    }
    references.sort_by_key(|reference| reference.offset);
    references
}

/// The positions of a whole text, counted once: asked for each name in turn, they would be counted from its beginning each time.
enum Positions {
    /// A byte is a unit.
    Ascii,
    /// The units before each byte.
    Wide(Vec<usize>),
}

impl Positions {
    fn of(source: &str) -> Self {
        if source.is_ascii() {
            return Self::Ascii;
        }
        let mut units = Vec::with_capacity(source.len());
        let mut before = 0;
        for c in source.chars() {
            units.extend(std::iter::repeat_n(before, c.len_utf8()));
            before += c.len_utf16();
        }
        Self::Wide(units)
    }

    fn at(&self, offset: usize) -> usize {
        match self {
            Self::Ascii => offset + 1,
            Self::Wide(units) => units.get(offset).copied().unwrap_or(0) + 1,
        }
    }
}

/// What the index node `id` takes from its object.
fn part(tree: &Tree, id: NodeId) -> PathPart {
    let Some(NodeKind::Index { index, .. }) = tree.get(id).map(|node| &node.kind) else {
        return PathPart::Computed;
    };
    match tree.get(*index).map(|node| &node.kind) {
        Some(NodeKind::Wildcard) => PathPart::Star,
        Some(NodeKind::Literal(value)) if !matches!(value, Value::Array(_) | Value::Object(_)) => {
            PathPart::Name(value.to_display_string().to_string())
        }
        _ => PathPart::Computed,
    }
}
