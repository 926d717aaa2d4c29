//! Artifacts on the local disk.
//!
//! The agent's files lie in its workspace, where a hostile container can put anything at any time: links, pipes, devices,
//! files that grow while they are read. All such reads go through `opening`.

mod artifacts;
pub mod layout;
mod opening;

pub use artifacts::DiskArtifacts;
