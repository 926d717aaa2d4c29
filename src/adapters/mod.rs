//! The world behind the ports. An adapter knows its port and the model; never the use cases, and never another adapter.

pub mod disk;
pub mod github;
pub mod memory;
#[cfg(feature = "vps")]
pub mod vps;
