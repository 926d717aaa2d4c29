//! An attempt's folder in the process runner's state: what was started, what it printed, how it ended.

use super::identity::Identity;
use crate::ports::RunnerError;
use cloud_code_model::ids::{AttemptId, RunId};
use jiff::Timestamp;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// `STATE/NAME`.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn of(state: &Path, attempt: &AttemptId) -> Self {
        Self(state.join(attempt.name()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn home(&self) -> PathBuf {
        self.0.join("home")
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// Makes the folder and what is in it; for nobody else's eyes, since the home may come to hold credentials.
    pub(super) fn make(&self) -> io::Result<()> {
        for path in [self.home(), self.temporary()] {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        Ok(())
    }

    /// The log, to append to.
    pub(super) fn open_log(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.0.join("log"))
    }

    /// The end of the log; empty where there is none.
    pub(super) fn log_tail(&self, max_bytes: usize) -> io::Result<Vec<u8>> {
        let Some(mut log) = existing(File::open(self.0.join("log")))? else { return Ok(Vec::new()) };
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(max_bytes as u64)))?;
        let mut tail = Vec::new();
        // It may have grown since: the bytes asked for, not more.
        log.take(max_bytes as u64).read_to_end(&mut tail)?;
        Ok(tail)
    }

    /// The process that was started for the attempt; `None` where none was.
    pub(super) fn process(&self) -> io::Result<Option<Identity>> {
        let Some(text) = existing(fs::read_to_string(self.0.join("process")))? else { return Ok(None) };
        let broken =
            || io::Error::new(io::ErrorKind::InvalidData, "the attempt's process file can't be read");
        Identity::parse(&text).map(Some).ok_or_else(broken)
    }

    /// When it was started.
    pub(super) fn started_at(&self) -> io::Result<Timestamp> {
        let at = fs::metadata(self.0.join("process"))?.modified()?;
        Timestamp::try_from(at).map_err(io::Error::other)
    }

    /// The exit code that the wrapper, or a stop, wrote down.
    pub(super) fn exit_code(&self) -> io::Result<Option<i64>> {
        let text = existing(fs::read_to_string(self.0.join("exit")))?;
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }

    /// Writes an exit code, unless there is one.
    pub(super) fn set_exit_code(&self, code: i64) -> io::Result<()> {
        let new = self.0.join("exit.new");
        fs::write(&new, format!("{code}\n"))?;
        match fs::hard_link(&new, self.0.join("exit")) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        fs::remove_file(new)
    }

    /// Removes all of it, folders that tools made read-only (Go's module cache is an example) included.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                make_removable(&self.0)?;
                existing(fs::remove_dir_all(&self.0)).map(|_| ())
            }
            other => existing(other).map(|_| ()),
        }
    }
}

/// Makes the folders under `path` writable to us. Symbolic links are not followed.
fn make_removable(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_removable(&entry.path())?;
        }
    }
    Ok(())
}

/// `None` for what is not there.
fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The attempts that have a folder.
pub(super) fn attempts(state: &Path) -> io::Result<Vec<AttemptId>> {
    let Some(entries) = existing(fs::read_dir(state))? else { return Ok(Vec::new()) };
    let mut attempts = Vec::new();
    for entry in entries {
        attempts.extend(entry?.file_name().to_str().and_then(attempt));
    }
    Ok(attempts)
}

/// Reads `cloud-code-RUN-JOB-NUMBER` back. The run's id has always 22 characters, the number no hyphen.
fn attempt(name: &str) -> Option<AttemptId> {
    let rest = name.strip_prefix("cloud-code-")?;
    let run = RunId::parse(rest.get(..22)?)?;
    let (job, number) = rest.get(22..)?.strip_prefix('-')?.rsplit_once('-')?;
    (!job.is_empty()).then_some(())?;
    Some(AttemptId { run, job: job.to_owned(), number: number.parse().ok()? })
}

/// An error of the disk, said with what was being done.
pub(super) fn failed(doing: &str, error: &io::Error) -> RunnerError {
    RunnerError::Failed(format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (job, number) in [("fix", 1), ("a-b_C-2", 12), ("_", 3)] {
            let id = AttemptId { run: RunId::derive("d", "w"), job: job.to_owned(), number };
            assert_eq!(attempt(&id.name()), Some(id));
        }
        for other in [
            "",
            "cloud-code-",
            "cloud-code-r-01234567890123456789",
            "cloud-code-r-01234567890123456789--1",
            "x",
        ] {
            assert_eq!(attempt(other), None, "{other}");
        }
    }

    #[test]
    fn the_first_exit_code_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path().join("f"));
        folder.make().unwrap();
        assert_eq!(folder.exit_code().unwrap(), None);
        folder.set_exit_code(3).unwrap();
        folder.set_exit_code(137).unwrap();
        assert_eq!(folder.exit_code().unwrap(), Some(3));
        folder.remove().unwrap();
        folder.remove().unwrap();
    }

    #[test]
    fn the_tail_is_the_end_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path().to_owned());
        assert_eq!(folder.log_tail(5).unwrap(), b"");
        fs::write(dir.path().join("log"), "0123456789").unwrap();
        for (max, expected) in [(0, ""), (3, "789"), (10, "0123456789"), (99, "0123456789")] {
            assert_eq!(folder.log_tail(max).unwrap(), expected.as_bytes());
        }
    }
}
