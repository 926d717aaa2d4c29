//! The world as one value behind one lock: who there is, what they own, what was said, and what was sent.
//! Everything that changes it goes through `rules`; everything that shows it goes through `payloads` or `view`.

mod model;
mod pull_rules;
mod rules;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use jiff::Timestamp;

pub use model::{
    Access, App, CheckRun, Comment, Installation, Issue, Label, Permissions, Pull, Reaction, Repo, Role,
    Token, User, UserKind, VariableScope,
};
pub use view::PullView;

pub(crate) use pull_rules::{NewPull, PullRefusal, PushedRef};
pub(crate) use rules::{Actor, MAX_BODY};

use crate::clock::ForgeClock;
use crate::error::{ForgeError, Result};
use crate::faults::{PlannedFault, PlannedPause};
use crate::record::ApiRequest;
use crate::webhooks::{Delivery, Webhook};

/// Where the forge is reached: the roots of every address it writes into its answers.
#[derive(Debug, Clone)]
pub(crate) struct Urls {
    /// Root of the API, without a slash at the end.
    pub(crate) api: String,
    /// Root of the pages and of git, without a slash at the end.
    pub(crate) html: String,
}

/// The whole state. Tests see it through [`crate::Forge::wait_for`].
#[derive(Debug)]
pub struct World {
    pub(crate) clock: ForgeClock,
    pub(crate) urls: Urls,
    pub(crate) data_dir: PathBuf,
    pub(crate) app: App,
    pub(crate) hook_id: u64,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) repos: BTreeMap<String, Repo>,
    pub(crate) installations: BTreeMap<u64, Installation>,
    pub(crate) tokens: HashMap<String, Token>,
    pub(crate) deliveries: Vec<Delivery>,
    /// Deliveries made since the lock was taken; handed to the sender when it is given back.
    pub(crate) outbox: Vec<u64>,
    pub(crate) requests: Vec<ApiRequest>,
    pub(crate) faults: Vec<PlannedFault>,
    pub(crate) pauses: Vec<PlannedPause>,
    pub(crate) latency: std::time::Duration,
    /// Requests of each caller in the current hour.
    pub(crate) used: HashMap<String, (i64, u64)>,
    next_id: u64,
}

impl World {
    pub(crate) fn new(clock: ForgeClock, urls: Urls, data_dir: PathBuf, app: App) -> Self {
        let mut world = Self {
            clock,
            urls,
            data_dir,
            app,
            hook_id: 109_948_940,
            webhook: None,
            users: BTreeMap::new(),
            repos: BTreeMap::new(),
            installations: BTreeMap::new(),
            tokens: HashMap::new(),
            deliveries: Vec::new(),
            outbox: Vec::new(),
            requests: Vec::new(),
            faults: Vec::new(),
            pauses: Vec::new(),
            latency: std::time::Duration::ZERO,
            used: HashMap::new(),
            next_id: 1_000_000,
        };
        let (owner, bot) = (world.app.owner.clone(), world.app.bot_login());
        world.ensure_user(&owner, UserKind::User);
        world.ensure_user(&bot, UserKind::Bot);
        world
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn ensure_user(&mut self, login: &str, kind: UserKind) {
        let key = login.to_lowercase();
        if !self.users.contains_key(&key) {
            let user = User { id: self.fresh_id(), login: login.to_owned(), kind, created_at: self.now() };
            self.users.insert(key, user);
        }
    }

    pub(crate) fn user(&self, login: &str) -> Option<&User> {
        self.users.get(&login.to_lowercase())
    }

    /// A repository by `owner/name`, in any case.
    pub(crate) fn repo(&self, full_name: &str) -> Result<&Repo> {
        self.repos
            .get(&full_name.to_lowercase())
            .ok_or_else(|| ForgeError::NotFound(format!("repository {full_name}")))
    }

    pub(crate) fn repo_mut(&mut self, full_name: &str) -> Result<&mut Repo> {
        self.repos
            .get_mut(&full_name.to_lowercase())
            .ok_or_else(|| ForgeError::NotFound(format!("repository {full_name}")))
    }

    pub(crate) fn repo_by_id(&self, id: u64) -> Option<&Repo> {
        self.repos.values().find(|repo| repo.id == id)
    }

    pub(crate) fn find_issue(&self, repo: &str, number: u64) -> Result<&Issue> {
        let found = self.repo(repo)?.issues.get(&number);
        found.ok_or_else(|| ForgeError::NotFound(format!("issue {repo}#{number}")))
    }

    pub(crate) fn issue_mut(&mut self, repo: &str, number: u64) -> Result<&mut Issue> {
        let found = self.repo_mut(repo)?.issues.get_mut(&number);
        found.ok_or_else(|| ForgeError::NotFound(format!("issue {repo}#{number}")))
    }

    /// The issue and its pull half, where it is a pull request.
    pub(crate) fn find_pull(&self, repo: &str, number: u64) -> Result<(&Issue, &Pull)> {
        let missing = || ForgeError::NotFound(format!("pull request {repo}#{number}"));
        let issue = self.repo(repo)?.issues.get(&number).ok_or_else(missing)?;
        let pull = issue.pull.as_ref().ok_or_else(missing)?;
        Ok((issue, pull))
    }

    pub(crate) fn pull_mut(&mut self, repo: &str, number: u64) -> Result<&mut Pull> {
        let missing = || ForgeError::NotFound(format!("pull request {repo}#{number}"));
        self.issue_mut(repo, number)?.pull.as_mut().ok_or_else(missing)
    }

    pub(crate) fn find_comment(&self, repo: &str, id: u64) -> Result<&Comment> {
        let found = self.repo(repo)?.comments.get(&id);
        found.ok_or_else(|| ForgeError::NotFound(format!("comment {id} in {repo}")))
    }

    /// The installation that has the repository.
    pub(crate) fn installation_of(&self, repo: &Repo) -> Option<&Installation> {
        self.installations.values().find(|installation| installation.repositories.contains(&repo.id))
    }
}
