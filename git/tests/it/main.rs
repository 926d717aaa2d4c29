//! Tests of the whole crate, in one binary: everything goes over real HTTP on loopback. The git program is used here as a
//! judge and as a client, never by the crate itself.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
mod hostile;
mod mirrors;
mod remotes;
mod road;
mod server;
mod stage;
mod tls;
mod workspaces;
