//! Ending a container: politely, firmly, for good.

use super::client::{is_status, mapped};
use crate::ports::RunnerError;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerStateStatusEnum as State;
use bollard::query_parameters::{KillContainerOptionsBuilder, WaitContainerOptionsBuilder};
use futures::StreamExt;
use std::time::Duration;

/// After SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// After SIGKILL, for the daemon to take the container down.
const REAPING: Duration = Duration::from_secs(20);

/// SIGINT, SIGTERM, SIGKILL, until it has ended. A paused container is woken by the daemon when it gets its stop signal.
pub(super) async fn escalate(docker: &Docker, name: &str, patience: Duration) -> Result<(), RunnerError> {
    for (signal, wait) in [("SIGINT", patience), ("SIGTERM", GRACE), ("SIGKILL", REAPING)] {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        match docker.kill_container(name, Some(options)).await {
            Ok(()) => {}
            Err(error) if is_status(&error, 404) => return Ok(()),
            // It is not running, as a rule; the wait says at once.
            Err(error) if is_status(&error, 409) => {}
            Err(error) => return Err(mapped(error)),
        }
        if has_ended(docker, name, wait).await? {
            return Ok(());
        }
    }
    Err(RunnerError::Failed(format!(
        "the container {name} did not end {} s after SIGKILL: a process in it may hang in the kernel",
        REAPING.as_secs()
    )))
}

/// Waits until the container has ended, for at most `wait`.
async fn has_ended(docker: &Docker, name: &str, wait: Duration) -> Result<bool, RunnerError> {
    let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
    let mut events = Box::pin(docker.wait_container(name, Some(options)));
    match tokio::time::timeout(wait, events.next()).await {
        Err(_) => Ok(false),
        // bollard makes an error of an exit code that is not 0.
        Ok(Some(Ok(_) | Err(Error::DockerContainerWaitError { .. }))) => Ok(true),
        Ok(Some(Err(error))) if is_status(&error, 404) => Ok(true),
        Ok(Some(Err(error))) => Err(mapped(error)),
        Ok(None) => is_not_running(docker, name).await,
    }
}

async fn is_not_running(docker: &Docker, name: &str) -> Result<bool, RunnerError> {
    match docker.inspect_container(name, None).await {
        Ok(answer) => Ok(matches!(
            answer.state.and_then(|state| state.status),
            Some(State::EXITED | State::DEAD | State::REMOVING | State::CREATED)
        )),
        Err(error) if is_status(&error, 404) => Ok(true),
        Err(error) => Err(mapped(error)),
    }
}
