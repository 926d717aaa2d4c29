//! The way out of a container without a network: a proxy in a container of its own, and a volume with the socket between them.
//!
//! The job's container has no interface but loopback; the proxy's has the usual network and nothing of the job but the socket. It
//! outlives this process as the job's container does, and goes when that goes.

use super::client::{Client, is_status, mapped};
use super::{DockerConfig, image, spec};
use crate::ports::{Launch, RunnerError};
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
    RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::network::AllowList;
use std::collections::HashMap;

/// Where the proxy sees the volume.
const FOLDER: &str = "/proxy";
/// Where the job's container sees it.
const INSIDE: &str = "/cloud-code/proxy";
/// Label: whose way out it is.
const PROXY: &str = "cloud-code.proxy";

/// The name of both the container and the volume.
fn name(attempt: &AttemptId) -> String {
    format!("{}-proxy", attempt.name())
}

/// What the job's container gets of it: the mount, and the variable that names the socket.
pub(super) fn entrance(config: &DockerConfig, attempt: &AttemptId) -> (Mount, (&'static str, String)) {
    (volume(config, attempt, INSIDE, true), ("CLOUD_CODE_PROXY_SOCKET", format!("{INSIDE}/socket")))
}

fn volume(config: &DockerConfig, attempt: &AttemptId, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name(attempt)),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        volume_options: Some(MountVolumeOptions {
            labels: Some(labels(config, attempt)),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

fn labels(config: &DockerConfig, attempt: &AttemptId) -> HashMap<String, String> {
    HashMap::from([(spec::INSTANCE.to_owned(), config.instance.clone()), (PROXY.to_owned(), attempt.name())])
}

fn container(config: &DockerConfig, launch: &Launch, allow: &AllowList) -> ContainerCreateBody {
    let patterns: Vec<String> = allow.patterns().collect();
    let host = HostConfig {
        mounts: Some(vec![volume(config, &launch.attempt, FOLDER, false)]),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        memory: Some(64 << 20),
        memory_swap: Some(64 << 20),
        pids_limit: Some(64),
        init: Some(true),
        network_mode: Some(config.network.clone().unwrap_or_else(|| "bridge".to_owned())),
        extra_hosts: Some(config.extra_hosts.clone()).filter(|hosts| !hosts.is_empty()),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([("max-size".to_owned(), "1m".to_owned())])),
        }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::ON_FAILURE),
            maximum_retry_count: Some(5),
        }),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(launch.image.clone()),
        // The volume is root's; without a capability root is a user like others.
        user: Some("0:0".to_owned()),
        entrypoint: Some(vec!["/usr/local/bin/cloud-code-agent".to_owned()]),
        cmd: Some(vec!["proxy".to_owned()]),
        working_dir: Some("/".to_owned()),
        env: Some(vec![
            format!("CLOUD_CODE_PROXY_FOLDER={FOLDER}"),
            format!("CLOUD_CODE_PROXY_ALLOW={}", patterns.join(",")),
        ]),
        labels: Some(labels(config, &launch.attempt)),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

/// Makes and starts the attempt's proxy, or finds it.
pub(super) async fn open(
    client: &Client,
    config: &DockerConfig,
    launch: &Launch,
    allow: &AllowList,
) -> Result<(), RunnerError> {
    let docker = client.get().await?;
    let name = name(&launch.attempt);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let body = container(config, launch, allow);
    let mut answer = docker.create_container(Some(options.clone()), body.clone()).await;
    if answer.as_ref().is_err_and(|error| is_status(error, 404)) {
        image::obtain(docker, &launch.image, config.pull).await?;
        answer = docker.create_container(Some(options), body).await;
    }
    match answer {
        Ok(_) => {}
        // An earlier launch made it.
        Err(error) if is_status(&error, 409) => {}
        Err(error) if is_status(&error, 404) => return Err(image::missing(&launch.image, None)),
        Err(error) => return Err(mapped(error)),
    }
    match docker.start_container(&name, None).await {
        Ok(()) => Ok(()),
        Err(error) if is_status(&error, 304) => Ok(()),
        Err(error) => Err(super::client::start_error(error, &launch.image)),
    }
}

/// Removes the attempt's proxy and its volume, where they are there and of this installation.
pub(super) async fn close(
    client: &Client,
    config: &DockerConfig,
    attempt: &AttemptId,
) -> Result<(), RunnerError> {
    let docker = client.get().await?;
    let name = name(attempt);
    let gone = |error: &bollard::errors::Error| is_status(error, 404) || is_status(error, 409);
    let ours = |labels: Option<&HashMap<String, String>>| {
        labels.and_then(|labels| labels.get(spec::INSTANCE)) == Some(&config.instance)
    };
    match docker.inspect_container(&name, None).await {
        Ok(found) if ours(found.config.as_ref().and_then(|config| config.labels.as_ref())) => {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            match docker.remove_container(&name, Some(options)).await {
                Err(error) if !gone(&error) => return Err(mapped(error)),
                _ => {}
            }
        }
        Ok(_) => return Ok(()),
        Err(error) if is_status(&error, 404) => {}
        Err(error) => return Err(mapped(error)),
    }
    match docker.inspect_volume(&name).await {
        Ok(found) if ours(Some(&found.labels)) => {
            match docker.remove_volume(&name, None::<RemoveVolumeOptions>).await {
                Err(error) if !gone(&error) => Err(mapped(error)),
                _ => Ok(()),
            }
        }
        Ok(_) => Ok(()),
        Err(error) if is_status(&error, 404) => Ok(()),
        Err(error) => Err(mapped(error)),
    }
}
