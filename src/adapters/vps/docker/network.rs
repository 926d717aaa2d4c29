//! The way out of an attempt whose network is restricted: a socket in a volume, and at its other end a proxy in a container of its
//! own.
//!
//! The attempt's container has no network but its own loopback: there the agent listens, and passes each connection on to the
//! socket. So there is no gateway to knock at, no name server to tunnel through, and no address of this machine's to guess. The
//! proxy is in the ordinary network. It is the agent's own program from the attempt's own image, so that there is nothing more to
//! have: without privileges or secrets, and with the volume alone to write to, a few kilobytes of memory. Volume and proxy have the
//! attempt's labels and names derived from its own, are found again by them, and go with it.

use super::client::{is_status, mapped};
use super::{DockerConfig, container, spec};
use crate::ports::{Launch, RunnerError};
use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum as State, ContainerSummary, HostConfig,
    HostConfigLogConfig, Mount, MountType, RestartPolicy, RestartPolicyNameEnum, Volume, VolumeCreateRequest,
};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::network::{AllowList, PROXY_HOST, PROXY_PORT};
use std::collections::HashMap;

/// Label of what serves an attempt and is not its container: which part it is.
const PART: &str = "cloud-code.part";
const AGENT: &str = "/usr/local/bin/cloud-code-agent";
/// Where both containers have the volume.
const FOLDER: &str = "/run/cloud-code";
const SOCKET: &str = "/run/cloud-code/proxy";
/// The proxy's memory. It needs a tenth of it; the rest is for the buffers of its connections in the kernel.
const MEMORY: i64 = 96 << 20;

/// The name of an attempt's proxy, and of the volume. No attempt has it: their names end in a number.
pub(super) fn proxy_name(attempt: &AttemptId) -> String {
    format!("{}-proxy", attempt.name())
}

/// Whether a container is a proxy of ours, and no attempt's own.
pub(super) fn is_proxy(container: &ContainerSummary) -> bool {
    container.labels.as_ref().is_some_and(|labels| labels.contains_key(PART))
}

/// What the attempt's container is told of its way out: programs that do not know the variables have none.
pub(super) fn environment() -> impl Iterator<Item = (&'static str, String)> {
    let url = format!("http://{PROXY_HOST}:{PROXY_PORT}");
    let none = "localhost,127.0.0.1,::1".to_owned();
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let proxies = proxies.into_iter().map(move |name| (name, url.clone()));
    proxies.chain([
        ("NO_PROXY", none.clone()),
        ("no_proxy", none),
        // Node's own `fetch` asks the variables only then: <https://nodejs.org/api/cli.html#node_use_env_proxy1>
        ("NODE_USE_ENV_PROXY", "1".to_owned()),
        ("CLOUD_CODE_PROXY", SOCKET.to_owned()),
    ])
}

/// What the attempt's container has in place of the usual network.
pub(super) fn confine(host: &mut HostConfig, attempt: &AttemptId) {
    host.network_mode = Some("none".to_owned());
    host.extra_hosts = Some(vec![format!("{PROXY_HOST}:127.0.0.1")]);
    // Whoever could write here could take the proxy's place.
    host.mounts.get_or_insert_default().push(mount(attempt, true));
}

fn mount(attempt: &AttemptId, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(proxy_name(attempt)),
        target: Some(FOLDER.to_owned()),
        read_only: Some(read_only),
        ..Mount::default()
    }
}

/// Makes the volume, unless it is there.
pub(super) async fn ensure_volume(
    docker: &Docker,
    config: &DockerConfig,
    attempt: &AttemptId,
) -> Result<(), RunnerError> {
    let name = proxy_name(attempt);
    let request = VolumeCreateRequest {
        name: Some(name.clone()),
        driver: Some("local".to_owned()),
        // In memory, and anybody's who is in one of the two containers: a daemon may map users.
        driver_opts: Some(
            [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=64k,nr_inodes=16,mode=1777")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
        labels: Some(labels(config, attempt)),
        ..VolumeCreateRequest::default()
    };
    // One that is there is given as it is.
    match docker.create_volume(request).await {
        Ok(volume) if is_ours(&volume, config) => Ok(()),
        Err(error) if !is_status(&error, 409) => Err(mapped(error)),
        _ => Err(RunnerError::Refused(format!(
            "a Docker volume with the name {name} belongs to something else; remove it (docker volume rm {name})"
        ))),
    }
}

fn is_ours(volume: &Volume, config: &DockerConfig) -> bool {
    volume.labels.get(spec::INSTANCE) == Some(&config.instance)
}

/// Makes the attempt's proxy, unless it is there.
pub(super) async fn create_proxy(
    docker: &Docker,
    config: &DockerConfig,
    launch: &Launch,
    allow: &AllowList,
) -> Result<(), RunnerError> {
    let body = proxy(config, launch, allow);
    container::create(docker, config, &launch.image, &proxy_name(&launch.attempt), body).await
}

/// Starts the attempt's proxy, unless it runs.
pub(super) async fn start_proxy(
    docker: &Docker,
    config: &DockerConfig,
    launch: &Launch,
) -> Result<(), RunnerError> {
    let name = proxy_name(&launch.attempt);
    if runs(docker, config, &name).await? {
        return Ok(());
    }
    container::start(docker, &launch.image, &name).await
}

/// Whether a proxy of this name, which is ours, runs.
async fn runs(docker: &Docker, config: &DockerConfig, name: &str) -> Result<bool, RunnerError> {
    let answer = match docker.inspect_container(name, None).await {
        Ok(answer) => answer,
        Err(error) if is_status(&error, 404) => {
            return Err(RunnerError::Failed(format!("the container {name} is being made by another launch")));
        }
        Err(error) => return Err(mapped(error)),
    };
    let labels = answer.config.and_then(|config| config.labels).unwrap_or_default();
    if labels.get(spec::INSTANCE) != Some(&config.instance) {
        return Err(RunnerError::Refused(format!(
            "a container with the name {name} belongs to something else; remove it (docker rm -f {name})"
        )));
    }
    Ok(answer.state.and_then(|state| state.status) == Some(State::RUNNING))
}

/// The proxy's container.
fn proxy(config: &DockerConfig, launch: &Launch, allow: &AllowList) -> ContainerCreateBody {
    let mut command = vec!["proxy".to_owned(), "--socket".to_owned(), SOCKET.to_owned()];
    for (option, hosts) in [("--allow", &allow.hosts), ("--named", &allow.named)] {
        command.extend(hosts.iter().flat_map(|host| [option.to_owned(), host.to_string()]));
    }
    let (uid, gid) = config.user;
    let host = HostConfig {
        mounts: Some(vec![mount(&launch.attempt, false)]),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        memory: Some(MEMORY),
        memory_swap: Some(MEMORY),
        pids_limit: Some(32),
        ipc_mode: Some("private".to_owned()),
        network_mode: Some(outside(config).to_owned()),
        extra_hosts: Some(config.extra_hosts.clone()).filter(|hosts| !hosts.is_empty()),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "1m".to_owned()),
                ("max-file".to_owned(), "1".to_owned()),
            ])),
        }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::ON_FAILURE),
            maximum_retry_count: Some(3),
        }),
        ..HostConfig::default()
    };
    let mut labels = labels(config, &launch.attempt);
    labels.insert(PART.to_owned(), "proxy".to_owned());
    ContainerCreateBody {
        image: Some(launch.image.clone()),
        entrypoint: Some(vec![AGENT.to_owned()]),
        cmd: Some(command),
        user: Some(format!("{uid}:{gid}")),
        working_dir: Some("/".to_owned()),
        labels: Some(labels),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

/// The network that leads outside.
pub(super) fn outside(config: &DockerConfig) -> &str {
    config.network.as_deref().unwrap_or("bridge")
}

fn labels(config: &DockerConfig, attempt: &AttemptId) -> HashMap<String, String> {
    HashMap::from([
        (spec::INSTANCE.to_owned(), config.instance.clone()),
        (spec::RUN.to_owned(), attempt.run.to_string()),
        (spec::JOB.to_owned(), attempt.job.clone()),
        (spec::ATTEMPT.to_owned(), attempt.number.to_string()),
    ])
}

/// Removes the attempt's proxy and its volume, as far as they are there and ours. Its container has to be gone, or to have ended.
pub(super) async fn remove(
    docker: &Docker,
    config: &DockerConfig,
    attempt: &AttemptId,
) -> Result<(), RunnerError> {
    remove_proxy(docker, config, attempt).await?;
    let name = proxy_name(attempt);
    match docker.inspect_volume(&name).await {
        Ok(volume) if is_ours(&volume, config) => {}
        Ok(_) => return Ok(()),
        Err(error) if is_status(&error, 404) => return Ok(()),
        Err(error) => return Err(mapped(error)),
    }
    match docker.remove_volume(&name, None::<RemoveVolumeOptions>).await {
        Ok(()) => Ok(()),
        Err(error) if is_status(&error, 404) => Ok(()),
        // A container has it that has ended, and goes later, or is just being removed: then this is asked for again.
        Err(error) if is_status(&error, 409) => Ok(()),
        Err(error) => Err(mapped(error)),
    }
}

async fn remove_proxy(
    docker: &Docker,
    config: &DockerConfig,
    attempt: &AttemptId,
) -> Result<(), RunnerError> {
    let name = proxy_name(attempt);
    match docker.inspect_container(&name, None).await {
        Err(error) if is_status(&error, 404) => return Ok(()),
        Err(error) => return Err(mapped(error)),
        Ok(answer) => {
            let labels = answer.config.and_then(|config| config.labels).unwrap_or_default();
            if labels.get(spec::INSTANCE) != Some(&config.instance) {
                return Ok(());
            }
        }
    }
    container::remove(docker, &name).await
}

/// The attempts that have a volume: one whose container is gone must be found by it.
pub(super) async fn list(
    docker: &Docker,
    config: &DockerConfig,
) -> Result<Vec<(AttemptId, jiff::Timestamp)>, RunnerError> {
    let ours = format!("{}={}", spec::INSTANCE, config.instance);
    let options = ListVolumesOptionsBuilder::new().filters(&HashMap::from([("label", vec![ours])])).build();
    let volumes = docker.list_volumes(Some(options)).await.map_err(mapped)?.volumes.unwrap_or_default();
    let read = |volume: Volume| {
        let attempt = container::attempt(&volume.labels)?;
        let created = volume.created_at.and_then(|at| at.parse().ok()).unwrap_or_default();
        Some((attempt, created))
    };
    Ok(volumes.into_iter().filter_map(read).collect())
}

/// Whether a container could not be started for want of its network.
pub(super) fn is_network_fault(error: &bollard::errors::Error) -> bool {
    is_status(error, 404) && error.to_string().contains("network")
}

/// What it means that the network that the settings name is not there.
pub(super) fn network_error(error: bollard::errors::Error) -> RunnerError {
    RunnerError::Failed(format!(
        "Docker: {error}; the network that the settings name (DOCKER_NETWORK) has to be there"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::ports::{Limits, SecretText};
    use cloud_code_model::ids::RunId;

    fn launch() -> Launch {
        Launch {
            attempt: AttemptId { run: RunId::derive("d", "w"), job: "fix".to_owned(), number: 2 },
            image: "image".to_owned(),
            workspace: "/data/w".into(),
            objects: None,
            fetch: None,
            env: vec![("A".to_owned(), "1".to_owned())],
            secrets: vec![("KEY".to_owned(), SecretText::new("s3cret"))],
            limits: Limits::default(),
            network: crate::ports::Network::Open,
        }
    }

    #[test]
    fn the_proxy_has_no_secret_and_no_right() {
        let mut allow = AllowList::default();
        allow.add_operators(["crates", "intranet.example:8080"]).unwrap();
        let body = proxy(&DockerConfig::new("i"), &launch(), &allow);
        let text = serde_json::to_string(&body).unwrap();
        for no in ["s3cret", "KEY", "/data/w", "/workspace", "CAP_"] {
            assert!(!text.contains(no), "{no}: {text}");
        }
        let host = body.host_config.unwrap();
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!((host.readonly_rootfs, host.privileged), (Some(true), Some(false)));
        let mounts: Vec<_> = host.mounts.unwrap().into_iter().filter_map(|mount| mount.source).collect();
        assert_eq!(mounts, [proxy_name(&launch().attempt)]);
        assert_ne!(body.user.unwrap(), "0:0");
        let command = body.cmd.unwrap().join(" ");
        assert!(command.starts_with("proxy --socket /run/cloud-code/proxy --allow crates.io "), "{command}");
        assert!(command.ends_with(" --named intranet.example:8080"), "{command}");
        assert!(proxy_name(&launch().attempt).ends_with("-fix-2-proxy"));
    }

    #[test]
    fn a_network_that_is_gone_is_explained() {
        let gone = |status_code| bollard::errors::Error::DockerResponseServerError {
            status_code,
            message: "network jobs not found".to_owned(),
        };
        assert!(is_network_fault(&gone(404)) && !is_network_fault(&gone(500)));
        let error = network_error(gone(404));
        assert!(error.may_heal() && error.to_string().contains("DOCKER_NETWORK"), "{error}");
    }
}
