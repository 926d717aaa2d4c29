//! The integration tests, one binary: contract suites of the ports, flows through the whole program, and tidy checks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod app;
#[cfg(feature = "aws")]
mod aws;
mod contracts;
mod crash;
mod flows;
mod harness;
mod http;
mod lint;
mod tidy;
