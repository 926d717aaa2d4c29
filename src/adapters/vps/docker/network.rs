//! The way out of an attempt whose network is restricted: a Docker network of its own that leads nowhere, and in it, beside the
//! attempt's container, a proxy that is also in an ordinary network.
//!
//! The network is internal, its bridge has no address (else this machine's own services would answer there), and names outside
//! it have no server to be asked of. The proxy is the agent's own program from the attempt's own image, so that there is nothing
//! more to have: without privileges, secrets or a file that it could write. Network and proxy have the attempt's labels and
//! names derived from its own, are found again by them, and go with it.

use super::client::{is_status, mapped};
use super::{DockerConfig, image, spec};
use crate::ports::{Launch, RunnerError};
use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum as State, ContainerSummary, EndpointSettings, HostConfig,
    HostConfigLogConfig, Network, NetworkConnectRequest, NetworkCreateRequest, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::network::AllowList;
use std::collections::HashMap;

/// Label of what serves an attempt and is not its container: which part it is.
const PART: &str = "cloud-code.part";
/// The proxy's name in the attempt's network.
const ALIAS: &str = "cloud-code-proxy";
const PORT: u16 = 3128;
const AGENT: &str = "/usr/local/bin/cloud-code-agent";
/// The proxy's memory. It needs a tenth of it; the rest is for the buffers of its connections in the kernel.
const MEMORY: i64 = 96 << 20;

/// What the daemon says of a name that several networks have.
const AMBIGUOUS: &str = "is ambiguous";

/// The name of an attempt's proxy. No attempt has it: their names end in a number.
pub(super) fn proxy_name(attempt: &AttemptId) -> String {
    format!("{}-proxy", attempt.name())
}

/// Whether a container is a proxy of ours, and no attempt's own.
pub(super) fn is_proxy(container: &ContainerSummary) -> bool {
    container.labels.as_ref().is_some_and(|labels| labels.contains_key(PART))
}

/// What the attempt's container is told of its way out: programs that do not know the variables have none.
pub(super) fn environment() -> impl Iterator<Item = (&'static str, String)> {
    let url = format!("http://{ALIAS}:{PORT}");
    let none = "localhost,127.0.0.1,::1".to_owned();
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let proxies = proxies.into_iter().map(move |name| (name, url.clone()));
    proxies.chain([
        ("NO_PROXY", none.clone()),
        ("no_proxy", none),
        // Node's own `fetch` asks the variables only then: <https://nodejs.org/api/cli.html#node_use_env_proxy1>
        ("NODE_USE_ENV_PROXY", "1".to_owned()),
        ("CLOUD_CODE_PROXY", format!("{ALIAS}:{PORT}")),
    ])
}

/// What the attempt's container has in place of the usual network. Its own loopback is asked for names outside the network: the
/// daemon forwards such questions to the address given here, and without one it would forward them to this machine's servers.
pub(super) fn confine(host: &mut HostConfig, network: &str) {
    host.network_mode = Some(network.to_owned());
    host.extra_hosts = None;
    host.dns = Some(vec!["127.0.0.1".to_owned()]);
    host.dns_search = Some(vec![".".to_owned()]);
    // Nobody answers; a name that can't be known is to be known as such soon.
    host.dns_options = Some(vec!["timeout:1".to_owned(), "attempts:1".to_owned()]);
}

/// The id of the attempt's network, which is made unless it is there. Old daemons let two networks have one name, so that no two
/// launches of an attempt may be here at the same time; what several servers bring about all the same, the next try mends.
pub(super) async fn ensure(
    docker: &Docker,
    config: &DockerConfig,
    attempt: &AttemptId,
) -> Result<String, RunnerError> {
    if let Some(id) = settle(docker, config, attempt).await? {
        return Ok(id);
    }
    let request = NetworkCreateRequest {
        name: attempt.name(),
        driver: Some("bridge".to_owned()),
        internal: Some(true),
        enable_ipv6: Some(false),
        options: Some(HashMap::from([(
            "com.docker.network.bridge.inhibit_ipv4".to_owned(),
            "true".to_owned(),
        )])),
        labels: Some(labels(config, attempt)),
        ..NetworkCreateRequest::default()
    };
    match docker.create_network(request).await {
        Ok(_) => {}
        // Another launch was quicker.
        Err(error) if is_status(&error, 409) => {}
        Err(error) => return Err(network_error(error)),
    }
    settle(docker, config, attempt).await?.ok_or_else(|| {
        RunnerError::Failed(format!("the network {} was made and can't be found", attempt.name()))
    })
}

/// The attempt's network, where it is there. Of several, which launches at the same time made, all keep the oldest.
async fn settle(
    docker: &Docker,
    config: &DockerConfig,
    attempt: &AttemptId,
) -> Result<Option<String>, RunnerError> {
    let name = attempt.name();
    let mut found = named(docker, &name).await?;
    if let Some(stranger) = found.iter().find(|network| !is_ours(network, config)) {
        return Err(RunnerError::Refused(format!(
            "a Docker network with the name {name} belongs to something else ({}); remove it (docker network rm {name})",
            stranger.id.as_deref().unwrap_or("no id")
        )));
    }
    found.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
    for surplus in found.iter().skip(1) {
        remove_network(docker, surplus).await?;
    }
    Ok(found.into_iter().next().and_then(|network| network.id))
}

/// The networks of this very name.
async fn named(docker: &Docker, name: &str) -> Result<Vec<Network>, RunnerError> {
    // The daemon's filter takes parts of names too.
    let options = ListNetworksOptionsBuilder::new().filters(&HashMap::from([("name", vec![name])])).build();
    let mut found = docker.list_networks(Some(options)).await.map_err(mapped)?;
    found.retain(|network| network.name.as_deref() == Some(name));
    Ok(found)
}

fn is_ours(network: &Network, config: &DockerConfig) -> bool {
    network.labels.as_ref().and_then(|labels| labels.get(spec::INSTANCE)) == Some(&config.instance)
}

async fn remove_network(docker: &Docker, network: &Network) -> Result<(), RunnerError> {
    let Some(id) = &network.id else { return Ok(()) };
    match docker.remove_network(id).await {
        Ok(()) => Ok(()),
        Err(error) if is_status(&error, 404) => Ok(()),
        // Something is still in it, e.g. a container that is just being removed.
        Err(error) if is_status(&error, 403) => Err(RunnerError::Failed(format!("Docker: {error}"))),
        Err(error) => Err(mapped(error)),
    }
}

/// Makes the attempt's proxy and starts it, unless it runs. `network` is the attempt's own.
pub(super) async fn start_proxy(
    docker: &Docker,
    config: &DockerConfig,
    launch: &Launch,
    allow: &AllowList,
    network: &str,
) -> Result<(), RunnerError> {
    let name = proxy_name(&launch.attempt);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let body = proxy(config, launch, allow);
    let mut answer = docker.create_container(Some(options.clone()), body.clone()).await;
    if answer.as_ref().is_err_and(|error| is_status(error, 404)) {
        image::obtain(docker, &launch.image, config.pull).await?;
        answer = docker.create_container(Some(options), body).await;
    }
    match answer {
        Ok(_) => {}
        // It is there already, or will be in a moment.
        Err(error) if is_status(&error, 409) => {
            if runs(docker, config, &name).await? {
                return Ok(());
            }
        }
        Err(error) if is_status(&error, 404) => return Err(image::missing(&launch.image, None)),
        Err(error) => return Err(mapped(error)),
    }
    let endpoint = EndpointSettings { aliases: Some(vec![ALIAS.to_owned()]), ..EndpointSettings::default() };
    let request = NetworkConnectRequest { container: name.clone(), endpoint_config: Some(endpoint) };
    match docker.connect_network(network, request).await {
        Ok(()) => {}
        // It is in it: an earlier launch came as far.
        Err(error) if is_status(&error, 403) && error.to_string().contains("already exists") => {}
        Err(error) => return Err(network_error(error)),
    }
    match docker.start_container(&name, None).await {
        Ok(()) => Ok(()),
        Err(error) if is_status(&error, 304) => Ok(()),
        Err(error) => Err(network_error(error)),
    }
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
    let mut command = vec!["proxy".to_owned(), "--listen".to_owned(), format!("{ALIAS}:{PORT}")];
    for (option, hosts) in [("--allow", &allow.hosts), ("--named", &allow.named)] {
        command.extend(hosts.iter().flat_map(|host| [option.to_owned(), host.to_string()]));
    }
    let (uid, gid) = config.user;
    let host = HostConfig {
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

/// Removes the attempt's proxy and its network, as far as they are there and ours. Its container has to be gone, or to have ended.
pub(super) async fn remove(
    docker: &Docker,
    config: &DockerConfig,
    attempt: &AttemptId,
) -> Result<(), RunnerError> {
    let network = attempt.name();
    let name = proxy_name(attempt);
    let proxy = async {
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
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match docker.remove_container(&name, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, 404) || is_status(&error, 409) => Ok(()),
            Err(error) => Err(mapped(error)),
        }
    };
    let (proxy, networks) = tokio::join!(proxy, named(docker, &network));
    proxy?;
    for network in networks?.iter().filter(|network| is_ours(network, config)) {
        remove_network(docker, network).await?;
    }
    Ok(())
}

/// The attempts that have a network: one whose container is gone must be found by it.
pub(super) async fn list(
    docker: &Docker,
    config: &DockerConfig,
) -> Result<Vec<(AttemptId, jiff::Timestamp)>, RunnerError> {
    let ours = format!("{}={}", spec::INSTANCE, config.instance);
    let options = ListNetworksOptionsBuilder::new().filters(&HashMap::from([("label", vec![ours])])).build();
    let networks = docker.list_networks(Some(options)).await.map_err(mapped)?;
    let read = |network: Network| {
        // The network that the settings name has our label too, and no attempt.
        let attempt = super::container::attempt(&network.labels.unwrap_or_default())?;
        let created = network.created.and_then(|at| at.parse().ok()).unwrap_or_default();
        Some((attempt, created))
    };
    Ok(networks.into_iter().filter_map(read).collect())
}

/// Whether a container could not be started for want of its network.
pub(super) fn is_network_fault(error: &bollard::errors::Error) -> bool {
    let text = error.to_string();
    text.contains("network") && (is_status(error, 404) || text.contains(AMBIGUOUS))
}

/// What it means that a network can't be made or joined.
pub(super) fn network_error(error: bollard::errors::Error) -> RunnerError {
    let text = error.to_string();
    if text.contains("non-overlapping IPv4 address pool") || text.contains("predefined address pools") {
        return RunnerError::Failed(format!(
            "Docker has no address range left for one more network, and each job with a restricted network takes one: give it \
             small ranges in /etc/docker/daemon.json (\"default-address-pools\": [{{\"base\": \"10.210.0.0/16\", \"size\": 28}}]) and \
             restart it, remove unused networks (docker network prune), or lower CONCURRENCY ({text})"
        ));
    }
    if text.contains(AMBIGUOUS) {
        // Another server launches the same attempt: the next try finds the one that is left.
        return RunnerError::Failed(format!("Docker: {text}"));
    }
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code: 404, message } => {
            RunnerError::Failed(format!(
                "Docker: {message}; if the settings name a network (DOCKER_NETWORK), it has to be there, and a job's own network must \
             not be removed while it starts"
            ))
        }
        other => mapped(other),
    }
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
        assert_eq!((host.readonly_rootfs, host.privileged, host.mounts), (Some(true), Some(false), None));
        assert_ne!(body.user.unwrap(), "0:0");
        let command = body.cmd.unwrap().join(" ");
        assert!(command.starts_with("proxy --listen cloud-code-proxy:3128 --allow crates.io "), "{command}");
        assert!(command.ends_with(" --named intranet.example:8080"), "{command}");
        assert!(proxy_name(&launch().attempt).ends_with("-fix-2-proxy"));
    }

    #[test]
    fn what_docker_says_of_networks_is_explained() {
        let answer = |status_code, message: &str| bollard::errors::Error::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        };
        for (error, word) in [
            (
                answer(
                    500,
                    "could not find an available, non-overlapping IPv4 address pool among the defaults",
                ),
                "default-address-pools",
            ),
            (answer(400, "all predefined address pools have been fully subnetted"), "CONCURRENCY"),
            (answer(404, "network jobs not found"), "DOCKER_NETWORK"),
            (answer(400, "network x is ambiguous (2 matches found on name)"), "ambiguous"),
        ] {
            let error = network_error(error);
            assert!(error.may_heal() && error.to_string().contains(word), "{error}");
        }
    }
}
