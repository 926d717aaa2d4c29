//! The connection to the daemon, made when it is first needed, and what its errors mean.

use crate::ports::RunnerError;
use bollard::Docker;
use bollard::errors::Error;
use std::io::ErrorKind;
use tokio::sync::OnceCell;

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// A connection that is made when it is first asked for. A daemon that goes away and comes back needs no new one: each
/// request dials by itself.
#[derive(Debug)]
pub(super) struct Client {
    host: Option<String>,
    docker: OnceCell<Docker>,
}

impl Client {
    pub(super) fn new(host: Option<String>) -> Self {
        Self { host, docker: OnceCell::new() }
    }

    /// The connection, speaking the newest API version that both sides know.
    pub(super) async fn get(&self) -> Result<&Docker, RunnerError> {
        self.docker
            .get_or_try_init(|| async {
                let host = self.host.as_deref().unwrap_or(DEFAULT_HOST);
                let docker = Docker::connect_with_host(host).map_err(mapped)?;
                docker.negotiate_version().await.map_err(mapped)
            })
            .await
    }
}

/// Whether the daemon answered with this HTTP status.
pub(super) fn is_status(error: &Error, status: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// What an error means to the caller.
pub(super) fn mapped(error: Error) -> RunnerError {
    match error {
        Error::SocketNotFoundError(path) => RunnerError::Unreachable(format!(
            "there is no Docker socket at {path}: is the Docker daemon running? (sudo systemctl start docker)"
        )),
        Error::UnsupportedURISchemeError { uri } => RunnerError::Refused(format!(
            "the Docker daemon's address is `{uri}`: it has to be unix:///PATH or tcp://HOST:PORT"
        )),
        Error::RequestTimeoutError => RunnerError::Unreachable(
            "the Docker daemon took the request and did not answer in time".to_owned(),
        ),
        Error::DockerResponseServerError { status_code, message } => match status_code {
            // A conflict is with something that goes on just now, e.g. a removal.
            409 | 429 => RunnerError::Failed(format!("Docker: {message}")),
            400..=499 => RunnerError::Refused(format!("Docker: {message}")),
            _ => RunnerError::Failed(format!("Docker: {message}")),
        },
        other => unreachable(&other),
    }
}

/// What an error says that came from the way to the daemon and not from it.
fn unreachable(error: &Error) -> RunnerError {
    let (mut chain, mut kind) = (error.to_string(), None);
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        if !chain.ends_with(&text) {
            chain = format!("{chain}: {text}");
        }
        kind = kind.or_else(|| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
        source = cause.source();
    }
    if let Error::IOError { err } = error {
        kind = Some(err.kind());
    }
    match kind {
        Some(ErrorKind::PermissionDenied) => RunnerError::Unreachable(
            "permission denied on the Docker socket: add this user to the group docker (sudo usermod -aG docker USER) \
             and log in again, or restart the service"
                .to_owned(),
        ),
        Some(ErrorKind::ConnectionRefused | ErrorKind::NotFound) => RunnerError::Unreachable(format!(
            "nothing answers at the Docker socket: is the Docker daemon running? (sudo systemctl start docker) ({chain})"
        )),
        Some(_) => RunnerError::Unreachable(format!("{chain}; is the Docker daemon running?")),
        None if matches!(error, Error::HyperLegacyError { .. } | Error::HyperResponseError { .. }) => {
            RunnerError::Unreachable(format!("{chain}; is the Docker daemon running?"))
        }
        None => RunnerError::Failed(format!("Docker: {chain}")),
    }
}

/// What it means that a container was made but would not start. An entry point that can't be executed is the image's fault and
/// stays so.
pub(super) fn start_error(error: Error, image: &str) -> RunnerError {
    if let Error::DockerResponseServerError { message, .. } = &error
        && is_entrypoint_fault(message)
    {
        return RunnerError::Refused(format!(
            "the image {image} can't be started: its entry point is missing or not a program for this machine; build it \
             again with scripts/build-agents.sh ({message})"
        ));
    }
    mapped(error)
}

fn is_entrypoint_fault(message: &str) -> bool {
    let runtime = message.contains("runtime create failed") || message.contains("failed to create task");
    let exec =
        ["executable file not found", "exec format error", "no such file or directory", "permission denied"];
    runtime && message.contains("exec") && exec.iter().any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[test]
    fn answers_mean_what_their_status_says() {
        for (status, heals) in
            [(400, false), (403, false), (404, false), (409, true), (500, true), (503, true)]
        {
            assert_eq!(mapped(answer(status, "x")).may_heal(), heals, "{status}");
        }
        assert!(mapped(Error::RequestTimeoutError).may_heal());
    }

    #[test]
    fn a_denied_socket_says_what_to_do() {
        let error = mapped(Error::IOError { err: ErrorKind::PermissionDenied.into() });
        assert!(matches!(&error, RunnerError::Unreachable(text) if text.contains("group docker")), "{error}");
        let error = mapped(Error::IOError { err: ErrorKind::ConnectionRefused.into() });
        assert!(
            matches!(&error, RunnerError::Unreachable(text) if text.contains("daemon running")),
            "{error}"
        );
    }

    #[test]
    fn an_entry_point_that_cannot_run_is_refused_for_good() {
        let gone = "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \
                    \"/usr/local/bin/cloud-code-agent\": stat /usr/local/bin/cloud-code-agent: no such file or directory: unknown";
        assert!(!start_error(answer(400, gone), "i").may_heal());
        let other = "OCI runtime create failed: cgroup: device or resource busy";
        assert!(start_error(answer(500, other), "i").may_heal());
    }
}
