//! Which mirrors are in use: for each attempt that borrows from one, a small file that names it, from before the mirror is fetched until the
//! attempt is discarded.

use super::{GitWorkspaces, from_git, io};
use crate::ports::WorkspaceError;
use cloud_code_git::GitError;
use cloud_code_git::mirror::MirrorKey;
use cloud_code_model::ids::{AttemptId, digest};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where attempts run elsewhere, a mirror is used only while a change is examined and pushed, and the process that did so may not be the one
/// that discards the attempt.
const ELSEWHERE: Duration = Duration::from_secs(3600);

impl GitWorkspaces {
    fn holds_dir(&self) -> PathBuf {
        self.data_dir.join("holds")
    }

    fn hold_file(&self, attempt: &AttemptId) -> PathBuf {
        self.holds_dir().join(digest(&[&attempt.to_string()]))
    }

    /// Keeps a mirror for an attempt.
    pub(super) fn hold(&self, attempt: &AttemptId, key: &MirrorKey) -> Result<(), WorkspaceError> {
        let (folder, file) = (self.holds_dir(), self.hold_file(attempt));
        fs::create_dir_all(&folder).map_err(io(&folder))?;
        fs::write(&file, key.folder().as_os_str().as_encoded_bytes()).map_err(io(&file))
    }

    /// The attempt needs no mirror any more.
    pub(super) fn let_go(&self, attempt: &AttemptId) -> Result<(), WorkspaceError> {
        let file = self.hold_file(attempt);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io(&file)(error)),
            _ => Ok(()),
        }
    }

    /// Lets mirrors that nobody holds go while the disk is short of room: as set, or by so many free bytes.
    pub(super) fn make_room_now(&self, wanted: Option<u64>) -> Result<usize, WorkspaceError> {
        self.mirrors
            .make_room(wanted.or(self.config.free_bytes), |mirror| self.is_held(mirror))
            .map_err(from_git)
    }

    fn is_held(&self, mirror: &Path) -> Result<bool, GitError> {
        let folder = self.holds_dir();
        let failed =
            |path: &Path, source| GitError::Io { what: format!("reading {}", path.display()), source };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(&folder, error)),
        };
        for entry in entries {
            let file = entry.map_err(|error| failed(&folder, error))?.path();
            let held = match fs::read(&file) {
                Ok(held) => held,
                // It was let go just now.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&file, error)),
            };
            if held == mirror.as_os_str().as_encoded_bytes() && !self.is_over(&file) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_over(&self, file: &Path) -> bool {
        let age = || fs::metadata(file).and_then(|file| file.modified()).ok()?.elapsed().ok();
        self.config.elsewhere && age().is_some_and(|age| age > ELSEWHERE)
    }
}
