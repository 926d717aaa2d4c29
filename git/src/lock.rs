//! A lock that holds against other threads and other processes, and goes away with its holder.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::GitError;

/// Held until dropped. The file stays: removing it would let two holders in.
pub(crate) struct Lock(File);

fn open(path: &Path) -> Result<File, GitError> {
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    open.map_err(GitError::io("opening the lock", path))
}

impl Lock {
    /// Waits for the lock. Each call opens the file anew, so it also holds between threads.
    pub(crate) fn exclusive(path: &Path) -> Result<Self, GitError> {
        let file = open(path)?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(GitError::io("locking", path)(error.into())),
            }
        }
    }

    /// The lock, unless somebody has it.
    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Self>, GitError> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
            Err(error) => Err(GitError::io("locking", path)(error.into())),
        }
    }

    /// Notes the time, as the file's own.
    pub(crate) fn note_time(&self) -> std::io::Result<()> {
        self.0.set_modified(SystemTime::now())
    }
}
