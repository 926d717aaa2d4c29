//! One suite a port, run on every adapter of it.

mod artifacts;
mod forge;
mod queue;
mod runner;
mod secrets;
mod store;
mod workspaces;
