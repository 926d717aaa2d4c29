//! Cloud Code turns issues into pull requests: a job runner with the GitHub Actions model whose steps may be coding agents.
//!
//! The rooms, and which may know which: `model ← ports ← app ← {http, adapters} ← entry ← main`. ARCHITECTURE.md has the
//! map; `tests/it/tidy.rs` holds the arrows.

pub mod adapters;
pub mod app;
pub mod comments;
pub mod config;
pub mod entry;
pub mod http;
pub mod metrics;
pub mod ports;
pub mod words;
