//! What happens to pull requests and branches: opened, pushed to, merged, closed by a branch that goes.

use serde_json::json;

use super::World;
use super::model::{Issue, Pull};
use super::rules::Actor;
use crate::error::{ForgeError, Result};
use crate::git_store;

/// A reference that a push moved.
#[derive(Debug, Clone)]
pub(crate) struct PushedRef {
    pub(crate) name: String,
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
    pub(crate) forced: bool,
}

/// What a new pull request is made of.
#[derive(Debug, Clone)]
pub(crate) struct NewPull {
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    /// `owner/name` the change comes from.
    pub(crate) head_repo: String,
    pub(crate) head_branch: String,
    pub(crate) base_branch: String,
    pub(crate) draft: bool,
    pub(crate) maintainer_can_modify: bool,
}

/// Why GitHub would not open a pull request.
#[derive(Debug)]
pub(crate) enum PullRefusal {
    NoHead,
    NoBase,
    Exists,
    NoCommits,
    Forge(ForgeError),
}

impl<E: Into<ForgeError>> From<E> for PullRefusal {
    fn from(error: E) -> Self {
        Self::Forge(error.into())
    }
}

impl World {
    pub(crate) fn create_pull(
        &mut self,
        repo: &str,
        actor: &Actor,
        new: NewPull,
    ) -> Result<u64, PullRefusal> {
        let base_repo = self.repo(repo)?.clone();
        let head_repo = self.repo(&new.head_repo).map_err(|_| PullRefusal::NoHead)?.clone();
        let base_sha = git_store::branch_tip(&base_repo.dir, &new.base_branch).ok_or(PullRefusal::NoBase)?;
        let head_sha = git_store::branch_tip(&head_repo.dir, &new.head_branch).ok_or(PullRefusal::NoHead)?;
        let same = |issue: &Issue| {
            issue.open
                && issue.pull.as_ref().is_some_and(|pull| {
                    pull.head_repo.eq_ignore_ascii_case(&head_repo.full_name())
                        && pull.head_branch == new.head_branch
                        && pull.base_branch == new.base_branch
                })
        };
        if base_repo.issues.values().any(same) {
            return Err(PullRefusal::Exists);
        }
        let number = self.next_number(repo)?;
        let kept = format!("refs/pull/{number}/head");
        if head_repo.id == base_repo.id {
            git_store::set_reference(&base_repo.dir, &kept, Some(&head_sha))?;
        } else {
            git_store::fetch_branch(&base_repo.dir, &head_repo.dir, &new.head_branch, &kept)?;
        }
        let ahead = git_store::commits_between(&base_repo.dir, Some(&base_sha), &head_sha)?;
        if ahead.is_empty() {
            git_store::set_reference(&base_repo.dir, &kept, None)?;
            return Err(PullRefusal::NoCommits);
        }
        let (now, id) = (self.now(), self.fresh_id());
        let pull = Pull {
            head_repo: head_repo.full_name(),
            head_branch: new.head_branch,
            head_sha,
            base_branch: new.base_branch,
            base_sha,
            draft: new.draft,
            merged_at: None,
            merged_by: None,
            merge_commit_sha: None,
            requested_reviewers: Vec::new(),
            maintainer_can_modify: new.maintainer_can_modify,
        };
        let issue = Issue {
            id,
            number,
            title: new.title,
            body: new.body,
            author: actor.login.clone(),
            via_app: actor.via_app,
            open: true,
            state_reason: None,
            labels: Vec::new(),
            assignees: Vec::new(),
            created_at: now,
            updated_at: now,
            closed_at: None,
            closed_by: None,
            pull: Some(pull),
        };
        self.repo_mut(repo)?.issues.insert(number, issue);
        self.emit_issue(repo, number, "opened", actor, json!({}))?;
        Ok(number)
    }

    /// Merges a pull request with a merge commit, and closes the issues that its text says it fixes.
    pub(crate) fn merge_pull(&mut self, repo: &str, number: u64, actor: &Actor) -> Result<String> {
        let (issue, pull) = self.find_pull(repo, number)?;
        if !issue.open {
            return Err(ForgeError::Refused(format!("the pull request {repo}#{number} is not open")));
        }
        let (branch, head) = (pull.base_branch.clone(), pull.head_sha.clone());
        let text = format!("{}\n{}", issue.title, issue.body.as_deref().unwrap_or_default());
        let message = format!("Merge pull request #{number} from {}\n\n{}", pull.head_branch, issue.title);
        let dir = self.repo(repo)?.dir.clone();
        let before = git_store::branch_tip(&dir, &branch);
        let Some(sha) = git_store::merge(&dir, &branch, &head, &message, &actor.signature()?)? else {
            return Err(ForgeError::Refused(format!("the pull request {repo}#{number} has conflicts")));
        };
        let now = self.now();
        let pull = self.pull_mut(repo, number)?;
        pull.merged_at = Some(now);
        pull.merged_by = Some(actor.login.clone());
        pull.merge_commit_sha = Some(sha.clone());
        self.set_open(repo, number, actor, false, None)?;
        if branch == self.repo(repo)?.default_branch {
            for fixed in git_store::closing_references(&text) {
                if self.find_issue(repo, fixed).is_ok_and(|issue| issue.pull.is_none()) {
                    self.set_open(repo, fixed, actor, false, None)?;
                }
            }
        }
        let pushed = PushedRef {
            name: format!("refs/heads/{branch}"),
            old: before,
            new: Some(sha.clone()),
            forced: false,
        };
        self.after_push(repo, actor, &[pushed])?;
        Ok(sha)
    }

    /// What GitHub does once references have moved: tells of the push, and moves or closes the pull requests on them.
    pub(crate) fn after_push(&mut self, repo: &str, actor: &Actor, moved: &[PushedRef]) -> Result<()> {
        let now = self.now();
        self.repo_mut(repo)?.pushed_at = now;
        let pushed_name = self.repo(repo)?.full_name();
        for change in moved {
            let body = self.push_event(repo, actor, change)?;
            self.emit(repo, "push", None, body, actor)?;
            let Some(branch) = change.name.strip_prefix("refs/heads/") else { continue };
            for (base, number) in self.open_pulls_on(&pushed_name, branch) {
                let Some(new) = &change.new else {
                    self.set_open(&base, number, actor, false, None)?;
                    continue;
                };
                let before = self.find_pull(&base, number)?.1.head_sha.clone();
                if before == *new {
                    continue;
                }
                let (from, to) = (self.repo(repo)?.dir.clone(), self.repo(&base)?.dir.clone());
                let kept = format!("refs/pull/{number}/head");
                if from == to {
                    git_store::set_reference(&to, &kept, Some(new))?;
                } else {
                    git_store::fetch_branch(&to, &from, branch, &kept)?;
                }
                self.pull_mut(&base, number)?.head_sha.clone_from(new);
                self.issue_mut(&base, number)?.updated_at = now;
                let more = json!({ "before": before, "after": new });
                self.emit_issue(&base, number, "synchronize", actor, more)?;
            }
        }
        Ok(())
    }

    /// Open pull requests whose change is on that branch, with the repository they are in.
    fn open_pulls_on(&self, head_repo: &str, branch: &str) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        for repo in self.repos.values() {
            for issue in repo.issues.values().filter(|issue| issue.open) {
                let on = |pull: &Pull| {
                    pull.head_repo.eq_ignore_ascii_case(head_repo) && pull.head_branch == branch
                };
                if issue.pull.as_ref().is_some_and(on) {
                    found.push((repo.full_name(), issue.number));
                }
            }
        }
        found
    }

    pub(crate) fn request_reviewers(
        &mut self,
        repo: &str,
        number: u64,
        actor: &Actor,
        logins: &[String],
    ) -> Result<()> {
        for login in logins {
            let asked = &mut self.pull_mut(repo, number)?.requested_reviewers;
            if !asked.contains(login) {
                asked.push(login.clone());
                let reviewer = self.user_json(login);
                self.emit_issue(
                    repo,
                    number,
                    "review_requested",
                    actor,
                    json!({ "requested_reviewer": reviewer }),
                )?;
            }
        }
        Ok(())
    }
}
