//! What is asked of the daemon for an attempt. Pure, so that what makes the sandbox can be read, and tested, in one place.

use super::DockerConfig;
use super::network;
use crate::ports::{Launch, Network, RunnerError};
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::path::Path;

/// Label: which installation.
pub(super) const INSTANCE: &str = "cloud-code.instance";
/// Label: the run's id.
pub(super) const RUN: &str = "cloud-code.run";
/// Label: the job's key.
pub(super) const JOB: &str = "cloud-code.job";
/// Label: the attempt's number.
pub(super) const ATTEMPT: &str = "cloud-code.attempt";

const WORKSPACE: &str = "/workspace";
const HOME: &str = "/home/agent";
/// Open files a process: four times what a login session has. A daemon without CAP_SYS_RESOURCE, e.g. a rootless one, can't give
/// more than it has itself, and would not start the container.
const OPEN_FILES: i64 = 4096;

/// The container for `launch`, on a daemon that has `cores` processors, where it says so.
pub(super) fn container(
    config: &DockerConfig,
    launch: &Launch,
    cores: Option<i64>,
) -> Result<ContainerCreateBody, RunnerError> {
    let attempt = &launch.attempt;
    let (uid, gid) = config.user;
    let limits = &launch.limits;
    let memory = i64::try_from(limits.memory_bytes).map_err(|_| {
        RunnerError::Refused(format!("{} bytes of memory are out of range", limits.memory_bytes))
    })?;
    let tmpfs = format!("rw,exec,nosuid,nodev,size={}", limits.tmpfs_bytes);

    let mut mounts = vec![bind(&launch.workspace, Path::new(WORKSPACE), false)?];
    if let Some((outside, inside)) = &launch.objects {
        mounts.push(bind(outside, inside, true)?);
    }

    let mut host = HostConfig {
        mounts: Some(mounts),
        readonly_rootfs: Some(true),
        tmpfs: Some(HashMap::from([
            ("/tmp".to_owned(), format!("{tmpfs},mode=1777")),
            (HOME.to_owned(), format!("{tmpfs},mode=0700,uid={uid},gid={gid}")),
        ])),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        memory: Some(memory),
        // The same as memory: no swap on top of it.
        memory_swap: Some(memory),
        nano_cpus: Some(nano_cpus(limits.cpus, cores)?),
        pids_limit: Some(i64::from(limits.pids)),
        // No core dumps: they would put secrets into the workspace.
        ulimits: Some(vec![ulimit("nofile", OPEN_FILES), ulimit("core", 0)]),
        // Also where the daemon's own setting is another: process 1 has the secrets in its environment, which a foreign init leaves open to
        // every step. The agent is one that does not.
        init: Some(false),
        ipc_mode: Some("private".to_owned()),
        network_mode: Some(network::outside(config).to_owned()),
        extra_hosts: Some(config.extra_hosts.clone()).filter(|hosts| !hosts.is_empty()),
        // Bounded: an agent that floods its output must not fill this machine's disk.
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "16m".to_owned()),
                ("max-file".to_owned(), "2".to_owned()),
            ])),
        }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..HostConfig::default()
    };
    match &launch.network {
        Network::Open => {}
        Network::Restricted(_) => network::confine(&mut host, attempt),
        Network::None => host.network_mode = Some("none".to_owned()),
    }

    Ok(ContainerCreateBody {
        image: Some(launch.image.clone()),
        // A host name has at most 63 characters, which job keys do not respect.
        hostname: Some(attempt.run.to_string()),
        user: Some(format!("{uid}:{gid}")),
        working_dir: Some(WORKSPACE.to_owned()),
        env: Some(environment(launch)?),
        labels: Some(HashMap::from([
            (INSTANCE.to_owned(), config.instance.clone()),
            (RUN.to_owned(), attempt.run.to_string()),
            (JOB.to_owned(), attempt.job.clone()),
            (ATTEMPT.to_owned(), attempt.number.to_string()),
        ])),
        stop_signal: Some("SIGINT".to_owned()),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    })
}

fn bind(outside: &Path, inside: &Path, read_only: bool) -> Result<Mount, RunnerError> {
    let text = |path: &Path| match path.to_str() {
        Some(text) if path.is_absolute() => Ok(text.to_owned()),
        _ => Err(RunnerError::Refused(format!(
            "{} can't be mounted: it has to be an absolute path in UTF-8",
            path.display()
        ))),
    };
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(text(outside)?),
        target: Some(text(inside)?),
        read_only: Some(read_only),
        ..Mount::default()
    })
}

fn ulimit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) }
}

/// Billionths of a processor. The daemon refuses more than the machine has, so that the default would not start on a small
/// one: less is given there.
fn nano_cpus(cpus: f64, cores: Option<i64>) -> Result<i64, RunnerError> {
    if !(cpus.is_finite() && cpus >= 0.01) {
        return Err(RunnerError::Refused(format!(
            "{cpus} processors are out of range: at least 0.01 are needed"
        )));
    }
    let most = cores.filter(|cores| *cores > 0).map_or(f64::INFINITY, |cores| cores as f64);
    Ok((cpus.min(most) * 1e9).round() as i64)
}

/// `NAME=value`, each name once. Secrets win over what is in clear, and both over what is set here; `CLOUD_CODE_SECRETS` has
/// the secrets' names.
fn environment(launch: &Launch) -> Result<Vec<String>, RunnerError> {
    let mut variables = IndexMap::from([("HOME", HOME), ("CLOUD_CODE_WORKSPACE", WORKSPACE)]);
    let proxy: Vec<(&str, String)> = match launch.network {
        Network::Restricted(_) => network::environment().collect(),
        Network::None | Network::Open => Vec::new(),
    };
    variables.extend(proxy.iter().map(|(name, value)| (*name, value.as_str())));
    variables.extend(launch.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    variables.extend(launch.secrets.iter().map(|(name, value)| (name.as_str(), value.reveal())));
    let names: Vec<&str> = launch.secrets.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(",");
    variables.insert("CLOUD_CODE_SECRETS", &names);
    let entry = |(name, value): (&str, &str)| {
        let valid = !name.is_empty() && !name.contains(['=', '\0', ',']) && !value.contains('\0');
        // The value stays out of the message: it may be a secret.
        valid.then(|| format!("{name}={value}")).ok_or_else(|| {
            RunnerError::Refused(format!("the variable `{}` can't be in an environment", name.escape_debug()))
        })
    };
    variables.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::ports::{Limits, SecretText};
    use cloud_code_model::ids::{AttemptId, RunId};
    use cloud_code_model::network::AllowList;

    fn launch() -> Launch {
        Launch {
            attempt: AttemptId { run: RunId::derive("d", "w"), job: "fix".to_owned(), number: 2 },
            image: "image".to_owned(),
            workspace: "/data/w".into(),
            objects: None,
            fetch: None,
            env: vec![("A".to_owned(), "1".to_owned()), ("KEY".to_owned(), "clear".to_owned())],
            secrets: vec![("KEY".to_owned(), SecretText::new("s3cret"))],
            limits: Limits::default(),
            network: Network::Open,
        }
    }

    #[test]
    fn a_restricted_one_has_a_socket_and_no_network() {
        let mut config = DockerConfig::new("i");
        config.extra_hosts = vec!["a:host-gateway".to_owned()];
        let mut restricted = launch();
        let modes = |launch: &Launch| {
            let body = container(&config, launch, None).unwrap();
            let host = body.host_config.unwrap();
            (
                host.network_mode.unwrap(),
                host.extra_hosts.unwrap_or_default().join(" "),
                host.mounts.unwrap().len(),
                body.env.unwrap().join(" "),
            )
        };
        let (mode, hosts, mounts, env) = modes(&restricted);
        assert_eq!((mode.as_str(), hosts.as_str(), mounts), ("bridge", "a:host-gateway", 1));
        assert!(!env.contains("PROXY"), "{env}");
        restricted.network = Network::Restricted(AllowList::default());
        let (mode, hosts, mounts, env) = modes(&restricted);
        assert_eq!((mode.as_str(), hosts.as_str(), mounts), ("none", "cloud-code-proxy:127.0.0.1", 2));
        for name in [
            "HTTP_PROXY=http://cloud-code-proxy:3128 ",
            "https_proxy=",
            "NO_PROXY=localhost",
            "NODE_USE_ENV_PROXY=1",
        ] {
            assert!(env.contains(name), "{name}: {env}");
        }
        restricted.network = Network::None;
        assert_eq!(modes(&restricted).0, "none");
    }

    #[test]
    fn each_variable_is_there_once_and_secrets_win() {
        assert_eq!(
            environment(&launch()).unwrap(),
            [
                "HOME=/home/agent",
                "CLOUD_CODE_WORKSPACE=/workspace",
                "A=1",
                "KEY=s3cret",
                "CLOUD_CODE_SECRETS=KEY"
            ]
        );
    }

    #[test]
    fn impossible_requests_are_refused_without_their_values() {
        let mut bad = launch();
        bad.secrets = vec![("KEY".to_owned(), SecretText::new("s3cret\0"))];
        let error = environment(&bad).unwrap_err();
        assert!(!error.may_heal() && !error.to_string().contains("s3cret"), "{error}");
        let mut bad = launch();
        bad.workspace = "relative".into();
        assert!(container(&DockerConfig::new("i"), &bad, None).is_err());
        for cpus in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(nano_cpus(cpus, None).is_err(), "{cpus}");
        }
    }

    #[test]
    fn a_small_machine_gives_what_it_has() {
        assert_eq!(nano_cpus(2.0, Some(1)).unwrap(), 1_000_000_000);
        assert_eq!(nano_cpus(1.5, Some(8)).unwrap(), 1_500_000_000);
        assert_eq!(nano_cpus(2.0, None).unwrap(), 2_000_000_000);
    }
}
