//! What the agent does in its workspace: commit what is left over, and say what changed.

use std::path::Path;

use git2::{DiffOptions, ErrorCode, IndexAddOption, Oid, Repository, Signature};

use crate::GitError;

/// Who a commit is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Name, such as `cloud-code[bot]`.
    pub name: String,
    /// Electronic mail address.
    pub email: String,
}

/// What changed between two commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Commits from base (left out) to head.
    pub commits: usize,
    /// Files that differ, a renamed one counted once.
    pub files: usize,
    /// Lines added.
    pub insertions: usize,
    /// Lines removed.
    pub deletions: usize,
}

fn open(dir: &Path) -> Result<Repository, GitError> {
    crate::setup::ready();
    Repository::open(dir).map_err(|error| match error.code() {
        ErrorCode::NotFound => GitError::NotFound {
            what: format!("a git repository in {}", dir.display()),
            hint: "its .git folder is missing or damaged".into(),
        },
        _ => error.into(),
    })
}

/// The commit that HEAD stands at; `None` on a branch without commits.
///
/// # Errors
/// [`GitError::NotFound`] where the folder is no repository.
pub fn head(dir: &Path) -> Result<Option<Oid>, GitError> {
    match open(dir)?.head() {
        Ok(head) => Ok(Some(head.peel_to_commit()?.id())),
        Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Commits every new, changed and deleted file on top of HEAD, except what `.gitignore` and `info/exclude` name, the paths
/// in `exclude` (files, or folders with all that is in them), and repositories inside the repository. A merge that was
/// under way is concluded. `None` when there was nothing to commit.
///
/// # Errors
/// [`GitError::NotFound`] where the folder is no repository; [`GitError::Invalid`] for an author without name or address.
pub fn commit_all(
    dir: &Path,
    message: &str,
    author: &Author,
    exclude: &[&str],
) -> Result<Option<Oid>, GitError> {
    let mut repository = open(dir)?;
    let signature = Signature::now(&author.name, &author.email)
        .map_err(|error| GitError::Invalid(format!("the author of a commit: {}", error.message())))?;
    let mut index = repository.index()?;
    let mut skip = |path: &Path, _: &[u8]| -> i32 {
        let mut excluded =
            exclude.iter().map(|excluded| excluded.trim_matches('/')).filter(|path| !path.is_empty());
        let excluded = excluded.any(|excluded| path.starts_with(excluded));
        // Added as it is, a repository inside this one would become a submodule without a source.
        let nested = dir.join(path).join(".git").exists();
        if nested {
            tracing::warn!(path = %path.display(), "a repository inside the workspace is left out of the commit");
        }
        i32::from(excluded || nested)
    };
    index.add_all(["*"], IndexAddOption::DEFAULT, Some(&mut skip))?;
    let tree = index.write_tree()?;
    index.write()?;

    let head = match repository.head() {
        Ok(head) => Some(head.peel_to_commit()?.id()),
        Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => None,
        Err(error) => return Err(error.into()),
    };
    let mut parents: Vec<Oid> = head.into_iter().collect();
    if repository.state() == git2::RepositoryState::Merge {
        repository.mergehead_foreach(|id| {
            parents.push(*id);
            true
        })?;
    }
    let unchanged = match head {
        Some(head) => parents.len() == 1 && repository.find_commit(head)?.tree_id() == tree,
        None => index.is_empty(),
    };
    if unchanged {
        return Ok(None);
    }
    let tree = repository.find_tree(tree)?;
    let parents = parents.into_iter().map(|id| repository.find_commit(id)).collect::<Result<Vec<_>, _>>()?;
    let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
    let id = repository.commit(Some("HEAD"), &signature, &signature, message, &tree, &parents)?;
    repository.cleanup_state()?;
    Ok(Some(id))
}

/// What changed from `base` to `head`.
///
/// # Errors
/// [`GitError::NotFound`] where one of the commits is not there.
pub fn summary(dir: &Path, base: Oid, head: Oid) -> Result<Summary, GitError> {
    let repository = open(dir)?;
    let tree = |id: Oid| -> Result<git2::Tree<'_>, GitError> {
        let commit = repository.find_commit(id).map_err(|_| GitError::no_commit(id, "the workspace"))?;
        Ok(commit.tree()?)
    };
    let (old, new) = (tree(base)?, tree(head)?);
    let mut walk = repository.revwalk()?;
    walk.push(head)?;
    walk.hide(base)?;
    let commits = walk.count();
    let mut options = DiffOptions::new();
    let mut diff = repository.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options))?;
    diff.find_similar(None)?;
    let stats = diff.stats()?;
    Ok(Summary {
        commits,
        files: stats.files_changed(),
        insertions: stats.insertions(),
        deletions: stats.deletions(),
    })
}
