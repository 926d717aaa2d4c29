//! What Vault answers, and what its errors mean to whoever has to mend them.

use crate::ports::{SecretError, SecretText};
use serde_json::Value;
use std::fmt::Display;
use std::time::Duration;

/// Of what Vault says about an error, as much is passed on.
const MAX_SAID: usize = 400;

/// An answer. It may hold a value or a token: it has no `Debug`.
pub(super) struct Answer {
    pub(super) status: u16,
    /// As `Retry-After` has it.
    pub(super) retry_after: Option<Duration>,
    json: Value,
    /// Whether there is a body, and it is not JSON: some proxy's page.
    strange: bool,
    /// The texts of `errors` and `warnings`, in one line.
    said: String,
}

impl Answer {
    /// Reads a body. `token` is what must not be passed on.
    pub(super) fn new(
        status: u16,
        retry_after: Option<Duration>,
        body: &[u8],
        token: Option<&SecretText>,
    ) -> Self {
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let strange = json.is_none() && !body.is_empty();
        let json = json.unwrap_or_default();
        let texts = ["errors", "warnings", "error"].map(|name| match &json[name] {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
            Value::String(one) => one.clone(),
            _ => String::new(),
        });
        let said = texts.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        let answer = Self { status, retry_after, json, strange, said };
        match token {
            Some(token) => answer.without(token),
            None => answer,
        }
    }

    /// The same, where what it says has this text no more.
    pub(super) fn without(mut self, secret: &SecretText) -> Self {
        if !secret.reveal().is_empty() {
            self.said = self.said.replace(secret.reveal(), "***");
        }
        self
    }

    pub(super) fn json(&self) -> &Value {
        &self.json
    }

    pub(super) fn data(&self) -> &Value {
        &self.json["data"]
    }

    pub(super) fn auth(&self) -> &Value {
        &self.json["auth"]
    }

    pub(super) fn says(&self, text: &str) -> bool {
        self.said.contains(text)
    }

    /// Whether a 404 means that nothing is there. One with words is about the path: no engine is mounted there, or one of the other
    /// version ("Invalid path for a versioned K/V secrets engine").
    pub(super) fn is_absence(&self) -> bool {
        self.said.is_empty() && !self.strange
    }

    /// Whether the same request may have another answer in a moment (api-docs/index, "HTTP status codes"; api-docs/system/health).
    pub(super) fn asks_for_patience(&self) -> bool {
        matches!(self.status, 412 | 429 | 472 | 473 | 500 | 502..=504)
    }

    /// What it means and what to do.
    pub(super) fn explain(&self) -> String {
        let meaning = match self.status {
            503 if self.says("sealed") => {
                "Vault is sealed; unseal it with `vault operator unseal`, or look why its auto-unseal fails"
            }
            503 => "Vault is sealed or down for maintenance; `vault status` tells",
            501 => "Vault is not initialised; `vault operator init` does that",
            429 => {
                "it is a standby that passes nothing on, or its rate limit is reached; name the active node in VAULT_URL, or raise the quota"
            }
            472 => "it is a secondary for disaster recovery; name the active cluster in VAULT_URL",
            473 => "it is a performance standby that passes nothing on; name the active node in VAULT_URL",
            404 if self.says("versioned K/V") => {
                "the engine has version 2, and SECRETS_URL says ?kv=1; take that out of it"
            }
            _ if self.strange => {
                "this is no answer of Vault's; look at VAULT_URL, and at what stands between"
            }
            404 => {
                "there is no KV engine at this path; correct SECRETS_URL, or make one with `vault secrets enable -path=MOUNT kv-v2`"
            }
            405 => {
                "the engine knows no such operation; it may be no KV engine, or of another version than SECRETS_URL says"
            }
            301 | 302 | 307 | 308 => {
                "it redirects to where our token must not go; name the active node, with https, in VAULT_URL"
            }
            _ => "",
        };
        let said = match self.said.char_indices().nth(MAX_SAID) {
            Some((end, _)) => format!("{} …", &self.said[..end]),
            None => self.said.clone(),
        };
        let mut text = format!("HTTP {}", self.status);
        for part in [meaning, &said] {
            if !part.is_empty() {
                text.push_str(": ");
                text.push_str(part);
            }
        }
        text
    }
}

/// The error of a Vault that does not do it.
pub(super) fn unavailable(url: &str, problem: impl Display) -> SecretError {
    SecretError::Unavailable(format!("Vault at {url}: {problem}"))
}
