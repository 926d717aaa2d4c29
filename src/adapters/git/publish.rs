//! Pushing what was examined.

use super::examine::{ABOUT, About, BUNDLE};
use super::{GitWorkspaces, from_git, git_remote, io};
use crate::ports::{Remote, WorkspaceError};
use cloud_code_git::quarantine::{OpenError, Quarantine};
use cloud_code_git::{GitError, Oid, remote_ref};
use cloud_code_model::ids::AttemptId;
use std::fs;
use std::io::ErrorKind;

impl GitWorkspaces {
    pub(super) fn push_now(
        &self,
        attempt: &AttemptId,
        remote: &Remote,
        branch: &str,
        head: &str,
        ours: &[String],
    ) -> Result<(), WorkspaceError> {
        let remote = git_remote(remote)?;
        let current = remote_ref(&remote, &format!("refs/heads/{branch}")).map_err(from_git)?;
        let lease = match current {
            Some(current) if current.to_string() == head => return Ok(()),
            Some(current) if !ours.contains(&current.to_string()) => {
                return Err(moved(branch, &format!("it stands at {}", short(current))));
            }
            lease => lease,
        };
        let quarantine = self.reopen(attempt, head)?;
        match quarantine.push(&remote, branch, Some(lease)) {
            Ok(_) => Ok(()),
            Err(GitError::Stale { detail, .. }) => Err(moved(branch, &detail)),
            Err(error) => Err(from_git(error)),
        }
    }

    /// The change that [`GitWorkspaces::examine_now`] kept, audited again.
    pub(super) fn reopen(&self, attempt: &AttemptId, head: &str) -> Result<Quarantine, WorkspaceError> {
        let folder = self.quarantine_dir(attempt);
        let read = |name: &str| {
            let file = folder.join(name);
            fs::read(&file).map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    WorkspaceError::NotFound(format!("the change of {attempt} is not kept any more"))
                }
                _ => io(&file)(error),
            })
        };
        let about: About = serde_json::from_slice(&read(ABOUT)?)
            .map_err(|error| WorkspaceError::Failed(format!("{}: {error}", folder.join(ABOUT).display())))?;
        let quarantine = self.quarantined(attempt, &about, &read(BUNDLE)?).map_err(|error| match error {
            OpenError::Rejected(reason) => WorkspaceError::Rejected(reason.to_string()),
            OpenError::Failed(error) => from_git(error),
        })?;
        let kept = quarantine.change().head.to_string();
        if kept == head {
            Ok(quarantine)
        } else {
            Err(WorkspaceError::NotFound(format!(
                "the change of {attempt} that is kept ends at {kept}, not at {head}"
            )))
        }
    }
}

fn moved(branch: &str, detail: &str) -> WorkspaceError {
    WorkspaceError::Moved(format!(
        "the branch {branch} has commits that are not ours ({detail}); delete it or merge its pull request, then run again"
    ))
}

fn short(id: Oid) -> String {
    id.to_string().chars().take(7).collect()
}
