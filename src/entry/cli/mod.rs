//! The command line.

mod client;
pub mod runs;
mod show;
mod table;
