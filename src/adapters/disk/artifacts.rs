//! The artifacts of attempts, in folders as [`super::layout`] has them.

use super::layout::{self, EXCHANGE_DIR};
use super::opening::{self, unavailable};
use crate::ports::{Artifact, ArtifactError, Artifacts};
use async_trait::async_trait;
use cloud_code_model::ids::AttemptId;
use cloud_code_model::task::MAX_SESSION_FILE;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What is kept of an attempt, each with the bytes of it that are kept at most, and the notice that says that the rest was
/// cut off. A file without a notice is worth nothing in part.
const KEPT: [(Artifact, u64, Option<&str>); 5] = [
    (Artifact::Report, 4 << 20, None),
    (Artifact::Bundle, 64 << 20, None),
    (Artifact::Session, MAX_SESSION_FILE, None),
    (
        Artifact::Log,
        16 << 20,
        Some("\n[Cloud Code: the log was larger than 16 MiB; the rest was not kept]\n"),
    ),
    (
        Artifact::Transcript,
        32 << 20,
        Some(
            "\n{\"type\":\"cloud-code\",\"notice\":\"the transcript was larger than 32 MiB; the rest was not kept\"}\n",
        ),
    ),
];

/// Artifacts below the data folder.
#[derive(Debug, Clone)]
pub struct DiskArtifacts {
    data_dir: PathBuf,
}

impl DiskArtifacts {
    /// Artifacts below `data_dir`; folders are made when they are needed.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        attempt: &AttemptId,
        work: impl FnOnce(&Place) -> Result<T, ArtifactError> + Send + 'static,
    ) -> Result<T, ArtifactError> {
        let place = Place { data_dir: self.data_dir.clone(), attempt: attempt.clone() };
        tokio::task::spawn_blocking(move || work(&place))
            .await
            .map_err(|error| ArtifactError::Unavailable(error.to_string()))?
    }
}

#[async_trait]
impl Artifacts for DiskArtifacts {
    /// What the agent is given goes into the workspace, readable for every user; anything else is our own and is kept at once.
    async fn write(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        bytes: &[u8],
    ) -> Result<(), ArtifactError> {
        let bytes = bytes.to_vec();
        self.blocking(attempt, move |place| match artifact {
            Artifact::Tasking | Artifact::EarlierSession => {
                let mode = Mode::from_raw_mode(0o644);
                write_whole(&place.make_exchange()?, artifact.file_name(), mode, |file| {
                    file.write_all(&bytes)
                })
            }
            _ => place.write_kept(artifact, |file| file.write_all(&bytes)),
        })
        .await
    }

    async fn read(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, ArtifactError> {
        self.blocking(attempt, move |place| {
            let Some((file, size)) = place.open(artifact)? else { return Ok(None) };
            opening::read_whole(file, artifact.file_name(), size, limit).map(Some)
        })
        .await
    }

    async fn read_from(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, ArtifactError> {
        self.blocking(attempt, move |place| match place.open(artifact)? {
            Some((file, _)) => opening::read_part(file, artifact.file_name(), offset, limit),
            None => Ok(Vec::new()),
        })
        .await
    }

    /// What an attempt made unreadable, or too large, is left out with a warning: nothing about it would ever change.
    async fn keep(&self, attempt: &AttemptId) -> Result<(), ArtifactError> {
        self.blocking(attempt, |place| {
            for (artifact, limit, notice) in KEPT {
                match place.keep(artifact, limit, notice) {
                    Ok(()) => {}
                    Err(error @ (ArtifactError::NotAFile { .. } | ArtifactError::TooLarge { .. })) => {
                        tracing::warn!(attempt = %place.attempt, %error, "an artifact was not kept");
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
        .await
    }
}

/// The folders of one attempt.
struct Place {
    data_dir: PathBuf,
    attempt: AttemptId,
}

impl Place {
    /// The kept file, else the one in the workspace.
    fn open(&self, artifact: Artifact) -> Result<Option<(File, u64)>, ArtifactError> {
        match self.open_kept(artifact)? {
            Some(kept) => Ok(Some(kept)),
            None => self.open_live(artifact),
        }
    }

    fn open_kept(&self, artifact: Artifact) -> Result<Option<(File, u64)>, ArtifactError> {
        let Some(folder) = opening::folder(&layout::kept_dir(&self.data_dir, &self.attempt))? else {
            return Ok(None);
        };
        opening::file_in(&folder, artifact.file_name())
    }

    fn open_live(&self, artifact: Artifact) -> Result<Option<(File, u64)>, ArtifactError> {
        let Some(attempt) = opening::folder(&layout::attempt_dir(&self.data_dir, &self.attempt))? else {
            return Ok(None);
        };
        let Some(workspace) = opening::folder_in(&attempt, "workspace")? else { return Ok(None) };
        let Some(exchange) = opening::folder_in(&workspace, EXCHANGE_DIR)? else { return Ok(None) };
        opening::file_in(&exchange, artifact.file_name())
    }

    /// The folder in the workspace through which we talk to the agent. A new one belongs to whom the workspace belongs.
    fn make_exchange(&self) -> Result<OwnedFd, ArtifactError> {
        let path = layout::workspace_dir(&self.data_dir, &self.attempt);
        std::fs::create_dir_all(&path).map_err(|error| unavailable(&path, error))?;
        let missing = || ArtifactError::Unavailable(format!("{}: it went away", path.display()));
        let attempt =
            opening::folder(&layout::attempt_dir(&self.data_dir, &self.attempt))?.ok_or_else(missing)?;
        let workspace = opening::folder_in(&attempt, "workspace")?.ok_or_else(missing)?;
        let made = match rustix::fs::mkdirat(&workspace, EXCHANGE_DIR, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(unavailable(&path.join(EXCHANGE_DIR), error)),
        };
        let exchange = opening::folder_in(&workspace, EXCHANGE_DIR)?.ok_or_else(missing)?;
        if made {
            let owner = rustix::fs::fstat(&workspace).map_err(|error| unavailable(&path, error))?;
            let present = rustix::fs::fstat(&exchange).map_err(|error| unavailable(&path, error))?;
            if (owner.st_uid, owner.st_gid) != (present.st_uid, present.st_gid) {
                let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
                rustix::fs::fchown(&exchange, Some(uid), Some(gid))
                    .map_err(|error| unavailable(&path.join(EXCHANGE_DIR), error))?;
            }
        }
        Ok(exchange)
    }

    fn write_kept(
        &self,
        artifact: Artifact,
        write: impl FnOnce(&mut File) -> std::io::Result<()>,
    ) -> Result<(), ArtifactError> {
        let path = layout::kept_dir(&self.data_dir, &self.attempt);
        std::fs::create_dir_all(layout::attempt_dir(&self.data_dir, &self.attempt))
            .and_then(|()| match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            })
            .map_err(|error| unavailable(&path, error))?;
        let folder = opening::folder(&path)?
            .ok_or_else(|| ArtifactError::Unavailable(format!("{}: it went away", path.display())))?;
        write_whole(&folder, artifact.file_name(), Mode::from_raw_mode(0o600), write)
    }

    /// Copies one file, unless that was done before: a copy is there whole or not at all.
    fn keep(&self, artifact: Artifact, limit: u64, notice: Option<&str>) -> Result<(), ArtifactError> {
        if self.open_kept(artifact)?.is_some() {
            return Ok(());
        }
        let Some((file, size)) = self.open_live(artifact)? else { return Ok(()) };
        let name = artifact.file_name();
        let Some(notice) = notice else {
            let bytes = opening::read_whole(file, name, size, limit)?;
            return self.write_kept(artifact, |kept| kept.write_all(&bytes));
        };
        self.write_kept(artifact, |kept| {
            let copied = std::io::copy(&mut (&file).take(limit), kept)?;
            let more = copied == limit && (&file).read(&mut [0])? > 0;
            if more { kept.write_all(notice.as_bytes()) } else { Ok(()) }
        })
    }
}

/// Writes a file under another name, syncs it, and renames it: it is there whole or not at all, even after a crash.
fn write_whole(
    folder: &OwnedFd,
    name: &'static str,
    mode: Mode,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), ArtifactError> {
    let temporary = format!(".{name}.{}", uuid::Uuid::new_v4().simple());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let failed = |error: &dyn std::fmt::Display| unavailable(Path::new(name), error);
    let file = rustix::fs::openat(folder, &temporary, flags, mode).map_err(|error| failed(&error))?;
    let mut file = File::from(file);
    let written = write(&mut file)
        // The umask has no say in what the container's user may read.
        .and_then(|()| Ok(rustix::fs::fchmod(&file, mode)?))
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(rustix::fs::renameat(folder, &temporary, folder, name)?))
        .and_then(|()| Ok(rustix::fs::fsync(folder)?));
    written.map_err(|error| {
        // It is there unless it was renamed; either way nothing depends on it.
        let _ = rustix::fs::unlinkat(folder, &temporary, AtFlags::empty());
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                ArtifactError::NotAFile { file: name, detail: "a folder".to_owned() }
            }
            _ => failed(&error),
        }
    })
}
