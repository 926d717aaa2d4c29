//! Everything in memory, for tests and for `cloud-code run`.

mod artifacts;
mod queue;
mod runner;
mod secrets;
mod store;

pub use runner::MemoryRunner;
