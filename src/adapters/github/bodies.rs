//! The parts of GitHub's bodies that we read. Unknown fields are ignored; what may be missing is an `Option`.
//! Source: GitHub's OpenAPI description, REST API version 2022-11-28.

use crate::ports::Comment;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// No `Debug`: the token must not be shown.
#[derive(Deserialize)]
pub(super) struct MintedToken {
    pub(super) token: String,
    pub(super) expires_at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub(super) struct AppBody {
    pub(super) id: u64,
    pub(super) slug: Option<String>,
    #[serde(default)]
    pub(super) permissions: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) events: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Numbered {
    pub(super) id: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RepositoryBody {
    pub(super) default_branch: String,
    pub(super) full_name: Option<String>,
    #[serde(default)]
    pub(super) archived: bool,
    #[serde(default)]
    pub(super) disabled: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct PermissionBody {
    pub(super) permission: String,
    pub(super) role_name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) login: String,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Label {
    Text(String),
    Object { name: Option<String> },
}

#[derive(Debug, Deserialize)]
pub(super) struct IssueBody {
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) user: Option<User>,
    pub(super) html_url: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) labels: Vec<Label>,
    pub(super) pull_request: Option<serde_json::Value>,
}

/// A file of a pull request.
#[derive(Debug, Deserialize)]
pub(super) struct FileBody {
    pub(super) filename: String,
    pub(super) previous_filename: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct VariablesBody {
    pub(super) variables: Vec<VariableBody>,
}

#[derive(Debug, Deserialize)]
pub(super) struct VariableBody {
    pub(super) name: String,
    pub(super) value: String,
}

/// GitHub shows deleted accounts as this one.
pub(super) const GHOST: &str = "ghost";

#[derive(Debug, Deserialize)]
pub(super) struct CommentBody {
    pub(super) id: u64,
    pub(super) user: Option<User>,
    pub(super) body: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) performed_via_github_app: Option<Numbered>,
}

impl From<CommentBody> for Comment {
    fn from(body: CommentBody) -> Self {
        Self {
            id: body.id,
            by_bot: body.user.as_ref().is_some_and(|user| user.kind == "Bot"),
            author: body.user.map_or_else(|| GHOST.to_owned(), |user| user.login),
            body: body.body.unwrap_or_default(),
            created_at: body.created_at,
            updated_at: body.updated_at,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PullBody {
    pub(super) number: u64,
    pub(super) html_url: String,
    #[serde(default)]
    pub(super) draft: bool,
    pub(super) body: Option<String>,
    pub(super) head: PullEnd,
    pub(super) base: PullEnd,
}

impl PullBody {
    /// Whether its branch lies in another repository, or in one that is gone.
    pub(super) fn is_from_fork(&self) -> bool {
        match (&self.head.repo, &self.base.repo) {
            (Some(head), Some(base)) => head.id != base.id,
            _ => true,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PullEnd {
    #[serde(rename = "ref")]
    pub(super) branch: String,
    pub(super) repo: Option<Numbered>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRuns {
    pub(super) check_runs: Vec<CheckRun>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRun {
    pub(super) id: u64,
    pub(super) external_id: Option<String>,
    pub(super) app: Option<Numbered>,
}

/// An entry of a folder; with `content` where the file itself was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct ContentBody {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) size: u64,
    pub(super) encoding: Option<String>,
    pub(super) content: Option<String>,
}
