//! The few fields of a webhook payload that decide anything. Source: GitHub's webhook events and payloads.

use jiff::Timestamp;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Payload {
    #[serde(default)]
    pub(super) action: String,
    pub(super) issue: Option<Issue>,
    pub(super) comment: Option<Comment>,
    pub(super) label: Option<Label>,
    pub(super) repository: Option<Repository>,
    pub(super) sender: Option<User>,
    pub(super) installation: Option<Installation>,
    pub(super) pull_request: Option<PullRequest>,
    #[serde(default)]
    pub(super) repositories: Vec<Named>,
    #[serde(default)]
    pub(super) repositories_added: Vec<Named>,
    #[serde(default)]
    pub(super) repositories_removed: Vec<Named>,
}

/// A repository as payloads have it, for events of our own making.
pub(in crate::app) fn repository(repository: &cloud_code_model::run::Repository) -> serde_json::Value {
    serde_json::json!({
        "name": repository.name,
        "full_name": repository.full_name(),
        "owner": { "login": repository.owner },
        "default_branch": repository.default_branch,
    })
}

/// A repository in the lists of the events of an installation.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) full_name: String,
}

impl Payload {
    /// The issue or pull request that it is about.
    pub(super) fn subject(&self) -> Option<u64> {
        let pull = self.pull_request.as_ref().map(|pull| pull.number);
        self.issue.as_ref().map(|issue| issue.number).or(pull)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PullRequest {
    pub(super) number: u64,
    #[serde(default)]
    pub(super) updated_at: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    pub(super) number: u64,
    #[serde(default)]
    pub(super) updated_at: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) body: Option<String>,
    pub(super) created_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Label {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Repository {
    pub(super) name: String,
    pub(super) owner: User,
    pub(super) default_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) login: String,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Installation {
    pub(super) id: u64,
}
