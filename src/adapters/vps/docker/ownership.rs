//! Giving a checkout to the container's user.

use crate::ports::RunnerError;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, openat, statat};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A checkout is not nested deeper than this; each level holds a file open while it is walked.
const MAX_DEPTH: usize = 400;

/// Sees to it that the checkout belongs to `user`: root gives it away, anybody else can only look whether it does. It is
/// called before the container exists, so that nobody else writes there; symbolic links are not followed all the same.
pub(super) async fn hand_over(workspace: &Path, user: (u32, u32)) -> Result<(), RunnerError> {
    let path = workspace.to_owned();
    let work = tokio::task::spawn_blocking(move || give(&path, user));
    work.await.map_err(|error| RunnerError::Failed(format!("giving away the workspace: {error}")))?
}

fn give(workspace: &PathBuf, (uid, gid): (u32, u32)) -> Result<(), RunnerError> {
    let failed = |error: io::Error| {
        let text = format!("the workspace {}: {error}", workspace.display());
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => {
                RunnerError::Refused(text)
            }
            _ => RunnerError::Failed(text),
        }
    };
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let root = openat(CWD, workspace, folder, Mode::empty()).map_err(|error| failed(error.into()))?;
    let owner = fstat(&root).map_err(|error| failed(error.into()))?;
    if (owner.st_uid, owner.st_gid) == (uid, gid) {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        if owner.st_uid == uid {
            return Ok(());
        }
        return Err(RunnerError::Refused(format!(
            "the workspace {} belongs to uid {}, the container runs as {uid}: run the server as uid {uid}, or as root, or \
             set the container's user to {}",
            workspace.display(),
            owner.st_uid,
            owner.st_uid
        )));
    }
    give_tree(&root, Uid::from_raw(uid), Gid::from_raw(gid), 0).map_err(failed)
}

/// The folder's owner changes last: a walk that was interrupted is done again from the start.
fn give_tree(folder: &OwnedFd, uid: Uid, gid: Gid, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "folders are nested too deeply"));
    }
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            kind => kind,
        };
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = openat(folder.as_fd(), name, flags, Mode::empty())?;
            give_tree(&inner, uid, gid, depth + 1)?;
        } else {
            chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    rustix::fs::fchown(folder, Some(uid), Some(gid))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[tokio::test]
    async fn a_missing_or_false_workspace_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = hand_over(&dir.path().join("none"), (1, 1)).await.unwrap_err();
        assert!(!error.may_heal(), "{error}");
        symlink(dir.path(), dir.path().join("link")).unwrap();
        let error = hand_over(&dir.path().join("link"), (1, 1)).await.unwrap_err();
        assert!(error.to_string().contains("link"), "{error}");
    }

    #[tokio::test]
    async fn root_gives_the_tree_and_nothing_that_it_points_to() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        let outside = tempfile::NamedTempFile::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/file"), "").unwrap();
        symlink(outside.path(), dir.path().join("a/link")).unwrap();
        hand_over(dir.path(), (1234, 4321)).await.unwrap();
        for path in ["", "a", "a/b", "a/b/file", "a/link"] {
            let owner = std::fs::symlink_metadata(dir.path().join(path)).unwrap();
            assert_eq!((owner.uid(), owner.gid()), (1234, 4321), "{path}");
        }
        assert_eq!(std::fs::metadata(outside.path()).unwrap().uid(), 0);
    }
}
