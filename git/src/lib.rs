//! Git without the git program.
mod pktline;
#[cfg(feature = "server")]
pub mod server;
mod setup;
