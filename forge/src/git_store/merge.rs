//! Merging one commit into a branch, and bringing a fork's branch over.

use std::path::Path;

use git2::{Oid, Signature};

use super::{Git, open};

/// Whether `head` merges into `base` without conflict.
pub(crate) fn can_merge(dir: &Path, base: &str, head: &str) -> Git<bool> {
    let repo = open(dir)?;
    let (ours, theirs) = (repo.find_commit(Oid::from_str(base)?)?, repo.find_commit(Oid::from_str(head)?)?);
    if repo.merge_base(ours.id(), theirs.id()).is_err() {
        return Ok(false);
    }
    Ok(!repo.merge_commits(&ours, &theirs, None)?.has_conflicts())
}

/// Merges `head` into the branch with a merge commit and returns its id; None when they conflict.
pub(crate) fn merge(
    dir: &Path,
    branch: &str,
    head: &str,
    message: &str,
    who: &Signature<'_>,
) -> Git<Option<String>> {
    let repo = open(dir)?;
    let name = format!("refs/heads/{branch}");
    let ours = repo.find_commit(repo.refname_to_id(&name)?)?;
    let theirs = repo.find_commit(Oid::from_str(head)?)?;
    let mut index = repo.merge_commits(&ours, &theirs, None)?;
    if index.has_conflicts() {
        return Ok(None);
    }
    let tree = repo.find_tree(index.write_tree_to(&repo)?)?;
    let id = repo.commit(None, who, who, message, &tree, &[&ours, &theirs])?;
    repo.reference(&name, id, true, "merge")?;
    Ok(Some(id.to_string()))
}

/// Copies what `branch` of the repository at `from` needs into `dir`, kept by the reference `to`.
pub(crate) fn fetch_branch(dir: &Path, from: &Path, branch: &str, to: &str) -> Git<()> {
    let repo = open(dir)?;
    let url = from.to_string_lossy();
    let mut remote = repo.remote_anonymous(&url)?;
    let mut options = git2::FetchOptions::new();
    options.download_tags(git2::AutotagOption::None);
    remote.fetch(&[format!("+refs/heads/{branch}:{to}")], Some(&mut options), None)
}
