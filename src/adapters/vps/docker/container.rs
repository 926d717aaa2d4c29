//! Making, starting and removing a container, and reading what the daemon says of it.

use super::client::{is_status, mapped, start_error};
use super::{DockerConfig, image, network, spec};
use crate::ports::{ContainerStatus, Listed, RunnerError};
use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as State,
    ContainerSummary, ContainerSummaryStateEnum,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use cloud_code_model::ids::{AttemptId, RunId};
use jiff::Timestamp;
use std::collections::HashMap;

/// Makes a container, and gets its image where that is allowed. That another launch made it meanwhile is fine.
pub(super) async fn create(
    docker: &Docker,
    config: &DockerConfig,
    image: &str,
    name: &str,
    body: ContainerCreateBody,
) -> Result<(), RunnerError> {
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    let mut answer = docker.create_container(Some(options.clone()), body.clone()).await;
    if answer.as_ref().is_err_and(|error| is_status(error, 404)) {
        image::obtain(docker, image, config.pull).await?;
        answer = docker.create_container(Some(options), body).await;
    }
    match answer {
        Ok(created) => {
            for warning in created.warnings {
                tracing::warn!(container = name, warning, "Docker warns about the container");
            }
            Ok(())
        }
        Err(error) if is_status(&error, 409) => Ok(()),
        Err(error) if is_status(&error, 404) => Err(image::missing(image, None)),
        Err(error) => Err(mapped(error)),
    }
}

/// Starts a container that has been made. That another launch was quicker is fine.
pub(super) async fn start(docker: &Docker, image: &str, name: &str) -> Result<(), RunnerError> {
    match docker.start_container(name, None).await {
        Ok(()) => Ok(()),
        Err(error) if is_status(&error, 304) => Ok(()),
        Err(error) if network::is_network_fault(&error) => Err(network::network_error(error)),
        Err(error) => Err(start_error(error, image)),
    }
}

/// Removes a container, running or not, with its unnamed volumes. That it is gone, or that somebody else removes it, is fine.
pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), RunnerError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        Ok(()) => Ok(()),
        Err(error) if is_status(&error, 404) || is_status(&error, 409) => Ok(()),
        Err(error) => Err(mapped(error)),
    }
}

/// A container that has an attempt's name.
#[derive(Debug)]
pub(super) struct Found {
    /// Its instance label; empty where it has none.
    pub(super) instance: String,
    state: ContainerState,
}

impl Found {
    pub(super) fn read(answer: ContainerInspectResponse) -> Self {
        let mut labels = answer.config.and_then(|config| config.labels).unwrap_or_default();
        let instance = labels.remove(spec::INSTANCE).unwrap_or_default();
        Self { instance, state: answer.state.unwrap_or_default() }
    }

    /// Whose it is, for people.
    pub(super) fn owner(&self) -> String {
        match self.instance.as_str() {
            "" => "something other than Cloud Code".to_owned(),
            instance => format!("the installation `{instance}`"),
        }
    }

    /// Made, and not started, or it could not be.
    pub(super) fn never_started(&self) -> bool {
        self.state.status == Some(State::CREATED)
    }

    pub(super) fn status(&self) -> ContainerStatus {
        let detail = self.state.error.clone().filter(|error| !error.is_empty());
        let ended = match self.state.status {
            Some(State::EXITED | State::DEAD | State::REMOVING) => true,
            // The start failed; the daemon gives the reason and a code as a shell would: 126, 127, 128.
            Some(State::CREATED) => detail.is_some(),
            _ => false,
        };
        if !ended {
            return ContainerStatus::Running;
        }
        let code = self.state.exit_code;
        // The daemon notes any out-of-memory kill in the container, e.g. of a compiler that a step started. The attempt itself
        // was not killed when it went on to end well.
        let out_of_memory = self.state.oom_killed == Some(true) && code != Some(0);
        ContainerStatus::Exited { code, out_of_memory, detail }
    }
}

/// Reads a list's entry; `None`, with a warning, where its labels are not ours after all.
pub(super) fn listed(container: ContainerSummary) -> Option<Listed> {
    let labels = container.labels.unwrap_or_default();
    let Some(attempt) = attempt(&labels) else {
        tracing::warn!(container = ?container.names, "a container has our label but no attempt that can be read");
        return None;
    };
    let running = matches!(
        container.state,
        Some(
            ContainerSummaryStateEnum::RUNNING
                | ContainerSummaryStateEnum::PAUSED
                | ContainerSummaryStateEnum::RESTARTING
                | ContainerSummaryStateEnum::STOPPING
        )
    );
    let created_at = container.created.and_then(|at| Timestamp::from_second(at).ok()).unwrap_or_default();
    Some(Listed { attempt, running, created_at })
}

pub(super) fn attempt(labels: &HashMap<String, String>) -> Option<AttemptId> {
    Some(AttemptId {
        run: RunId::parse(labels.get(spec::RUN)?)?,
        job: labels.get(spec::JOB).filter(|job| !job.is_empty())?.clone(),
        number: labels.get(spec::ATTEMPT)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: State, code: i64, oom: bool, error: &str, expected: ContainerStatus) {
        let state = ContainerState {
            status: Some(status),
            exit_code: Some(code),
            oom_killed: Some(oom),
            error: Some(error.to_owned()),
            ..ContainerState::default()
        };
        assert_eq!(
            Found { instance: String::new(), state }.status(),
            expected,
            "{status} {code} {oom} {error}"
        );
    }

    #[test]
    fn states_are_read() {
        let exited = |code, out_of_memory, detail: Option<&str>| ContainerStatus::Exited {
            code: Some(code),
            out_of_memory,
            detail: detail.map(str::to_owned),
        };
        check(State::RUNNING, 0, false, "", ContainerStatus::Running);
        check(State::PAUSED, 0, false, "", ContainerStatus::Running);
        check(State::CREATED, 0, false, "", ContainerStatus::Running);
        check(State::CREATED, 127, false, "not found", exited(127, false, Some("not found")));
        check(State::EXITED, 3, false, "", exited(3, false, None));
        check(State::EXITED, 137, true, "", exited(137, true, None));
        check(State::EXITED, 0, true, "", exited(0, false, None));
        check(State::DEAD, 1, false, "", exited(1, false, None));
    }
}
