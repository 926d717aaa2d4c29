//! Runs of many jobs, as a workflow's author sees them: needs and `if`, matrices, outputs, groups, environments, reruns, calls.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod changes;
mod conditions;
mod gates;
mod groups;
mod matrix;
mod reruns;
mod stored;
mod world;
