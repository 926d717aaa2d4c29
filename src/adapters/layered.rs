//! Artifacts in two places: where attempts work, and where what they left is kept. So a server with containers on its own disk can
//! keep logs and transcripts in a bucket, and needs no backup of its disk for them.

use crate::ports::{Artifact, ArtifactError, Artifacts};
use async_trait::async_trait;
use cloud_code_model::ids::AttemptId;
use std::sync::Arc;

/// What is worth keeping, and up to which size.
const KEPT: [(Artifact, u64); 5] = [
    (Artifact::Report, 16 << 20),
    (Artifact::Bundle, 64 << 20),
    (Artifact::Log, 17 << 20),
    (Artifact::Transcript, 33 << 20),
    (Artifact::ContainerLog, 16 << 20),
];

/// The two places.
pub struct LayeredArtifacts {
    near: Arc<dyn Artifacts>,
    far: Arc<dyn Artifacts>,
}

impl LayeredArtifacts {
    /// `near` is where attempts work, `far` where what they left is kept.
    pub fn new(near: Arc<dyn Artifacts>, far: Arc<dyn Artifacts>) -> Self {
        Self { near, far }
    }
}

#[async_trait]
impl Artifacts for LayeredArtifacts {
    async fn write(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        bytes: &[u8],
    ) -> Result<(), ArtifactError> {
        self.near.write(attempt, artifact, bytes).await
    }

    async fn read(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, ArtifactError> {
        match self.near.read(attempt, artifact, limit).await? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.far.read(attempt, artifact, limit).await,
        }
    }

    async fn read_from(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, ArtifactError> {
        let near = self.near.read_from(attempt, artifact, offset, limit).await?;
        // Nothing near may mean the end of the file, or that it went: a first byte tells.
        if !near.is_empty() || !self.near.read_from(attempt, artifact, 0, 1).await?.is_empty() {
            return Ok(near);
        }
        self.far.read_from(attempt, artifact, offset, limit).await
    }

    async fn keep(&self, attempt: &AttemptId) -> Result<(), ArtifactError> {
        self.near.keep(attempt).await?;
        for (artifact, limit) in KEPT {
            match self.near.read(attempt, artifact, limit).await {
                Ok(Some(bytes)) => self.far.write(attempt, artifact, &bytes).await?,
                Ok(None) => {}
                Err(error @ ArtifactError::Unavailable(_)) => return Err(error),
                // A hostile attempt left it; it stays where it is.
                Err(error) => tracing::warn!(%attempt, %error, "not kept"),
            }
        }
        self.far.keep(attempt).await
    }
}
