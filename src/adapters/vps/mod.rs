//! What a single machine offers: SQLite, Docker, child processes, a sealed file; and Vault, which may stand beside several.

pub mod docker;
pub mod folder;
pub mod process;
pub mod sealed;
pub mod sql;
pub mod vault;
