//! The repository, cloned by the agent itself, with a token that can read it and nothing else.

use std::path::Path;
use std::time::Duration;

use cloud_code_git::mirror::{Mirror, MirrorKey, Mirrors};
use cloud_code_git::workspace::{self, WorkspaceSpec};
use cloud_code_git::{Credentials, GitError, Oid, Remote};
use cloud_code_model::task::GrantedCheckout;

/// Waits between tries: a container's network may need a moment after its start.
const WAITS: [u64; 3] = [2, 5, 15];

fn fetch(mirrors: &Mirrors, key: &MirrorKey, remote: &Remote) -> Result<Mirror, GitError> {
    for wait in WAITS {
        match mirrors.fetch(key, remote) {
            Err(GitError::Network { .. }) => std::thread::sleep(Duration::from_secs(wait)),
            other => return other,
        }
    }
    mirrors.fetch(key, remote)
}

/// Clones beside the workspace, and checks out into it. The token is written nowhere.
pub(super) fn make(checkout: &GrantedCheckout, root: &Path) -> Result<(), GitError> {
    let invalid = || GitError::Invalid(format!("`{}` is not a repository's host/owner/name", checkout.key));
    let (host, rest) = checkout.key.split_once('/').ok_or_else(invalid)?;
    let (owner, name) = rest.rsplit_once('/').ok_or_else(invalid)?;
    let key = MirrorKey::new(host, owner, name)?;
    let mut remote = Remote::new(checkout.url.clone())?;
    if let Some(token) = &checkout.token {
        remote = remote.with_credentials(Credentials {
            // The user name that GitHub documents for installation tokens.
            username: "x-access-token".to_owned(),
            password: token.clone(),
        });
    }
    let beside = std::env::temp_dir().join("cloud-code-objects");
    let mirror = fetch(&Mirrors::new(beside), &key, &remote)?;
    workspace::create(&WorkspaceSpec {
        mirror: &mirror,
        base: Oid::from_str(&checkout.base)?,
        branch: &checkout.branch,
        dir: root,
        objects_at: None,
        remote_url: &checkout.url,
        owner: None,
    })
    .map(drop)
}
