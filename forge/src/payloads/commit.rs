//! Commits, references, branches, trees and contents.

use base64::Engine;
use serde_json::{Value, json};

use super::{extend, node_id};
use crate::clock::rfc3339;
use crate::error::Result;
use crate::git_store::{self, CommitInfo, Entry};
use crate::state::{Repo, World};

impl World {
    /// A `commit`, with its files where asked for.
    pub(crate) fn commit_json(&self, repo: &Repo, sha: &str, with_files: bool) -> Result<Value> {
        let commit = git_store::commit(&repo.dir, sha)?;
        let (api, html) = (self.repo_api(repo), self.repo_html(repo));
        let person = |who: &git_store::Person| json!({ "name": who.name, "email": who.email, "date": rfc3339(who.at) });
        let account = |who: &git_store::Person| {
            self.user(&who.name).map_or(Value::Null, |user| self.user_json(&user.login))
        };
        let parents: Vec<_> = commit
            .parents
            .iter()
            .map(|id| {
                json!({ "sha": id, "url": format!("{api}/commits/{id}"), "html_url": format!("{html}/commit/{id}") })
            })
            .collect();
        let mut body = json!({
            "sha": sha,
            "node_id": node_id("Commit", u64::from_str_radix(&sha[..12], 16).unwrap_or_default()),
            "commit": {
                "author": person(&commit.author),
                "committer": person(&commit.committer),
                "message": commit.message,
                "tree": { "sha": commit.tree, "url": format!("{api}/git/trees/{}", commit.tree) },
                "url": format!("{api}/git/commits/{sha}"),
                "comment_count": 0,
                "verification": {
                    "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null
                },
            },
            "url": format!("{api}/commits/{sha}"),
            "html_url": format!("{html}/commit/{sha}"),
            "comments_url": format!("{api}/commits/{sha}/comments"),
            "author": account(&commit.author),
            "committer": account(&commit.committer),
            "parents": parents,
        });
        if with_files {
            let parent = commit.parents.first().map(String::as_str);
            let changes = git_store::file_changes(&repo.dir, parent, sha)?;
            let additions: usize = changes.iter().map(|change| change.additions).sum();
            let deletions: usize = changes.iter().map(|change| change.deletions).sum();
            let files: Vec<_> =
                changes.iter().map(|change| self.file_change_json(repo, sha, change)).collect();
            let stats =
                json!({ "total": additions + deletions, "additions": additions, "deletions": deletions });
            extend(&mut body, json!({ "stats": stats, "files": files }));
        }
        Ok(body)
    }

    /// A commit as webhooks of pushes carry it.
    pub(crate) fn pushed_commit_json(&self, repo: &Repo, commit: &CommitInfo) -> Result<Value> {
        let parent = commit.parents.first().map(String::as_str);
        let changes = git_store::file_changes(&repo.dir, parent, &commit.sha)?;
        let paths = |status: &[&str]| -> Vec<String> {
            changes
                .iter()
                .filter(|change| status.contains(&change.status))
                .map(|change| change.path.clone())
                .collect()
        };
        let person = |who: &git_store::Person| {
            let mut body = json!({ "name": who.name, "email": who.email });
            if let Some(user) = self.user(&who.name) {
                extend(&mut body, json!({ "username": user.login }));
            }
            body
        };
        Ok(json!({
            "id": commit.sha,
            "tree_id": commit.tree,
            "distinct": true,
            "message": commit.message,
            "timestamp": rfc3339(commit.committer.at),
            "url": format!("{}/commit/{}", self.repo_html(repo), commit.sha),
            "author": person(&commit.author),
            "committer": person(&commit.committer),
            "added": paths(&["added"]),
            "removed": paths(&["removed"]),
            "modified": paths(&["modified", "renamed"]),
        }))
    }

    /// A `git-ref`; `name` is in full (`refs/heads/main`).
    pub(crate) fn reference_json(&self, repo: &Repo, name: &str, sha: &str) -> Value {
        let api = self.repo_api(repo);
        json!({
            "ref": name,
            "node_id": node_id("Ref", repo.id),
            "url": format!("{api}/git/{name}"),
            "object": { "type": "commit", "sha": sha, "url": format!("{api}/git/commits/{sha}") },
        })
    }

    /// A `branch-with-protection`; nothing is protected here.
    pub(crate) fn branch_json(&self, repo: &Repo, branch: &str, sha: &str) -> Result<Value> {
        let url = format!("{}/branches/{branch}", self.repo_api(repo));
        Ok(json!({
            "name": branch,
            "commit": self.commit_json(repo, sha, false)?,
            "_links": { "self": url, "html": format!("{}/tree/{branch}", self.repo_html(repo)) },
            "protected": false,
            "protection": {
                "enabled": false,
                "required_status_checks": { "enforcement_level": "off", "contexts": [], "checks": [] },
            },
            "protection_url": format!("{url}/protection"),
        }))
    }

    /// A `git-tree`.
    pub(crate) fn tree_json(&self, repo: &Repo, sha: &str, entries: &[Entry]) -> Value {
        let api = self.repo_api(repo);
        let listed: Vec<_> = entries
            .iter()
            .map(|entry| {
                let plural = if entry.kind == "tree" { "trees" } else { "blobs" };
                let mut body = json!({
                    "path": entry.path, "mode": entry.mode, "type": entry.kind, "sha": entry.sha,
                    "url": format!("{api}/git/{plural}/{}", entry.sha),
                });
                if let Some(size) = entry.size {
                    extend(&mut body, json!({ "size": size }));
                }
                body
            })
            .collect();
        json!({ "sha": sha, "url": format!("{api}/git/trees/{sha}"), "tree": listed, "truncated": false })
    }

    /// An entry of a directory listing; with `content`, a `content-file`.
    pub(crate) fn content_json(
        &self,
        repo: &Repo,
        reference: &str,
        entry: &Entry,
        content: Option<&[u8]>,
    ) -> Value {
        let (api, html) = (self.repo_api(repo), self.repo_html(repo));
        let (kind, word, plural) = match entry.kind {
            "tree" => ("dir", "tree", "trees"),
            "commit" => ("submodule", "tree", "trees"),
            _ => ("file", "blob", "blobs"),
        };
        let url = format!("{api}/contents/{}?ref={reference}", entry.path);
        let git = format!("{api}/git/{plural}/{}", entry.sha);
        let page = format!("{html}/{word}/{reference}/{}", entry.path);
        let download = (kind == "file").then(|| format!("{html}/raw/{reference}/{}", entry.path));
        let mut body = json!({
            "name": entry.name,
            "path": entry.path,
            "sha": entry.sha,
            "size": entry.size.unwrap_or(0),
            "url": url,
            "html_url": page,
            "git_url": git,
            "download_url": download,
            "type": kind,
        });
        if let Some(content) = content {
            extend(&mut body, json!({ "content": wrapped(content), "encoding": "base64" }));
        }
        extend(&mut body, json!({ "_links": { "self": url, "git": git, "html": page } }));
        body
    }
}

/// Base64 in lines of 60 characters, each ended, as GitHub writes file contents.
fn wrapped(content: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(content);
    let mut lines = String::with_capacity(text.len() + text.len() / 60 + 1);
    for chunk in text.as_bytes().chunks(60) {
        lines.push_str(&String::from_utf8_lossy(chunk));
        lines.push('\n');
    }
    lines
}
