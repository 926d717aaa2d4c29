//! The Actions model: workflows, expressions, runs, tasks and reports. Pure: no I/O, no async, no clock, no randomness.

pub mod expression;
pub mod mask;
pub mod task;
