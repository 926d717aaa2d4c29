//! Room on the disk: while too little is free, mirrors that nobody holds go, the least recently used first.
//!
//! Nothing else removes a mirror. Who holds one is for the caller to know: workspaces borrow a mirror's objects through alternates, and are
//! broken without it. A mirror that went is fetched anew when it is wanted again.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::statvfs;

use crate::GitError;
use crate::lock::Lock;
use crate::mirror::Mirrors;

/// Unless said otherwise so many bytes are kept free, or a quarter of the disk where that is less.
const USUAL: u64 = 2 << 30;

/// A mirror on disk.
struct Kept {
    path: PathBuf,
    relative: PathBuf,
    used: SystemTime,
}

impl Mirrors {
    /// Removes mirrors that are not held, by their paths below the root, until so many bytes are free on their disk (`None`: as many as are
    /// usual); says how many went. One that somebody fetches just now stays. `held` is asked under the mirror's lock, which a fetch takes too.
    ///
    /// # Errors
    /// [`GitError::Io`], also from `held`.
    pub fn make_room(
        &self,
        wanted: Option<u64>,
        held: impl Fn(&Path) -> Result<bool, GitError>,
    ) -> Result<usize, GitError> {
        let mut removed = 0;
        if !lacks_room(self.root(), wanted)? {
            return Ok(removed);
        }
        let mut kept = Vec::new();
        list(self.root(), self.root(), &mut kept)?;
        kept.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
        for Kept { path, relative, .. } in kept {
            let Some(_lock) = Lock::try_exclusive(&path.with_extension("lock"))? else { continue };
            if held(&relative)? {
                continue;
            }
            // Half a mirror must not stand under its name; what is left under this one the next fetch clears away.
            let going = path.with_extension("git.new");
            if path.exists() {
                remove(&going)?;
                fs::rename(&path, &going).map_err(GitError::io("moving away", &path))?;
                tracing::info!(mirror = %relative.display(), "the disk is short of room: a mirror that nobody uses is removed");
                removed += 1;
            }
            remove(&going)?;
            if !lacks_room(self.root(), wanted)? {
                break;
            }
        }
        Ok(removed)
    }
}

fn lacks_room(root: &Path, wanted: Option<u64>) -> Result<bool, GitError> {
    let disk = match statvfs(root) {
        Ok(disk) => disk,
        // Nothing was ever fetched.
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        Err(error) => return Err(GitError::io("looking for room in", root)(error.into())),
    };
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    let usual = || USUAL.min(bytes(disk.f_blocks) / 4);
    Ok(bytes(disk.f_bavail) < wanted.unwrap_or_else(usual))
}

/// The mirrors in a folder, and what a removal or a first fetch that was killed left of one.
fn list(root: &Path, folder: &Path, kept: &mut Vec<Kept>) -> Result<(), GitError> {
    for entry in fs::read_dir(folder).map_err(GitError::io("listing", folder))? {
        let entry = entry.map_err(GitError::io("listing", folder))?;
        let (path, name) = (entry.path(), entry.file_name());
        if !entry.file_type().map_err(GitError::io("reading", &path))?.is_dir() {
            continue;
        }
        let name = name.to_string_lossy();
        let Some(mirror) = [".git", ".git.new"].iter().find_map(|end| name.strip_suffix(end)) else {
            list(root, &path, kept)?;
            continue;
        };
        let path = folder.join(format!("{mirror}.git"));
        let used = fs::metadata(path.with_extension("lock")).and_then(|lock| lock.modified());
        let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
        if !kept.iter().any(|known| known.path == path) {
            kept.push(Kept { path, relative, used: used.unwrap_or(SystemTime::UNIX_EPOCH) });
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(GitError::io("removing", folder)(error)),
        _ => Ok(()),
    }
}
