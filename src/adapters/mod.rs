//! The world behind the ports. An adapter knows its port and the model; never the use cases, and never another adapter.

#[cfg(feature = "aws")]
pub mod aws;
pub mod disk;
pub mod git;
pub mod github;
pub mod layered;
pub mod memory;
#[cfg(feature = "vps")]
pub mod vps;
