//! YAML with places: a tree in which every scalar, key and collection knows its line and column.
//!
//! Scalars are typed as GitHub types them, by the core schema of YAML 1.2: a bare `on` or `yes` is text. Anchors and aliases are followed, within
//! limits, so that no text makes the reader slow or the tree deep. Nothing here knows what a workflow is.

mod node;
mod parse;
mod places;
mod scalar;

pub use node::{Entry, Node, NodeId, Position, Value};
pub use parse::{Document, Limits, YamlError, parse};
