//! GitHub, behind the forge port: GitHub.com and Enterprise Server alike.
//!
//! octocrab carries the requests; the bodies are our own, and nothing of octocrab's leaves this folder. Every write looks
//! for what it made before, so that a call may be repeated after an answer was lost.

mod bodies;
mod changes;
mod checks;
mod comments;
mod deliveries;
mod errors;
mod pulls;
mod reads;
mod remembered;
mod setup;
mod tokens;
mod transport;
mod variables;
mod writes;

use crate::ports::{
    CheckSpec, Clock, Comment, FailedDelivery, Forge, ForgeError, Issue, LabelChange, PullSpec, Remote,
    RemoteAccess, RepositoryInfo, SecretText, WorkflowFile,
};
use async_trait::async_trait;
use cloud_code_model::policy::Permission;
use cloud_code_model::run::{PullRequest, Repository};
use deliveries::Quiet;
use jiff::Timestamp;
use reads::PermissionCache;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokens::{Grant, Tokens};
use transport::encoded;
use variables::VariableCache;
use writes::WriteGate;

pub use setup::GitHubSetupError;

/// How GitHub is reached, and as which App.
#[derive(Clone)]
pub struct GitHubConfig {
    /// `https://api.github.com`, or `https://HOST/api/v3` for Enterprise Server.
    pub api_url: String,
    /// `https://github.com`, or the Enterprise Server's address: where git and people go.
    pub web_url: String,
    /// The App's id.
    pub app_id: u64,
    /// The App's name in addresses; its account is `SLUG[bot]`.
    pub slug: String,
    /// A private key of the App, RSA in PEM, as GitHub gives it. Line ends may be written as `\n`.
    pub private_key_pem: SecretText,
    /// Tells when tokens end.
    pub clock: Arc<dyn Clock>,
}

/// GitHub as a forge. Holds tokens and a connection pool; share one.
pub struct GitHubForge {
    tokens: Tokens,
    writes: WriteGate,
    permissions: PermissionCache,
    variables: VariableCache,
    quiet: Quiet,
    clock: Arc<dyn Clock>,
    web_url: String,
    host: String,
    app_id: u64,
    slug: String,
}

impl GitHubForge {
    /// The path of a repository in the API, with nothing in the names that could lead elsewhere.
    fn path(repository: &Repository, rest: &str) -> String {
        format!("/repos/{}/{}{rest}", encoded(&repository.owner), encoded(&repository.name))
    }
}

#[async_trait]
impl Forge for GitHubForge {
    fn own_login(&self) -> String {
        format!("{}[bot]", self.slug)
    }

    async fn repository(&self, repository: &Repository) -> Result<RepositoryInfo, ForgeError> {
        self.read_repository(repository).await
    }

    async fn permission(&self, repository: &Repository, login: &str) -> Result<Permission, ForgeError> {
        self.read_permission(repository, login).await
    }

    async fn issue(&self, repository: &Repository, number: u64) -> Result<Issue, ForgeError> {
        self.read_issue(repository, number).await
    }

    async fn comments(&self, repository: &Repository, number: u64) -> Result<Vec<Comment>, ForgeError> {
        self.last_comments(repository, number).await
    }

    async fn workflows(&self, repository: &Repository) -> Result<Vec<WorkflowFile>, ForgeError> {
        self.read_workflows(repository).await
    }

    async fn changed_files(&self, repository: &Repository, number: u64) -> Result<Vec<String>, ForgeError> {
        self.read_changed_files(repository, number).await
    }

    async fn find(&self, owner: &str, name: &str) -> Result<Repository, ForgeError> {
        self.find_repository(owner, name).await
    }

    async fn variables(
        &self,
        repository: &Repository,
        environment: Option<&str>,
    ) -> Result<BTreeMap<String, String>, ForgeError> {
        self.read_variables(repository, environment).await
    }

    async fn file(&self, repository: &Repository, path: &str) -> Result<Option<String>, ForgeError> {
        self.read_file(repository, path).await
    }

    async fn remote(&self, repository: &Repository, access: RemoteAccess) -> Result<Remote, ForgeError> {
        let grant = match access {
            RemoteAccess::Read => Grant::Fetch,
            RemoteAccess::Write => Grant::Push,
        };
        let token = self.tokens.mint(repository, grant).await?;
        let (owner, name) = (&repository.owner, &repository.name);
        Ok(Remote {
            url: format!("{}/{}/{}.git", self.web_url, encoded(owner), encoded(name)),
            key: format!("{}/{owner}/{name}", self.host).to_lowercase(),
            token: Some(token),
        })
    }

    async fn put_comment(
        &self,
        repository: &Repository,
        number: u64,
        marker: &str,
        known: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let _turn = self.writes.turn(repository.installation).await;
        self.find_or_post_comment(repository, number, marker, known, body).await
    }

    async fn change_labels(
        &self,
        repository: &Repository,
        number: u64,
        change: &LabelChange,
    ) -> Result<(), ForgeError> {
        let _turn = self.writes.turn(repository.installation).await;
        self.add_and_remove_labels(repository, number, change).await
    }

    async fn open_pull(
        &self,
        repository: &Repository,
        head: &str,
    ) -> Result<Option<PullRequest>, ForgeError> {
        Ok(self.find_open_pull(repository, Grant::Read, head, None).await?.map(PullRequest::from))
    }

    async fn put_pull(&self, repository: &Repository, spec: &PullSpec) -> Result<PullRequest, ForgeError> {
        let _turn = self.writes.turn(repository.installation).await;
        self.find_or_open_pull(repository, spec).await
    }

    async fn put_check(
        &self,
        repository: &Repository,
        known: Option<u64>,
        spec: &CheckSpec,
    ) -> Result<u64, ForgeError> {
        let _turn = self.writes.turn(repository.installation).await;
        self.find_or_make_check(repository, known, spec).await
    }

    fn remembers_deliveries(&self) -> bool {
        true
    }

    async fn failed_deliveries(&self, since: Timestamp) -> Result<Vec<FailedDelivery>, ForgeError> {
        self.list_failed_deliveries(since).await
    }

    async fn redeliver(&self, call: u64) -> Result<(), ForgeError> {
        self.ask_for_delivery(call).await
    }

    async fn check(&self) -> Result<String, ForgeError> {
        self.describe_app().await
    }
}
