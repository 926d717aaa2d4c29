//! What people added to a run, and what became of it.

use super::quiet_line;
use crate::words::became_of;
use cloud_code_model::run::Run;
use std::fmt::Write;

/// Characters of an addition that are repeated.
const MAX_WORDS: usize = 200;

/// One line for each.
pub(super) fn list(run: &Run) -> String {
    let mut out = String::new();
    for addition in &run.additions {
        let (by, words) = (quiet_line(&addition.by, 100), quiet_line(&addition.words, MAX_WORDS));
        let became = became_of(run.state_of(addition).as_str());
        let _ = writeln!(out, "\n💬 {by} added: {words} ({became})");
    }
    out
}
