//! From addresses to what AWS offers behind the ports.

use crate::adapters::aws::dynamodb::DynamoStore;
use crate::adapters::aws::ecs::{Capacity, EcsConfig, EcsRunner};
use crate::adapters::aws::s3::S3Artifacts;
use crate::adapters::aws::secrets_manager::SecretsManager;
use crate::adapters::aws::sqs::{SqsConfig, SqsQueue};
use crate::adapters::git::{GitWorkspaces, WorkspaceConfig};
use crate::config::{AgentsConfig, ArtifactsPlace, EcsCapacity, QueuePlace, SecretsPlace, StorageConfig};
use crate::ports::Clock;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;

pub use crate::adapters::aws::Aws;

/// The store, where it is on AWS.
pub fn store(aws: &Aws, storage: &StorageConfig, clock: &Arc<dyn Clock>) -> Option<DynamoStore> {
    Some(DynamoStore::new(aws, storage.table.clone()?, Arc::clone(clock)))
}

/// The queue, where it is on AWS.
pub fn queue(aws: &Aws, storage: &StorageConfig, clock: &Arc<dyn Clock>) -> Option<SqsQueue> {
    match &storage.queue {
        QueuePlace::Database => None,
        QueuePlace::Sqs { url, table, bucket } => {
            let config = SqsConfig { url: url.clone(), table: table.clone(), bucket: bucket.clone() };
            Some(SqsQueue::new(aws, config, Arc::clone(clock)))
        }
    }
}

/// The artifacts, where they are on AWS.
pub fn artifacts(aws: &Aws, storage: &StorageConfig) -> Option<S3Artifacts> {
    match &storage.artifacts {
        ArtifactsPlace::Disk => None,
        ArtifactsPlace::S3 { bucket } => Some(S3Artifacts::new(aws, bucket.as_str())),
    }
}

/// The secret store, where it is on AWS.
pub fn secrets(aws: &Aws, storage: &StorageConfig) -> Option<SecretsManager> {
    match &storage.secrets {
        SecretsPlace::File | SecretsPlace::Vault(_) => None,
        SecretsPlace::SecretsManager { prefix } => Some(SecretsManager::new(aws, prefix.as_str())),
    }
}

/// The runner, and the workspaces that fit it: attempts check out for themselves, and mirrors for what they leave lie below
/// `data_dir`.
///
/// # Errors
/// When the settings name no place for tasks, or none for their files.
pub fn runner(
    aws: &Aws,
    storage: &StorageConfig,
    agents: &AgentsConfig,
    data_dir: &Path,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(EcsRunner, GitWorkspaces)> {
    let place = agents.ecs.clone().context("RUNNER: ecs is not set up")?;
    let ArtifactsPlace::S3 { bucket } = &storage.artifacts else {
        anyhow::bail!("ARTIFACTS_URL: RUNNER=ecs needs s3://BUCKET");
    };
    let config = EcsConfig {
        cluster: place.cluster,
        subnets: place.subnets,
        security_groups: place.security_groups,
        public_ip: place.public_ip,
        capacity: match place.capacity {
            EcsCapacity::OnDemand => Capacity::OnDemand,
            EcsCapacity::Spot => Capacity::Spot,
            EcsCapacity::SpotOrOnDemand => Capacity::SpotOrOnDemand,
        },
        table: storage.any_table().context("DATABASE_URL: RUNNER=ecs needs a table")?.to_owned(),
        bucket: bucket.clone(),
        links_role: place.links_role,
        log_group: place.log_group,
    };
    let checkouts =
        WorkspaceConfig { elsewhere: true, free_bytes: agents.free_bytes, ..WorkspaceConfig::default() };
    let workspaces = GitWorkspaces::new(data_dir, checkouts);
    Ok((EcsRunner::new(aws, config, Arc::clone(clock)), workspaces))
}
