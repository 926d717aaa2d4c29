//! The real binary on real git workspaces, with scripts playing the coding CLIs.
#![allow(clippy::unwrap_used, reason = "tests")]

mod claude;
mod harness;
mod life;
mod secrets;
mod steps;
mod stopping;
