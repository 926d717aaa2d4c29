//! What people do on the forge, in their words; and what a test plans, reads and waits for.
//! Each deed goes by the same rules as the HTTP API and is told by webhook.

mod branches;
mod read;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::Forge;
use crate::error::{ForgeError, Result};
use crate::faults::{Fault, Matcher, Pause, PlannedFault, PlannedPause, When};
use crate::state::{Access, Actor, Permissions, Role, UserKind, VariableScope, World};
use crate::webhooks::{Delivery, Webhook, send_one};

/// The permissions that Cloud Code's own app asks for.
const USUAL: [(&str, Access); 5] = [
    ("checks", Access::Write),
    ("contents", Access::Write),
    ("issues", Access::Write),
    ("metadata", Access::Read),
    ("pull_requests", Access::Write),
];

/// Those permissions as an installation has them.
pub(crate) fn usual() -> Permissions {
    USUAL.iter().map(|(name, access)| ((*name).to_owned(), *access)).collect()
}

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
        self.install_app_with(repo, &usual())
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

    /// Sets a variable of Actions.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn set_variable(&self, repo: &str, scope: VariableScope, name: &str, value: &str) -> Result<()> {
        self.inner.change(|world| {
            let variables = &mut world.repo_mut(repo)?.variables;
            variables.insert((scope, name.to_uppercase()), value.to_owned());
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

    /// Plans to hold the request that fits after `skip` others did, before or after its effect; it is never answered.
    #[must_use = "dropping the pause forgets it, or lets the request go unanswered at once"]
    pub fn pause_at(&self, matcher: Matcher, skip: usize, when: When) -> Pause {
        let (planned, pause) = PlannedPause::new(matcher, skip, when);
        self.inner.change(|world| world.pauses.push(planned));
        pause
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
