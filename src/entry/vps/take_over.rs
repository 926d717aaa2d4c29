//! One server a data folder and a database: the second is refused, and the first takes up at once what a dead one left.
//!
//! Two servers on one folder would each take the other's containers for orphans, and remove them.

use super::make_private;
use crate::adapters::vps::sql::{Database, DatabaseError};
use crate::config::StorageConfig;
use crate::ports::{QueueError, SystemClock};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a server may not start here.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// Another server is at work on it.
    #[error(
        "{variable}: another cloud-code server works on {place} (it holds {lock}); stop that one, or give this one a \
         {variable} of its own"
    )]
    Taken {
        /// The setting that names the place.
        variable: &'static str,
        /// The folder or the database.
        place: String,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// The lock's file can't be made.
    #[error("{variable}: {lock} can't be locked: {error}; its folder must be writable for this user")]
    Lock {
        /// The setting that names the place.
        variable: &'static str,
        /// The file.
        lock: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The queue in it.
    #[error("DATABASE_URL: {0}")]
    Queue(#[from] QueueError),
}

/// The right to be the one server. It ends when this is dropped, or with the process, however that ends.
#[derive(Debug)]
pub struct Held {
    _folder: File,
    _database: Option<File>,
}

/// Makes this process the one server on the data folder and the database, and puts what a server that died had leased back in
/// line: nobody else can be at work on it.
///
/// # Errors
/// See [`TakeOverError`]; each names the setting and says what to do.
pub async fn take_over(storage: &StorageConfig) -> Result<Held, TakeOverError> {
    let (folder, variable) = (&storage.data_dir, "DATA_DIR");
    let lock = folder.join("server.lock");
    make_private(folder).map_err(|error| TakeOverError::Lock { variable, lock: lock.clone(), error })?;
    let held = hold(variable, folder.display().to_string(), lock)?;
    if storage.table.is_some() {
        // A table on AWS is for as many servers as there are.
        return Ok(Held { _folder: held, _database: None });
    }
    let database = Database::open(&storage.database_url, Arc::new(SystemClock)).await?;
    // Two data folders may name one database.
    let lock = beside(database.path());
    let place = database.path().display().to_string();
    let held = Held { _folder: held, _database: Some(hold("DATABASE_URL", place, lock)?) };
    let reclaimed = database.queue().reclaim().await?;
    if reclaimed > 0 {
        tracing::info!(messages = reclaimed, "took up what the last server had at hand when it ended");
    }
    database.close().await;
    Ok(held)
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".server.lock");
    name.into()
}

fn hold(variable: &'static str, place: String, lock: PathBuf) -> Result<File, TakeOverError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let file = opened.map_err(|error| TakeOverError::Lock { variable, lock: lock.clone(), error })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TakeOverError::Taken { variable, place, lock }),
        Err(TryLockError::Error(error)) => Err(TakeOverError::Lock { variable, lock, error }),
    }
}
