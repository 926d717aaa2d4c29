//! Keeps a busy mirror's packs few: each fetch with news adds one, and a look-up asks them all.
//!
//! Small packs are merged into one; every object in them stays, also those that no branch reaches any more, since a workspace
//! may stand on them. The packs that were merged go an hour later, so that whoever reads a mirror meanwhile, ourselves or git
//! in a container, finds what it had begun to read. To be called under the mirror's lock.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use git2::{Oid, Repository};

use crate::GitError;

/// So many small packs are borne.
const MANY: usize = 20;
/// A larger pack is not merged again: it would cost more than it saves.
const SMALL: u64 = 64 << 20;
/// How long the packs that were merged stay.
const GRACE: Duration = Duration::from_secs(3600);
/// What stands behind a merged pack's name in the mark that says so, and by its time, since when.
const MERGED: &str = "cloud-code-merged";

/// Merges small packs where there are many, and removes those that were merged an hour ago. Says how many it merged.
///
/// # Errors
/// [`GitError::Io`], and [`GitError::Other`] for a pack that can't be read; nothing is lost then.
pub(crate) fn compact(mirror: &Path) -> Result<usize, GitError> {
    compact_at(mirror, SystemTime::now())
}

fn compact_at(mirror: &Path, now: SystemTime) -> Result<usize, GitError> {
    let dir = mirror.join("objects/pack");
    let mut small = Vec::new();
    for entry in fs::read_dir(&dir).map_err(GitError::io("listing", &dir))? {
        let path = entry.map_err(GitError::io("listing", &dir))?.path();
        if path.extension().is_none_or(|end| end != "pack") {
            continue;
        }
        match fs::metadata(path.with_extension(MERGED)).and_then(|mark| mark.modified()) {
            Ok(since) if now.duration_since(since).is_ok_and(|age| age >= GRACE) => remove(&path)?,
            Ok(_) => {}
            Err(_) if size(&path)? < SMALL => small.push(path),
            Err(_) => {}
        }
    }
    if small.len() <= MANY {
        return Ok(0);
    }
    let repository = Repository::open_bare(mirror)?;
    let mut builder = repository.packbuilder()?;
    for pack in &small {
        let index = pack.with_extension("idx");
        let bytes = fs::read(&index).map_err(GitError::io("reading", &index))?;
        for id in ids(&bytes).ok_or_else(|| GitError::Other(format!("{} is damaged", index.display())))? {
            builder.insert_object(id, None)?;
        }
    }
    builder.write(&dir, 0o444)?;
    let made = dir.join(format!("pack-{}.pack", builder.name()?.unwrap_or_default()));
    size(&made)?;
    for pack in small.iter().filter(|pack| **pack != made) {
        let mark = pack.with_extension(MERGED);
        fs::write(&mark, b"").map_err(GitError::io("writing", &mark))?;
    }
    tracing::info!(mirror = %mirror.display(), packs = small.len(), "merged small packs");
    Ok(small.len())
}

/// The index first: without it nobody looks for the pack.
fn remove(pack: &Path) -> Result<(), GitError> {
    for end in ["idx", "rev", "bitmap", "pack", MERGED] {
        let file: PathBuf = pack.with_extension(end);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(GitError::io("removing", &file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn size(path: &Path) -> Result<u64, GitError> {
    Ok(fs::metadata(path).map_err(GitError::io("reading", path))?.len())
}

/// The names in a pack's index, version 2: a header of 8 bytes, 256 counts of 4 bytes of which the last is the number of
/// objects, then their names of 20 bytes (git's Documentation/gitformat-pack.adoc).
fn ids(index: &[u8]) -> Option<Vec<Oid>> {
    let rest = index.strip_prefix(b"\xfftOc\0\0\0\x02")?;
    let (counts, rest) = rest.split_at_checked(256 * 4)?;
    let count = u32::from_be_bytes(*counts.last_chunk()?) as usize;
    let names = rest.get(..count.checked_mul(20)?)?;
    names.chunks_exact(20).map(|name| Oid::from_bytes(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A bare repository with `count` packs of one object each.
    fn packs(count: usize) -> (tempfile::TempDir, Vec<Oid>) {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(dir.path()).unwrap();
        let mut all = Vec::new();
        for n in 0..count {
            let text = format!("object {n}");
            let id = repository.odb().unwrap().write(git2::ObjectType::Blob, text.as_bytes()).unwrap();
            let mut builder = repository.packbuilder().unwrap();
            builder.insert_object(id, None).unwrap();
            builder.write(&dir.path().join("objects/pack"), 0o444).unwrap();
            let name = id.to_string();
            fs::remove_file(dir.path().join("objects").join(&name[..2]).join(&name[2..])).unwrap();
            all.push(id);
        }
        (dir, all)
    }

    fn files(dir: &Path, end: &str) -> usize {
        let entries = fs::read_dir(dir.join("objects/pack")).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == end)).count()
    }

    #[test]
    fn small_packs_become_one_and_nothing_is_lost() {
        let (dir, all) = packs(MANY + 1);
        let before = Repository::open_bare(dir.path()).unwrap();
        let now = SystemTime::now();
        assert_eq!(compact_at(dir.path(), now).unwrap(), MANY + 1);
        assert_eq!((files(dir.path(), "pack"), files(dir.path(), MERGED)), (MANY + 2, MANY + 1));
        // What was merged is not merged again, and stays for its time.
        assert_eq!(compact_at(dir.path(), now + GRACE / 2).unwrap(), 0);
        assert_eq!(files(dir.path(), "pack"), MANY + 2);
        assert_eq!(compact_at(dir.path(), now + GRACE * 2).unwrap(), 0);
        assert_eq!(
            (files(dir.path(), "pack"), files(dir.path(), "idx"), files(dir.path(), MERGED)),
            (1, 1, 0)
        );
        for repository in [before, Repository::open_bare(dir.path()).unwrap()] {
            for (n, id) in all.iter().enumerate() {
                assert_eq!(repository.find_blob(*id).unwrap().content(), format!("object {n}").as_bytes());
            }
        }
    }

    #[test]
    fn few_packs_stay_as_they_are() {
        let (dir, _) = packs(3);
        assert_eq!(compact(dir.path()).unwrap(), 0);
        assert_eq!(files(dir.path(), "pack"), 3);
    }

    #[test]
    fn a_damaged_index_changes_nothing() {
        let (dir, _) = packs(MANY + 1);
        let entries = fs::read_dir(dir.path().join("objects/pack")).unwrap();
        let index =
            entries.map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "idx")).unwrap();
        fs::remove_file(&index).unwrap();
        fs::write(&index, b"\xfftOc\0\0\0\x02\0\0").unwrap();
        let error = compact(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is damaged"), "{error}");
        assert_eq!((files(dir.path(), "pack"), files(dir.path(), MERGED)), (MANY + 1, 0));
    }
}
