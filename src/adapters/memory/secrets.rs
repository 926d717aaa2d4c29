//! Secrets in memory.

use crate::ports::{Scope, SecretError, SecretName, SecretStore, SecretText};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Secrets that live as long as the process.
#[derive(Debug, Default)]
pub struct MemorySecrets(Mutex<BTreeMap<(Scope, SecretName), SecretText>>);

impl MemorySecrets {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn values(&self) -> MutexGuard<'_, BTreeMap<(Scope, SecretName), SecretText>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SecretStore for MemorySecrets {
    async fn get(&self, scope: &Scope, name: &SecretName) -> Result<Option<SecretText>, SecretError> {
        Ok(self.values().get(&(scope.clone(), name.clone())).cloned())
    }

    async fn set(&self, scope: &Scope, name: &SecretName, value: &SecretText) -> Result<(), SecretError> {
        self.values().insert((scope.clone(), name.clone()), value.clone());
        Ok(())
    }

    async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, SecretError> {
        Ok(self.values().remove(&(scope.clone(), name.clone())).is_some())
    }

    async fn list(&self, scope: &Scope) -> Result<Vec<SecretName>, SecretError> {
        Ok(self.values().keys().filter(|(of, _)| of == scope).map(|(_, name)| name.clone()).collect())
    }

    async fn check(&self) -> Result<String, SecretError> {
        Ok("in memory".to_owned())
    }
}
