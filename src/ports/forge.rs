//! The place where issues and pull requests live.

use super::workspaces::Remote;
use async_trait::async_trait;
use cloud_code_model::policy::Permission;
use cloud_code_model::run::{PullRequest, Repository};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A repository as the forge describes it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryInfo {
    /// The branch a change goes into.
    pub default_branch: String,
    /// Archived or disabled: nothing can be pushed.
    pub read_only: bool,
}

/// An issue as it is now. A pull request is an issue too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Who opened it.
    pub author: String,
    /// Its page.
    pub url: String,
    /// Whether it is open.
    pub open: bool,
    /// Whether it is a pull request.
    pub is_pull: bool,
    /// Whether it is a pull request whose branch lies in another repository.
    pub from_fork: bool,
    /// The branches it goes from and into, where it is a pull request.
    pub branches: Option<(String, String)>,
    /// Its labels.
    pub labels: Vec<String>,
}

/// A comment on an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The forge's number for it.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// Whether a bot wrote it (by account type).
    pub by_bot: bool,
    /// Its text.
    pub body: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A workflow file on the default branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowFile {
    /// Path in the repository.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What the token of a remote may do, for that one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteAccess {
    /// `contents: read`.
    Read,
    /// `contents: write`.
    Write,
}

/// Labels to put on and to take off; a label that is to be taken off and isn't there is no error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelChange {
    /// To put on.
    pub add: Vec<String>,
    /// To take off.
    pub remove: Vec<String>,
}

/// A pull request as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSpec {
    /// The branch with the change.
    pub head: String,
    /// The branch it goes into.
    pub base: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Whether a new one is made as a draft.
    pub draft: bool,
}

/// A check run as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    /// Its name, as shown.
    pub name: String,
    /// The commit.
    pub sha: String,
    /// Finds it again: at most one check run with this id stands on the commit.
    pub external_id: String,
    /// GitHub's conclusion: `success`, `failure`, `neutral`, `cancelled`, `timed_out`, `action_required`.
    pub conclusion: String,
    /// One line.
    pub title: String,
    /// Markdown, at most 65,535 characters.
    pub summary: String,
    /// Our page about the run.
    pub details_url: Option<String>,
    /// Remarks on lines of the commit's files, at most 50. Once they stand there they are not made again.
    pub annotations: Vec<CheckAnnotation>,
}

/// A remark on lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckAnnotation {
    /// The file's path in the repository.
    pub path: String,
    /// The first line, from 1.
    pub first_line: u32,
    /// The last line.
    pub last_line: u32,
    /// The first and the last column, where it is about a part of one line.
    pub columns: Option<(u32, u32)>,
    /// GitHub's level: `notice`, `warning` or `failure`.
    pub level: String,
    /// A headline.
    pub title: Option<String>,
    /// What it says.
    pub message: String,
}

/// A webhook call that the forge made in vain, and that no later call made good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDelivery {
    /// The forge's number for the last call.
    pub call: u64,
    /// The delivery's id, which all its calls have.
    pub id: String,
    /// The event's name.
    pub event: String,
    /// Calls so far.
    pub tries: u32,
    /// When the last one was made.
    pub last_at: Timestamp,
}

/// Why the forge did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// It is not there, or not for us.
    #[error("not found: {0}")]
    NotFound(String),
    /// Our App may not do this; the message names the permission where the forge says it.
    #[error("not permitted: {0}")]
    Forbidden(String),
    /// Our App's own credentials are wrong.
    #[error("the forge does not accept our credentials: {0}")]
    Unauthorized(String),
    /// The forge finds the request wrong: our bug, or a state that does not allow it.
    #[error("the forge refused the request: {0}")]
    Invalid(String),
    /// Too many requests; may be tried again after this time.
    #[error("rate limited by the forge")]
    RateLimited {
        /// How long to wait.
        retry_after: SignedDuration,
    },
    /// No answer, or a broken one. May heal.
    #[error("the forge did not answer: {0}")]
    Unavailable(String),
}

impl ForgeError {
    /// Whether the same call may succeed later with nobody changing anything.
    pub fn may_heal(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unavailable(_))
    }

    /// Whether the answer stays as it is: neither an outage, nor a key that a person may still mend.
    pub fn is_final(&self) -> bool {
        !self.may_heal() && !matches!(self, Self::Unauthorized(_))
    }

    /// How long the forge wants us to wait.
    pub fn retry_after(&self) -> Option<SignedDuration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

/// Reads from and writes to the forge. Every write finds what it made before, by a deterministic name.
#[async_trait]
pub trait Forge: Send + Sync {
    /// The login by which our own actions appear, e.g. `cloud-code[bot]`.
    fn own_login(&self) -> String;

    /// The repository as it is now.
    async fn repository(&self, repository: &Repository) -> Result<RepositoryInfo, ForgeError>;

    /// What this person may do there. Cached for a minute at most.
    async fn permission(&self, repository: &Repository, login: &str) -> Result<Permission, ForgeError>;

    /// The issue or pull request as it is now.
    async fn issue(&self, repository: &Repository, number: u64) -> Result<Issue, ForgeError>;

    /// The issue's comments, oldest first, at most the last 200.
    async fn comments(&self, repository: &Repository, number: u64) -> Result<Vec<Comment>, ForgeError>;

    /// The workflow files of the default branch: `.cloud-code/*.yml` and `*.yaml`, without our own task files, sorted.
    async fn workflows(&self, repository: &Repository) -> Result<Vec<WorkflowFile>, ForgeError>;

    /// The files that a pull request changes, by their names before and after: the first 300 files, which are all that GitHub's own filters
    /// look at.
    async fn changed_files(&self, repository: &Repository, number: u64) -> Result<Vec<String>, ForgeError>;

    /// The repository of this name, where our App reaches it.
    async fn find(&self, owner: &str, name: &str) -> Result<Repository, ForgeError>;

    /// The variables that people have set: those of the owner that the repository may see, under those of the repository; or those of one of its
    /// environments. Believed for a minute. [`ForgeError::Forbidden`] where the App lacks the permission.
    async fn variables(
        &self,
        repository: &Repository,
        environment: Option<&str>,
    ) -> Result<BTreeMap<String, String>, ForgeError>;

    /// The text of a file of the default branch, for what workflows bring in; `None` where there is no such file, or one that is too large.
    async fn file(&self, repository: &Repository, path: &str) -> Result<Option<String>, ForgeError>;

    /// Where git reaches the repository, with a token minted now and narrowed to it.
    async fn remote(&self, repository: &Repository, access: RemoteAccess) -> Result<Remote, ForgeError>;

    /// Makes the comment of ours that contains `marker` have this body: `known` is its number if it was posted before,
    /// else it is looked for among our own comments, else posted. Returns its number. A comment that people deleted is
    /// not posted again: returns its old number.
    async fn put_comment(
        &self,
        repository: &Repository,
        number: u64,
        marker: &str,
        known: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError>;

    /// Puts labels on and takes labels off.
    async fn change_labels(
        &self,
        repository: &Repository,
        number: u64,
        change: &LabelChange,
    ) -> Result<(), ForgeError>;

    /// The open pull request from a branch of this repository, if there is one.
    async fn open_pull(&self, repository: &Repository, head: &str)
    -> Result<Option<PullRequest>, ForgeError>;

    /// Makes an open pull request from `head` to `base` exist with this title and text (an existing one's title, and
    /// what people wrote in it, stay; the text between our markers is renewed).
    async fn put_pull(&self, repository: &Repository, spec: &PullSpec) -> Result<PullRequest, ForgeError>;

    /// Makes a completed check run exist on the commit. Returns its number.
    async fn put_check(
        &self,
        repository: &Repository,
        known: Option<u64>,
        spec: &CheckSpec,
    ) -> Result<u64, ForgeError>;

    /// Whether the forge calls us, and remembers which of its calls failed.
    fn remembers_deliveries(&self) -> bool;

    /// The deliveries since then that never arrived, in no order; as far back as the forge remembers, and of very many only the latest.
    async fn failed_deliveries(&self, since: Timestamp) -> Result<Vec<FailedDelivery>, ForgeError>;

    /// Lets the forge make a call again, under the same delivery's id. See [`FailedDelivery::call`].
    async fn redeliver(&self, call: u64) -> Result<(), ForgeError>;

    /// Whether our credentials are accepted; says who we are and what we lack.
    async fn check(&self) -> Result<String, ForgeError>;
}
