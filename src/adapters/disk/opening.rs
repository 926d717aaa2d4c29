//! Opening files in a folder that a stranger writes to.
//!
//! Each component is opened by itself and relative to the one before, never following a link; what was opened must be a
//! plain file with one name. A check on a path would say nothing about what is opened a moment later; a check on an open
//! file holds.

use crate::ports::ArtifactError;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Opens a folder of ours, by its path; `None` when it is not there.
pub(super) fn folder(path: &Path) -> Result<Option<OwnedFd>, ArtifactError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(unavailable(path, error)),
    }
}

/// Opens a folder in `parent`, a real one; `None` when it is not there.
pub(super) fn folder_in(parent: &OwnedFd, name: &'static str) -> Result<Option<OwnedFd>, ArtifactError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(refused(name, error)),
    }
}

/// Opens a file in `parent`: a plain one, with no other name; `None` when it is not there. With its size.
pub(super) fn file_in(parent: &OwnedFd, name: &'static str) -> Result<Option<(File, u64)>, ArtifactError> {
    // A look before the opening, for opening some devices has effects. The look after it is the one that counts.
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => plain(name, stat.st_mode, stat.st_nlink > 1)?,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(refused(name, error)),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(refused(name, error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| refused(name, error))?;
    plain(name, stat.st_mode, stat.st_nlink > 1)?;
    Ok(Some((file, u64::try_from(stat.st_size).unwrap_or_default())))
}

/// Reads a file of at most `limit` bytes, however large it says it is or becomes.
pub(super) fn read_whole(
    file: File,
    name: &'static str,
    size: u64,
    limit: u64,
) -> Result<Vec<u8>, ArtifactError> {
    if size > limit {
        return Err(ArtifactError::TooLarge { file: name, size, limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unavailable(Path::new(name), error))?;
    let size = bytes.len() as u64;
    if size > limit {
        return Err(ArtifactError::TooLarge { file: name, size, limit });
    }
    Ok(bytes)
}

/// Reads up to `limit` bytes from `offset` on.
pub(super) fn read_part(
    mut file: File,
    name: &'static str,
    offset: u64,
    limit: u64,
) -> Result<Vec<u8>, ArtifactError> {
    let mut bytes = Vec::new();
    let mut read = || {
        file.seek(SeekFrom::Start(offset))?;
        (&mut file).take(limit).read_to_end(&mut bytes)
    };
    read().map_err(|error| unavailable(Path::new(name), error))?;
    Ok(bytes)
}

fn plain(name: &'static str, mode: u32, other_names: bool) -> Result<(), ArtifactError> {
    let detail = match FileType::from_raw_mode(mode) {
        FileType::RegularFile if !other_names => return Ok(()),
        FileType::RegularFile => "a file with other names (hard links)".to_owned(),
        FileType::Symlink => "a symbolic link".to_owned(),
        FileType::Directory => "a folder".to_owned(),
        FileType::Fifo => "a named pipe".to_owned(),
        FileType::Socket => "a socket".to_owned(),
        FileType::CharacterDevice | FileType::BlockDevice => "a device".to_owned(),
        FileType::Unknown => "of an unknown kind".to_owned(),
    };
    Err(ArtifactError::NotAFile { file: name, detail })
}

/// What the attempt's doing makes impossible will stay so: it is the attempt's fault, not the storage's.
fn refused(name: &'static str, error: Errno) -> ArtifactError {
    let detail = match error {
        Errno::LOOP => "a symbolic link".to_owned(),
        Errno::NOTDIR => "something else where a folder belongs".to_owned(),
        Errno::NXIO | Errno::NODEV => "a pipe, a socket or a device".to_owned(),
        Errno::ACCESS | Errno::PERM => "its permissions keep us from reading it".to_owned(),
        other => return unavailable(Path::new(name), other),
    };
    ArtifactError::NotAFile { file: name, detail }
}

pub(super) fn unavailable(path: &Path, error: impl std::fmt::Display) -> ArtifactError {
    ArtifactError::Unavailable(format!("{}: {error}", path.display()))
}
