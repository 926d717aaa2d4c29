//! Secrets in Secrets Manager. A secret's name is `PREFIX/SCOPE/NAME`, where the scope is `org/OWNER`, `repo/OWNER/NAME` or
//! `env/OWNER/NAME/ENVIRONMENT`, so that no scope's names begin another's, and a policy can name one.
//!
//! Values are remembered for a minute, absent ones too: a run asks for the same few names again and again, and each question is paid
//! for. What this process sets or deletes, it knows at once.

use super::Aws;
use super::error::{code, why};
use crate::ports::{Scope, SecretError, SecretName, SecretStore, SecretText};
use async_trait::async_trait;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is believed.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Secrets Manager takes no larger value.
const MAX_VALUE: usize = 65_536;

/// The secret store.
pub struct SecretsManager {
    client: aws_sdk_secretsmanager::Client,
    prefix: String,
    known: Mutex<HashMap<String, (Instant, Option<SecretText>)>>,
}

impl SecretsManager {
    /// Secrets below this prefix; nothing is asked of AWS yet.
    pub fn new(aws: &Aws, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into().trim_end_matches('/').to_owned();
        Self { client: aws_sdk_secretsmanager::Client::new(&aws.config), prefix, known: Mutex::default() }
    }

    /// The secret of this whole name, whoever made it; `None` where there is none.
    ///
    /// # Errors
    /// When Secrets Manager does not answer, or does not let us.
    pub async fn read(&self, name: &str) -> Result<Option<SecretText>, SecretError> {
        match self.client.get_secret_value().secret_id(name).send().await {
            Ok(value) => {
                // An empty text can't be kept; it is kept as no bytes of text but one of another kind.
                Ok(Some(SecretText::new(value.secret_string.unwrap_or_default())))
            }
            Err(error) if absent(code(&error)) => Ok(None),
            Err(error) => Err(SecretError::Unavailable(why(&error))),
        }
    }

    fn folder(&self, scope: &Scope) -> String {
        let kind = match scope {
            Scope::Organisation(_) => "org",
            Scope::Repository(_) => "repo",
            Scope::Environment(..) => "env",
        };
        format!("{}/{kind}/{scope}/", self.prefix)
    }

    fn name(&self, scope: &Scope, name: &SecretName) -> String {
        format!("{}{name}", self.folder(scope))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Instant, Option<SecretText>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn put(&self, name: &str, value: &SecretText) -> Result<bool, SecretError> {
        let put = self.client.put_secret_value().secret_id(name);
        let put = match value.reveal() {
            "" => put.secret_binary(Blob::new([0])),
            text => put.secret_string(text),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if absent(code(&error)) => Ok(false),
            Err(error) => Err(SecretError::Unavailable(why(&error))),
        }
    }

    async fn create(&self, name: &str, value: &SecretText) -> Result<bool, SecretError> {
        let create = self.client.create_secret().name(name);
        let create = match value.reveal() {
            "" => create.secret_binary(Blob::new([0])),
            text => create.secret_string(text),
        };
        match create.send().await {
            Ok(_) => Ok(true),
            // It is there, or has its name until its days of grace are over.
            Err(error)
                if matches!(code(&error), Some("ResourceExistsException" | "InvalidRequestException")) =>
            {
                Ok(false)
            }
            Err(error) => Err(SecretError::Unavailable(why(&error))),
        }
    }
}

/// Never made, or about to be removed.
fn absent(code: Option<&str>) -> bool {
    matches!(code, Some("ResourceNotFoundException" | "InvalidRequestException"))
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn get(&self, scope: &Scope, name: &SecretName) -> Result<Option<SecretText>, SecretError> {
        let name = self.name(scope, name);
        if let Some((at, value)) = self.known().get(&name)
            && at.elapsed() < REMEMBERED
        {
            return Ok(value.clone());
        }
        let value = self.read(&name).await?;
        let mut known = self.known();
        known.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        known.insert(name, (Instant::now(), value.clone()));
        Ok(value)
    }

    async fn set(&self, scope: &Scope, name: &SecretName, value: &SecretText) -> Result<(), SecretError> {
        if value.reveal().len() > MAX_VALUE {
            return Err(SecretError::Unavailable(format!(
                "{name} has {} bytes; Secrets Manager takes at most {MAX_VALUE}",
                value.reveal().len()
            )));
        }
        let name = self.name(scope, name);
        self.known().remove(&name);
        // Two that set it at once may each find it made by the other; and one that was just deleted for good goes a little later.
        for wait in [0, 1, 2, 4, 8] {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            if self.put(&name, value).await? || self.create(&name, value).await? {
                return Ok(());
            }
            // One that somebody deleted in the console, with its days of grace, has its name until it is brought back.
            let restored = self.client.restore_secret().secret_id(&name).send().await;
            if let Err(error) = restored
                && !absent(code(&error))
            {
                return Err(SecretError::Unavailable(why(&error)));
            }
        }
        Err(SecretError::Unavailable(format!("{name} is neither there nor can it be made")))
    }

    async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, SecretError> {
        let name = self.name(scope, name);
        self.known().remove(&name);
        // Deleting what is not there is a success of this call: whether it is there is asked for first.
        match self.client.describe_secret().secret_id(&name).send().await {
            Ok(found) if found.deleted_date().is_some() => return Ok(false),
            Ok(_) => {}
            Err(error) if absent(code(&error)) => return Ok(false),
            Err(error) => return Err(SecretError::Unavailable(why(&error))),
        }
        let deleted = self.client.delete_secret().secret_id(&name).force_delete_without_recovery(true);
        match deleted.send().await {
            Ok(_) => Ok(true),
            Err(error) if absent(code(&error)) => Ok(false),
            Err(error) => Err(SecretError::Unavailable(why(&error))),
        }
    }

    async fn list(&self, scope: &Scope) -> Result<Vec<SecretName>, SecretError> {
        let folder = self.folder(scope);
        let filter = Filter::builder().key(FilterNameStringType::Name).values(&folder).build();
        let mut pages = self.client.list_secrets().filters(filter).into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| SecretError::Unavailable(why(&error)))?;
            let found = page.secret_list().iter().filter_map(|secret| secret.name()?.strip_prefix(&folder));
            names.extend(found.filter_map(SecretName::parse));
        }
        names.sort();
        Ok(names)
    }

    async fn check(&self) -> Result<(), SecretError> {
        let filter =
            Filter::builder().key(FilterNameStringType::Name).values(format!("{}/", self.prefix)).build();
        let listed = self.client.list_secrets().filters(filter).max_results(1).send().await;
        listed.map(drop).map_err(|error| SecretError::Unavailable(why(&error)))
    }
}
