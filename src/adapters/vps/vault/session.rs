//! Our token: had by VAULT_TOKEN or from an AppRole, renewed before it runs out, replaced when Vault takes it no more.
//!
//! - A token is renewed (`auth/token/renew-self`) by the first use after two thirds of its time. An AppRole's that can't be renewed for long
//!   enough is replaced by logging in again.
//! - A token that somebody gave us can't be had again once it is over. While it can be renewed, a task does so when nobody uses it.
//! - A 403 may mean that the token is over, or revoked, or that the policy lacks something. Then an AppRole logs in again, unless
//!   `auth/token/lookup-self` says that the token lives or it is but a few seconds old; a token's file is read again.

use super::answer::{Answer, unavailable};
use super::http::{Http, Request};
use super::{Credential, Login};
use crate::ports::{SecretError, SecretText};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A token this young was not revoked: what it may not do, a new one may not do either. Else a policy that lacks something would cost a
/// login each time.
const YOUNG: Duration = Duration::from_secs(5);
/// A renewal that failed is not tried again sooner.
const AGAIN: Duration = Duration::from_secs(10);

/// A token, and how long it lives.
#[derive(Clone)]
pub(super) struct Token {
    text: SecretText,
    since: Instant,
    /// `None`: for ever, or nobody knows.
    lease: Option<Duration>,
    renewable: bool,
    renew_at: Option<Instant>,
}

impl Token {
    /// `lease` in seconds, 0 for ever.
    fn new(text: SecretText, lease: u64, renewable: bool) -> Self {
        let since = Instant::now();
        let lease = Some(Duration::from_secs(lease)).filter(|lease| !lease.is_zero());
        Self { text, since, lease, renewable, renew_at: lease.map(|lease| since + lease * 2 / 3) }
    }

    pub(super) fn text(&self) -> &SecretText {
        &self.text
    }

    fn is_due(&self) -> bool {
        self.renew_at.is_some_and(|at| at <= Instant::now())
    }

    fn left(&self) -> Option<Duration> {
        self.lease.map(|lease| (self.since + lease).saturating_duration_since(Instant::now()))
    }
}

/// What became of a token that Vault did not take.
pub(super) enum Doubt {
    /// There is another one.
    Replaced(Token),
    /// It is as good as any that we can have.
    Stays,
}

/// Who we are.
pub(super) struct Session {
    http: Arc<Http>,
    login: Login,
    token: Mutex<Option<Token>>,
    kept: AtomicBool,
}

impl Session {
    pub(super) fn new(http: Arc<Http>, login: Login) -> Self {
        Self { http, login, token: Mutex::new(None), kept: AtomicBool::new(false) }
    }

    /// The token to use now.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Token, SecretError> {
        let mut held = self.token.lock().await;
        let token = match held.take() {
            Some(token) if token.is_due() => self.renewed(token).await?,
            Some(token) => token,
            None => self.open().await?,
        };
        *held = Some(token.clone());
        Ok(token)
    }

    /// Vault did not take this token.
    ///
    /// # Errors
    /// When no other can be had, though one has to be.
    pub(super) async fn doubted(self: &Arc<Self>, doubted: &Token) -> Result<Doubt, SecretError> {
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| token.text != doubted.text) {
            return Ok(Doubt::Replaced(token.clone()));
        }
        let fresh = match &self.login {
            Login::Token(Credential::Text(_)) => return Ok(Doubt::Stays),
            Login::Token(file @ Credential::File(_)) => {
                if file.read("VAULT_TOKEN_FILE")? == doubted.text {
                    return Ok(Doubt::Stays);
                }
                self.open().await?
            }
            Login::AppRole { .. } => {
                if doubted.since.elapsed() < YOUNG || self.look_up(doubted).await?.status == 200 {
                    return Ok(Doubt::Stays);
                }
                self.open().await?
            }
        };
        *held = Some(fresh.clone());
        Ok(Doubt::Replaced(fresh))
    }

    /// Whether Vault knows the present token.
    pub(super) async fn lives(self: &Arc<Self>) -> Result<bool, SecretError> {
        let token = self.token().await?;
        Ok(self.look_up(&token).await?.status == 200)
    }

    /// What to say where Vault takes our token for nothing. A policy without `default` may not look its token up: it may be that too.
    pub(super) fn over(&self, path: &str, hint: &str) -> String {
        let what = match &self.login {
            Login::Token(Credential::Text(_)) => {
                "VAULT_TOKEN is not valid, or no more; set a new one, or use an AppRole"
            }
            Login::Token(Credential::File(_)) => {
                "the token in VAULT_TOKEN_FILE is not valid, or no more; write a new one"
            }
            Login::AppRole { .. } => "the AppRole's token is not valid",
        };
        format!("permission denied on {path}: {what}. If it is valid, {hint}")
    }

    /// For `doctor`: what is wrong with the token's time, if anything.
    pub(super) async fn life(&self) -> String {
        let held = self.token.lock().await;
        match (&self.login, held.as_ref()) {
            (Login::Token(Credential::Text(_)), Some(token)) if !token.renewable => match token.left() {
                Some(left) => format!(
                    ", but VAULT_TOKEN can't be renewed and is over in {} h; make one with `vault token create -period=768h \
                     -policy=cloud-code`, or use an AppRole",
                    left.as_secs() / 3600
                ),
                None => String::new(),
            },
            _ => String::new(),
        }
    }

    async fn look_up(&self, token: &Token) -> Result<Answer, SecretError> {
        self.http.send(&Request::get("auth/token/lookup-self".to_owned()), Some(&token.text)).await
    }

    /// A token that was not used before.
    async fn open(self: &Arc<Self>) -> Result<Token, SecretError> {
        match &self.login {
            Login::Token(given) => {
                let mut token = Token::new(given.read("VAULT_TOKEN_FILE")?, 0, false);
                let answer = self.look_up(&token).await?;
                // Who may not ask may still read secrets; a token that is none is found out by that.
                if answer.status == 200 {
                    let (lease, renewable) = (seconds(&answer.data()["ttl"]), &answer.data()["renewable"]);
                    token = Token::new(token.text, lease, renewable.as_bool().unwrap_or_default());
                }
                if token.renewable && token.lease.is_some() && !self.kept.swap(true, Ordering::Relaxed) {
                    tokio::spawn(keep(Arc::downgrade(self)));
                }
                Ok(token)
            }
            Login::AppRole { mount, role_id, secret_id } => {
                let secret = secret_id.read("VAULT_SECRET_ID_FILE")?;
                let body = json!({ "role_id": role_id, "secret_id": secret.reveal() });
                let path = format!("auth/{mount}/login");
                let answer = self.http.send(&Request::post(path.clone(), body), None).await?;
                let text = answer.auth()["client_token"].as_str();
                match (answer.status, text) {
                    (200, Some(text)) => Ok(granted(text, &answer)),
                    _ => {
                        let problem = format!(
                            "the AppRole can't log in at {path}: {}. Look whether VAULT_ROLE_ID is the role's, and whether \
                             VAULT_SECRET_ID is used up or too old (`vault write -f auth/{mount}/role/ROLE/secret-id` makes one)",
                            answer.without(&secret).explain()
                        );
                        Err(unavailable(self.http.url(), problem))
                    }
                }
            }
        }
    }

    /// The token with more time, another one, or, where neither is to be had and it still lives, itself.
    async fn renewed(self: &Arc<Self>, token: Token) -> Result<Token, SecretError> {
        let left = token.left().unwrap_or_default();
        let mut problem = "it can't be renewed".to_owned();
        if token.renewable && !left.is_zero() {
            let renewal = Request::post("auth/token/renew-self".to_owned(), json!({}));
            match self.http.send(&renewal, Some(&token.text)).await {
                Ok(answer) if answer.status == 200 => {
                    let renewed = granted(token.text.reveal(), &answer);
                    // Towards the end of the longest time that a token may have, renewals give less and less.
                    let enough = renewed.lease.zip(token.lease).is_none_or(|(new, old)| new > old / 2);
                    if enough || matches!(self.login, Login::Token(_)) {
                        return Ok(renewed);
                    }
                }
                Ok(answer) => problem = answer.explain(),
                Err(error) => problem = error.to_string(),
            }
        }
        let fresh = match &self.login {
            Login::AppRole { .. } => self.open().await,
            Login::Token(given @ Credential::File(_)) if given.read("VAULT_TOKEN_FILE")? != token.text => {
                self.open().await
            }
            Login::Token(_) => {
                tracing::warn!(%problem, seconds_left = left.as_secs(), "the token for Vault is not renewed");
                let again = (!left.is_zero()).then(|| Instant::now() + AGAIN.max(left / 2));
                return Ok(Token { renew_at: again, ..token });
            }
        };
        match fresh {
            Err(error) if !left.is_zero() => {
                tracing::warn!(%error, seconds_left = left.as_secs(), "no new token for Vault; the old one is used on");
                Ok(Token { renew_at: Some(Instant::now() + AGAIN.min(left / 2)), ..token })
            }
            other => other,
        }
    }
}

/// The token of an answer's `auth`.
fn granted(text: &str, answer: &Answer) -> Token {
    let auth = answer.auth();
    let renewable = auth["renewable"].as_bool().unwrap_or_default();
    Token::new(SecretText::new(text), seconds(&auth["lease_duration"]), renewable)
}

fn seconds(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Renews a token that was given to us whenever it is due, as long as the store is there and it lives.
fn keep(session: Weak<Session>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        loop {
            let Some(held) = session.upgrade() else { return };
            let due = held.token.lock().await.as_ref().and_then(|token| token.renew_at);
            let Some(due) = due else { return held.kept.store(false, Ordering::Relaxed) };
            drop(held);
            tokio::time::sleep_until(due).await;
            let Some(held) = session.upgrade() else { return };
            if let Err(error) = held.token().await {
                tracing::warn!(%error, "the token for Vault is not renewed");
            }
        }
    })
}

impl Credential {
    /// The text, from its file where it is in one; `variable` names that.
    fn read(&self, variable: &str) -> Result<SecretText, SecretError> {
        let path = match self {
            Self::Text(text) => return Ok(text.clone()),
            Self::File(path) => path,
        };
        let wrong = |problem: &dyn std::fmt::Display| {
            SecretError::Unavailable(format!("{variable}: {}: {problem}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        match text.trim() {
            "" => Err(wrong(&"the file is empty")),
            text => Ok(SecretText::new(text)),
        }
    }
}
