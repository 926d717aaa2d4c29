//! Commits: what one says, and which ones lie between two.

use std::path::Path;

use git2::{Oid, Sort};

use super::{Git, open};

/// One commit, as far as GitHub's answers need it.
#[derive(Debug, Clone)]
pub(crate) struct CommitInfo {
    pub(crate) sha: String,
    pub(crate) tree: String,
    pub(crate) parents: Vec<String>,
    pub(crate) message: String,
    pub(crate) author: Person,
    pub(crate) committer: Person,
}

/// Author or committer.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) at: jiff::Timestamp,
}

/// Reads one commit.
pub(crate) fn commit(dir: &Path, sha: &str) -> Git<CommitInfo> {
    let repo = open(dir)?;
    let commit = repo.find_commit(Oid::from_str(sha)?)?;
    let person = |who: git2::Signature<'_>| Person {
        name: String::from_utf8_lossy(who.name_bytes()).into_owned(),
        email: String::from_utf8_lossy(who.email_bytes()).into_owned(),
        at: jiff::Timestamp::from_second(who.when().seconds()).unwrap_or_default(),
    };
    Ok(CommitInfo {
        sha: commit.id().to_string(),
        tree: commit.tree_id().to_string(),
        parents: commit.parent_ids().map(|id| id.to_string()).collect(),
        message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
        author: person(commit.author()),
        committer: person(commit.committer()),
    })
}

/// Ids of the commits that `head` has and `base` lacks, oldest first. Without a base: all of them.
pub(crate) fn commits_between(dir: &Path, base: Option<&str>, head: &str) -> Git<Vec<String>> {
    let repo = open(dir)?;
    let mut walk = repo.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    walk.push(Oid::from_str(head)?)?;
    if let Some(base) = base {
        walk.hide(Oid::from_str(base)?)?;
    }
    walk.map(|id| id.map(|id| id.to_string())).collect()
}

/// The commit where two lines of history part; None where they have nothing in common.
pub(crate) fn merge_base(dir: &Path, one: &str, other: &str) -> Option<String> {
    let repo = open(dir).ok()?;
    let base = repo.merge_base(Oid::from_str(one).ok()?, Oid::from_str(other).ok()?);
    base.ok().map(|id| id.to_string())
}
