//! From tokens to a tree, with two stacks (operands, and operators that wait for theirs) instead of recursion: long and deep text costs time in
//! proportion to its length and no stack. Errors come in the order of the text, as GitHub reports them; the depth is checked last.

use super::error::{ErrorKind, ExpressionError, utf16_len};
use super::lexer::{Lexer, Operator, Token, TokenKind};
use super::options::{Function, ParseOptions};
use super::tree::{Node, NodeId, NodeKind, Tree};
use super::value::Value;

/// The most levels a tree may have.
pub(super) const MAX_DEPTH: usize = 50;

/// The longest expression, in UTF-16 units.
pub(super) const MAX_LENGTH: usize = 21_000;

/// Parses `source`; blank text gives a tree with no root.
pub(super) fn parse(source: &str, options: &ParseOptions) -> Result<Tree, ExpressionError> {
    if utf16_len(source) > MAX_LENGTH {
        let message = format!("Exceeded max expression length {MAX_LENGTH}");
        return Err(ExpressionError::whole(ErrorKind::Parsing, message));
    }
    let mut parser = Parser {
        source,
        options,
        tree: Tree::default(),
        operands: Vec::new(),
        operators: Vec::new(),
        last: None,
    };
    parser.run()?;
    Ok(parser.tree)
}

struct Parser<'a> {
    source: &'a str,
    options: &'a ParseOptions,
    tree: Tree,
    operands: Vec<NodeId>,
    operators: Vec<Token>,
    last: Option<Token>,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), ExpressionError> {
        let mut lexer = Lexer::new(self.source);
        while let Some(token) = lexer.next()? {
            match token.kind {
                TokenKind::Literal | TokenKind::PropertyName => {
                    self.operand(NodeKind::Literal(token.value.clone()), &token);
                }
                TokenKind::Wildcard => self.operand(NodeKind::Wildcard, &token),
                TokenKind::NamedValue => self.named_value(&token)?,
                TokenKind::Function => self.function(&token)?,
                _ => self.operator(&token)?,
            }
            self.last = Some(token);
        }
        let Some(last) = self.last.take() else {
            return Ok(());
        };
        if lexer.has_open() || is_open_ended(last.kind) {
            return Err(self.error("Unexpected end of expression", &last));
        }
        while let Some(operator) = self.operators.pop() {
            self.apply(&operator)?;
        }
        let root = self.pop(&last)?;
        if self.tree.height(root) > MAX_DEPTH {
            let message = format!("Exceeded max expression depth {MAX_DEPTH}");
            return Err(ExpressionError::whole(ErrorKind::Parsing, message));
        }
        self.tree.root = Some(root);
        Ok(())
    }

    fn error(&self, what: &str, token: &Token) -> ExpressionError {
        ExpressionError::at(ErrorKind::Parsing, what, self.raw(token), token.start, self.source)
    }

    fn raw(&self, token: &Token) -> &str {
        self.source.get(token.start..token.end).unwrap_or_default()
    }

    fn operand(&mut self, kind: NodeKind, token: &Token) {
        let id = self.tree.push(kind, token.start);
        self.operands.push(id);
    }

    fn named_value(&mut self, token: &Token) -> Result<(), ExpressionError> {
        let name = self.raw(token);
        if !self.options.knows_context(name) {
            return Err(self.error("Unrecognized named-value", token));
        }
        self.operand(NodeKind::NamedValue(name.into()), token);
        Ok(())
    }

    fn function(&mut self, token: &Token) -> Result<(), ExpressionError> {
        let name = self.raw(token);
        let Some((function, _, _)) = self.options.function(name) else {
            return Err(self.error("Unrecognized function", token));
        };
        let kind = NodeKind::Call { function, name: name.into(), arguments: Vec::new() };
        self.operand(kind, token);
        Ok(())
    }

    fn operator(&mut self, token: &Token) -> Result<(), ExpressionError> {
        // What binds as strongly or more strongly and waits on the left has all its operands now. `!` and `(` only look to the right.
        if !matches!(token.kind, TokenKind::StartGroup | TokenKind::Operator(Operator::Not)) {
            while let Some(top) = self
                .operators
                .pop_if(|top| !holds(top.kind) && precedence(top.kind) >= precedence(token.kind))
            {
                self.apply(&top)?;
            }
        }
        match token.kind {
            // The lexer has matched brackets already: what is left on top opened the one that closes here.
            TokenKind::EndGroup => {
                self.operators.pop();
                Ok(())
            }
            TokenKind::EndIndex => {
                let start = self.operators.pop().unwrap_or_else(|| token.clone());
                self.apply(&start)
            }
            TokenKind::EndParameters => self.end_call(token),
            _ => {
                self.operators.push(token.clone());
                Ok(())
            }
        }
    }

    /// Makes a node of an operator whose operands are all there.
    fn apply(&mut self, operator: &Token) -> Result<(), ExpressionError> {
        let right = self.pop(operator)?;
        let kind = match operator.kind {
            TokenKind::Operator(Operator::Not) => NodeKind::Not(right),
            TokenKind::StartIndex | TokenKind::Dereference => {
                NodeKind::Index { object: self.pop(operator)?, index: right }
            }
            TokenKind::Operator(Operator::And) => {
                let left = self.pop(operator)?;
                NodeKind::And(self.flatten(left, right, |kind| match kind {
                    NodeKind::And(parts) => Some(parts),
                    _ => None,
                }))
            }
            TokenKind::Operator(Operator::Or) => {
                let left = self.pop(operator)?;
                NodeKind::Or(self.flatten(left, right, |kind| match kind {
                    NodeKind::Or(parts) => Some(parts),
                    _ => None,
                }))
            }
            TokenKind::Operator(operator_kind) => {
                NodeKind::Compare { operator: operator_kind, left: self.pop(operator)?, right }
            }
            _ => return Err(self.error("Unexpected symbol", operator)),
        };
        self.operand(kind, operator);
        Ok(())
    }

    /// The operands of a chain: `a && b && c` is one node with three, wherever its brackets are. Nodes that are taken apart stay behind empty.
    fn flatten(
        &mut self,
        left: NodeId,
        right: NodeId,
        parts: impl Fn(&mut NodeKind) -> Option<&mut Vec<NodeId>>,
    ) -> Vec<NodeId> {
        let mut take = |id: NodeId| {
            let node = self.tree.nodes.get_mut(id)?;
            parts(&mut node.kind).map(std::mem::take)
        };
        let mut operands = take(left).unwrap_or_else(|| vec![left]);
        match take(right) {
            Some(more) => operands.extend(more),
            None => operands.push(right),
        }
        operands
    }

    /// Gives a call its parameters and counts them.
    fn end_call(&mut self, end: &Token) -> Result<(), ExpressionError> {
        let mut count = 0;
        if self.last.as_ref().is_some_and(|last| last.kind != TokenKind::StartParameters) {
            count = 1;
            while self.operators.pop_if(|top| top.kind == TokenKind::Separator).is_some() {
                count += 1;
            }
        }
        // `(`
        self.operators.pop();
        let first = self.operands.len().saturating_sub(count);
        let parameters = self.operands.split_off(first);
        let height = 1 + self.tree.highest(&parameters);
        let node = self.operands.last().and_then(|&call| self.tree.nodes.get_mut(call));
        let Some(Node { kind: NodeKind::Call { name, arguments, .. }, offset, height: node_height }) = node
        else {
            return Err(self.error("Unexpected symbol", end));
        };
        *arguments = parameters;
        *node_height = height;
        let (start, end) = (*offset, *offset + name.len());
        let name = Token { kind: TokenKind::Function, start, end, value: Value::Null };
        let known = self.options.function(self.raw(&name));
        let (function, fewest, most) = known.unwrap_or((Function::Case, 0, count));
        let wrong = if count < fewest {
            "Too few parameters supplied"
        } else if count > most {
            "Too many parameters supplied"
        } else if function == Function::Case && count % 2 == 0 {
            "Even number of parameters supplied, requires an odd number of parameters"
        } else {
            return Ok(());
        };
        Err(self.error(wrong, &name))
    }

    /// The operand on top. The order of tokens makes sure there is one.
    fn pop(&mut self, operator: &Token) -> Result<NodeId, ExpressionError> {
        match self.operands.pop() {
            Some(operand) => Ok(operand),
            None => Err(self.error("Unexpected symbol", operator)),
        }
    }
}

/// Whether operators to the left of it have to wait for what closes it.
fn holds(kind: TokenKind) -> bool {
    use TokenKind::{Separator, StartGroup, StartIndex, StartParameters};
    matches!(kind, StartGroup | StartIndex | StartParameters | Separator)
}

/// Whether an expression cannot end with it.
fn is_open_ended(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Dereference | TokenKind::Function | TokenKind::Operator(_)) || holds(kind)
}

fn precedence(kind: TokenKind) -> u8 {
    match kind {
        TokenKind::StartIndex | TokenKind::StartParameters | TokenKind::Dereference => 6,
        TokenKind::Operator(operator) => match operator {
            Operator::Not => 5,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => 4,
            Operator::Equal | Operator::NotEqual => 3,
            Operator::And => 2,
            Operator::Or => 1,
        },
        _ => 0,
    }
}
