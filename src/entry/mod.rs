//! entry

pub mod cli;
