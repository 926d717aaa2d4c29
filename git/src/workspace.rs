//! An attempt's checkout: a repository of its own that borrows the mirror's objects through alternates.
//!
//! Nothing is copied but the files of one commit, however long the history. The mirror's objects are to be mounted
//! read-only beside the workspace, so that nothing done inside it can reach them.
//!
//! What is written here is all that git in the container finds: no hooks, no filters, no credentials, no user.

use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{Oid, Reference, Repository, RepositoryInitOptions};

use crate::GitError;
use crate::mirror::Mirror;

/// Says that a folder is one of our workspaces, and may be cleared to start over.
const MARKER: &str = "cloud-code-workspace";

/// Files that are ours, not the repository's; `git status` in a workspace does not show them.
pub const OUR_FILES: [&str; 7] = [
    "/.cloud-code/tasking.yaml",
    "/.cloud-code/reporting.yaml",
    "/.cloud-code/changes.bundle",
    "/.cloud-code/transcript.jsonl",
    "/.cloud-code/log.txt",
    "/.cloud-code/prompt*",
    "/.cloud-code/*.tmp",
];

/// What a workspace is to be.
#[derive(Debug, Clone)]
pub struct WorkspaceSpec<'a> {
    /// Whose objects it borrows.
    pub mirror: &'a Mirror,
    /// The commit it starts at.
    pub base: Oid,
    /// The branch it is on, without `refs/heads/`.
    pub branch: &'a str,
    /// Where: absent, empty, or a workspace from an earlier try, which is cleared.
    pub dir: &'a Path,
    /// Where the mirror's objects folder will be seen from inside the container; `None`: where it is on this machine.
    pub objects_at: Option<&'a Path>,
    /// The URL of `origin`, without credentials.
    pub remote_url: &'a str,
    /// User and group that everything in the workspace is to belong to; needs root. `None` leaves the current ones.
    pub owner: Option<(u32, u32)>,
}

/// A workspace that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its folder.
    pub dir: PathBuf,
    /// The commit it stands at.
    pub base: Oid,
    /// The branch it is on.
    pub branch: String,
}

/// Creates a workspace. Called again for the same folder, it starts over.
///
/// # Errors
/// [`GitError::NotFound`] where the base is not in the mirror; [`GitError::Invalid`] for a branch name that git does not
/// allow, or a folder that holds something else; [`GitError::Io`].
pub fn create(spec: &WorkspaceSpec<'_>) -> Result<Workspace, GitError> {
    let WorkspaceSpec { mirror, base, branch, dir, .. } = *spec;
    let refname = format!("refs/heads/{branch}");
    if !Reference::is_valid_name(&refname) || branch.starts_with('-') {
        return Err(GitError::Invalid(format!("`{}` is not a branch name", crate::error::one_line(branch))));
    }
    let source = mirror.repository()?;
    source.find_commit(base).map_err(|_| GitError::no_commit(base, mirror.name()))?;

    clear(dir)?;
    let git_dir = dir.join(".git");
    fs::create_dir_all(&git_dir).map_err(GitError::io("creating", &git_dir))?;
    write(&git_dir.join(MARKER), "")?;
    let mut options = RepositoryInitOptions::new();
    options.external_template(false).initial_head(branch).origin_url(spec.remote_url);
    drop(Repository::init_opts(dir, &options)?);
    let objects = fs::canonicalize(mirror.objects()).map_err(GitError::io("finding", &mirror.objects()))?;
    let alternates = git_dir.join("objects/info/alternates");
    write(&alternates, &line(&objects)?)?;

    // Opened again: alternates are read when a repository is opened.
    let repository = Repository::open(dir)?;
    references(&repository, &source, mirror, &refname, base)?;
    fs::create_dir_all(git_dir.join("info")).map_err(GitError::io("creating", &git_dir.join("info")))?;
    let exclude = format!("# Files of Cloud Code, not of the repository\n{}\n", OUR_FILES.join("\n"));
    write(&git_dir.join("info/exclude"), &exclude)?;

    let mut checkout = CheckoutBuilder::new();
    checkout.force().disable_filters(true);
    repository.checkout_tree(repository.find_commit(base)?.tree()?.as_object(), Some(&mut checkout))?;
    repository.set_head(&refname)?;
    drop(repository);
    if let Some(seen) = spec.objects_at {
        write(&alternates, &line(seen)?)?;
    }
    if let Some((user, group)) = spec.owner {
        give(dir, user, group)?;
    }
    Ok(Workspace { dir: dir.to_owned(), base, branch: branch.to_owned() })
}

/// Removes a workspace and all that is in it, following no links. No workspace there is fine.
///
/// # Errors
/// [`GitError::Io`].
pub fn remove(dir: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(GitError::io("removing", dir)(error))
        }
        _ => Ok(()),
    }
}

/// Makes the folder fit to start in: gone, or left as it is when empty.
fn clear(dir: &Path) -> Result<(), GitError> {
    let metadata = match fs::symlink_metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(GitError::io("reading", dir)(error)),
    };
    let taken = || {
        Err(GitError::Invalid(format!(
            "{} is there already and is no workspace of ours; move it away or choose another folder",
            dir.display()
        )))
    };
    if !metadata.is_dir() {
        return taken();
    }
    let names = |dir: &Path| -> Result<Vec<_>, GitError> {
        let entries = fs::read_dir(dir).map_err(GitError::io("listing", dir))?;
        entries
            .map(|entry| entry.map(|entry| entry.file_name()).map_err(GitError::io("listing", dir)))
            .collect()
    };
    let inside = names(dir)?;
    let git_dir = dir.join(".git");
    let ours = fs::symlink_metadata(git_dir.join(MARKER)).is_ok();
    if inside.is_empty() {
        return Ok(());
    }
    // Killed between the first folder and the marker, a creation leaves an empty `.git`.
    if ours || (inside == [".git"] && git_dir.is_dir() && names(&git_dir)?.is_empty()) {
        return remove(dir);
    }
    taken()
}

/// The branch, and as much of `refs/remotes/origin` as merge bases need: the default branch, and this branch where the
/// remote has it.
fn references(
    repository: &Repository,
    source: &Repository,
    mirror: &Mirror,
    refname: &str,
    base: Oid,
) -> Result<(), GitError> {
    repository.reference(refname, base, true, "workspace")?;
    let branch = refname.strip_prefix("refs/heads/");
    for name in branch.into_iter().chain(mirror.default_branch()) {
        let there = source
            .find_reference(&format!("refs/heads/{name}"))
            .and_then(|reference| reference.peel_to_commit());
        if let Ok(commit) = there {
            repository.reference(&format!("refs/remotes/origin/{name}"), commit.id(), true, "workspace")?;
        }
    }
    if let Some(name) = mirror.default_branch() {
        let target = format!("refs/remotes/origin/{name}");
        repository.reference_symbolic("refs/remotes/origin/HEAD", &target, true, "workspace")?;
    }
    let mut config = repository.config()?;
    config.set_i32("gc.auto", 0)?;
    config.set_bool("core.protectHFS", true)?;
    config.set_bool("core.protectNTFS", true)?;
    Ok(())
}

/// A path as a line of the alternates file.
fn line(path: &Path) -> Result<String, GitError> {
    match path.to_str() {
        Some(text) if path.is_absolute() && !text.contains(['\n', '"']) => Ok(format!("{text}\n")),
        _ => Err(GitError::Invalid(format!("{} cannot be named in an alternates file", path.display()))),
    }
}

fn write(path: &Path, text: &str) -> Result<(), GitError> {
    fs::write(path, text).map_err(GitError::io("writing", path))
}

fn give(path: &Path, user: u32, group: u32) -> Result<(), GitError> {
    lchown(path, Some(user), Some(group)).map_err(GitError::io("changing the owner of", path))?;
    if fs::symlink_metadata(path).map_err(GitError::io("reading", path))?.is_dir() {
        for entry in fs::read_dir(path).map_err(GitError::io("listing", path))? {
            give(&entry.map_err(GitError::io("listing", path))?.path(), user, group)?;
        }
    }
    Ok(())
}
