//! What people do on the forge, in their words; and what a test plans, reads and waits for.
//! Each deed goes by the same rules as the HTTP API and is told by webhook.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::error::{ForgeError, Result};
use crate::faults::{Fault, Matcher, PlannedFault};
use crate::record::ApiRequest;
use crate::state::{
    Access, Actor, CheckRun, Comment, Issue, NewPull, Permissions, PullRefusal, PullView, PushedRef, Role,
    UserKind, World,
};
use crate::webhooks::{Delivery, Webhook, send_one};
use crate::{Forge, git_store};

/// The permissions that Cloud Code's own app asks for.
const USUAL: [(&str, Access); 6] = [
    ("checks", Access::Write),
    ("contents", Access::Write),
    ("issues", Access::Write),
    ("members", Access::Read),
    ("metadata", Access::Read),
    ("pull_requests", Access::Write),
];

/// People and repositories.
impl Forge {
    /// Makes a person's account. Doing it twice changes nothing.
    pub fn create_user(&self, login: &str) {
        self.inner.change(|world| world.ensure_user(login, UserKind::User));
    }

    /// Makes another app's account, such as `dependabot[bot]`.
    pub fn create_bot(&self, login: &str) {
        self.inner.change(|world| world.ensure_user(login, UserKind::Bot));
    }

    /// Makes an organisation.
    pub fn create_organization(&self, login: &str) {
        self.inner.change(|world| world.ensure_user(login, UserKind::Organization));
    }

    /// Makes a repository with these files on its default branch; without files it is empty. The owner's account is
    /// made where it is missing.
    ///
    /// # Errors
    /// Where the name is taken or is not `owner/name`, or git cannot write.
    pub fn create_repo(
        &self,
        full_name: &str,
        files: &[(&str, &str)],
        default_branch: &str,
        private: bool,
    ) -> Result<()> {
        self.inner.change(|world| world.create_repo(full_name, files, default_branch, private))
    }

    /// Gives a person a role; None takes it away.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn set_permission(&self, repo: &str, user: &str, role: Option<Role>) -> Result<()> {
        self.inner.change(|world| {
            world.ensure_user(user, UserKind::User);
            let roles = &mut world.repo_mut(repo)?.roles;
            match role {
                Some(role) => roles.insert(user.to_lowercase(), role),
                None => roles.remove(&user.to_lowercase()),
            };
            Ok(())
        })
    }

    /// Installs the app on a repository with what Cloud Code asks for; returns the installation's id.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn install_app(&self, repo: &str) -> Result<u64> {
        let usual = USUAL.iter().map(|(name, access)| ((*name).to_owned(), *access)).collect();
        self.install_app_with(repo, &usual)
    }

    /// Installs the app with these permissions; on an account that has it already, adds the repository and sets them.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn install_app_with(&self, repo: &str, permissions: &Permissions) -> Result<u64> {
        self.inner.change(|world| world.install_app(repo, permissions))
    }

    /// Takes the app away from one repository.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn uninstall_app(&self, repo: &str) -> Result<()> {
        self.inner.change(|world| {
            let found = world.repo(repo)?;
            let Some(id) = world.installation_of(found).map(|installation| installation.id) else {
                return Ok(());
            };
            let repo = found.id;
            if let Some(installation) = world.installations.get_mut(&id) {
                installation.repositories.remove(&repo);
            }
            let body = world.installation_repositories_event(id, "removed", &[], &[repo]);
            world.emit_app("installation_repositories", Some("removed"), body, Some(id));
            Ok(())
        })
    }
}

/// Issues and comments.
impl Forge {
    /// Opens an issue; returns its number.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn open_issue(&self, repo: &str, author: &str, title: &str, body: &str) -> Result<u64> {
        self.inner.change(|world| {
            world.ensure_user(author, UserKind::User);
            let body = (!body.is_empty()).then(|| body.to_owned());
            world.create_issue(repo, &Actor::person(author), title, body, &[], &[])
        })
    }

    /// Puts a label on an issue or pull request; the label is made where the repository lacks it.
    ///
    /// # Errors
    /// Where there is no such issue.
    pub fn label_issue(&self, repo: &str, actor: &str, number: u64, label: &str) -> Result<()> {
        self.act(actor, |world, actor| world.add_labels(repo, number, actor, &[label.to_owned()]))
    }

    /// Takes a label off.
    ///
    /// # Errors
    /// Where there is no such issue, or it has no such label.
    pub fn unlabel_issue(&self, repo: &str, actor: &str, number: u64, label: &str) -> Result<()> {
        self.act(actor, |world, actor| world.remove_label(repo, number, actor, label))
    }

    /// Changes an issue's title or text.
    ///
    /// # Errors
    /// Where there is no such issue.
    pub fn edit_issue(
        &self,
        repo: &str,
        actor: &str,
        number: u64,
        title: Option<&str>,
        body: Option<&str>,
    ) -> Result<()> {
        let (title, body) = (title.map(str::to_owned), body.map(|body| Some(body.to_owned())));
        self.act(actor, |world, actor| world.edit_issue(repo, number, actor, title, body))
    }

    /// Closes an issue or pull request.
    ///
    /// # Errors
    /// Where there is none.
    pub fn close_issue(&self, repo: &str, actor: &str, number: u64) -> Result<()> {
        self.act(actor, |world, actor| world.set_open(repo, number, actor, false, None))
    }

    /// Opens it again.
    ///
    /// # Errors
    /// Where there is none.
    pub fn reopen_issue(&self, repo: &str, actor: &str, number: u64) -> Result<()> {
        self.act(actor, |world, actor| world.set_open(repo, number, actor, true, None))
    }

    /// Writes a comment; returns its id.
    ///
    /// # Errors
    /// Where there is no such issue.
    pub fn comment(&self, repo: &str, actor: &str, number: u64, body: &str) -> Result<u64> {
        self.act(actor, |world, actor| world.add_comment(repo, number, actor, body))
    }

    /// Edits a comment.
    ///
    /// # Errors
    /// Where there is no such comment.
    pub fn edit_comment(&self, repo: &str, actor: &str, id: u64, body: &str) -> Result<()> {
        self.act(actor, |world, actor| world.edit_comment(repo, id, actor, body))
    }

    /// Deletes a comment.
    ///
    /// # Errors
    /// Where there is no such comment.
    pub fn delete_comment(&self, repo: &str, actor: &str, id: u64) -> Result<()> {
        self.act(actor, |world, actor| world.delete_comment(repo, id, actor))
    }

    fn act<T>(&self, login: &str, deed: impl FnOnce(&mut World, &Actor) -> Result<T>) -> Result<T> {
        self.inner.change(|world| {
            world.ensure_user(login, UserKind::User);
            deed(world, &Actor::person(login))
        })
    }
}

/// What owners do.
impl Forge {
    /// Makes a repository read-only, or writable again.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn set_archived(&self, repo: &str, archived: bool) -> Result<()> {
        self.inner.change(|world| {
            world.repo_mut(repo)?.archived = archived;
            Ok(())
        })
    }

    /// Protects a branch, whether it is there or not: every push to it is declined.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn protect_branch(&self, repo: &str, branch: &str) -> Result<()> {
        self.inner.change(|world| {
            world.repo_mut(repo)?.protected.insert(branch.to_owned());
            Ok(())
        })
    }

    /// Deletes an issue with its comments, as only an owner can.
    ///
    /// # Errors
    /// Where there is no such issue.
    pub fn delete_issue(&self, repo: &str, number: u64) -> Result<()> {
        self.act("forge-owner", |world, actor| world.delete_issue(repo, number, actor))
    }
}

/// Branches and pull requests.
impl Forge {
    /// Commits a file to a branch as the owner does; a branch that is missing starts at the default branch. Returns the
    /// commit's id.
    ///
    /// # Errors
    /// Where there is no such repository, or git cannot write.
    pub fn commit_file(&self, repo: &str, branch: &str, path: &str, content: &str) -> Result<String> {
        self.move_branch(repo, branch, |world, actor| {
            let found = world.repo(repo)?;
            if git_store::branch_tip(&found.dir, branch).is_none()
                && let Some(tip) = git_store::branch_tip(&found.dir, &found.default_branch)
            {
                git_store::set_branch(&found.dir, branch, &tip)?;
            }
            let files = [(path, Some(content.as_bytes()))];
            let message = format!("Change {path}");
            git_store::commit_files(&found.dir, branch, &files, &message, &actor.signature()?)?;
            Ok(false)
        })
    }

    /// Replaces a branch's history by one commit with these files. Returns its id.
    ///
    /// # Errors
    /// Where there is no such repository, or git cannot write.
    pub fn force_push(&self, repo: &str, branch: &str, files: &[(&str, &str)]) -> Result<String> {
        self.move_branch(repo, branch, |world, actor| {
            let files: Vec<_> = files.iter().map(|(path, text)| (*path, Some(text.as_bytes()))).collect();
            let dir = &world.repo(repo)?.dir;
            git_store::rewrite_branch(dir, branch, &files, "Begin anew", &actor.signature()?)?;
            Ok(true)
        })
    }

    /// Lets `change` move a branch (it says whether by force), and does what follows from a push by the owner.
    fn move_branch(
        &self,
        repo: &str,
        branch: &str,
        change: impl FnOnce(&mut World, &Actor) -> Result<bool>,
    ) -> Result<String> {
        self.inner.change(|world| {
            let (actor, dir) = {
                let found = world.repo(repo)?;
                (Actor::person(&found.owner), found.dir.clone())
            };
            let old = git_store::branch_tip(&dir, branch);
            let forced = change(world, &actor)?;
            let new = git_store::branch_tip(&dir, branch);
            let sha =
                new.clone().ok_or_else(|| ForgeError::NotFound(format!("branch {branch} in {repo}")))?;
            let moved = PushedRef { name: format!("refs/heads/{branch}"), old, new, forced };
            world.after_push(repo, &actor, &[moved])?;
            Ok(sha)
        })
    }

    /// Renames the default branch; open pull requests to it follow, as on GitHub.
    ///
    /// # Errors
    /// Where there is no such repository, or git cannot write.
    pub fn rename_default_branch(&self, repo: &str, to: &str) -> Result<()> {
        self.inner.change(|world| {
            let found = world.repo_mut(repo)?;
            let from = std::mem::replace(&mut found.default_branch, to.to_owned());
            for issue in found.issues.values_mut().filter(|issue| issue.open) {
                if let Some(pull) = issue.pull.as_mut().filter(|pull| pull.base_branch == from) {
                    to.clone_into(&mut pull.base_branch);
                }
            }
            let dir = found.dir.clone();
            if let Some(tip) = git_store::branch_tip(&dir, &from) {
                git_store::set_branch(&dir, to, &tip)?;
                git_store::set_head(&dir, to)?;
                git_store::set_reference(&dir, &format!("refs/heads/{from}"), None)?;
            }
            Ok(())
        })
    }

    /// Deletes a branch; open pull requests from it are closed, as on GitHub.
    ///
    /// # Errors
    /// Where there is no such branch.
    pub fn delete_branch(&self, repo: &str, branch: &str) -> Result<()> {
        self.inner.change(|world| {
            let found = world.repo(repo)?;
            let (actor, dir) = (Actor::person(&found.owner), found.dir.clone());
            let missing = || ForgeError::NotFound(format!("branch {branch} in {repo}"));
            let old = git_store::branch_tip(&dir, branch).ok_or_else(missing)?;
            let name = format!("refs/heads/{branch}");
            git_store::set_reference(&dir, &name, None)?;
            world.after_push(repo, &actor, &[PushedRef { name, old: Some(old), new: None, forced: false }])
        })
    }

    /// Opens a pull request from a branch of the same repository; returns its number.
    ///
    /// # Errors
    /// Where GitHub would refuse it.
    pub fn open_pull(&self, repo: &str, author: &str, title: &str, body: &str, head: &str) -> Result<u64> {
        self.act(author, |world, actor| {
            let base_branch = world.repo(repo)?.default_branch.clone();
            pull(world, actor, repo, repo, title, body, head, base_branch)
        })
    }

    /// A stranger forks the repository, commits a file on a branch there, and opens a pull request; returns its number.
    ///
    /// # Errors
    /// Where there is no such repository, or git cannot write.
    pub fn fork_pull(
        &self,
        repo: &str,
        author: &str,
        title: &str,
        body: &str,
        path: &str,
        content: &str,
    ) -> Result<u64> {
        self.act(author, |world, actor| {
            let origin = world.repo(repo)?.clone();
            let fork = format!("{author}/{}", origin.name);
            let branch = "patch-1";
            if world.repo(&fork).is_err() {
                world.create_repo(&fork, &[], &origin.default_branch, origin.private)?;
                let found = world.repo_mut(&fork)?;
                found.fork_of = Some(origin.full_name());
            }
            let dir = world.repo(&fork)?.dir.clone();
            let default = &origin.default_branch;
            git_store::fetch_branch(&dir, &origin.dir, default, &format!("refs/heads/{default}"))?;
            if let Some(tip) = git_store::branch_tip(&dir, default) {
                git_store::set_branch(&dir, branch, &tip)?;
            }
            let files = [(path, Some(content.as_bytes()))];
            git_store::commit_files(&dir, branch, &files, title, &actor.signature()?)?;
            pull(world, actor, repo, &fork, title, body, branch, origin.default_branch)
        })
    }

    /// Merges a pull request, which closes the issues that it says it fixes; returns the merge commit's id.
    ///
    /// # Errors
    /// Where it is not open, or has conflicts.
    pub fn merge_pull(&self, repo: &str, actor: &str, number: u64) -> Result<String> {
        self.act(actor, |world, actor| world.merge_pull(repo, number, actor))
    }
}

#[expect(clippy::too_many_arguments, reason = "one place that names all parts of a pull request")]
fn pull(
    world: &mut World,
    actor: &Actor,
    repo: &str,
    head_repo: &str,
    title: &str,
    body: &str,
    head: &str,
    base_branch: String,
) -> Result<u64> {
    let new = NewPull {
        title: title.to_owned(),
        body: (!body.is_empty()).then(|| body.to_owned()),
        head_repo: head_repo.to_owned(),
        head_branch: head.to_owned(),
        base_branch,
        draft: false,
        maintainer_can_modify: true,
    };
    world.create_pull(repo, actor, new).map_err(|refusal| match refusal {
        PullRefusal::Forge(error) => error,
        other => ForgeError::Refused(format!("the pull request from {head} to {repo} is refused: {other:?}")),
    })
}

/// Reading.
impl Forge {
    /// Looks at the whole world at one moment.
    pub fn look<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        self.inner.look(look)
    }

    /// An issue.
    ///
    /// # Errors
    /// Where there is none.
    pub fn issue(&self, repo: &str, number: u64) -> Result<Issue> {
        self.look(|world| world.issue(repo, number))
    }

    /// The comments of an issue, oldest first.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn comments(&self, repo: &str, number: u64) -> Result<Vec<Comment>> {
        self.look(|world| world.comments(repo, number))
    }

    /// Names of an issue's labels.
    ///
    /// # Errors
    /// Where there is no such issue.
    pub fn labels(&self, repo: &str, number: u64) -> Result<Vec<String>> {
        self.look(|world| world.labels(repo, number))
    }

    /// The pull requests of a repository.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn pulls(&self, repo: &str) -> Result<Vec<PullView>> {
        self.look(|world| world.pulls(repo))
    }

    /// The unified diff of a pull request.
    ///
    /// # Errors
    /// Where there is none.
    pub fn pull_diff(&self, repo: &str, number: u64) -> Result<String> {
        self.look(|world| world.pull_diff(repo, number))
    }

    /// Names of the branches.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn branches(&self, repo: &str) -> Result<Vec<String>> {
        self.look(|world| world.branches(repo))
    }

    /// The commit a branch points at.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn branch_tip(&self, repo: &str, branch: &str) -> Result<Option<String>> {
        self.look(|world| world.branch_tip(repo, branch))
    }

    /// The check runs of a commit.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn check_runs(&self, repo: &str, sha: &str) -> Result<Vec<CheckRun>> {
        self.look(|world| world.check_runs(repo, sha))
    }

    /// A file on a branch; None where it is not there.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn read_file(&self, repo: &str, branch: &str, path: &str) -> Result<Option<Vec<u8>>> {
        self.look(|world| world.read_file(repo, branch, path))
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.look(|world| world.requests().to_vec())
    }

    /// The secrets of all tokens minted so far, so that a test can look for them where they must not be.
    #[must_use]
    pub fn token_secrets(&self) -> Vec<String> {
        self.look(|world| world.tokens.keys().cloned().collect())
    }
}

/// Webhooks and faults.
impl Forge {
    /// Sets where webhooks go and sends a `ping` there; None: nowhere.
    pub fn set_webhook(&self, webhook: Option<Webhook>) {
        self.inner.change(|world| {
            let url = webhook.as_ref().map(|webhook| webhook.url.clone());
            world.webhook = webhook;
            if let Some(url) = url {
                let body = world.ping_event(&url);
                world.emit_app("ping", None, body, None);
            }
        });
    }

    /// Every delivery so far, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.look(|world| world.deliveries().to_vec())
    }

    /// Waits until nothing is on its way any more.
    ///
    /// # Errors
    /// [`ForgeError::TimedOut`] after 60 s.
    pub async fn await_deliveries(&self) -> Result<()> {
        let idle = |world: &World| world.deliveries().iter().all(|delivery| !delivery.waiting).then_some(());
        self.wait_for(idle, Duration::from_secs(60)).await
    }

    /// Sends the delivery with this GUID once more, now, beside whatever else is on its way; gives the outcome.
    ///
    /// # Errors
    /// Where there is no such delivery.
    pub async fn redeliver(&self, guid: &str) -> Result<Delivery> {
        let copy = self.inner.change(|world| {
            let found =
                world.deliveries.iter().find(|delivery| delivery.guid == guid).map(|delivery| delivery.id);
            world.copy_delivery(found.ok_or_else(|| ForgeError::NotFound(format!("delivery {guid}")))?)
        })?;
        send_one(&Arc::clone(&self.inner), copy).await;
        let sent = self.look(|world| world.deliveries().iter().find(|delivery| delivery.id == copy).cloned());
        sent.ok_or_else(|| ForgeError::NotFound(format!("delivery {guid}")))
    }

    /// Sends a payload of the test's own making, signed, as an event of the app; gives the GUID.
    pub fn deliver(&self, event: &str, payload: &Value) -> String {
        self.inner.change(|world| {
            let action = payload.get("action").and_then(Value::as_str).map(str::to_owned);
            world.emit_app(event, action.as_deref(), payload.clone(), None);
            world.deliveries.last().map(|delivery| delivery.guid.clone()).unwrap_or_default()
        })
    }

    /// Plans a fault for the next `times` requests that fit.
    pub fn fail_next(&self, matcher: Matcher, fault: Fault, times: usize) {
        if times > 0 {
            self.inner.change(|world| world.faults.push(PlannedFault { matcher, fault, times }));
        }
    }

    /// Forgets the faults that are still planned; says how many there were, so that a test can tell they were needed.
    pub fn clear_faults(&self) -> usize {
        self.inner.change(|world| std::mem::take(&mut world.faults).len())
    }

    /// Every answer takes this much longer from now on.
    pub fn latency(&self, latency: Duration) {
        self.inner.change(|world| world.latency = latency);
    }

    /// What is wrong with the traffic so far, by GitHub's own description; faults and git are left out.
    #[cfg(feature = "openapi")]
    #[must_use]
    pub fn openapi_violations(&self, description: &crate::OpenApi) -> Vec<String> {
        self.look(|world| world.requests().iter().flat_map(|request| description.check(request)).collect())
    }
}
