//! The attempts' files in a bucket. What an attempt writes lies below `out/`, where its links reach; what is kept lies below `kept/`,
//! where they don't.

use super::error::{code, why};
use super::{Aws, keys};
use crate::ports::{Artifact, ArtifactError, Artifacts};
use async_trait::async_trait;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use cloud_code_model::ids::AttemptId;

/// What of a log is kept.
const MAX_LOG: u64 = 16 << 20;
/// What of a transcript is kept.
const MAX_TRANSCRIPT: u64 = 32 << 20;
/// A larger bundle or report was never read.
const MAX_WHOLE: u64 = 64 << 20;

/// Artifacts in a bucket.
#[derive(Debug, Clone)]
pub struct S3Artifacts {
    s3: aws_sdk_s3::Client,
    bucket: String,
}

impl S3Artifacts {
    /// Artifacts in this bucket; nothing is asked of AWS yet.
    pub fn new(aws: &Aws, bucket: impl Into<String>) -> Self {
        Self { s3: aws.s3(), bucket: bucket.into() }
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), ArtifactError> {
        let put = self.s3.put_object().bucket(&self.bucket).key(key).body(bytes.into());
        put.send().await.map(drop).map_err(|error| ArtifactError::Unavailable(why(&error)))
    }

    /// An object, or a part of it; `None` where it is not there, or ends before the part.
    async fn get(&self, key: &str, range: Option<String>) -> Result<Option<GetObjectOutput>, ArtifactError> {
        let got = self.s3.get_object().bucket(&self.bucket).key(key).set_range(range).send().await;
        match got {
            Ok(object) => Ok(Some(object)),
            Err(error) if matches!(code(&error), Some("NoSuchKey" | "NotFound" | "InvalidRange")) => Ok(None),
            Err(error) => Err(ArtifactError::Unavailable(why(&error))),
        }
    }

    /// Keeps one file, cut at `limit` with a notice where `cut` allows it.
    async fn keep_one(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        limit: u64,
        cut: bool,
    ) -> Result<(), ArtifactError> {
        let Some(object) = self.get(&keys::live(attempt, artifact), None).await? else { return Ok(()) };
        let size = length(&object);
        if size > limit && !cut {
            tracing::warn!(%attempt, file = artifact.file_name(), size, "too large to be kept");
            return Ok(());
        }
        let mut bytes = if size > limit {
            drop(object);
            let range = format!("bytes=0-{}", limit - 1);
            match self.get(&keys::live(attempt, artifact), Some(range)).await? {
                Some(part) => body(part).await?,
                None => return Ok(()),
            }
        } else {
            body(object).await?
        };
        if size > limit {
            bytes.extend_from_slice(
                format!("\n[the rest, {} bytes, was not kept]\n", size - limit).as_bytes(),
            );
        }
        self.put(&keys::kept(attempt, artifact), bytes).await
    }
}

#[async_trait]
impl Artifacts for S3Artifacts {
    async fn write(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        bytes: &[u8],
    ) -> Result<(), ArtifactError> {
        self.put(&keys::live(attempt, artifact), bytes.to_vec()).await
    }

    async fn read(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, ArtifactError> {
        for key in places(attempt, artifact) {
            let Some(object) = self.get(&key, None).await? else { continue };
            let size = length(&object);
            if size > limit {
                return Err(ArtifactError::TooLarge { file: artifact.file_name(), size, limit });
            }
            return body(object).await.map(Some);
        }
        Ok(None)
    }

    async fn read_from(
        &self,
        attempt: &AttemptId,
        artifact: Artifact,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, ArtifactError> {
        let Some(last) = limit.checked_sub(1).map(|more| offset.saturating_add(more)) else {
            return Ok(Vec::new());
        };
        for key in places(attempt, artifact) {
            if let Some(object) = self.get(&key, Some(format!("bytes={offset}-{last}"))).await? {
                return body(object).await;
            }
        }
        Ok(Vec::new())
    }

    async fn keep(&self, attempt: &AttemptId) -> Result<(), ArtifactError> {
        self.keep_one(attempt, Artifact::Log, MAX_LOG, true).await?;
        self.keep_one(attempt, Artifact::Transcript, MAX_TRANSCRIPT, true).await?;
        for whole in [Artifact::Report, Artifact::Bundle, Artifact::Session] {
            self.keep_one(attempt, whole, MAX_WHOLE, false).await?;
        }
        Ok(())
    }
}

/// Where a file is looked for: what is kept comes first, since the attempt may still change the other.
fn places(attempt: &AttemptId, artifact: Artifact) -> Vec<String> {
    let (kept, live) = (keys::kept(attempt, artifact), keys::live(attempt, artifact));
    if kept == live || matches!(artifact, Artifact::Tasking | Artifact::EarlierSession) {
        vec![live]
    } else {
        vec![kept, live]
    }
}

fn length(object: &GetObjectOutput) -> u64 {
    object.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default()
}

async fn body(object: GetObjectOutput) -> Result<Vec<u8>, ArtifactError> {
    let bytes = object.body.collect().await;
    Ok(bytes.map_err(|error| ArtifactError::Unavailable(error.to_string()))?.into_bytes().to_vec())
}
