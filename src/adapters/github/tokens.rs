//! Tokens: the App's own, signed here, and its installations', minted by GitHub and narrowed to one repository and to what
//! a call needs.
//!
//! Tokens for API calls are kept until five minutes before they end. Tokens for git are minted at each use and never kept,
//! so that none is older than the push it serves.

use super::bodies::MintedToken;
use super::transport::{Call, Reply, Transport};
use crate::ports::{Clock, ForgeError, SecretText};
use cloud_code_model::run::Repository;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use octocrab::jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A kept token that ends sooner is not used any more.
const RESERVE: SignedDuration = SignedDuration::from_mins(5);
/// The App's token is dated back for clocks that differ (GitHub recommends a minute), and lives at most ten minutes.
const BACKDATED: i64 = 60;
const APP_TOKEN_LIVES: i64 = 8 * 60;
/// Tokens kept at once: five kinds for each of 400 repositories.
const MAX_KEPT: usize = 2_000;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Grant {
    /// API reads.
    Read,
    /// Comments and labels.
    Issues,
    /// Pull requests.
    Pulls,
    /// Check runs.
    Checks,
    /// Variables of the repository, and those of its owner that it sees.
    Variables,
    /// Variables of environments.
    Environments,
    /// git fetch.
    Fetch,
    /// git push.
    Push,
}

impl Grant {
    fn permissions(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Read => {
                &[("metadata", "read"), ("contents", "read"), ("issues", "read"), ("pull_requests", "read")]
            }
            Self::Issues => &[("issues", "write")],
            Self::Pulls => &[("pull_requests", "write"), ("contents", "read")],
            Self::Checks => &[("checks", "write")],
            Self::Variables => &[("actions_variables", "read")],
            Self::Environments => &[("environments", "read")],
            Self::Fetch => &[("contents", "read")],
            Self::Push => &[("contents", "write")],
        }
    }

    /// `issues: write`, for people.
    pub(super) fn words(self) -> String {
        let words: Vec<String> =
            self.permissions().iter().map(|(name, access)| format!("{name}: {access}")).collect();
        words.join(", ")
    }
}

/// Installation, `owner/name` in lower case, and what the token may do.
type Key = (u64, String, Grant);

struct Kept {
    token: SecretText,
    expires_at: Timestamp,
}

/// A place of its own for each key, so that calls at the same time mint one token between them.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// Signs, mints and keeps tokens.
pub(super) struct Tokens {
    transport: Transport,
    clock: Arc<dyn Clock>,
    app_id: u64,
    key: EncodingKey,
    kept: Mutex<HashMap<Key, Slot>>,
}

#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: u64,
}

impl Tokens {
    pub(super) fn new(transport: Transport, clock: Arc<dyn Clock>, app_id: u64, key: EncodingKey) -> Self {
        Self { transport, clock, app_id, key, kept: Mutex::default() }
    }

    /// A call as the App itself.
    pub(super) async fn as_app(&self, call: &Call) -> Result<Reply, ForgeError> {
        let now = self.clock.now().as_second();
        let claims = Claims { iat: now - BACKDATED, exp: now + APP_TOKEN_LIVES, iss: self.app_id };
        let token = encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|_| ForgeError::Unauthorized("GITHUB_PRIVATE_KEY can't be signed with".to_owned()))?;
        self.transport.send(&SecretText::new(token), None, call).await
    }

    /// A call as the installation, narrowed to the repository and the grant.
    pub(super) async fn as_installation(
        &self,
        repository: &Repository,
        grant: Grant,
        call: &Call,
    ) -> Result<Reply, ForgeError> {
        let token = self.kept(repository, grant).await?;
        match self.transport.send(&token, Some(grant), call).await {
            // The token was revoked, or our clock is slow: nothing has happened yet, so once more with a new one.
            Err(ForgeError::Unauthorized(_)) => {
                self.forget(repository, grant, &token).await;
                let token = self.kept(repository, grant).await?;
                self.transport.send(&token, Some(grant), call).await
            }
            answer => answer,
        }
    }

    /// A token made now.
    pub(super) async fn mint(&self, repository: &Repository, grant: Grant) -> Result<SecretText, ForgeError> {
        Ok(self.minted(repository, grant).await?.token)
    }

    async fn kept(&self, repository: &Repository, grant: Grant) -> Result<SecretText, ForgeError> {
        let slot = self.slot(repository, grant);
        let mut slot = slot.lock().await;
        let now = self.clock.now();
        if let Some(kept) = slot.as_ref().filter(|kept| kept.expires_at.duration_since(now) > RESERVE) {
            return Ok(kept.token.clone());
        }
        let minted = self.minted(repository, grant).await?;
        let token = minted.token.clone();
        *slot = Some(minted);
        Ok(token)
    }

    /// Drops a token, unless somebody has renewed it meanwhile.
    async fn forget(&self, repository: &Repository, grant: Grant, token: &SecretText) {
        let slot = self.slot(repository, grant);
        let mut slot = slot.lock().await;
        if slot.as_ref().is_some_and(|kept| kept.token == *token) {
            *slot = None;
        }
    }

    fn slot(&self, repository: &Repository, grant: Grant) -> Slot {
        let key = (repository.installation, repository.full_name().to_lowercase(), grant);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT && !kept.contains_key(&key) {
            // Those in use have a second owner; the others cost one request each to have again.
            kept.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(kept.entry(key).or_default())
    }

    async fn minted(&self, repository: &Repository, grant: Grant) -> Result<Kept, ForgeError> {
        let permissions: serde_json::Map<String, serde_json::Value> =
            grant.permissions().iter().map(|(name, access)| ((*name).to_owned(), (*access).into())).collect();
        let call =
            Call::new(Method::POST, format!("/app/installations/{}/access_tokens", repository.installation))
                .body(serde_json::json!({ "repositories": [repository.name], "permissions": permissions }))?;
        let name = repository.full_name();
        let minted: MintedToken = match self.as_app(&call).await {
            Ok(reply) => reply.read()?,
            // GitHub says so where the installation lacks the repository or a permission.
            Err(ForgeError::Invalid(text)) => {
                return Err(ForgeError::Forbidden(format!(
                    "{text}; the App's installation must cover {name} and grant {}",
                    grant.words()
                )));
            }
            Err(ForgeError::NotFound(text)) => {
                return Err(ForgeError::NotFound(format!("{text}; is the App still installed for {name}?")));
            }
            Err(error) => return Err(error),
        };
        Ok(Kept { token: SecretText::new(minted.token), expires_at: minted.expires_at })
    }
}
