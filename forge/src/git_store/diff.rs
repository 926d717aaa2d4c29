//! What a pull request or a commit changes: unified diff, files, and counts.

use std::path::Path;

use git2::{Delta, Diff, DiffFindOptions, DiffFormat, Oid, Patch, Repository};

use super::{Git, open};

/// One file of a diff, as GitHub lists it.
#[derive(Debug, Clone)]
pub(crate) struct FileChange {
    pub(crate) sha: String,
    pub(crate) path: String,
    pub(crate) previous: Option<String>,
    /// `added`, `removed`, `modified` or `renamed`.
    pub(crate) status: &'static str,
    pub(crate) additions: usize,
    pub(crate) deletions: usize,
    /// The hunks, without the file header; None for binary files.
    pub(crate) patch: Option<String>,
}

/// The whole change as `git diff` would print it. Without a base: everything that `head` has.
pub(crate) fn diff_text(dir: &Path, base: Option<&str>, head: &str) -> Git<String> {
    let repo = open(dir)?;
    let diff = diff(&repo, base, head)?;
    let mut text = Vec::new();
    diff.print(DiffFormat::Patch, |_, _, line| {
        if matches!(line.origin(), '+' | '-' | ' ') {
            text.push(line.origin() as u8);
        }
        text.extend_from_slice(line.content());
        true
    })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The files of the change.
pub(crate) fn file_changes(dir: &Path, base: Option<&str>, head: &str) -> Git<Vec<FileChange>> {
    let repo = open(dir)?;
    let diff = diff(&repo, base, head)?;
    let mut changes = Vec::new();
    for (index, delta) in diff.deltas().enumerate() {
        let path_of = |file: git2::DiffFile<'_>| {
            file.path_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
        };
        let (old, new) = (path_of(delta.old_file()), path_of(delta.new_file()));
        let status = match delta.status() {
            Delta::Added => "added",
            Delta::Deleted => "removed",
            Delta::Renamed => "renamed",
            _ => "modified",
        };
        let (mut additions, mut deletions, mut text) = (0, 0, None);
        if let Some(mut patch) = Patch::from_diff(&diff, index)? {
            (_, additions, deletions) = patch.line_stats()?;
            let printed = String::from_utf8_lossy(&patch.to_buf()?).into_owned();
            text = printed.find("@@ ").map(|at| printed[at..].trim_end_matches('\n').to_owned());
        }
        let sha = if status == "removed" { delta.old_file().id() } else { delta.new_file().id() };
        changes.push(FileChange {
            sha: sha.to_string(),
            previous: (status == "renamed").then_some(old),
            path: new,
            status,
            additions,
            deletions,
            patch: text,
        });
    }
    Ok(changes)
}

/// Files, additions, deletions.
pub(crate) fn stats(dir: &Path, base: Option<&str>, head: &str) -> Git<(usize, usize, usize)> {
    let repo = open(dir)?;
    let stats = diff(&repo, base, head)?.stats()?;
    Ok((stats.files_changed(), stats.insertions(), stats.deletions()))
}

/// Whether `head` has a workflow folder that none of `bases` has: what GitHub asks the `workflows` permission for.
pub(crate) fn touches_workflows(dir: &Path, bases: &[String], head: &str) -> Git<bool> {
    let repo = open(dir)?;
    let folder = |sha: &str| -> Git<Option<Oid>> {
        let tree = repo.find_commit(Oid::from_str(sha)?)?.tree()?;
        Ok(tree.get_path(Path::new(".github/workflows")).ok().map(|entry| entry.id()))
    };
    let ours = folder(head)?;
    if ours.is_none() && bases.is_empty() {
        return Ok(false);
    }
    for base in bases {
        if folder(base)? == ours {
            return Ok(false);
        }
    }
    Ok(true)
}

fn diff<'repo>(repo: &'repo Repository, base: Option<&str>, head: &str) -> Git<Diff<'repo>> {
    let tree = |sha: &str| repo.find_commit(Oid::from_str(sha)?)?.tree();
    let old = base.map(tree).transpose()?;
    let mut diff = repo.diff_tree_to_tree(old.as_ref(), Some(&tree(head)?), None)?;
    diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
    Ok(diff)
}
