//! Attempts as containers of a Docker daemon.
//!
//! A container is the attempt's sandbox: an unprivileged user, no capability, no new privileges, a read-only root, limits on
//! memory, processors and processes, and nothing of this machine but its own checkout and, read-only, the mirror's objects.
//! `/tmp` and the home are tmpfs, whose pages count as the container's memory. Programs may run from them: compilers, package
//! managers and coding CLIs all do that, and a sandbox whose `/workspace` is writable would win nothing by forbidding it.
//! The Docker socket is never mounted, and nothing is ever privileged.
//!
//! Secrets are in the container's environment, so that they can be read by whoever may use the Docker socket; that is root
//! on this machine in any case. `CLOUD_CODE_SECRETS` names them, so that the agent knows what to mask. **bollard logs whole
//! requests at `trace` and whole answers at `debug`, environment and all: a log filter must hold it at `info` or less.**
//!
//! A container whose network is restricted has none, but a socket with a proxy at its other end: see `network.rs`.
//!
//! Several installations may share one daemon: each sees only the containers that have its own `cloud-code.instance` label.

mod client;
mod container;
mod image;
mod network;
mod ownership;
mod spec;
mod stop;

use crate::ports::{ContainerStatus, Launch, Listed, Network, Runner, RunnerError};
use async_trait::async_trait;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder};
use client::{Client, is_status, mapped};
use cloud_code_model::ids::AttemptId;
use futures::StreamExt;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const LOOKS: usize = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// When an image that is not there may be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pull {
    /// Pull it where it is missing, and wait for that for at most ten minutes.
    #[default]
    IfMissing,
    /// Never: images are built on this machine, or brought to it by other means.
    Never,
}

/// How to reach the daemon, and what all containers have in common.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// `unix:///PATH` or `tcp://HOST:PORT`. `None` is `unix:///var/run/docker.sock`.
    pub host: Option<String>,
    /// The value of the label `cloud-code.instance`: which installation a container belongs to.
    pub instance: String,
    /// Uid and gid inside the container. The checkout has to belong to them; see [`DockerConfig::default_user`].
    pub user: (u32, u32),
    /// The network of containers whose way out is open, and of the proxies of the others; by default Docker's `bridge`. One that does not exist is made: a bridge whose containers can't reach each
    /// other. `none` works; `host` and `container:…` are refused.
    pub network: Option<String>,
    /// More lines for `/etc/hosts`, as `NAME:ADDRESS`, e.g. `host.docker.internal:host-gateway`.
    pub extra_hosts: Vec<String>,
    /// What to do about a missing image.
    pub pull: Pull,
}

impl DockerConfig {
    /// The usual settings for the installation `instance`.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            host: None,
            instance: instance.into(),
            user: Self::default_user(),
            network: None,
            extra_hosts: Vec::new(),
            pull: Pull::default(),
        }
    }

    /// This process's own user, to whom the checkouts belong; 1000 where that is root, which then gives them away.
    pub fn default_user() -> (u32, u32) {
        match (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()) {
            (0, _) => (1000, 1000),
            other => other,
        }
    }
}

/// Runs attempts as containers.
#[derive(Debug)]
pub struct DockerRunner {
    config: DockerConfig,
    client: Client,
}

impl DockerRunner {
    /// Takes the settings. The daemon need not be up: it is looked for when it is first needed, and again until it is found.
    pub fn connect(config: DockerConfig) -> Self {
        let client = Client::new(config.host.clone());
        Self { config, client }
    }

    /// The attempt's container, if there is one of ours.
    async fn find(&self, attempt: &AttemptId) -> Result<Option<container::Found>, RunnerError> {
        let found = self.find_any(attempt).await?;
        Ok(found.filter(|found| found.instance == self.config.instance))
    }

    /// Whatever has the attempt's name.
    async fn find_any(&self, attempt: &AttemptId) -> Result<Option<container::Found>, RunnerError> {
        let docker = self.client.get().await?;
        match docker.inspect_container(&attempt.name(), None).await {
            Ok(answer) => Ok(Some(container::Found::read(answer))),
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(mapped(error)),
        }
    }

    /// Makes the container.
    async fn create(&self, launch: &Launch) -> Result<(), RunnerError> {
        let docker = self.client.get().await?;
        let cores = docker.info().await.map_err(mapped)?.ncpu;
        let body = spec::container(&self.config, launch, cores)?;
        container::create(docker, &self.config, &launch.image, &launch.attempt.name(), body).await
    }

    /// Hands the workspace over and makes the container, unless it is there.
    async fn make(&self, launch: &Launch, found: Option<&container::Found>) -> Result<(), RunnerError> {
        if found.is_some() {
            return Ok(());
        }
        ownership::hand_over(&launch.workspace, self.config.user).await?;
        self.create(launch).await
    }

    /// The container that has just been made. While another server makes it, its name is taken already and it can't be seen yet.
    async fn made(&self, attempt: &AttemptId) -> Result<container::Found, RunnerError> {
        for _ in 0..LOOKS {
            if let Some(found) = self.find_any(attempt).await? {
                return Ok(found);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err(RunnerError::Failed(format!("the container {} was made and can't be found", attempt.name())))
    }

    /// Starts the container that has been made, unless it runs or has ended. Its name.
    async fn start(&self, launch: &Launch) -> Result<String, RunnerError> {
        let name = launch.attempt.name();
        let found = self.made(&launch.attempt).await?;
        self.expect_ours(&launch.attempt, &found)?;
        if !found.never_started() {
            return Ok(name);
        }
        let docker = self.client.get().await?;
        container::start(docker, &launch.image, &name).await?;
        Ok(name)
    }

    fn expect_ours(&self, attempt: &AttemptId, found: &container::Found) -> Result<(), RunnerError> {
        if found.instance == self.config.instance {
            return Ok(());
        }
        let name = attempt.name();
        Err(RunnerError::Refused(format!(
            "a container with the name {name} belongs to {}; remove it (docker rm -f {name}), or give this installation a \
             Docker daemon of its own",
            found.owner()
        )))
    }

    /// Makes the network that the settings name, unless it is there.
    async fn ensure_network(&self) -> Result<(), RunnerError> {
        let Some(name) = &self.config.network else { return Ok(()) };
        if name == "host" || name.starts_with("container:") {
            return Err(RunnerError::Refused(format!(
                "the network `{name}` would let an agent reach this machine's own services; name a bridge network, or `none`"
            )));
        }
        let docker = self.client.get().await?;
        match docker.inspect_network(name, None).await {
            Ok(_) => return Ok(()),
            Err(error) if is_status(&error, 404) => {}
            Err(error) => return Err(mapped(error)),
        }
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            options: Some(HashMap::from([(
                "com.docker.network.bridge.enable_icc".to_owned(),
                "false".to_owned(),
            )])),
            labels: Some(HashMap::from([(spec::INSTANCE.to_owned(), self.config.instance.clone())])),
            ..NetworkCreateRequest::default()
        };
        match docker.create_network(request).await {
            Ok(_) => Ok(()),
            Err(error) if is_status(&error, 409) => Ok(()),
            Err(error) => Err(mapped(error)),
        }
    }
}

#[async_trait]
impl Runner for DockerRunner {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn confines(&self) -> bool {
        true
    }

    async fn launch(&self, launch: &Launch) -> Result<String, RunnerError> {
        let mut launch = launch.clone();
        if network::outside(&self.config) == "none" {
            // Where the settings' own network leads nowhere, a proxy would too.
            launch.network = Network::None;
        }
        let found = self.find_any(&launch.attempt).await?;
        if let Some(found) = &found {
            self.expect_ours(&launch.attempt, found)?;
            // One that has ended is left as it is: the attempt has run.
            if found.status() != ContainerStatus::Running && !found.never_started() {
                return Ok(launch.attempt.name());
            }
        }
        let docker = self.client.get().await?;
        let Network::Restricted(allow) = &launch.network else {
            self.ensure_network().await?;
            self.make(&launch, found.as_ref()).await?;
            return self.start(&launch).await;
        };
        let volume = network::ensure_volume(docker, &self.config, &launch.attempt);
        tokio::try_join!(self.ensure_network(), volume)?;
        let proxy = network::create_proxy(docker, &self.config, &launch, allow);
        tokio::try_join!(self.make(&launch, found.as_ref()), proxy)?;
        let name = self.start(&launch).await?;
        // After the container, which has work to do before it needs a way out: until the proxy listens, connections wait.
        network::start_proxy(docker, &self.config, &launch).await?;
        Ok(name)
    }

    async fn status(&self, attempt: &AttemptId) -> Result<ContainerStatus, RunnerError> {
        Ok(self.find(attempt).await?.map_or(ContainerStatus::Missing, |found| found.status()))
    }

    async fn stop(&self, attempt: &AttemptId, patience: Duration) -> Result<(), RunnerError> {
        match self.find(attempt).await? {
            None => Ok(()),
            // Nothing has run in it; left alone, a late launch would start it.
            Some(found) if found.never_started() => self.remove(attempt).await,
            Some(_) => {
                let docker = self.client.get().await?;
                stop::escalate(docker, &attempt.name(), patience).await?;
                network::remove(docker, &self.config, attempt).await
            }
        }
    }

    async fn logs(&self, attempt: &AttemptId, max_bytes: usize) -> Result<Vec<u8>, RunnerError> {
        if max_bytes == 0 || self.find(attempt).await?.is_none() {
            return Ok(Vec::new());
        }
        // A line has at least one byte, so that the last N bytes are within the last N lines.
        let options =
            LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&max_bytes.to_string()).build();
        let docker = self.client.get().await?;
        let mut stream = Box::pin(docker.logs(&attempt.name(), Some(options)));
        let mut tail = VecDeque::new();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(output) => {
                    tail.extend(output.into_bytes());
                    let surplus = tail.len().saturating_sub(max_bytes);
                    tail.drain(..surplus);
                }
                Err(error) if is_status(&error, 404) => break,
                Err(error) => return Err(mapped(error)),
            }
        }
        Ok(tail.into())
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), RunnerError> {
        let docker = self.client.get().await?;
        if self.find(attempt).await?.is_some() {
            container::remove(docker, &attempt.name()).await?;
        }
        // Also where there is no container: a crash may have left them behind.
        network::remove(docker, &self.config, attempt).await
    }

    async fn list(&self) -> Result<Vec<Listed>, RunnerError> {
        let ours = format!("{}={}", spec::INSTANCE, self.config.instance);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&HashMap::from([("label", vec![ours])]))
            .build();
        let docker = self.client.get().await?;
        let containers = docker.list_containers(Some(options)).await.map_err(mapped)?;
        let (proxies, containers): (Vec<_>, Vec<_>) = containers.into_iter().partition(network::is_proxy);
        let mut listed: Vec<Listed> = containers.into_iter().filter_map(container::listed).collect();
        // What serves an attempt whose container is gone stands for it, so that it is looked for and removed.
        let left = proxies.into_iter().filter_map(container::listed);
        let volumes = network::list(docker, &self.config).await?.into_iter();
        let volumes = volumes.map(|(attempt, created_at)| Listed { attempt, running: false, created_at });
        for part in left.chain(volumes) {
            if !listed.iter().any(|listed| listed.attempt == part.attempt) {
                listed.push(Listed { running: false, ..part });
            }
        }
        Ok(listed)
    }

    async fn check(&self) -> Result<String, RunnerError> {
        let version = self.client.get().await?.version().await.map_err(mapped)?;
        let text = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
        Ok(format!("Docker Engine {}, API {}", text(version.version), text(version.api_version)))
    }

    /// Containers here reach us by folders, and those don't run out.
    async fn renew(&self, _attempt: &AttemptId) -> Result<(), RunnerError> {
        Ok(())
    }

    async fn has_image(&self, image: &str) -> Result<bool, RunnerError> {
        image::is_there(self.client.get().await?, image).await
    }
}
