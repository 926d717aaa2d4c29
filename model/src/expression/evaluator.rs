//! From a tree to its value. Operands are evaluated only when they are needed, from left to right; the depth of the tree is limited, so
//! recursion is too.

use super::collections::{Array, Object};
use super::contexts::{Contexts, Host};
use super::error::ExpressionError;
use super::lexer::Operator;
use super::memory::{self, Counter, Exceeded, Memory};
use super::tree::{Node, NodeId, NodeKind, Tree};
use super::value::Value;

/// Evaluates `tree`, which was read from `source`, holding at most `limit` bytes.
pub(super) fn evaluate(
    tree: &Tree,
    source: &str,
    contexts: &Contexts,
    host: &dyn Host,
    limit: usize,
) -> Result<Value, ExpressionError> {
    let Some(root) = tree.root else {
        return Ok(Value::Null);
    };
    let mut evaluator = Evaluator { tree, source, contexts, host, memory: Memory::new(limit) };
    match evaluator.value(root, 0)? {
        // Only inside the expression does an index go on to each item.
        Value::Array(array) => Ok(Value::Array(array.into_plain())),
        value => Ok(value),
    }
}

pub(super) struct Evaluator<'a> {
    tree: &'a Tree,
    source: &'a str,
    contexts: &'a Contexts,
    pub(super) host: &'a dyn Host,
    pub(super) memory: Memory,
}

impl Evaluator<'_> {
    /// The value of a node that stands `level` levels below the root.
    pub(super) fn value(&mut self, id: NodeId, level: usize) -> Result<Value, ExpressionError> {
        let Some(node) = self.tree.get(id) else {
            return Ok(Value::Null);
        };
        let mut items = 0;
        let value = match &node.kind {
            NodeKind::Literal(value) => value.clone(),
            NodeKind::Wildcard => Value::from("*"),
            NodeKind::NamedValue(name) => self.contexts.get(name).cloned().unwrap_or_default(),
            NodeKind::Call { function, arguments, .. } => self.call(*function, arguments, node, level)?,
            NodeKind::Index { object, index } => {
                let value = self.index(*object, *index, level)?;
                if let Value::Array(array) = &value
                    && array.is_filtered()
                {
                    items = array.len();
                }
                value
            }
            NodeKind::Not(part) => Value::Bool(!self.value(*part, level + 1)?.is_truthy()),
            NodeKind::Compare { operator, left, right } => {
                let left = self.value(*left, level + 1)?;
                let right = self.value(*right, level + 1)?;
                Value::Bool(compare(*operator, &left, &right))
            }
            NodeKind::And(parts) => self.chain(parts, level, false)?,
            NodeKind::Or(parts) => self.chain(parts, level, true)?,
        };
        let bytes = memory::value_bytes(&value) + items * memory::ITEM_BYTES;
        // What is found in a context is not made here; any other primitive is all there is of its operands.
        let found =
            matches!(node.kind, NodeKind::NamedValue(_) | NodeKind::Index { .. }) && value != Value::Null;
        let complete = value.is_primitive() && !found;
        self.memory.add(level, bytes, complete).map_err(|Exceeded| self.too_much(node))?;
        Ok(value)
    }

    /// The first operand whose truth is `until`, else the last one.
    fn chain(&mut self, parts: &[NodeId], level: usize, until: bool) -> Result<Value, ExpressionError> {
        let mut value = Value::Null;
        for &part in parts {
            value = self.value(part, level + 1)?;
            if value.is_truthy() == until {
                break;
            }
        }
        Ok(value)
    }

    fn index(&mut self, object: NodeId, index: NodeId, level: usize) -> Result<Value, ExpressionError> {
        let object = self.value(object, level + 1)?;
        let star = matches!(self.tree.get(index).map(|node| &node.kind), Some(NodeKind::Wildcard));
        if object.is_primitive() {
            return Ok(if star { Array::filtered(Vec::new()).into() } else { Value::Null });
        }
        let index = if star { Index::Star } else { Index::At(self.value(index, level + 1)?) };
        let found = match &object {
            Value::Array(array) if array.is_filtered() => {
                let mut items = Vec::new();
                for item in array.iter() {
                    index.collect(item, &mut items);
                }
                return Ok(Array::filtered(items).into());
            }
            collection if star => {
                let mut items = Vec::new();
                index.collect(collection, &mut items);
                return Ok(Array::filtered(items).into());
            }
            Value::Array(array) => index.item(array),
            Value::Object(object) => index.property(object),
            _ => None,
        };
        Ok(found.cloned().unwrap_or_default())
    }

    pub(super) fn too_much(&self, node: &Node) -> ExpressionError {
        let message = memory::exceeded(self.source);
        ExpressionError::evaluation(message, node.offset, self.source)
    }

    /// Counts a string that a function is building its result of.
    pub(super) fn count(
        &self,
        counter: &mut Counter,
        text: &str,
        node: &Node,
    ) -> Result<(), ExpressionError> {
        counter.add_string(text).map_err(|Exceeded| self.too_much(node))
    }

    pub(super) fn fail(&self, message: String, node: &Node) -> ExpressionError {
        ExpressionError::evaluation(message, node.offset, self.source)
    }
}

fn compare(operator: Operator, left: &Value, right: &Value) -> bool {
    let order = || left.loosely_compares(right);
    match operator {
        Operator::Equal => left.loosely_equals(right),
        Operator::NotEqual => !left.loosely_equals(right),
        Operator::Less => order().is_some_and(std::cmp::Ordering::is_lt),
        Operator::Greater => order().is_some_and(std::cmp::Ordering::is_gt),
        Operator::LessOrEqual => left.loosely_equals(right) || order().is_some_and(std::cmp::Ordering::is_lt),
        Operator::GreaterOrEqual => {
            left.loosely_equals(right) || order().is_some_and(std::cmp::Ordering::is_gt)
        }
        // The parser makes nodes of their own for these.
        Operator::Not | Operator::And | Operator::Or => false,
    }
}

/// What stands behind a dot or in square brackets.
enum Index {
    Star,
    At(Value),
}

impl Index {
    /// The item of an array: the index as a number, rounded down; none below 0 and none for NaN.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    fn item<'a>(&self, array: &'a Array) -> Option<&'a Value> {
        let Self::At(index) = self else { return None };
        let number = index.to_number();
        let in_range = (0.0..=f64::from(i32::MAX)).contains(&number);
        if in_range { array.get(number as usize) } else { None }
    }

    /// The property of an object: the index as text; an array or object names none.
    fn property<'a>(&self, object: &'a Object) -> Option<&'a Value> {
        match self {
            Self::At(index) if index.is_primitive() => object.get(&index.to_display_string()),
            _ => None,
        }
    }

    /// Adds what the index finds in `value`; `*` finds everything.
    fn collect(&self, value: &Value, found: &mut Vec<Value>) {
        match (value, self) {
            (Value::Array(array), Self::Star) => found.extend(array.iter().cloned()),
            (Value::Object(object), Self::Star) => {
                found.extend(object.iter().map(|(_, value)| value.clone()))
            }
            (Value::Array(array), Self::At(_)) => found.extend(self.item(array).cloned()),
            (Value::Object(object), Self::At(_)) => found.extend(self.property(object).cloned()),
            _ => {}
        }
    }
}
