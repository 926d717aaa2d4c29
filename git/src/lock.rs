//! A lock that holds against other threads and other processes, and goes away with its holder.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::GitError;

/// Held until dropped. The file stays: removing it would let two holders in.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file ends the lock")] File);

impl Lock {
    /// Waits for the lock. Each call opens the file anew, so it also holds between threads.
    pub(crate) fn exclusive(path: &Path) -> Result<Self, GitError> {
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = open.map_err(GitError::io("opening the lock", path))?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(GitError::io("locking", path)(error.into())),
            }
        }
    }
}
