//! Looking at a person's own repository on this machine.

use crate::error::GitError;
use git2::{DiffStatsFormat, Oid, Repository};
use std::path::Path;

/// The branch that is checked out in the repository at `folder`.
///
/// # Errors
/// [`GitError::Invalid`] where there is no repository, no commit yet, or no branch is checked out.
pub fn checked_out_branch(folder: &Path) -> Result<String, GitError> {
    let repository = Repository::open(folder).map_err(|_| {
        GitError::Invalid(format!("{} is not the top folder of a git repository", folder.display()))
    })?;
    let head = repository
        .head()
        .map_err(|_| GitError::Invalid(format!("{} has no commit yet: make one first", folder.display())))?;
    match head.shorthand() {
        Ok(name) if head.is_branch() => Ok(name.to_owned()),
        _ => Err(GitError::Invalid(format!(
            "{} has no branch checked out: check one out first",
            folder.display()
        ))),
    }
}

/// The diffstat between two commits of the repository at `folder`, for a terminal of 80 columns.
///
/// # Errors
/// Where the repository or a commit is not there.
pub fn diffstat(folder: &Path, base: &str, head: &str) -> Result<String, GitError> {
    let repository = Repository::open(folder)?;
    let tree = |id: &str| repository.find_commit(Oid::from_str(id)?)?.tree();
    let diff = repository.diff_tree_to_tree(Some(&tree(base)?), Some(&tree(head)?), None)?;
    let text = diff.stats()?.to_buf(DiffStatsFormat::FULL, 80)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
