//! One machine: everything embedded, behind one process.

mod local;
mod places;
mod serve;
mod take_over;

pub use super::health::AppHealth;
pub use local::{LocalRun, local};
pub use serve::{Server, ServerOptions};
pub use take_over::{Held, TakeOverError, take_over};

use crate::adapters::git::{GitWorkspaces, WorkspaceConfig};
use crate::adapters::vps::docker::{DockerConfig, DockerRunner};
use crate::adapters::vps::process::ProcessRunner;
use crate::adapters::vps::sealed::{SealedFile, SealingKey};
use crate::adapters::vps::sql::Database;
use crate::adapters::vps::vault::{Credential, KvVersion, Login, Vault, VaultConfig};
use crate::app::App;
use crate::config::{
    AgentsConfig, Config, RunnerKind, StorageConfig, VaultCredential, VaultLogin, VaultPlace,
};
use crate::ports::{Clock, Queue, Runner, SecretStore, SystemClock, Workspaces};
use anyhow::Context;
use cloud_code_model::ids::digest;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Where a container sees its mirror's objects.
const OBJECTS_INSIDE: &str = "/cloud-code/objects";

/// Wires a server's use cases to the adapters that its settings name.
///
/// # Errors
/// When the database can't be opened, or the GitHub App's key is none.
pub async fn app(config: &Config) -> anyhow::Result<App> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let storage = &config.storage;
    make_private(&storage.data_dir).with_context(|| format!("DATA_DIR: {}", storage.data_dir.display()))?;
    let places = places::wire(storage, &config.agents, &clock).await?;
    let forge = super::github::forge(config, Arc::clone(&clock))?;
    Ok(App {
        store: places.store,
        queue: places.queue,
        runner: places.runner,
        artifacts: places.artifacts,
        workspaces: places.workspaces,
        forge: Arc::new(forge),
        secrets: places.secrets,
        clock,
        worker: instance(&storage.data_dir),
        settings: config.agents.settings.clone(),
        given: crate::app::Given::default(),
        saved: broadcast::channel(1024).0,
    })
}

/// Opens the database once, which brings it up to date.
///
/// # Errors
/// When it can't be opened.
pub async fn migrate(storage: &StorageConfig) -> anyhow::Result<()> {
    make_private(&storage.data_dir).with_context(|| format!("DATA_DIR: {}", storage.data_dir.display()))?;
    if storage.table.is_some() {
        // A table has no shape to be brought up to date: its indexes are infra/template.yaml's.
        return Ok(());
    }
    let database =
        Database::open(&storage.database_url, Arc::new(SystemClock)).await.context("DATABASE_URL")?;
    database.close().await;
    Ok(())
}

/// The secret store that the settings name.
///
/// # Errors
/// When its key is no key, its folder can't be written, or the certificates for it can't be read.
pub async fn secrets(storage: &StorageConfig) -> anyhow::Result<Arc<dyn SecretStore>> {
    places::secrets(storage).await
}

/// The queue, for who looks at dead letters.
///
/// # Errors
/// When the database can't be opened, or this build lacks it.
pub async fn queue(storage: &StorageConfig) -> anyhow::Result<Arc<dyn Queue>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    places::queue(storage, &clock).await
}

/// The sealed file of secrets.
fn sealed(storage: &StorageConfig) -> anyhow::Result<SealedFile> {
    make_private(&storage.data_dir).with_context(|| format!("DATA_DIR: {}", storage.data_dir.display()))?;
    let key = storage.secrets_key.as_ref().map(|key| key.reveal());
    let key =
        SealingKey::load(key, &storage.data_dir.join("secrets.key")).context("CLOUD_CODE_SECRETS_KEY")?;
    Ok(SealedFile::open(storage.data_dir.join("secrets.sealed"), key)?)
}

/// Secrets in Vault.
fn vault(place: &VaultPlace) -> anyhow::Result<Vault> {
    let credential = |given: &VaultCredential| match given {
        VaultCredential::Text(text) => Credential::Text(text.clone()),
        VaultCredential::File(path) => Credential::File(path.clone()),
    };
    let login = match &place.login {
        VaultLogin::Token(token) => Login::Token(credential(token)),
        VaultLogin::AppRole { mount, role_id, secret_id } => Login::AppRole {
            mount: mount.clone(),
            role_id: role_id.clone(),
            secret_id: credential(secret_id),
        },
    };
    Ok(Vault::new(VaultConfig {
        url: place.url.clone(),
        namespace: place.namespace.clone(),
        ca_file: place.ca_file.clone(),
        path: place.path.clone(),
        kv: place.kv_version.map(|version| if version == 1 { KvVersion::One } else { KvVersion::Two }),
        login,
    })?)
}

/// The runner that the settings name, and the workspaces that fit it.
fn runner(agents: &AgentsConfig, data_dir: &Path) -> anyhow::Result<(Arc<dyn Runner>, Arc<dyn Workspaces>)> {
    Ok(match agents.runner {
        RunnerKind::Docker => {
            let mut docker = DockerConfig::new(instance(data_dir));
            docker.host.clone_from(&agents.docker_host);
            docker.network.clone_from(&agents.docker_network);
            docker.extra_hosts.clone_from(&agents.docker_extra_hosts);
            let owner = rustix::process::geteuid().is_root().then_some(docker.user);
            let config = WorkspaceConfig {
                owner,
                objects_inside: Some(PathBuf::from(OBJECTS_INSIDE)),
                free_bytes: agents.free_bytes,
                ..WorkspaceConfig::default()
            };
            (Arc::new(DockerRunner::connect(docker)), Arc::new(GitWorkspaces::new(data_dir, config)))
        }
        RunnerKind::Process => {
            let config = WorkspaceConfig { free_bytes: agents.free_bytes, ..WorkspaceConfig::default() };
            let runner = ProcessRunner::new(agent_command()?, data_dir.join("processes"));
            (Arc::new(runner), Arc::new(GitWorkspaces::new(data_dir, config)))
        }
        RunnerKind::Ecs => {
            anyhow::bail!("RUNNER: `ecs` needs parts on AWS, and a program that was built with them")
        }
    })
}

/// The agent, as this very program has it.
fn agent_command() -> anyhow::Result<Vec<OsString>> {
    let program = std::env::current_exe().context("the path of this program")?;
    Ok(vec![program.into_os_string(), "agent".into()])
}

/// Tells installations on one Docker daemon apart, and stays the same over restarts.
fn instance(data_dir: &Path) -> String {
    let path = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    digest(&["instance", &path.to_string_lossy()])
}

/// Makes a folder that nobody but us may enter: below it lie private code, the database and keys. Containers reach their
/// workspaces by mounts, which need no way through it.
fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mode = std::fs::metadata(dir)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode & 0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nobody_else_enters_the_data_folder() {
        let dir = tempfile::tempdir().unwrap();
        for (name, before) in [("new", None), ("open", Some(0o755)), ("shut", Some(0o500))] {
            let path = dir.path().join(name);
            if let Some(mode) = before {
                std::fs::create_dir(&path).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            make_private(&path).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, before.map_or(0o700, |before| before & 0o700), "{name}");
        }
    }
}
