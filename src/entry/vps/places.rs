//! From addresses to adapters: each part by itself, on this machine or on AWS.

use super::{runner, sealed, vault};
use crate::adapters::disk::DiskArtifacts;
use crate::adapters::vps::sql::Database;
use crate::config::{AgentsConfig, QueuePlace, RunnerKind, SecretsPlace, StorageConfig};
use crate::ports::{Artifacts, Clock, Queue, Runner, SecretStore, Store, Workspaces};
use anyhow::Context;
use std::sync::Arc;

/// The parts whose places are settings.
pub(super) struct Places {
    pub(super) store: Arc<dyn Store>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) artifacts: Arc<dyn Artifacts>,
    pub(super) secrets: Arc<dyn SecretStore>,
    pub(super) runner: Arc<dyn Runner>,
    pub(super) workspaces: Arc<dyn Workspaces>,
}

/// Wires all of them.
///
/// # Errors
/// When the database can't be opened, or this build lacks what an address names.
pub(super) async fn wire(
    storage: &StorageConfig,
    agents: &AgentsConfig,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Places> {
    let remote = remote::wire(storage, agents, clock).await?;
    // The database is opened where anything is in it.
    let database = if storage.table.is_none() || storage.queue == QueuePlace::Database {
        let database = Database::open(&storage.database_url, Arc::clone(clock)).await;
        Some(database.context("DATABASE_URL")?)
    } else {
        None
    };
    let in_database = || database.as_ref().context("DATABASE_URL: bug: no database was opened");
    let disk: Arc<dyn Artifacts> = Arc::new(DiskArtifacts::new(&storage.data_dir));
    let (runner, workspaces) = match remote.runner {
        Some(both) => both,
        None => runner(agents, &storage.data_dir)?,
    };
    Ok(Places {
        store: match remote.store {
            Some(store) => store,
            None => Arc::new(in_database()?.store()),
        },
        queue: match remote.queue {
            Some(queue) => queue,
            None => Arc::new(in_database()?.queue()),
        },
        artifacts: match remote.artifacts {
            // Fargate's tasks work in the bucket; containers of this machine on its disk.
            Some(bucket) if agents.runner == RunnerKind::Ecs => bucket,
            Some(bucket) => Arc::new(crate::adapters::layered::LayeredArtifacts::new(disk, bucket)),
            None => disk,
        },
        secrets: match remote.secrets {
            Some(secrets) => secrets,
            None => own_secrets(storage)?,
        },
        runner,
        workspaces,
    })
}

/// The secret store that the settings name.
///
/// # Errors
/// When its key is no key, its folder can't be written, or this build lacks it.
pub(super) async fn secrets(storage: &StorageConfig) -> anyhow::Result<Arc<dyn SecretStore>> {
    match &storage.secrets {
        SecretsPlace::File | SecretsPlace::Vault(_) => own_secrets(storage),
        SecretsPlace::SecretsManager { .. } => remote::secrets(storage).await,
    }
}

/// The secret store that is not on AWS.
fn own_secrets(storage: &StorageConfig) -> anyhow::Result<Arc<dyn SecretStore>> {
    match &storage.secrets {
        SecretsPlace::Vault(place) => Ok(Arc::new(vault(place)?)),
        SecretsPlace::File => Ok(Arc::new(sealed(storage)?)),
        SecretsPlace::SecretsManager { .. } => anyhow::bail!("SECRETS_URL: bug: AWS has these secrets"),
    }
}

/// The queue that the settings name.
///
/// # Errors
/// When the database can't be opened, or this build lacks it.
pub(super) async fn queue(storage: &StorageConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Queue>> {
    match &storage.queue {
        QueuePlace::Database => {
            let database = Database::open(&storage.database_url, Arc::clone(clock)).await;
            Ok(Arc::new(database.context("DATABASE_URL")?.queue()))
        }
        QueuePlace::Sqs { .. } => remote::queue(storage, clock).await,
    }
}

/// What is not on this machine.
#[derive(Default)]
struct Remote {
    store: Option<Arc<dyn Store>>,
    queue: Option<Arc<dyn Queue>>,
    artifacts: Option<Arc<dyn Artifacts>>,
    secrets: Option<Arc<dyn SecretStore>>,
    runner: Option<(Arc<dyn Runner>, Arc<dyn Workspaces>)>,
}

#[cfg(feature = "aws")]
mod remote {
    use super::{Arc, Clock, Queue, Remote, SecretStore};
    use crate::config::{AgentsConfig, ArtifactsPlace, RunnerKind, StorageConfig};
    use crate::entry::aws::{self, Aws};
    use anyhow::Context;

    pub(super) async fn wire(
        storage: &StorageConfig,
        agents: &AgentsConfig,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Remote> {
        debug_assert!(agents.runner != RunnerKind::Ecs || storage.artifacts != ArtifactsPlace::Disk);
        if !storage.needs_aws() {
            return Ok(Remote::default());
        }
        let aws = Aws::load().await;
        let runner = match agents.runner {
            RunnerKind::Ecs => {
                let (runner, workspaces) = aws::runner(&aws, storage, agents, &storage.data_dir, clock)?;
                Some((Arc::new(runner) as _, Arc::new(workspaces) as _))
            }
            RunnerKind::Docker | RunnerKind::Process => None,
        };
        Ok(Remote {
            store: aws::store(&aws, storage, clock).map(|store| Arc::new(store) as _),
            queue: aws::queue(&aws, storage, clock).map(|queue| Arc::new(queue) as _),
            artifacts: aws::artifacts(&aws, storage).map(|artifacts| Arc::new(artifacts) as _),
            secrets: aws::secrets(&aws, storage).map(|secrets| Arc::new(secrets) as _),
            runner,
        })
    }

    pub(super) async fn secrets(storage: &StorageConfig) -> anyhow::Result<Arc<dyn SecretStore>> {
        let aws = Aws::load().await;
        Ok(Arc::new(aws::secrets(&aws, storage).context("SECRETS_URL: bug: it names no place on AWS")?))
    }

    pub(super) async fn queue(
        storage: &StorageConfig,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Arc<dyn Queue>> {
        let aws = Aws::load().await;
        Ok(Arc::new(aws::queue(&aws, storage, clock).context("QUEUE_URL: bug: it names no place on AWS")?))
    }
}

#[cfg(not(feature = "aws"))]
mod remote {
    use super::{Arc, Clock, Queue, Remote, SecretStore};
    use crate::config::{AgentsConfig, StorageConfig};

    const LACKS: &str = "this program was built without AWS: build it with `--features aws`, or take DATABASE_URL, QUEUE_URL, \
                         ARTIFACTS_URL and SECRETS_URL out of the settings";

    pub(super) async fn wire(
        storage: &StorageConfig,
        _agents: &AgentsConfig,
        _clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Remote> {
        if storage.needs_aws() { Err(anyhow::anyhow!(LACKS)) } else { Ok(Remote::default()) }
    }

    pub(super) async fn secrets(_storage: &StorageConfig) -> anyhow::Result<Arc<dyn SecretStore>> {
        Err(anyhow::anyhow!(LACKS))
    }

    pub(super) async fn queue(
        _storage: &StorageConfig,
        _clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Arc<dyn Queue>> {
        Err(anyhow::anyhow!(LACKS))
    }
}
