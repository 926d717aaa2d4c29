//! Store and queue in one SQL database: SQLite, embedded.
//!
//! All writes of this process go through one writer (`writer`), which commits many at once; reads use a small pool. The
//! SQL is of the kind that PostgreSQL takes as well; what is SQLite's own stands in `database`.

mod database;
mod messages;
mod packing;
mod queue;
mod store;
mod time;
mod writer;

pub use database::{Database, DatabaseError};
pub use queue::SqlQueue;
pub use store::SqlStore;
