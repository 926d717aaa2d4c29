//! Which kind of value an expression has, as far as that can be told before it is evaluated, and what hardly means what it says: a property
//! of text, a list compared with a number. None of this is an error: the language gives every such expression a value, mostly null or false.

use super::functions;
use super::lexer::Operator;
use super::options::Function;
use super::tree::{NodeId, NodeKind, Tree};
use super::value::Value;

/// The kind of a value that is not known yet.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// It can't be told.
    Any,
    /// Null.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// Text.
    Text,
    /// A list of such values.
    List(Box<Type>),
    /// What `*` gives: a list whose properties are those of its items.
    Each(Box<Type>),
    /// A mapping: the properties that are known, and what any other is; None where there is no other.
    Map(Vec<(String, Type)>, Option<Box<Type>>),
}

/// Something that hardly means what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeProblem {
    /// Where, in bytes from the beginning of the expression.
    pub offset: usize,
    /// What, for people.
    pub message: String,
}

impl Type {
    /// A mapping whose values are all of one kind, whatever their names are.
    pub fn map_of(values: Type) -> Self {
        Self::Map(Vec::new(), Some(Box::new(values)))
    }

    /// The kind of a value that may be of either kind.
    #[must_use]
    pub fn or(self, other: Type) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.or(*other))),
            (Self::Map(mut one, others), Self::Map(more, more_others)) => {
                for (name, kind) in more {
                    match one.iter_mut().find(|row| row.0.eq_ignore_ascii_case(&name)) {
                        Some(row) => row.1 = std::mem::replace(&mut row.1, Self::Null).or(kind),
                        None => one.push((name, kind)),
                    }
                }
                let others = match (others, more_others) {
                    (Some(one), Some(other)) => Some(Box::new(one.or(*other))),
                    (one, other) => one.or(other),
                };
                Self::Map(one, others)
            }
            _ => Self::Any,
        }
    }

    /// The kind in words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List(_) | Self::Each(_) => "a list",
            Self::Map(..) => "a mapping",
        }
    }

    /// Whether it is a list or a mapping, for certain.
    pub fn is_collection(&self) -> bool {
        matches!(self, Self::List(_) | Self::Each(_) | Self::Map(..))
    }

    /// Whether it is text, a number, true or false, for certain.
    pub fn is_scalar(&self) -> bool {
        matches!(self, Self::Bool | Self::Number | Self::Text)
    }

    fn property(&self, name: &str) -> Type {
        match self {
            Self::Map(known, others) => known
                .iter()
                .find(|row| row.0.eq_ignore_ascii_case(name))
                .map(|row| row.1.clone())
                .or_else(|| others.as_deref().cloned())
                .unwrap_or(Self::Any),
            Self::Each(item) => Self::Each(Box::new(item.property(name))),
            _ => Self::Any,
        }
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(items) => {
                let kinds = items.iter().map(Self::of_value).reduce(Self::or);
                Self::List(Box::new(kinds.unwrap_or(Self::Any)))
            }
            Value::Object(object) => {
                let rows = object.iter().map(|(name, value)| (name.to_owned(), Self::of_value(value)));
                Self::Map(rows.collect(), None)
            }
        }
    }
}

/// The kind of the whole expression, and what is odd in it; `contexts` knows the kinds of contexts.
pub(super) fn of(tree: &Tree, contexts: &dyn Fn(&str) -> Type) -> (Type, Vec<TypeProblem>) {
    let mut walk = Walk { tree, contexts, problems: Vec::new() };
    let kind = tree.root.map_or(Type::Null, |root| walk.node(root));
    walk.problems.sort_by_key(|problem| problem.offset);
    (kind, walk.problems)
}

struct Walk<'a> {
    tree: &'a Tree,
    contexts: &'a dyn Fn(&str) -> Type,
    problems: Vec<TypeProblem>,
}

impl Walk<'_> {
    fn odd(&mut self, offset: usize, message: String) {
        self.problems.push(TypeProblem { offset, message });
    }

    /// As deep as the tree, which the parser bounds.
    fn node(&mut self, id: NodeId) -> Type {
        let tree = self.tree;
        let Some(node) = tree.get(id) else { return Type::Any };
        match &node.kind {
            NodeKind::Literal(value) => Type::of_value(value),
            NodeKind::Wildcard => Type::Any,
            NodeKind::NamedValue(name) => (self.contexts)(name),
            NodeKind::Index { object, index } => self.index(*object, *index),
            NodeKind::Not(part) => {
                self.node(*part);
                Type::Bool
            }
            NodeKind::And(parts) | NodeKind::Or(parts) => {
                let kinds: Vec<Type> = parts.iter().map(|&part| self.node(part)).collect();
                kinds.into_iter().reduce(Type::or).unwrap_or(Type::Any)
            }
            NodeKind::Compare { operator, left, right } => {
                let (one, other) = (self.node(*left), self.node(*right));
                self.compare(*operator, &one, &other, node.offset);
                Type::Bool
            }
            NodeKind::Call { function, name, arguments } => {
                let kinds: Vec<Type> = arguments.iter().map(|&argument| self.node(argument)).collect();
                self.call(*function, name, arguments, &kinds, node.offset)
            }
        }
    }

    fn index(&mut self, object: NodeId, index: NodeId) -> Type {
        let whole = self.node(object);
        let Some(node) = self.tree.get(index) else { return Type::Any };
        let offset = node.offset;
        let by = match &node.kind {
            NodeKind::Wildcard => {
                if whole.is_scalar() {
                    self.odd(offset, format!("`*` of {} gives nothing", whole.words()));
                }
                return Type::Each(Box::new(match whole {
                    Type::List(item) => *item,
                    Type::Each(item) => match *item {
                        Type::List(item) => *item,
                        Type::Map(known, others) => values(known, others),
                        _ => Type::Any,
                    },
                    Type::Map(known, others) => values(known, others),
                    _ => Type::Any,
                }));
            }
            NodeKind::Literal(Value::String(name)) => {
                let text = name.to_string();
                match &whole {
                    Type::Bool | Type::Number | Type::Text => self.odd(
                        offset,
                        format!("`{text}` is asked of {}, which has no properties: this is null", whole.words()),
                    ),
                    Type::List(_) if text.parse::<f64>().is_err() => self.odd(
                        offset,
                        format!("`{text}` is asked of a list: this is null; `[0]` is its first item, `.*.{text}` goes to each"),
                    ),
                    _ => {}
                }
                return whole.property(&text);
            }
            _ => self.node(index),
        };
        match (&whole, &by) {
            (Type::Map(known, None), Type::Number | Type::Bool) if !known.is_empty() => {
                self.odd(offset, format!("a mapping is asked by name, and this is {}", by.words()));
                Type::Any
            }
            (Type::Bool | Type::Number | Type::Text, _) => {
                self.odd(
                    offset,
                    format!("an item is asked of {}, which has none: this is null", whole.words()),
                );
                Type::Null
            }
            (
                Type::List(_) | Type::Each(_),
                Type::Bool | Type::Null | Type::List(_) | Type::Each(_) | Type::Map(..),
            ) => {
                self.odd(offset, format!("a list is asked by number, and this is {}", by.words()));
                Type::Any
            }
            (Type::List(item), _) => (**item).clone(),
            (Type::Map(known, Some(others)), _) if known.is_empty() => (**others).clone(),
            _ => Type::Any,
        }
    }

    fn compare(&mut self, operator: Operator, one: &Type, other: &Type, offset: usize) {
        let pair = || format!("{} and {}", one.words(), other.words());
        match operator {
            Operator::Equal | Operator::NotEqual => {
                let never = (one.is_collection() && other.is_scalar())
                    || (one.is_scalar() && other.is_collection())
                    || matches!((one, other), (Type::Map(..), Type::List(_) | Type::Each(_)))
                    || matches!((one, other), (Type::List(_) | Type::Each(_), Type::Map(..)))
                    || matches!((one, other), (Type::List(a), Type::List(b)) if a.is_scalar() && b.is_collection() || a.is_collection() && b.is_scalar());
                if never {
                    self.odd(offset, format!("{} are never equal", pair()));
                }
            }
            _ => {
                let orderless = |kind: &Type| kind.is_collection() || *kind == Type::Null;
                if orderless(one) || orderless(other) || (*one == Type::Bool && *other == Type::Bool) {
                    let symbol = operator.symbol();
                    self.odd(offset, format!("`{symbol}` between {} has no useful meaning", pair()));
                }
            }
        }
    }

    fn call(
        &mut self,
        function: Function,
        name: &str,
        ids: &[NodeId],
        kinds: &[Type],
        offset: usize,
    ) -> Type {
        let wants = |walk: &mut Self, at: usize, what: &str, wrong: &dyn Fn(&Type) -> bool| {
            if let Some(kind) = kinds.get(at).filter(|kind| wrong(kind)) {
                let offset = ids.get(at).and_then(|&id| walk.tree.get(id)).map_or(offset, |node| node.offset);
                walk.odd(offset, format!("`{name}` takes {what} here, and this is {}", kind.words()));
            }
        };
        let literal = |at: usize| {
            ids.get(at).and_then(|&id| self.tree.get(id)).and_then(|node| match &node.kind {
                NodeKind::Literal(value) => Some(value.to_display_string()),
                _ => None,
            })
        };
        match function {
            Function::Contains => {
                wants(self, 0, "text or a list", &|kind| matches!(kind, Type::Map(..)));
                if matches!(kinds.first(), Some(Type::Text)) {
                    wants(self, 1, "text", &Type::is_collection);
                }
                Type::Bool
            }
            Function::StartsWith | Function::EndsWith => {
                wants(self, 0, "text", &Type::is_collection);
                wants(self, 1, "text", &Type::is_collection);
                Type::Bool
            }
            Function::Join => {
                wants(self, 0, "a list", &|kind| matches!(kind, Type::Map(..)));
                wants(self, 1, "text", &Type::is_collection);
                Type::Text
            }
            Function::FromJson => match literal(0) {
                Some(text) => super::json::read(&text).map_or(Type::Any, |value| Type::of_value(&value)),
                None => {
                    wants(self, 0, "text", &Type::is_collection);
                    Type::Any
                }
            },
            Function::Format => {
                if let Some(pattern) = literal(0) {
                    for at in functions::unused_arguments(&pattern, kinds.len().saturating_sub(1)) {
                        let offset = ids
                            .get(at + 1)
                            .and_then(|&id| self.tree.get(id))
                            .map_or(offset, |node| node.offset);
                        self.odd(
                            offset,
                            format!("the text of `{name}` has no `{{{at}}}`, so this is not used"),
                        );
                    }
                }
                for at in 0..kinds.len() {
                    wants(self, at, "text", &Type::is_collection);
                }
                Type::Text
            }
            Function::HashFiles => {
                for at in 0..kinds.len() {
                    wants(self, at, "text", &Type::is_collection);
                }
                Type::Text
            }
            Function::ToJson => Type::Text,
            Function::Case => Type::Any,
            Function::Always | Function::Cancelled | Function::Failure | Function::Success => Type::Bool,
        }
    }
}

fn values(known: Vec<(String, Type)>, others: Option<Box<Type>>) -> Type {
    let kinds = known.into_iter().map(|row| row.1).chain(others.map(|kind| *kind));
    kinds.reduce(Type::or).unwrap_or(Type::Any)
}
