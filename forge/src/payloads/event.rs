//! Webhook payloads: what happened, the repository, who did it, and for which installation.

use serde_json::{Value, json};

use super::{extend, node_id, time};
use crate::error::Result;
use crate::git_store;
use crate::state::{Actor, PushedRef, Repo, World};

/// The id that stands for "no commit" in a push.
const NOTHING: &str = "0000000000000000000000000000000000000000";

impl World {
    /// Adds what every payload ends with.
    pub(crate) fn close_event(&self, body: &mut Value, repo: &str, actor: &Actor) -> Result<()> {
        let repository = self.repo(repo)?;
        extend(
            body,
            json!({ "repository": self.repo_json(repository), "sender": self.user_json(&actor.login) }),
        );
        if let Some(installation) = self.installation_of(repository) {
            extend(body, json!({ "installation": installation_stub(installation.id) }));
        }
        Ok(())
    }

    /// Tells of an issue, or of the pull request that it is. `extra` has the action's own fields.
    pub(crate) fn emit_issue(
        &mut self,
        repo: &str,
        number: u64,
        action: &str,
        actor: &Actor,
        extra: Value,
    ) -> Result<()> {
        let is_pull = self.find_issue(repo, number)?.pull.is_some();
        let (event, mut body) = if is_pull {
            let pull = self.pull_json(repo, number)?;
            ("pull_request", json!({ "action": action, "number": number, "pull_request": pull }))
        } else {
            ("issues", json!({ "action": action, "issue": self.issue_json(repo, number)? }))
        };
        extend(&mut body, extra);
        self.close_event(&mut body, repo, actor)?;
        self.emit(repo, event, Some(action), body, actor)
    }

    /// Tells of a comment.
    pub(crate) fn emit_comment(
        &mut self,
        repo: &str,
        id: u64,
        action: &str,
        actor: &Actor,
        extra: Value,
    ) -> Result<()> {
        let number = self.find_comment(repo, id)?.issue;
        let mut body = json!({ "action": action });
        extend(&mut body, extra);
        let (issue, comment) = (self.issue_json(repo, number)?, self.comment_json(repo, id)?);
        extend(&mut body, json!({ "issue": issue, "comment": comment }));
        self.close_event(&mut body, repo, actor)?;
        self.emit(repo, "issue_comment", Some(action), body, actor)
    }

    /// The payload of a push of one reference.
    pub(crate) fn push_event(&self, repo: &str, actor: &Actor, change: &PushedRef) -> Result<Value> {
        let repository = self.repo(repo)?;
        let (before, after) = (change.old.as_deref(), change.new.as_deref());
        let mut commits = Vec::new();
        if let Some(after) = after {
            let default_tip = git_store::branch_tip(&repository.dir, &repository.default_branch);
            let known = match before {
                Some(before) => git_store::merge_base(&repository.dir, before, after),
                None => default_tip
                    .filter(|tip| tip != after)
                    .and_then(|tip| git_store::merge_base(&repository.dir, &tip, after)),
            };
            for sha in git_store::commits_between(&repository.dir, known.as_deref(), after)? {
                let commit = git_store::commit(&repository.dir, &sha)?;
                commits.push(self.pushed_commit_json(repository, &commit)?);
            }
        }
        let head = after.map(|sha| git_store::commit(&repository.dir, sha)).transpose()?;
        let head = head.map(|commit| self.pushed_commit_json(repository, &commit)).transpose()?;
        // GitHub lists at most 2,048 commits; a list that long helps nobody here.
        commits.truncate(2_048);
        let short = |sha: Option<&str>| sha.unwrap_or(NOTHING)[..12].to_owned();
        let mut body = json!({
            "ref": change.name,
            "before": before.unwrap_or(NOTHING),
            "after": after.unwrap_or(NOTHING),
            "created": before.is_none(),
            "deleted": after.is_none(),
            "forced": change.forced,
            "base_ref": null,
            "compare": format!("{}/compare/{}...{}", self.repo_html(repository), short(before), short(after)),
            "commits": commits,
            "head_commit": head,
            "pusher": { "name": actor.login, "email": format!("{}@users.noreply.github.com", actor.login) },
        });
        self.close_event(&mut body, repo, actor)?;
        // In pushes, and only there, GitHub writes these two as seconds since 1970.
        if let Some(told) = body.get_mut("repository") {
            extend(
                told,
                json!({
                    "created_at": repository.created_at.as_second(),
                    "pushed_at": repository.pushed_at.as_second(),
                    "stargazers": 0,
                    "master_branch": repository.default_branch,
                }),
            );
        }
        if let Some(owner) = body.pointer_mut("/repository/owner") {
            let email = format!("{}@users.noreply.github.com", repository.owner);
            extend(owner, json!({ "name": repository.owner, "email": email }));
        }
        Ok(body)
    }

    /// The payload of `installation`: created, deleted, suspend, unsuspend.
    pub(crate) fn installation_event(&self, id: u64, action: &str) -> Value {
        let Some(installation) = self.installations.get(&id) else { return Value::Null };
        let repositories: Vec<_> =
            installation.repositories.iter().filter_map(|id| self.repo_by_id(*id)).map(short_repo).collect();
        json!({
            "action": action,
            "installation": self.installation_json(installation),
            "repositories": repositories,
            "requester": null,
            "sender": self.user_json(&installation.account),
        })
    }

    /// The payload of `installation_repositories`: added, removed.
    pub(crate) fn installation_repositories_event(
        &self,
        id: u64,
        action: &str,
        added: &[u64],
        removed: &[u64],
    ) -> Value {
        let Some(installation) = self.installations.get(&id) else { return Value::Null };
        let list = |ids: &[u64]| -> Vec<Value> {
            ids.iter().filter_map(|id| self.repo_by_id(*id)).map(short_repo).collect()
        };
        json!({
            "action": action,
            "installation": self.installation_json(installation),
            "repository_selection": "selected",
            "repositories_added": list(added),
            "repositories_removed": list(removed),
            "requester": null,
            "sender": self.user_json(&installation.account),
        })
    }

    /// The payload of `ping`, which GitHub sends when a hook is set.
    pub(crate) fn ping_event(&self, url: &str) -> Value {
        let now = time(self.now());
        json!({
            "zen": "Keep it logically awesome.",
            "hook_id": self.hook_id,
            "hook": {
                "type": "App",
                "id": self.hook_id,
                "name": "web",
                "active": true,
                "events": ["*"],
                "config": { "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url },
                "updated_at": now,
                "created_at": now,
                "app_id": self.app.id,
                "deliveries_url": format!("{}/app/hook/deliveries", self.urls.api),
            },
        })
    }
}

fn installation_stub(id: u64) -> Value {
    json!({ "id": id, "node_id": node_id("IntegrationInstallation", id) })
}

fn short_repo(repo: &Repo) -> Value {
    json!({
        "id": repo.id,
        "node_id": node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": repo.full_name(),
        "private": repo.private,
    })
}
