//! From text to the tree.

use super::node::{Entry, Node, NodeId, Position, Value};
use super::places::Places;
use super::scalar::{self, Typed};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};
use std::collections::HashMap;
use std::sync::Arc;

/// How much is read. What passes a limit is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Levels of lists and mappings, what aliases bring counted.
    pub depth: usize,
    /// Scalars, lists and mappings, each as often as aliases repeat it.
    pub nodes: usize,
}

/// GitHub's limits of size and depth; a node costs about 10 bytes of text, so the third only bites where aliases multiply.
impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1024 * 1024, depth: 50, nodes: 200_000 }
    }
}

/// Text that is no YAML, or passes a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct YamlError {
    /// Where.
    pub at: Position,
    /// What is wrong.
    pub message: String,
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Document {
    /// The outermost value.
    pub root: Arc<Node>,
    /// Where values stand that have an anchor that no alias uses.
    pub unused_anchors: Vec<Position>,
    places: Places,
}

impl Document {
    /// Where the byte `offset` of a scalar's text stands in the file. Exact for text in one line and in `|` blocks, and wherever the offset
    /// is in an expression that is written in one line.
    pub fn position_in(&self, node: &Node, offset: usize) -> Position {
        self.places.position_in(node, offset)
    }

    /// Whether a scalar stands in one line of the file.
    pub fn is_on_one_line(&self, node: &Node) -> bool {
        self.places.is_on_one_line(node)
    }
}

/// Reads the one document of `text`.
///
/// # Errors
/// Text that is no YAML, holds no document or several, or passes a limit: the first such place.
pub fn parse(text: &str, limits: &Limits) -> Result<Document, YamlError> {
    if text.len() > limits.bytes {
        let message = format!("the file has {} bytes; at most {} are read", text.len(), limits.bytes);
        return Err(YamlError { at: Position::START, message });
    }
    // GitHub's reader takes a comment right behind a bracket or quote; this parser wants a blank before it, so it gets one. What follows it in
    // the line is comment, so no place changes. Each try reads the text anew, hence the limit.
    const TRIES: usize = 8;
    let mut spaced = None::<String>;
    for _ in 0..TRIES {
        let text = spaced.as_deref().unwrap_or(text);
        match read(text, limits) {
            Err(Failure::Comment(byte)) => {
                let (before, after) = text.split_at_checked(byte).unwrap_or((text, ""));
                spaced = Some(format!("{before} {after}"));
            }
            Err(Failure::Error(error)) => return Err(error),
            Ok(document) => return Ok(document),
        }
    }
    Err(fault(Position::START, "there are several comments with no blank before their `#`"))
}

enum Failure {
    Error(YamlError),
    /// A comment with no blank before it, at this byte.
    Comment(usize),
}

impl From<YamlError> for Failure {
    fn from(error: YamlError) -> Self {
        Self::Error(error)
    }
}

fn read(text: &str, limits: &Limits) -> Result<Document, Failure> {
    let mut builder = Builder::new(text, limits);
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(problem) => {
                let byte = builder.byte(problem.marker());
                if problem.info().starts_with("comments must be separated")
                    && text.get(byte..).is_some_and(|rest| rest.starts_with('#'))
                {
                    return Err(Failure::Comment(byte));
                }
                let message = format!("this is no YAML: {}", problem.info());
                return Err(YamlError { at: builder.position(problem.marker()), message }.into());
            }
        };
        builder.take(event, span)?;
    }
    Ok(builder.finish()?)
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    at: Position,
    size: usize,
    height: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Arc<Node>>),
    Map(Vec<Entry>, Option<Arc<Node>>),
}

struct Anchor {
    /// None while the value is still open: an alias to it would never end.
    node: Option<Arc<Node>>,
    at: Position,
    used: bool,
}

struct Builder<'a> {
    text: &'a str,
    places: Places,
    limits: &'a Limits,
    /// The byte of each character, where that differs.
    bytes: Option<Vec<usize>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchor>,
    root: Option<Arc<Node>>,
    total: usize,
    next: NodeId,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, limits: &'a Limits) -> Self {
        let bytes = (!text.is_ascii())
            .then(|| text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect());
        Self {
            text,
            places: Places::of(text),
            limits,
            bytes,
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            total: 0,
            next: 0,
        }
    }

    fn position(&self, marker: &Marker) -> Position {
        self.places.of_marker(marker.line(), marker.col())
    }

    fn byte(&self, marker: &Marker) -> usize {
        match &self.bytes {
            None => marker.index(),
            Some(bytes) => bytes.get(marker.index()).or(bytes.last()).copied().unwrap_or(0),
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let at = self.position(&span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                if self.root.is_some() {
                    return Err(fault(at, "a file holds one document, and here begins a second"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = typed(&text, style, tag.as_deref(), at)?;
                let source = self.byte(&span.start)..self.byte(&span.end);
                // Where nothing is written, the parser names the `:` or `-` before it; the value would stand behind.
                let nothing = text.is_empty() && style == ScalarStyle::Plain;
                let before = self.text.get(source.start..).unwrap_or_default();
                let column = at.column + usize::from(nothing && before.starts_with([':', '-']));
                let at = Position { column, ..at };
                let node = self.node(at, value, source, 1, 0);
                self.places.remember(&node);
                self.add(node, anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.begin(OpenKind::List(Vec::new()), anchor, at)?,
            Event::MappingStart(anchor, _) => self.begin(OpenKind::Map(Vec::new(), None), anchor, at)?,
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Alias(id) => {
                let node = match self.anchors.get_mut(&id) {
                    Some(Anchor { node: Some(node), used, .. }) => {
                        *used = true;
                        Arc::clone(node)
                    }
                    Some(Anchor { node: None, at: begun, used }) => {
                        *used = true;
                        let message =
                            format!("the alias stands inside its own anchor, which begins at {begun}");
                        return Err(YamlError { at, message });
                    }
                    None => return Err(fault(at, "no anchor has this name")),
                };
                self.check_depth(node.height, at)?;
                self.put(node, at)?;
            }
        }
        Ok(())
    }

    fn node(
        &mut self,
        at: Position,
        value: Value,
        source: std::ops::Range<usize>,
        size: usize,
        height: usize,
    ) -> Arc<Node> {
        self.next += 1;
        Arc::new(Node { id: self.next, at, value, source, size, height })
    }

    fn begin(&mut self, kind: OpenKind, anchor: usize, at: Position) -> Result<(), YamlError> {
        self.check_depth(1, at)?;
        if anchor > 0 {
            self.anchors.insert(anchor, Anchor { node: None, at, used: false });
        }
        self.open.push(Open { anchor, at, size: 1, height: 1, kind });
        Ok(())
    }

    fn check_depth(&self, more: usize, at: Position) -> Result<(), YamlError> {
        let most = self.limits.depth;
        if self.open.len() + more > most {
            return Err(fault(
                at,
                &format!("lists and mappings stand in each other more than {most} levels deep"),
            ));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map(entries, _) => Value::Map(entries),
        };
        // What is in it has been counted already.
        self.total -= open.size - 1;
        let node = self.node(open.at, value, 0..0, open.size, open.height);
        self.add(node, open.anchor)
    }

    fn add(&mut self, node: Arc<Node>, anchor: usize) -> Result<(), YamlError> {
        if anchor > 0 {
            let kept = Anchor { node: Some(Arc::clone(&node)), at: node.at, used: false };
            let before = self.anchors.insert(anchor, kept);
            // An alias inside its own anchor is an error, so nothing is lost here.
            debug_assert!(before.is_none_or(|before| !before.used));
        }
        let at = node.at;
        self.put(node, at)
    }

    fn put(&mut self, node: Arc<Node>, at: Position) -> Result<(), YamlError> {
        self.total += node.size;
        if self.total > self.limits.nodes {
            let most = self.limits.nodes;
            return Err(fault(
                at,
                &format!("there are more than {most} values, those counted that aliases repeat"),
            ));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.size += node.size;
        parent.height = parent.height.max(node.height + 1);
        match &mut parent.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map(entries, key) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push(Entry { key, value: node }),
            },
        }
        Ok(())
    }

    fn finish(self) -> Result<Document, YamlError> {
        let Some(root) = self.root else {
            return Err(fault(Position::START, "the file is empty"));
        };
        let mut unused: Vec<_> =
            self.anchors.values().filter(|anchor| !anchor.used).map(|anchor| anchor.at).collect();
        unused.sort_unstable();
        Ok(Document { root, unused_anchors: unused, places: self.places })
    }
}

fn fault(at: Position, message: &str) -> YamlError {
    YamlError { at, message: message.to_owned() }
}

fn typed(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Result<Value, YamlError> {
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => scalar::plain(text),
            _ => Value::Text(text.to_owned()),
        });
    };
    let name = format!("{}{}", tag.handle, tag.suffix);
    match name.strip_prefix("tag:yaml.org,2002:") {
        // `!` alone, and tags that nobody knows, leave the text as it is.
        None => Ok(Value::Text(text.to_owned())),
        Some(suffix) => match scalar::tagged(suffix, text) {
            Typed::Value(value) => Ok(value),
            Typed::Unfit(kind) => Err(fault(at, &format!("`{text}` is no value for the tag `!!{kind}`"))),
        },
    }
}
