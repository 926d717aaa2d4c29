//! Issues, labels, comments and reactions.

use serde_json::{Map, Value, json};

use super::{extend, node_id, time, time_or_null};
use crate::error::Result;
use crate::state::{Comment, Issue, Label, Reaction, Repo, World};

/// Every content a reaction can have, in GitHub's order.
pub(crate) const REACTIONS: [&str; 8] =
    ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"];

impl World {
    pub(crate) fn label_body(&self, repo: &Repo, label: &Label) -> Value {
        json!({
            "id": label.id,
            "node_id": node_id("Label", label.id),
            "url": format!("{}/labels/{}", self.repo_api(repo), label.name.replace(' ', "%20")),
            "name": label.name,
            "color": label.color,
            "default": false,
            "description": label.description,
        })
    }

    pub(crate) fn label_json(&self, repo: &str, name: &str) -> Result<Value> {
        let repo = self.repo(repo)?;
        Ok(repo.labels.get(&name.to_lowercase()).map_or(Value::Null, |label| self.label_body(repo, label)))
    }

    pub(crate) fn labels_json(&self, repo: &Repo, issue: &Issue) -> Vec<Value> {
        let known = issue.labels.iter().filter_map(|name| repo.labels.get(&name.to_lowercase()));
        known.map(|label| self.label_body(repo, label)).collect()
    }

    /// OWNER, COLLABORATOR or NONE.
    pub(crate) fn association(repo: &Repo, login: &str) -> &'static str {
        if login.eq_ignore_ascii_case(&repo.owner) {
            "OWNER"
        } else if repo.roles.contains_key(&login.to_lowercase()) {
            "COLLABORATOR"
        } else {
            "NONE"
        }
    }

    /// An `issue`; a pull request has `pull_request` in it.
    pub(crate) fn issue_json(&self, repo: &str, number: u64) -> Result<Value> {
        let (repo, issue) = (self.repo(repo)?, self.find_issue(repo, number)?);
        let kind = if issue.pull.is_some() { "pull" } else { "issues" };
        let api = format!("{}/issues/{number}", self.repo_api(repo));
        let html = format!("{}/{kind}/{number}", self.repo_html(repo));
        let assignees: Vec<_> = issue.assignees.iter().map(|login| self.user_json(login)).collect();
        let comments = repo.comments.values().filter(|comment| comment.issue == number).count();
        let mut body = json!({
            "url": api,
            "repository_url": self.repo_api(repo),
            "labels_url": format!("{api}/labels{{/name}}"),
            "comments_url": format!("{api}/comments"),
            "events_url": format!("{api}/events"),
            "html_url": html,
            "id": issue.id,
            "node_id": node_id(if issue.pull.is_some() { "PullRequest" } else { "Issue" }, issue.id),
            "number": number,
            "title": issue.title,
            "user": self.user_json(&issue.author),
            "labels": self.labels_json(repo, issue),
            "state": if issue.open { "open" } else { "closed" },
            "locked": false,
            "assignee": assignees.first().cloned().unwrap_or(Value::Null),
            "assignees": assignees,
            "milestone": null,
            "comments": comments,
        });
        extend(
            &mut body,
            json!({
                "created_at": time(issue.created_at),
                "updated_at": time(issue.updated_at),
                "closed_at": time_or_null(issue.closed_at),
                "author_association": Self::association(repo, &issue.author),
                "active_lock_reason": null,
                "body": issue.body,
                "closed_by": issue.closed_by.as_ref().map(|login| self.user_json(login)),
                "reactions": rollup(&api, &[]),
                "timeline_url": format!("{api}/timeline"),
                "performed_via_github_app": self.via_app_json(issue.via_app),
                "state_reason": issue.state_reason,
            }),
        );
        if let Some(pull) = &issue.pull {
            let links = json!({
                "url": format!("{}/pulls/{number}", self.repo_api(repo)),
                "html_url": html,
                "diff_url": format!("{html}.diff"),
                "patch_url": format!("{html}.patch"),
                "merged_at": time_or_null(pull.merged_at),
            });
            extend(&mut body, json!({ "draft": pull.draft, "pull_request": links }));
        }
        Ok(body)
    }

    /// An `issue-comment`.
    pub(crate) fn comment_json(&self, repo: &str, id: u64) -> Result<Value> {
        let (repo, comment) = (self.repo(repo)?, self.find_comment(repo, id)?);
        let kind = match repo.issues.get(&comment.issue) {
            Some(issue) if issue.pull.is_some() => "pull",
            _ => "issues",
        };
        let api = self.repo_api(repo);
        let url = format!("{api}/issues/comments/{id}");
        Ok(json!({
            "url": url,
            "html_url": format!("{}/{kind}/{}#issuecomment-{id}", self.repo_html(repo), comment.issue),
            "issue_url": format!("{api}/issues/{}", comment.issue),
            "id": id,
            "node_id": node_id("IssueComment", id),
            "user": self.user_json(&comment.author),
            "created_at": time(comment.created_at),
            "updated_at": time(comment.updated_at),
            "author_association": Self::association(repo, &comment.author),
            "body": comment.body,
            "reactions": rollup(&url, &comment.reactions),
            "performed_via_github_app": self.via_app_json(comment.via_app),
        }))
    }

    pub(crate) fn comments_json(&self, repo: &str, comments: &[Comment]) -> Result<Vec<Value>> {
        comments.iter().map(|comment| self.comment_json(repo, comment.id)).collect()
    }

    pub(crate) fn reaction_json(&self, reaction: &Reaction) -> Value {
        json!({
            "id": reaction.id,
            "node_id": node_id("Reaction", reaction.id),
            "user": self.user_json(&reaction.user),
            "content": reaction.content,
            "created_at": time(reaction.created_at),
        })
    }
}

fn rollup(of: &str, reactions: &[Reaction]) -> Value {
    let mut body = Map::new();
    body.insert("url".into(), json!(format!("{of}/reactions")));
    body.insert("total_count".into(), json!(reactions.len()));
    for content in REACTIONS {
        let count = reactions.iter().filter(|reaction| reaction.content == content).count();
        body.insert(content.into(), json!(count));
    }
    Value::Object(body)
}
