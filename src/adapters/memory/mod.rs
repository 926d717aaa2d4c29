//! Everything in memory, for tests and for `cloud-code run`.

mod artifacts;
mod clock;
mod queue;
mod runner;
mod secrets;
mod store;

pub use artifacts::MemoryArtifacts;
pub use clock::ManualClock;
pub use queue::MemoryQueue;
pub use runner::MemoryRunner;
pub use secrets::MemorySecrets;
pub use store::MemoryStore;
