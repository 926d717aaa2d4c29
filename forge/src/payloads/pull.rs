//! Pull requests, and the files they change.

use serde_json::{Value, json};

use super::{extend, node_id, time, time_or_null};
use crate::error::Result;
use crate::git_store::{self, FileChange};
use crate::state::{Repo, World};

impl World {
    /// The commit that a pull request's diff starts from: where its head left its base.
    pub(crate) fn pull_fork_point(&self, repo: &str, number: u64) -> Result<Option<String>> {
        let (_, pull) = self.find_pull(repo, number)?;
        let dir = &self.repo(repo)?.dir;
        // Once merged, the base's tip has everything; the tip before is what it was compared with.
        let base = if pull.merged_at.is_some() {
            pull.base_sha.clone()
        } else {
            git_store::branch_tip(dir, &pull.base_branch).unwrap_or_else(|| pull.base_sha.clone())
        };
        Ok(git_store::merge_base(dir, &base, &pull.head_sha))
    }

    /// A `pull-request-simple`, as lists carry it.
    pub(crate) fn simple_pull_json(&self, repo: &str, number: u64) -> Result<Value> {
        let repository = self.repo(repo)?;
        let (issue, pull) = self.find_pull(repo, number)?;
        let api = format!("{}/pulls/{number}", self.repo_api(repository));
        let issue_api = format!("{}/issues/{number}", self.repo_api(repository));
        let html = format!("{}/pull/{number}", self.repo_html(repository));
        let statuses = format!("{}/statuses/{}", self.repo_api(repository), pull.head_sha);
        let assignees: Vec<_> = issue.assignees.iter().map(|login| self.user_json(login)).collect();
        let reviewers: Vec<_> = pull.requested_reviewers.iter().map(|login| self.user_json(login)).collect();
        let mut body = json!({
            "url": api,
            "id": issue.id,
            "node_id": node_id("PullRequest", issue.id),
            "html_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "issue_url": issue_api,
            "number": number,
            "state": if issue.open { "open" } else { "closed" },
            "locked": false,
            "title": issue.title,
            "user": self.user_json(&issue.author),
            "body": issue.body,
            "created_at": time(issue.created_at),
            "updated_at": time(issue.updated_at),
            "closed_at": time_or_null(issue.closed_at),
            "merged_at": time_or_null(pull.merged_at),
            "merge_commit_sha": pull.merge_commit_sha,
            "assignee": assignees.first().cloned().unwrap_or(Value::Null),
            "assignees": assignees,
            "requested_reviewers": reviewers,
            "requested_teams": [],
            "labels": self.labels_json(repository, issue),
        });
        extend(
            &mut body,
            json!({
                "milestone": null,
                "draft": pull.draft,
                "commits_url": format!("{api}/commits"),
                "review_comments_url": format!("{api}/comments"),
                "review_comment_url": format!("{}/pulls/comments{{/number}}", self.repo_api(repository)),
                "comments_url": format!("{issue_api}/comments"),
                "statuses_url": statuses,
                "head": self.side(&pull.head_repo, &pull.head_branch, &pull.head_sha),
                "base": self.side(repo, &pull.base_branch, &pull.base_sha),
                "_links": {
                    "self": { "href": api },
                    "html": { "href": html },
                    "issue": { "href": issue_api },
                    "comments": { "href": format!("{issue_api}/comments") },
                    "review_comments": { "href": format!("{api}/comments") },
                    "review_comment": {
                        "href": format!("{}/pulls/comments{{/number}}", self.repo_api(repository))
                    },
                    "commits": { "href": format!("{api}/commits") },
                    "statuses": { "href": statuses },
                },
                "author_association": Self::association(repository, &issue.author),
                "auto_merge": null,
                "active_lock_reason": null,
            }),
        );
        Ok(body)
    }

    /// One side of a pull request. A deleted fork is told as `repo: null`, as GitHub does.
    fn side(&self, repo: &str, branch: &str, sha: &str) -> Value {
        let owner = repo.split('/').next().unwrap_or_default();
        json!({
            "label": format!("{owner}:{branch}"),
            "ref": branch,
            "sha": sha,
            "user": self.user_json(owner),
            "repo": self.repo(repo).map_or(Value::Null, |repo| self.repo_json(repo)),
        })
    }

    /// A `pull-request`, with what only a single one has.
    pub(crate) fn pull_json(&self, repo: &str, number: u64) -> Result<Value> {
        let mut body = self.simple_pull_json(repo, number)?;
        let repository = self.repo(repo)?;
        let (issue, pull) = self.find_pull(repo, number)?;
        let dir = &repository.dir;
        let from = self.pull_fork_point(repo, number)?;
        let (files, additions, deletions) = git_store::stats(dir, from.as_deref(), &pull.head_sha)?;
        let commits = git_store::commits_between(dir, from.as_deref(), &pull.head_sha)?.len();
        let base_tip = git_store::branch_tip(dir, &pull.base_branch);
        let mergeable = match (&base_tip, issue.open) {
            (Some(tip), true) => Some(git_store::can_merge(dir, tip, &pull.head_sha)?),
            _ => None,
        };
        let mergeable_state = match (mergeable, pull.draft) {
            (Some(true), true) => "draft",
            (Some(true), false) => "clean",
            (Some(false), _) => "dirty",
            (None, _) => "unknown",
        };
        let comments = repository.comments.values().filter(|comment| comment.issue == number).count();
        extend(
            &mut body,
            json!({
                "merged": pull.merged_at.is_some(),
                "mergeable": mergeable,
                "rebaseable": mergeable,
                "mergeable_state": mergeable_state,
                "merged_by": pull.merged_by.as_ref().map(|login| self.user_json(login)),
                "comments": comments,
                "review_comments": 0,
                "maintainer_can_modify": pull.maintainer_can_modify,
                "commits": commits,
                "additions": additions,
                "deletions": deletions,
                "changed_files": files,
            }),
        );
        Ok(body)
    }

    /// A `diff-entry`.
    pub(crate) fn file_change_json(&self, repo: &Repo, sha: &str, change: &FileChange) -> Value {
        let (html, api) = (self.repo_html(repo), self.repo_api(repo));
        let path = &change.path;
        let mut body = json!({
            "sha": change.sha,
            "filename": path,
            "status": change.status,
            "additions": change.additions,
            "deletions": change.deletions,
            "changes": change.additions + change.deletions,
            "blob_url": format!("{html}/blob/{sha}/{path}"),
            "raw_url": format!("{html}/raw/{sha}/{path}"),
            "contents_url": format!("{api}/contents/{path}?ref={sha}"),
        });
        if let Some(patch) = &change.patch {
            extend(&mut body, json!({ "patch": patch }));
        }
        if let Some(previous) = &change.previous {
            extend(&mut body, json!({ "previous_filename": previous }));
        }
        body
    }
}
