//! Artifacts in memory.

use crate::ports::{Artifact, ArtifactError, Artifacts};
use async_trait::async_trait;
use cloud_code_model::ids::AttemptId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Files that live as long as the process. No attempt can reach them, so that they are kept as they are.
#[derive(Debug, Default)]
pub struct MemoryArtifacts(Mutex<HashMap<(AttemptId, Artifact), Vec<u8>>>);

impl MemoryArtifacts {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn files(&self) -> MutexGuard<'_, HashMap<(AttemptId, Artifact), Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Artifacts for MemoryArtifacts {
    async fn write(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        bytes: &[u8],
    ) -> Result<(), ArtifactError> {
        self.files().insert((attempt.clone(), artifact), bytes.to_vec());
        Ok(())
    }

    async fn read(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, ArtifactError> {
        let files = self.files();
        let Some(bytes) = files.get(&(attempt.clone(), artifact)) else { return Ok(None) };
        let size = bytes.len() as u64;
        if size > limit {
            return Err(ArtifactError::TooLarge { file: artifact.file_name(), size, limit });
        }
        Ok(Some(bytes.clone()))
    }

    async fn read_from(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, ArtifactError> {
        let files = self.files();
        let bytes = files.get(&(attempt.clone(), artifact)).map(Vec::as_slice).unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = usize::try_from(limit).unwrap_or(usize::MAX).min(bytes.len() - start);
        Ok(bytes.get(start..start + count).unwrap_or_default().to_vec())
    }

    async fn keep(&self, _attempt: &AttemptId) -> Result<(), ArtifactError> {
        Ok(())
    }
}
