//! What happens when somebody does something: numbers are given, times are set, labels come into being, pull requests
//! close the issues they fix, and each change is told by webhook. The HTTP API and the driving API share these rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use git2::Signature;
use serde_json::json;

use super::model::{Comment, Installation, Issue, Label, Permissions, Reaction, Repo, UserKind};
use super::{World, model::CheckRun};
use crate::error::{ForgeError, Result};
use crate::git_store;

/// Who does something.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) login: String,
    pub(crate) via_app: bool,
}

impl Actor {
    pub(crate) fn person(login: &str) -> Self {
        Self { login: login.to_owned(), via_app: false }
    }

    pub(crate) fn signature(&self) -> Result<Signature<'static>> {
        Ok(Signature::now(&self.login, &format!("{}@users.noreply.github.com", self.login))?)
    }
}

/// GitHub's limit on the body of an issue, pull request or comment, in characters.
pub(crate) const MAX_BODY: usize = 65_536;

impl World {
    pub(crate) fn create_repo(
        &mut self,
        full_name: &str,
        files: &[(&str, &str)],
        default_branch: &str,
        private: bool,
    ) -> Result<()> {
        let Some((owner, name)) = full_name.split_once('/') else {
            return Err(ForgeError::Refused(format!(
                "{full_name:?} is no repository name; write owner/name"
            )));
        };
        if self.repos.contains_key(&full_name.to_lowercase()) {
            return Err(ForgeError::Refused(format!("the repository {full_name} exists already")));
        }
        self.ensure_user(owner, UserKind::User);
        let dir = self.data_dir.join("repositories").join(owner).join(format!("{name}.git"));
        git_store::init(&dir, default_branch)?;
        let owner_actor = Actor::person(owner);
        if !files.is_empty() {
            let files: Vec<_> = files.iter().map(|(path, text)| (*path, Some(text.as_bytes()))).collect();
            git_store::commit_files(
                &dir,
                default_branch,
                &files,
                "Initial commit",
                &owner_actor.signature()?,
            )?;
        }
        let now = self.now();
        let repo = Repo {
            id: self.fresh_id(),
            owner: owner.to_owned(),
            name: name.to_owned(),
            private,
            default_branch: default_branch.to_owned(),
            fork_of: None,
            dir,
            roles: std::collections::BTreeMap::new(),
            labels: std::collections::BTreeMap::new(),
            issues: std::collections::BTreeMap::new(),
            comments: std::collections::BTreeMap::new(),
            checks: std::collections::BTreeMap::new(),
            created_at: now,
            pushed_at: now,
            archived: false,
            protected: std::collections::BTreeSet::new(),
            variables: std::collections::BTreeMap::new(),
            push_lock: Arc::default(),
        };
        self.repos.insert(full_name.to_lowercase(), repo);
        Ok(())
    }

    /// Installs the app on a repository, or changes what it may do there: one installation an account, as on GitHub.
    pub(crate) fn install_app(&mut self, full_name: &str, permissions: &Permissions) -> Result<u64> {
        let (repo_id, owner) = {
            let repo = self.repo(full_name)?;
            (repo.id, repo.owner.clone())
        };
        let mut permissions = permissions.clone();
        permissions.entry("metadata".to_owned()).or_insert(super::Access::Read);
        let existing = self.installations.values().find(|found| found.account.eq_ignore_ascii_case(&owner));
        if let Some(id) = existing.map(|found| found.id) {
            if let Some(installation) = self.installations.get_mut(&id) {
                installation.repositories.insert(repo_id);
                installation.permissions = permissions;
            }
            let body = self.installation_repositories_event(id, "added", &[repo_id], &[]);
            self.emit_app("installation_repositories", Some("added"), body, Some(id));
            return Ok(id);
        }
        let id = self.fresh_id();
        let installation = Installation {
            id,
            account: owner.clone(),
            repositories: BTreeSet::from([repo_id]),
            permissions,
            suspended_at: None,
            created_at: self.now(),
        };
        self.installations.insert(id, installation);
        let body = self.installation_event(id, "created");
        self.emit_app("installation", Some("created"), body, Some(id));
        Ok(id)
    }

    pub(crate) fn create_issue(
        &mut self,
        repo: &str,
        actor: &Actor,
        title: &str,
        body: Option<String>,
        labels: &[String],
        assignees: &[String],
    ) -> Result<u64> {
        let (now, id) = (self.now(), self.fresh_id());
        let labels = self.ensure_labels(repo, labels)?;
        let number = self.next_number(repo)?;
        let issue = Issue {
            id,
            number,
            title: title.to_owned(),
            body,
            author: actor.login.clone(),
            via_app: actor.via_app,
            open: true,
            state_reason: None,
            labels: labels.clone(),
            assignees: assignees.to_vec(),
            created_at: now,
            updated_at: now,
            closed_at: None,
            closed_by: None,
            pull: None,
        };
        self.repo_mut(repo)?.issues.insert(number, issue);
        self.emit_issue(repo, number, "opened", actor, json!({}))?;
        for label in labels {
            let label = self.label_json(repo, &label)?;
            self.emit_issue(repo, number, "labeled", actor, json!({ "label": label }))?;
        }
        Ok(number)
    }

    pub(super) fn next_number(&self, repo: &str) -> Result<u64> {
        Ok(self.repo(repo)?.issues.keys().next_back().copied().unwrap_or(0) + 1)
    }

    /// The labels as the repository spells them; those it lacks are made, grey, as GitHub does.
    pub(crate) fn ensure_labels(&mut self, repo: &str, names: &[String]) -> Result<Vec<String>> {
        let mut spelled: Vec<String> = Vec::new();
        for name in names {
            if !self.repo(repo)?.labels.contains_key(&name.to_lowercase()) {
                self.create_label(repo, name, "ededed", None)?;
            }
            let known = self.repo(repo)?.labels.get(&name.to_lowercase()).map(|label| label.name.clone());
            if let Some(known) = known.filter(|known| !spelled.contains(known)) {
                spelled.push(known);
            }
        }
        Ok(spelled)
    }

    pub(crate) fn create_label(
        &mut self,
        repo: &str,
        name: &str,
        color: &str,
        description: Option<String>,
    ) -> Result<()> {
        let id = self.fresh_id();
        let label = Label { id, name: name.to_owned(), color: color.to_lowercase(), description };
        self.repo_mut(repo)?.labels.insert(name.to_lowercase(), label);
        Ok(())
    }

    /// Makes the labels of an issue exactly these, telling of each one put on or taken off.
    pub(crate) fn set_labels(
        &mut self,
        repo: &str,
        number: u64,
        actor: &Actor,
        names: &[String],
    ) -> Result<()> {
        let names = self.ensure_labels(repo, names)?;
        let now = self.now();
        let issue = self.issue_mut(repo, number)?;
        let before = std::mem::replace(&mut issue.labels, names.clone());
        issue.updated_at = now;
        for (action, changed, other) in [("unlabeled", &before, &names), ("labeled", &names, &before)] {
            for name in changed.iter().filter(|name| !other.contains(name)) {
                let label = self.label_json(repo, name)?;
                self.emit_issue(repo, number, action, actor, json!({ "label": label }))?;
            }
        }
        Ok(())
    }

    pub(crate) fn add_labels(
        &mut self,
        repo: &str,
        number: u64,
        actor: &Actor,
        names: &[String],
    ) -> Result<()> {
        let mut all = self.find_issue(repo, number)?.labels.clone();
        all.extend_from_slice(names);
        self.set_labels(repo, number, actor, &all)
    }

    pub(crate) fn remove_label(&mut self, repo: &str, number: u64, actor: &Actor, name: &str) -> Result<()> {
        let before = self.find_issue(repo, number)?.labels.clone();
        let after: Vec<_> =
            before.iter().filter(|label| !label.eq_ignore_ascii_case(name)).cloned().collect();
        if after.len() == before.len() {
            return Err(ForgeError::NotFound(format!("label {name:?} on {repo}#{number}")));
        }
        self.set_labels(repo, number, actor, &after)
    }

    pub(crate) fn add_comment(&mut self, repo: &str, number: u64, actor: &Actor, body: &str) -> Result<u64> {
        self.find_issue(repo, number)?;
        let (id, now) = (self.fresh_id(), self.now());
        let comment = Comment {
            id,
            issue: number,
            author: actor.login.clone(),
            via_app: actor.via_app,
            body: body.to_owned(),
            created_at: now,
            updated_at: now,
            reactions: Vec::new(),
        };
        self.repo_mut(repo)?.comments.insert(id, comment);
        self.issue_mut(repo, number)?.updated_at = now;
        self.emit_comment(repo, id, "created", actor, json!({}))?;
        Ok(id)
    }

    pub(crate) fn edit_comment(&mut self, repo: &str, id: u64, actor: &Actor, body: &str) -> Result<()> {
        let (now, before) = (self.now(), self.find_comment(repo, id)?.body.clone());
        if let Some(comment) = self.repo_mut(repo)?.comments.get_mut(&id) {
            comment.body = body.to_owned();
            comment.updated_at = now;
        }
        let changes = json!({ "changes": { "body": { "from": before } } });
        self.emit_comment(repo, id, "edited", actor, changes)
    }

    pub(crate) fn delete_issue(&mut self, repo: &str, number: u64, actor: &Actor) -> Result<()> {
        self.find_issue(repo, number)?;
        self.emit_issue(repo, number, "deleted", actor, json!({}))?;
        let found = self.repo_mut(repo)?;
        found.issues.remove(&number);
        found.comments.retain(|_, comment| comment.issue != number);
        Ok(())
    }

    pub(crate) fn delete_comment(&mut self, repo: &str, id: u64, actor: &Actor) -> Result<()> {
        self.find_comment(repo, id)?;
        self.emit_comment(repo, id, "deleted", actor, json!({}))?;
        self.repo_mut(repo)?.comments.remove(&id);
        Ok(())
    }

    /// Adds a reaction; false where that account had reacted so already.
    pub(crate) fn react(
        &mut self,
        repo: &str,
        id: u64,
        actor: &Actor,
        content: &str,
    ) -> Result<(Reaction, bool)> {
        let (fresh, now) = (self.fresh_id(), self.now());
        let comment = self.repo_mut(repo)?.comments.get_mut(&id);
        let comment = comment.ok_or_else(|| ForgeError::NotFound(format!("comment {id} in {repo}")))?;
        let same = |reaction: &&Reaction| reaction.user == actor.login && reaction.content == content;
        if let Some(existing) = comment.reactions.iter().find(same) {
            return Ok((existing.clone(), false));
        }
        let reaction =
            Reaction { id: fresh, user: actor.login.clone(), content: content.to_owned(), created_at: now };
        comment.reactions.push(reaction.clone());
        Ok((reaction, true))
    }

    /// Opens or closes an issue or pull request. Doing it twice changes nothing.
    pub(crate) fn set_open(
        &mut self,
        repo: &str,
        number: u64,
        actor: &Actor,
        open: bool,
        reason: Option<String>,
    ) -> Result<()> {
        let now = self.now();
        let issue = self.issue_mut(repo, number)?;
        if issue.open == open {
            return Ok(());
        }
        issue.open = open;
        issue.updated_at = now;
        issue.closed_at = (!open).then_some(now);
        issue.closed_by = (!open).then(|| actor.login.clone());
        issue.state_reason = if open {
            Some("reopened".to_owned())
        } else if issue.pull.is_some() {
            None
        } else {
            Some(reason.unwrap_or_else(|| "completed".to_owned()))
        };
        self.emit_issue(repo, number, if open { "reopened" } else { "closed" }, actor, json!({}))
    }

    /// Changes title or body, telling what they were.
    pub(crate) fn edit_issue(
        &mut self,
        repo: &str,
        number: u64,
        actor: &Actor,
        title: Option<String>,
        body: Option<Option<String>>,
    ) -> Result<()> {
        let now = self.now();
        let issue = self.issue_mut(repo, number)?;
        let mut changes = serde_json::Map::new();
        if let Some(title) = title.filter(|title| *title != issue.title) {
            changes.insert("title".into(), json!({ "from": std::mem::replace(&mut issue.title, title) }));
        }
        if let Some(body) = body.filter(|body| *body != issue.body) {
            changes.insert("body".into(), json!({ "from": std::mem::replace(&mut issue.body, body) }));
        }
        if changes.is_empty() {
            return Ok(());
        }
        issue.updated_at = now;
        self.emit_issue(repo, number, "edited", actor, json!({ "changes": changes }))
    }

    /// Stores a new or changed check run and tells of it.
    pub(crate) fn put_check(&mut self, repo: &str, actor: &Actor, run: CheckRun, is_new: bool) -> Result<()> {
        let id = run.id;
        let completed = run.status == "completed";
        self.repo_mut(repo)?.checks.insert(id, run);
        let mut actions = Vec::new();
        if is_new {
            actions.push("created");
        }
        if completed {
            actions.push("completed");
        }
        for action in actions {
            let mut body = json!({ "action": action, "check_run": self.check_json(repo, id)? });
            self.close_event(&mut body, repo, actor)?;
            self.emit(repo, "check_run", Some(action), body, actor)?;
        }
        Ok(())
    }
}
