//! The git side of a repository: bare repositories made, written, compared and merged with libgit2, no git program.
//! It knows nothing of issues, tokens or HTTP.

mod diff;
mod history;
mod merge;
mod text;

use std::path::Path;

use git2::{FileMode, ObjectType, Oid, Repository, RepositoryInitOptions, Signature, Tree};

pub(crate) use diff::{FileChange, diff_text, file_changes, stats, touches_workflows};
pub(crate) use history::{CommitInfo, Person, commit, commits_between, merge_base};
pub(crate) use merge::{can_merge, fetch_branch, merge};
pub(crate) use text::closing_references;

type Git<T> = Result<T, git2::Error>;

/// Makes an empty bare repository whose HEAD is `default_branch`.
pub(crate) fn init(dir: &Path, default_branch: &str) -> Git<()> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).mkpath(true).initial_head(default_branch);
    Repository::init_opts(dir, &options).map(|_| ())
}

pub(crate) fn open(dir: &Path) -> Git<Repository> {
    Repository::open_bare(dir)
}

/// The commit a branch points at.
pub(crate) fn branch_tip(dir: &Path, branch: &str) -> Option<String> {
    let repo = open(dir).ok()?;
    let id = repo.refname_to_id(&format!("refs/heads/{branch}")).ok()?;
    Some(id.to_string())
}

/// Every reference that clients may move, with what it points at.
pub(crate) fn references(dir: &Path) -> Git<Vec<(String, String)>> {
    let repo = open(dir)?;
    let mut found = Vec::new();
    for reference in repo.references()? {
        let reference = reference?;
        if let (Ok(name), Some(target)) = (reference.name(), reference.target()) {
            found.push((name.to_owned(), target.to_string()));
        }
    }
    found.sort();
    Ok(found)
}

/// Names of the branches.
pub(crate) fn branches(dir: &Path) -> Git<Vec<String>> {
    Ok(references(dir)?
        .into_iter()
        .filter_map(|(name, _)| name.strip_prefix("refs/heads/").map(str::to_owned))
        .collect())
}

/// The commit that a branch name, tag name, full reference or (short) id means.
pub(crate) fn resolve(dir: &Path, reference: &str) -> Option<String> {
    let repo = open(dir).ok()?;
    let spelled = [
        format!("refs/heads/{reference}"),
        format!("refs/tags/{reference}"),
        format!("refs/{reference}"),
        reference.to_owned(),
    ];
    for name in spelled {
        if let Ok(object) = repo.revparse_single(&name)
            && let Ok(commit) = object.peel(ObjectType::Commit)
        {
            return Some(commit.id().to_string());
        }
    }
    None
}

/// Whether the full id names a commit here.
pub(crate) fn has_commit(dir: &Path, sha: &str) -> bool {
    let (Ok(repo), Ok(id)) = (open(dir), Oid::from_str(sha)) else { return false };
    repo.find_commit(id).is_ok()
}

/// Writes files on top of a branch (made from nothing where it does not exist) and returns the new commit.
/// `None` as content removes the file.
pub(crate) fn commit_files(
    dir: &Path,
    branch: &str,
    files: &[(&str, Option<&[u8]>)],
    message: &str,
    who: &Signature<'_>,
) -> Git<String> {
    let repo = open(dir)?;
    let name = format!("refs/heads/{branch}");
    let parent = repo.refname_to_id(&name).ok().map(|id| repo.find_commit(id)).transpose()?;
    let base = parent.as_ref().map(git2::Commit::tree).transpose()?;
    let tree = write_tree(&repo, base.as_ref(), files)?;
    let parents: Vec<_> = parent.iter().collect();
    let id = repo.commit(None, who, who, message, &repo.find_tree(tree)?, &parents)?;
    repo.reference(&name, id, true, "commit")?;
    Ok(id.to_string())
}

/// A commit with these files and no parents, with the branch forced onto it: history is rewritten.
pub(crate) fn rewrite_branch(
    dir: &Path,
    branch: &str,
    files: &[(&str, Option<&[u8]>)],
    message: &str,
    who: &Signature<'_>,
) -> Git<String> {
    let repo = open(dir)?;
    let tree = write_tree(&repo, None, files)?;
    let id = repo.commit(None, who, who, message, &repo.find_tree(tree)?, &[])?;
    repo.reference(&format!("refs/heads/{branch}"), id, true, "force-push")?;
    Ok(id.to_string())
}

fn write_tree(repo: &Repository, base: Option<&Tree<'_>>, files: &[(&str, Option<&[u8]>)]) -> Git<Oid> {
    let mut index = git2::Index::new()?;
    if let Some(base) = base {
        index.read_tree(base)?;
    }
    for (path, content) in files {
        match content {
            None => index.remove_path(Path::new(path))?,
            Some(bytes) => index.add(&git2::IndexEntry {
                ctime: git2::IndexTime::new(0, 0),
                mtime: git2::IndexTime::new(0, 0),
                dev: 0,
                ino: 0,
                mode: FileMode::Blob.into(),
                uid: 0,
                gid: 0,
                file_size: 0,
                id: repo.blob(bytes)?,
                flags: 0,
                flags_extended: 0,
                path: path.as_bytes().to_vec(),
            })?,
        }
    }
    index.write_tree_to(repo)
}

/// Points a branch at a commit, whatever it pointed at before.
pub(crate) fn set_branch(dir: &Path, branch: &str, sha: &str) -> Git<()> {
    set_reference(dir, &format!("refs/heads/{branch}"), Some(sha))
}

/// Points a reference at a commit; None removes it.
pub(crate) fn set_reference(dir: &Path, name: &str, sha: Option<&str>) -> Git<()> {
    let repo = open(dir)?;
    match sha {
        Some(sha) => repo.reference(name, Oid::from_str(sha)?, true, "set").map(|_| ()),
        None => match repo.find_reference(name) {
            Ok(mut reference) => reference.delete(),
            Err(_) => Ok(()),
        },
    }
}

/// Makes `HEAD` name another branch.
pub(crate) fn set_head(dir: &Path, branch: &str) -> Git<()> {
    open(dir)?.set_head(&format!("refs/heads/{branch}"))
}

/// One entry of a listing.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) mode: String,
    /// `blob`, `tree` or `commit` (a submodule).
    pub(crate) kind: &'static str,
    pub(crate) sha: String,
    pub(crate) size: Option<u64>,
}

/// What stands at a path of a commit.
pub(crate) enum AtPath {
    File(Entry, Vec<u8>),
    Directory(Vec<Entry>),
}

/// Looks up a path (empty: the root) in a commit's tree.
pub(crate) fn at_path(dir: &Path, commit: &str, path: &str) -> Git<Option<AtPath>> {
    let repo = open(dir)?;
    let tree = repo.find_commit(Oid::from_str(commit)?)?.tree()?;
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Ok(Some(AtPath::Directory(list(&repo, &tree, "", false)?)));
    }
    let Ok(entry) = tree.get_path(Path::new(path)) else { return Ok(None) };
    match entry.kind() {
        Some(ObjectType::Tree) => {
            let inner = repo.find_tree(entry.id())?;
            Ok(Some(AtPath::Directory(list(&repo, &inner, &format!("{path}/"), false)?)))
        }
        Some(ObjectType::Blob) => {
            let blob = repo.find_blob(entry.id())?;
            let shown = describe(&repo, &entry, path.to_owned())?;
            Ok(Some(AtPath::File(shown, blob.content().to_vec())))
        }
        _ => Ok(None),
    }
}

/// The entries of a tree given by commit, tree or branch, all the way down if asked. None: no such thing.
pub(crate) fn tree_entries(dir: &Path, treeish: &str, recursive: bool) -> Git<Option<(String, Vec<Entry>)>> {
    let repo = open(dir)?;
    let by_branch = resolve(dir, treeish);
    let name = by_branch.as_deref().unwrap_or(treeish);
    let Ok(object) = repo.revparse_single(name) else { return Ok(None) };
    let Ok(tree) = object.peel_to_tree() else { return Ok(None) };
    Ok(Some((tree.id().to_string(), list(&repo, &tree, "", recursive)?)))
}

fn list(repo: &Repository, tree: &Tree<'_>, prefix: &str, recursive: bool) -> Git<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in tree {
        let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
        let path = format!("{prefix}{name}");
        entries.push(describe(repo, &entry, path.clone())?);
        if recursive && entry.kind() == Some(ObjectType::Tree) {
            entries.extend(list(repo, &repo.find_tree(entry.id())?, &format!("{path}/"), true)?);
        }
    }
    Ok(entries)
}

fn describe(repo: &Repository, entry: &git2::TreeEntry<'_>, path: String) -> Git<Entry> {
    let kind = match entry.kind() {
        Some(ObjectType::Tree) => "tree",
        Some(ObjectType::Commit) => "commit",
        _ => "blob",
    };
    let size = if kind == "blob" { Some(repo.find_blob(entry.id())?.size() as u64) } else { None };
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Entry {
        path,
        name,
        mode: format!("{:06o}", entry.filemode()),
        kind,
        sha: entry.id().to_string(),
        size,
    })
}
