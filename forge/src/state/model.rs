//! The things of the small world: users, repositories, issues, pull requests, comments, check runs, installations, tokens.
//! Plain data; the rules are in `rules`, the JSON is in `payloads`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::Value;

/// What kind of account a login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserKind {
    /// A person.
    User,
    /// An app's account, `slug[bot]`.
    Bot,
    /// An organisation, which can own repositories.
    Organization,
}

impl UserKind {
    /// GitHub's word in `user.type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Bot => "Bot",
            Self::Organization => "Organization",
        }
    }
}

/// An account.
#[derive(Debug, Clone)]
pub struct User {
    /// GitHub's number for it.
    pub id: u64,
    /// The name it goes by; compared without regard to case.
    pub login: String,
    /// Person, bot or organisation.
    pub kind: UserKind,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A person's role in a repository, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May see.
    Read,
    /// May sort issues.
    Triage,
    /// May push.
    Write,
    /// May manage.
    Maintain,
    /// May do anything.
    Admin,
}

impl Role {
    /// GitHub's `role_name`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// GitHub's older `permission`, where maintain is told as write and triage as read.
    #[must_use]
    pub fn permission(self) -> &'static str {
        match self {
            Self::Read | Self::Triage => "read",
            Self::Write | Self::Maintain => "write",
            Self::Admin => "admin",
        }
    }
}

/// Whose a variable of Actions is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VariableScope {
    /// The owner's.
    Organization,
    /// The repository's.
    Repository,
    /// That of one of its environments.
    Environment(String),
}

/// How far a permission of an installation or token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// To see.
    Read,
    /// To change.
    Write,
    /// To administer.
    Admin,
}

impl Access {
    /// GitHub's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// Permission name (`contents`, `issues`, `pull_requests`, `checks`, `workflows`, …) to access.
pub type Permissions = BTreeMap<String, Access>;

/// The app as GitHub knows it.
#[derive(Debug, Clone)]
pub struct App {
    /// The app's id.
    pub id: u64,
    /// The name in addresses; its account is `slug[bot]`.
    pub slug: String,
    /// The id that newer JWTs carry as `iss`.
    pub client_id: String,
    /// Who owns it.
    pub owner: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl App {
    /// The login of the app's own account.
    #[must_use]
    pub fn bot_login(&self) -> String {
        format!("{}[bot]", self.slug)
    }
}

/// The app installed on an account, with the repositories it was given.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The installation's id.
    pub id: u64,
    /// The account's login.
    pub account: String,
    /// Ids of the repositories it may reach.
    pub repositories: BTreeSet<u64>,
    /// What it may do there.
    pub permissions: Permissions,
    /// A suspended installation mints no tokens and gets no webhooks.
    pub suspended_at: Option<Timestamp>,
    /// When it was installed.
    pub created_at: Timestamp,
}

/// An installation access token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The secret itself, `ghs_…`.
    pub secret: String,
    /// Whose it is.
    pub installation: u64,
    /// Ids of the repositories it reaches; None: all of the installation's.
    pub repositories: Option<BTreeSet<u64>>,
    /// What it may do.
    pub permissions: Permissions,
    /// When it ends, by the forge's clock.
    pub expires_at: Timestamp,
}

/// A label of a repository.
#[derive(Debug, Clone)]
pub struct Label {
    /// GitHub's number for it.
    pub id: u64,
    /// As first written; compared without regard to case.
    pub name: String,
    /// Six hex digits.
    pub color: String,
    /// A line on its meaning.
    pub description: Option<String>,
}

/// An issue, and also the issue half of a pull request (GitHub numbers both in one row).
#[derive(Debug, Clone)]
pub struct Issue {
    /// GitHub's number for it, across repositories.
    pub id: u64,
    /// The number in the repository.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: Option<String>,
    /// Who opened it.
    pub author: String,
    /// Opened through the app's token.
    pub via_app: bool,
    /// Open, or closed.
    pub open: bool,
    /// `completed`, `not_planned`, `reopened` or nothing.
    pub state_reason: Option<String>,
    /// Names of its labels, in the order they were put on.
    pub labels: Vec<String>,
    /// Logins.
    pub assignees: Vec<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// The other half, where it is a pull request.
    pub pull: Option<Pull>,
}

/// What a pull request has beside its issue half.
#[derive(Debug, Clone)]
pub struct Pull {
    /// `owner/name` of the repository the change comes from; None once it was deleted.
    pub head_repo: String,
    /// The branch the change is on.
    pub head_branch: String,
    /// The last commit seen there.
    pub head_sha: String,
    /// The branch it should go to.
    pub base_branch: String,
    /// That branch's tip when the pull request was opened.
    pub base_sha: String,
    /// Not ready for review.
    pub draft: bool,
    /// When it was merged.
    pub merged_at: Option<Timestamp>,
    /// By whom.
    pub merged_by: Option<String>,
    /// The commit that merged it.
    pub merge_commit_sha: Option<String>,
    /// Logins asked for a review.
    pub requested_reviewers: Vec<String>,
    /// Whether maintainers of the base may push to the head.
    pub maintainer_can_modify: bool,
}

/// A comment on an issue or pull request.
#[derive(Debug, Clone)]
pub struct Comment {
    /// GitHub's number for it.
    pub id: u64,
    /// The issue it is on.
    pub issue: u64,
    /// Who wrote it.
    pub author: String,
    /// Written through the app's token.
    pub via_app: bool,
    /// Its text, at most 65,536 characters.
    pub body: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    /// Reactions to it.
    pub reactions: Vec<Reaction>,
}

/// A reaction to a comment.
#[derive(Debug, Clone)]
pub struct Reaction {
    /// GitHub's number for it.
    pub id: u64,
    /// Whose it is.
    pub user: String,
    /// `+1`, `-1`, `laugh`, `confused`, `heart`, `hooray`, `rocket` or `eyes`.
    pub content: String,
    /// When.
    pub created_at: Timestamp,
}

/// A check run on a commit.
#[derive(Debug, Clone)]
pub struct CheckRun {
    /// GitHub's number for it.
    pub id: u64,
    /// The number of the suite it is in: one a commit.
    pub suite: u64,
    /// Its name.
    pub name: String,
    /// The commit.
    pub head_sha: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// The outcome once completed.
    pub conclusion: Option<String>,
    /// The app's own id for it.
    pub external_id: String,
    /// Where the app shows more.
    pub details_url: Option<String>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it completed.
    pub completed_at: Option<Timestamp>,
    /// The output's title.
    pub title: Option<String>,
    /// The output's summary, at most 65,535 characters.
    pub summary: Option<String>,
    /// The output's text, at most 65,535 characters.
    pub text: Option<String>,
    /// Annotations as they were sent, added up over updates.
    pub annotations: Vec<Value>,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct Repo {
    /// GitHub's number for it.
    pub id: u64,
    /// The owner's login.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Only its members see it.
    pub private: bool,
    /// The branch that workflows come from.
    pub default_branch: String,
    /// `owner/name` of the repository it was forked from.
    pub fork_of: Option<String>,
    /// The bare git repository on disk.
    pub dir: PathBuf,
    /// Roles by lower-case login.
    pub roles: BTreeMap<String, Role>,
    /// Labels by lower-case name.
    pub labels: BTreeMap<String, Label>,
    /// Issues and pull requests by number.
    pub issues: BTreeMap<u64, Issue>,
    /// Comments by id.
    pub comments: BTreeMap<u64, Comment>,
    /// Check runs by id.
    pub checks: BTreeMap<u64, CheckRun>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something was last pushed.
    pub pushed_at: Timestamp,
    /// Read-only by its owner's wish.
    pub archived: bool,
    /// Branches that nobody pushes to.
    pub protected: BTreeSet<String>,
    /// The variables of Actions that its workflows see, by scope and name.
    pub variables: BTreeMap<(VariableScope, String), String>,
    /// One push at a time.
    pub(crate) push_lock: Arc<Mutex<()>>,
}

impl Repo {
    /// `owner/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The role of `login`: the owner's and the given ones; on a public repository everybody may read.
    #[must_use]
    pub fn role_of(&self, login: &str) -> Option<Role> {
        if login.eq_ignore_ascii_case(&self.owner) {
            return Some(Role::Admin);
        }
        let given = self.roles.get(&login.to_lowercase()).copied();
        given.or(if self.private { None } else { Some(Role::Read) })
    }

    /// The comments of one issue, oldest first.
    #[must_use]
    pub fn comments_of(&self, number: u64) -> Vec<Comment> {
        self.comments.values().filter(|comment| comment.issue == number).cloned().collect()
    }
}
