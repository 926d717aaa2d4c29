//! The real binary on real git workspaces, with scripts playing the coding CLIs.
#![allow(clippy::unwrap_used, reason = "tests")]

mod appended;
mod claude;
mod clis;
mod harness;
mod init;
mod life;
mod limits;
mod real;
mod remote;
mod secrets;
mod steps;
mod stopping;
