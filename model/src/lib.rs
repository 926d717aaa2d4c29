//! The GitHub Actions model as Cloud Code runs it.
//!
//! Everything in this crate is a pure function of its arguments: no I/O, no async, no clock and no randomness. The same
//! input gives the same effects, which is what makes the run engine replayable and simulable.

pub mod cli;
pub mod command;
pub mod expression;
pub mod ids;
pub mod mask;
pub mod network;
pub mod policy;
pub mod prices;
pub mod run;
pub mod task;
pub mod untrusted;
pub mod workflow;
