//! What a single machine offers: SQLite, Docker, child processes, git mirrors, a sealed file.

pub mod docker;
pub mod folder;
pub mod git;
pub mod process;
pub mod sealed;
pub mod sql;
