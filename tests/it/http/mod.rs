//! The HTTP room: webhook, API, pages, and the command line that reads the API.

mod api;
mod cli;
mod conformance;
mod pages;
mod webhook;
mod world;

#[cfg(feature = "aws")]
pub(crate) use world::metrics;
