//! One bare mirror a repository: its branches and tags, fetched again before each run, never changed from inside a
//! workspace.
//!
//! A mirror only ever gains objects, until it goes as a whole (`room`). Workspaces share them through alternates, so nothing here may delete any: libgit2 collects
//! no garbage by itself, and no `git gc` may be run in a mirror while workspaces live. Commits that were force-pushed away
//! stay, too. Small packs are merged when there are many (`compact`).
//!
//! On disk: `ROOT/HOST/OWNER/NAME.git`, and `NAME.lock` beside it. A fetch holds that lock against other threads and
//! processes. A mirror is made as `NAME.git.new` and renamed once its first fetch is complete, so what has its final name
//! is whole; a fetch that was killed leaves temporary files at worst, which the next one clears away.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{
    AutotagOption, Direction, ErrorCode, FetchOptions, Oid, RemoteUpdateFlags, Repository,
    RepositoryInitOptions,
};

use crate::compact;
use crate::lock::Lock;
use crate::{GitError, Remote};

/// Heads and tags, as they are on the remote.
const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
/// In the mirror's folder while a fetch runs; found at the start of one, the one before was killed.
const FETCHING: &str = "cloud-code-fetching";
/// When a fetch moved more references than this, they are packed into one file.
const PACK_REFERENCES_AFTER: usize = 50;

/// Which repository a mirror is of: host, owner and name, each checked to be one safe folder name (an owner may be nested,
/// as on GitLab).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MirrorKey {
    relative: PathBuf,
    shown: String,
}

impl MirrorKey {
    /// # Errors
    /// [`GitError::Invalid`] where a part is empty, too long, or has characters beyond `A-Z a-z 0-9 . _ -`.
    pub fn new(host: &str, owner: &str, name: &str) -> Result<Self, GitError> {
        let plain = |part: &str| {
            (1..=200).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
                && part != "."
                && part != ".."
        };
        let host_folder = host.replace(':', "+");
        let host_ok = !host.contains('+') && plain(&host_folder.replace('+', "."));
        let nested =
            |part: &str| plain(part) && ![".git", ".lock", ".new"].iter().any(|end| part.ends_with(end));
        if !host_ok || !owner.split('/').all(nested) || !plain(name) {
            return Err(GitError::Invalid(format!(
                "`{}` is not a repository's host/owner/name",
                crate::error::one_line(&format!("{host}/{owner}/{name}"))
            )));
        }
        let relative = Path::new(&host_folder).join(owner).join(format!("{name}.git"));
        Ok(Self { relative, shown: format!("{owner}/{name}") })
    }

    /// `owner/name`, for people.
    pub fn name(&self) -> &str {
        &self.shown
    }

    /// The mirror's folder, below that of all mirrors.
    pub fn folder(&self) -> &Path {
        &self.relative
    }
}

/// The folder that holds all mirrors.
#[derive(Debug, Clone)]
pub struct Mirrors {
    root: PathBuf,
}

impl Mirrors {
    /// Mirrors under this folder, which is made when first needed. It should be readable by the server's user alone.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        crate::setup::ready();
        Self { root: root.into() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The mirror as it was last fetched, without asking the remote; `None` where there is none yet.
    ///
    /// # Errors
    /// [`GitError::Other`] where the mirror is damaged; the next fetch repairs it.
    pub fn open(&self, key: &MirrorKey) -> Result<Option<Mirror>, GitError> {
        let path = self.root.join(&key.relative);
        if !path.exists() {
            return Ok(None);
        }
        Mirror::read(path, key.shown.clone()).map(Some)
    }

    /// Fetches branches and tags, pruning what is gone, and gives back the mirror. Where the remote has nothing new that
    /// is one HTTP request. Waits while another thread or process fetches the same mirror.
    ///
    /// # Errors
    /// [`GitError::Authentication`], [`GitError::NotFound`] and [`GitError::Network`] as the remote answers; the mirror is
    /// then as it was before.
    pub fn fetch(&self, key: &MirrorKey, remote: &Remote) -> Result<Mirror, GitError> {
        self.fetch_also(key, remote, &[])
    }

    /// As [`Mirrors::fetch`], with more refspecs, such as `+refs/pull/7/head:refs/pull/7/head`.
    ///
    /// # Errors
    /// As [`Mirrors::fetch`].
    pub fn fetch_also(&self, key: &MirrorKey, remote: &Remote, extra: &[&str]) -> Result<Mirror, GitError> {
        let path = self.root.join(&key.relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(GitError::io("creating", parent))?;
        }
        let lock = Lock::exclusive(&path.with_extension("lock"))?;
        // By this it is known which mirrors were used least recently.
        if let Err(error) = lock.note_time() {
            tracing::warn!(mirror = %key.shown, %error, "could not note that the mirror is used");
        }
        let refspecs: Vec<&str> = REFSPECS.iter().chain(extra).copied().collect();
        if path.exists() {
            let repository = reopen(&path)?;
            update(&repository, remote, &refspecs)?;
            // The fetch has succeeded; packs that stay many cost time, not correctness.
            if let Err(error) = compact::compact(&path) {
                tracing::warn!(mirror = %key.shown, %error, "the mirror's packs could not be merged");
            }
        } else {
            let new = path.with_extension("git.new");
            if new.exists() {
                tracing::info!(mirror = %key.shown, "removing a half-made mirror");
                fs::remove_dir_all(&new).map_err(GitError::io("removing the half-made mirror", &new))?;
            }
            let made = initialise(&new).and_then(|repository| update(&repository, remote, &refspecs));
            if let Err(error) = made {
                fs::remove_dir_all(&new).map_err(GitError::io("removing the half-made mirror", &new))?;
                return Err(error);
            }
            fs::rename(&new, &path).map_err(GitError::io("moving a new mirror to", &path))?;
        }
        Mirror::read(path, key.shown.clone())
    }
}

fn initialise(path: &Path) -> Result<Repository, GitError> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).mkpath(true).external_template(false).initial_head("main");
    let repository = Repository::init_opts(path, &options)?;
    let mut config = repository.config()?;
    // A mirror outlives crashes of the machine, too.
    config.set_bool("core.fsyncObjectFiles", true)?;
    config.set_i32("gc.auto", 0)?;
    drop(config);
    Ok(repository)
}

/// Opens a mirror, under its lock, and mends what a killed fetch or a crash of the machine left behind. Objects stay.
fn reopen(path: &Path) -> Result<Repository, GitError> {
    let opened = Repository::open_bare(path);
    if path.join(FETCHING).exists() || opened.is_err() {
        tracing::info!(mirror = %path.display(), "mending a mirror after a fetch that did not end");
        clear_locks(path)?;
        clear_temporary_packs(&path.join("objects/pack"))?;
    }
    let repository = match opened {
        Ok(repository) if repository.is_empty().is_ok() => repository,
        _ => {
            for damaged in ["HEAD", "config", "packed-refs"] {
                let file = path.join(damaged);
                if file.exists() {
                    fs::remove_file(&file).map_err(GitError::io("removing", &file))?;
                }
            }
            fs::write(path.join("HEAD"), "ref: refs/heads/main\n")
                .map_err(GitError::io("writing HEAD in", path))?;
            initialise(path)?
        }
    };
    Ok(repository)
}

/// Removes `*.lock` of references and files; we hold the mirror's own lock, so whoever made them is dead. Empty
/// references, which a crash of the machine can leave, go too: the fetch that follows writes them anew.
fn clear_locks(dir: &Path) -> Result<(), GitError> {
    for entry in fs::read_dir(dir).map_err(GitError::io("listing", dir))? {
        let entry = entry.map_err(GitError::io("listing", dir))?;
        let path = entry.path();
        let metadata = entry.metadata().map_err(GitError::io("reading", &path))?;
        let in_references = path.components().any(|part| part.as_os_str() == "refs");
        if metadata.is_dir() {
            if entry.file_name() != "objects" {
                clear_locks(&path)?;
            }
        } else if path.extension().is_some_and(|end| end == "lock") || (in_references && metadata.len() == 0)
        {
            fs::remove_file(&path).map_err(GitError::io("removing the stale", &path))?;
        }
    }
    Ok(())
}

/// Removes packs that were still being received: everything but `*.pack`, `*.idx` and their like.
fn clear_temporary_packs(dir: &Path) -> Result<(), GitError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(GitError::io("listing", dir))?.path();
        let whole = path.extension().is_some_and(|end| {
            ["pack", "idx", "rev", "keep", "bitmap", "mtimes", "promisor", "cloud-code-merged"]
                .iter()
                .any(|known| end == *known)
        });
        if !whole && path.is_file() {
            fs::remove_file(&path).map_err(GitError::io("removing the unfinished", &path))?;
        }
    }
    Ok(())
}

fn update(repository: &Repository, remote: &Remote, refspecs: &[&str]) -> Result<(), GitError> {
    let marker = repository.path().join(FETCHING);
    fs::write(&marker, b"").map_err(GitError::io("writing", &marker))?;
    let moved = remote.talk(|| {
        let mut connection = repository.remote_anonymous(remote.url())?;
        connection.connect(Direction::Fetch)?;
        let default_branch = match connection.default_branch() {
            Ok(name) => Some(name.as_str()?.to_owned()),
            Err(error) if error.code() == ErrorCode::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut options = FetchOptions::new();
        options.download_tags(AutotagOption::None);
        connection.download(refspecs, Some(&mut options))?;
        // Pruned first: a branch `a` that became `a/b` would otherwise stand in its own way.
        connection.prune(None)?;
        let mut moved = 0;
        let mut callbacks = git2::RemoteCallbacks::new();
        callbacks.update_tips(|_, _, _| {
            moved += 1;
            true
        });
        connection.update_tips(
            Some(&mut callbacks),
            RemoteUpdateFlags::empty(),
            AutotagOption::None,
            None,
        )?;
        connection.disconnect()?;
        drop(callbacks);
        drop(connection);
        if let Some(name) = default_branch
            && repository.find_reference("HEAD")?.symbolic_target()? != Some(&name)
        {
            repository.set_head(&name)?;
        }
        if moved > PACK_REFERENCES_AFTER {
            repository.refdb()?.compress()?;
        }
        Ok(moved)
    })?;
    fs::remove_file(&marker).map_err(GitError::io("removing", &marker))?;
    tracing::debug!(mirror = %repository.path().display(), references_moved = moved, "fetched");
    Ok(())
}

/// A mirror on disk, as of its last fetch.
#[derive(Debug, Clone)]
pub struct Mirror {
    path: PathBuf,
    shown: String,
    default_branch: Option<String>,
}

impl Mirror {
    fn read(path: PathBuf, shown: String) -> Result<Self, GitError> {
        let repository = Repository::open_bare(&path)?;
        let head = repository.find_reference("HEAD")?.symbolic_target()?.map(str::to_owned);
        // On an empty remote HEAD names a branch that is not there.
        let default_branch = head
            .filter(|name| repository.find_reference(name).is_ok())
            .and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned));
        Ok(Self { path, shown, default_branch })
    }

    /// The bare repository's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of its objects, to be mounted read-only where a workspace's alternates name it.
    pub fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// `owner/name`, for messages.
    pub fn name(&self) -> &str {
        &self.shown
    }

    /// The remote's default branch, without `refs/heads/`; `None` where the repository is empty.
    pub fn default_branch(&self) -> Option<&str> {
        self.default_branch.as_deref()
    }

    pub(crate) fn repository(&self) -> Result<Repository, GitError> {
        crate::setup::ready();
        Ok(Repository::open_bare(&self.path)?)
    }

    /// The commit that a branch, tag, full reference name, `HEAD` or 40-digit id means; `None` where there is none.
    /// Nothing else of git's revision language is understood, since revisions come from people and workflow files.
    ///
    /// # Errors
    /// [`GitError::Other`] where the mirror cannot be read.
    pub fn resolve(&self, revision: &str) -> Result<Option<Oid>, GitError> {
        let repository = self.repository()?;
        if revision.len() == 40
            && let Ok(id) = Oid::from_str(revision)
        {
            return Ok(repository.find_commit(id).ok().map(|commit| commit.id()));
        }
        let names = if revision == "HEAD" || revision.starts_with("refs/") {
            vec![revision.to_owned()]
        } else {
            vec![format!("refs/heads/{revision}"), format!("refs/tags/{revision}")]
        };
        for name in names.iter().filter(|name| git2::Reference::is_valid_name(name)) {
            match repository.find_reference(name).and_then(|reference| reference.peel_to_commit()) {
                Ok(commit) => return Ok(Some(commit.id())),
                Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::UnbornBranch) => {}
                Err(error) if matches!(error.code(), ErrorCode::Peel | ErrorCode::InvalidSpec) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The best common ancestor of two commits; `None` where they share no history.
    ///
    /// # Errors
    /// [`GitError::NotFound`] where one of them is not in the mirror.
    pub fn merge_base(&self, one: Oid, two: Oid) -> Result<Option<Oid>, GitError> {
        let repository = self.repository()?;
        for id in [one, two] {
            repository.find_commit(id).map_err(|_| GitError::no_commit(id, &self.shown))?;
        }
        match repository.merge_base(one, two) {
            Ok(base) => Ok(Some(base)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The files directly in a folder of a commit, by name, each of at most `max_bytes` (larger ones, links and folders are
    /// left out): how a workflow folder is read. No such folder gives an empty list.
    ///
    /// # Errors
    /// [`GitError::NotFound`] where the commit is not in the mirror.
    pub fn files(
        &self,
        commit: Oid,
        folder: &str,
        max_bytes: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, GitError> {
        let repository = self.repository()?;
        let commit = repository.find_commit(commit).map_err(|_| GitError::no_commit(commit, &self.shown))?;
        let Ok(entry) = commit.tree()?.get_path(Path::new(folder)) else { return Ok(Vec::new()) };
        let Ok(tree) = entry.to_object(&repository)?.into_tree() else { return Ok(Vec::new()) };
        let odb = repository.odb()?;
        let mut files = Vec::new();
        for entry in tree.iter() {
            let regular = matches!(entry.filemode(), 0o100_644 | 0o100_755);
            if let Ok(name) = entry.name()
                && regular
                && odb.read_header(entry.id())?.0 <= max_bytes
            {
                files.push((name.to_owned(), odb.read(entry.id())?.data().to_vec()));
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn keys_stay_inside_the_root_and_never_meet() {
        let path = |host, owner, name| MirrorKey::new(host, owner, name).map(|key| key.relative);
        assert_eq!(path("github.com", "acme", "shop").unwrap(), Path::new("github.com/acme/shop.git"));
        assert_eq!(
            path("127.0.0.1:3000", "a/b", ".github").unwrap(),
            Path::new("127.0.0.1+3000/a/b/.github.git")
        );
        for (host, owner, name) in [
            ("", "a", "b"),
            ("h", "", "b"),
            ("h", "a", ""),
            ("..", "a", "b"),
            ("h", "..", "b"),
            ("h", "a", ".."),
            ("h", "a/../..", "b"),
            ("h", "/a", "b"),
            ("h", "a", "b/c"),
            ("h", "a.git", "b"),
            ("h", "a", "b\0"),
            ("h", "a", "b c"),
            ("h+1", "a", "b"),
        ] {
            assert!(path(host, owner, name).is_err(), "{host}/{owner}/{name}");
        }
    }
}
