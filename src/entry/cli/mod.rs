//! The commands that talk to a server.

mod client;
pub mod runs;
mod show;
mod table;
