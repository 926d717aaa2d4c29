//! Checkouts and changes by git, in this process and without the git program.
//!
//! On disk, below the data folder:
//! ```text
//! mirrors/HOST/OWNER/NAME.git                     what the remotes have, shared by all attempts
//! holds/…                                         which mirrors are in use, by attempt
//! attempts/RUN/JOB/NUMBER/workspace               the checkout that the attempt works in
//! attempts/RUN/JOB/NUMBER/quarantine              the bundle that passed, until it is pushed; no container sees it
//! attempts/RUN/JOB/NUMBER/scratch                 throw-away repositories
//! ```
//! Nothing in a workspace is run or believed: after an attempt only its bundle is read, in quarantine. What passed is kept
//! as the bundle it was, and audited again when it is pushed, so that a restart between the two loses nothing.

mod examine;
mod holds;
mod leaks;
mod publish;

use crate::ports::{
    Change, ChangedFile, Checkout, Fetch, PreparedWorkspace, Remote, SecretText, WorkspaceError, Workspaces,
};
use async_trait::async_trait;
use cloud_code_git::mirror::{Mirror, MirrorKey, Mirrors};
use cloud_code_git::workspace::{self, WorkspaceSpec};
use cloud_code_git::{Credentials, GitError};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::policy::ChangePolicy;
use std::path::{Path, PathBuf};

/// What depends on the runner that the checkouts are for.
#[derive(Debug, Clone, Default)]
pub struct WorkspaceConfig {
    /// User and group that the checkout's files are to belong to; needs root. `None` leaves the current ones.
    pub owner: Option<(u32, u32)>,
    /// Where the mirror's objects are mounted in containers, e.g. `/cloud-code/objects`; `None` where attempts run on this
    /// machine and see the real path.
    pub objects_inside: Option<PathBuf>,
    /// Attempts run where this disk is not, and check out for themselves: [`Workspaces::prepare`] only finds out what, and the
    /// mirror is fetched when there is a change to examine.
    pub elsewhere: bool,
    /// While less than this is free on the disk, mirrors that nobody uses go; `None`: 2 GiB, or a quarter of the disk where that is less.
    pub free_bytes: Option<u64>,
}

/// Checkouts below one data folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GitWorkspaces {
    data_dir: PathBuf,
    mirrors: Mirrors,
    config: WorkspaceConfig,
}

impl GitWorkspaces {
    /// Checkouts below `data_dir`, which is made when first needed and should be readable by the server's user alone.
    pub fn new(data_dir: impl Into<PathBuf>, config: WorkspaceConfig) -> Self {
        let data_dir = data_dir.into();
        // A checkout names its mirror by an absolute path. Only an empty path, or a current folder that is gone, has none;
        // then the first use fails with the path in its text.
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        Self { mirrors: Mirrors::new(data_dir.join("mirrors")), data_dir, config }
    }

    fn attempt_dir(&self, attempt: &AttemptId) -> PathBuf {
        self.data_dir
            .join("attempts")
            .join(attempt.run.as_str())
            .join(&attempt.job)
            .join(attempt.number.to_string())
    }

    fn workspace_dir(&self, attempt: &AttemptId) -> PathBuf {
        self.attempt_dir(attempt).join("workspace")
    }

    fn quarantine_dir(&self, attempt: &AttemptId) -> PathBuf {
        self.attempt_dir(attempt).join("quarantine")
    }

    fn scratch_dir(&self, attempt: &AttemptId) -> PathBuf {
        self.attempt_dir(attempt).join("scratch")
    }

    /// Runs git where it may wait for disk and network.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, WorkspaceError> + Send + 'static,
    ) -> Result<T, WorkspaceError> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this)).await;
        done.unwrap_or_else(|error| Err(WorkspaceError::Failed(format!("the work was broken off: {error}"))))
    }

    fn prepare_now(&self, checkout: &Checkout) -> Result<PreparedWorkspace, WorkspaceError> {
        let (key, remote) = (mirror_key(&checkout.remote.key)?, git_remote(&checkout.remote)?);
        self.discard_now(&checkout.attempt)?;
        let mirror = self.fetched(&checkout.attempt, &key, &remote)?;
        let Some(default_branch) = mirror.default_branch().map(str::to_owned) else {
            let name = mirror.name();
            return Err(WorkspaceError::NotFound(format!(
                "{name} is empty: push a first commit, then run again"
            )));
        };
        let from = checkout.from.as_ref().unwrap_or(&default_branch);
        let Some(base) = branch_tip(&mirror, from)? else {
            let name = mirror.name();
            return Err(WorkspaceError::NotFound(format!("{name} has no branch {from} (any more)")));
        };
        let existing = branch_tip(&mirror, &checkout.branch)?;
        let objects = std::fs::canonicalize(mirror.objects())
            .map_err(|error| WorkspaceError::Failed(format!("{}: {error}", mirror.objects().display())))?;
        let path = self.workspace_dir(&checkout.attempt);
        let spec = WorkspaceSpec {
            mirror: &mirror,
            base,
            branch: &checkout.branch,
            dir: &path,
            objects_at: self.config.objects_inside.as_deref(),
            remote_url: &checkout.remote.url,
            owner: self.config.owner,
        };
        self.with_room(|| workspace::create(&spec))?;
        let inside = self.config.objects_inside.clone().unwrap_or_else(|| objects.clone());
        Ok(PreparedWorkspace {
            path,
            objects: (objects, inside),
            fetch: None,
            base: base.to_string(),
            default_branch,
            existing: existing.map(|id| id.to_string()),
        })
    }

    /// The mirror as the remote is now, held for the attempt. Room is made for it first.
    fn fetched(
        &self,
        attempt: &AttemptId,
        key: &MirrorKey,
        remote: &cloud_code_git::Remote,
    ) -> Result<Mirror, WorkspaceError> {
        self.hold(attempt, key)?;
        self.make_room_now(None)?;
        self.with_room(|| self.mirrors.fetch(key, remote))
    }

    /// Does something, and once more where the disk was full and room could be made.
    fn with_room<T>(&self, work: impl Fn() -> Result<T, GitError>) -> Result<T, WorkspaceError> {
        match work() {
            Err(error) if error.is_full_disk() && self.make_room_now(Some(u64::MAX))? > 0 => {
                tracing::warn!(%error, "room was made, and it is tried once more");
                work().map_err(from_git)
            }
            done => done.map_err(from_git),
        }
    }

    /// What an attempt elsewhere is to check out.
    fn found_now(&self, checkout: &Checkout) -> Result<PreparedWorkspace, WorkspaceError> {
        let (key, remote) = (mirror_key(&checkout.remote.key)?, git_remote(&checkout.remote)?);
        let branches = cloud_code_git::remote_branches(&remote).map_err(from_git)?;
        let name = key.name();
        let Some(default_branch) = branches.default else {
            return Err(WorkspaceError::NotFound(format!(
                "{name} is empty: push a first commit, then run again"
            )));
        };
        let from = checkout.from.as_ref().unwrap_or(&default_branch);
        let Some(base) = branches.tips.get(from).map(ToString::to_string) else {
            return Err(WorkspaceError::NotFound(format!("{name} has no branch {from} (any more)")));
        };
        let branch = checkout.branch.clone();
        Ok(PreparedWorkspace {
            path: PathBuf::new(),
            objects: (PathBuf::new(), PathBuf::new()),
            existing: branches.tips.get(&branch).map(ToString::to_string),
            fetch: Some(Fetch { remote: checkout.remote.clone(), base: base.clone(), branch }),
            base,
            default_branch,
        })
    }

    fn discard_now(&self, attempt: &AttemptId) -> Result<(), WorkspaceError> {
        for folder in [self.workspace_dir(attempt), self.quarantine_dir(attempt), self.scratch_dir(attempt)] {
            workspace::remove(&folder).map_err(from_git)?;
        }
        self.let_go(attempt)
    }
}

#[async_trait]
impl Workspaces for GitWorkspaces {
    async fn prepare(&self, checkout: &Checkout) -> Result<PreparedWorkspace, WorkspaceError> {
        let checkout = checkout.clone();
        self.blocking(move |this| match this.config.elsewhere {
            true => this.found_now(&checkout),
            false => this.prepare_now(&checkout),
        })
        .await
    }

    async fn examine(
        &self,
        attempt: &AttemptId,
        remote: &Remote,
        base: &str,
        branch: &str,
        bundle: Vec<u8>,
        policy: &ChangePolicy,
        secrets: &[SecretText],
    ) -> Result<Option<Change>, WorkspaceError> {
        let (attempt, secrets) = (attempt.clone(), secrets.to_vec());
        let about = examine::About::new(&remote.key, base, branch, policy);
        let remote = remote.clone();
        self.blocking(move |this| {
            if this.config.elsewhere {
                this.fetched(&attempt, &mirror_key(&remote.key)?, &git_remote(&remote)?)?;
            }
            this.examine_now(&attempt, &about, &bundle, &secrets)
        })
        .await
    }

    async fn push(
        &self,
        attempt: &AttemptId,
        remote: &Remote,
        branch: &str,
        change: &Change,
        ours: &[String],
    ) -> Result<(), WorkspaceError> {
        let (attempt, remote, branch) = (attempt.clone(), remote.clone(), branch.to_owned());
        let (head, ours) = (change.head.clone(), ours.to_vec());
        self.blocking(move |this| this.push_now(&attempt, &remote, &branch, &head, &ours)).await
    }

    async fn diff(
        &self,
        attempt: &AttemptId,
        change: &Change,
        max_bytes: usize,
    ) -> Result<String, WorkspaceError> {
        let (attempt, head) = (attempt.clone(), change.head.clone());
        self.blocking(move |this| {
            let quarantine = this.reopen(&attempt, &head)?;
            Ok(quarantine.patch(max_bytes).map_err(from_git)?.0)
        })
        .await
    }

    async fn make_room(&self) -> Result<(), WorkspaceError> {
        self.blocking(|this| this.make_room_now(None).map(drop)).await
    }

    async fn discard(&self, attempt: &AttemptId) -> Result<(), WorkspaceError> {
        let attempt = attempt.clone();
        self.blocking(move |this| this.discard_now(&attempt)).await
    }
}

fn branch_tip(mirror: &Mirror, branch: &str) -> Result<Option<cloud_code_git::Oid>, WorkspaceError> {
    mirror.resolve(&format!("refs/heads/{branch}")).map_err(from_git)
}

/// Takes `host/owner/name` apart; an owner may be nested.
fn mirror_key(key: &str) -> Result<MirrorKey, WorkspaceError> {
    let parts = key.split_once('/').and_then(|(host, rest)| Some((host, rest.rsplit_once('/')?)));
    let Some((host, (owner, name))) = parts else {
        return Err(WorkspaceError::NotFound(format!("`{key}` is not a repository's host/owner/name")));
    };
    MirrorKey::new(host, owner, name).map_err(from_git)
}

fn git_remote(remote: &Remote) -> Result<cloud_code_git::Remote, WorkspaceError> {
    let made = cloud_code_git::Remote::new(remote.url.clone()).map_err(from_git)?;
    Ok(match &remote.token {
        // The user name that GitHub documents for installation tokens.
        Some(token) => made.with_credentials(Credentials {
            username: "x-access-token".to_owned(),
            password: token.reveal().to_owned(),
        }),
        None => made,
    })
}

/// git's failures in the port's words.
fn from_git(error: GitError) -> WorkspaceError {
    let text = error.to_string();
    match error {
        GitError::Authentication { .. } | GitError::Rejected { .. } => WorkspaceError::Refused(text),
        GitError::NotFound { .. } => WorkspaceError::NotFound(text),
        GitError::Stale { .. } => WorkspaceError::Moved(text),
        GitError::Invalid(_) => WorkspaceError::Rejected(text),
        GitError::Network { .. } | GitError::Io { .. } | GitError::Other(_) => WorkspaceError::Failed(text),
    }
}

fn io(what: &Path) -> impl FnOnce(std::io::Error) -> WorkspaceError + '_ {
    move |error| WorkspaceError::Failed(format!("{}: {error}", what.display()))
}

/// git's description of a change as the port has it.
fn described(change: &cloud_code_git::change::Change) -> Change {
    let first_line = |message: &str| message.trim().lines().next().unwrap_or_default().to_owned();
    let file = |file: &cloud_code_git::change::FileChange| ChangedFile {
        path: file.path.clone(),
        old_path: file.old_path.clone(),
        insertions: file.insertions as u64,
        deletions: file.deletions as u64,
    };
    Change {
        base: change.base.to_string(),
        head: change.head.to_string(),
        commits: change.commits.iter().map(|commit| first_line(&commit.message)).collect(),
        files: change.files.iter().map(file).collect(),
        insertions: change.insertions as u64,
        deletions: change.deletions as u64,
        diffstat: change.diffstat(),
    }
}
