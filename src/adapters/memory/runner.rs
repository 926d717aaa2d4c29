//! A runner whose containers are entries of a map: they run until somebody says how they end.

use crate::ports::{ContainerStatus, Launch, Listed, Runner, RunnerError};
use async_trait::async_trait;
use cloud_code_model::ids::AttemptId;
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The runner. A test launches by way of the use cases, then plays the container with [`finish`](Self::finish) or
/// [`lose`](Self::lose); what they are to find in the workspace the test writes there itself.
#[derive(Debug, Default)]
pub struct MemoryRunner {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    containers: BTreeMap<AttemptId, Container>,
    launched: Vec<Launch>,
    stopped: Vec<AttemptId>,
    failures: VecDeque<RunnerError>,
    missing_images: Vec<String>,
    unreachable: bool,
    slow: bool,
}

#[derive(Debug)]
struct Container {
    status: ContainerStatus,
    logs: Vec<u8>,
    created_at: Timestamp,
}

impl MemoryRunner {
    /// The attempt ends with this exit code. Nothing happens where it is missing or has ended.
    pub fn finish(&self, attempt: &AttemptId, code: i64) {
        self.end(attempt, Some(code), false, None);
    }

    /// The attempt is killed for want of memory.
    pub fn finish_out_of_memory(&self, attempt: &AttemptId) {
        self.end(attempt, Some(137), true, None);
    }

    /// The container vanishes, as if somebody had removed it or its machine had gone.
    pub fn lose(&self, attempt: &AttemptId) {
        self.state().containers.remove(attempt);
    }

    /// The attempt prints.
    pub fn print(&self, attempt: &AttemptId, bytes: &[u8]) {
        if let Some(container) = self.state().containers.get_mut(attempt) {
            container.logs.extend_from_slice(bytes);
        }
    }

    /// The next launch fails with this; called twice, the next two do.
    pub fn fail_next(&self, error: RunnerError) {
        self.state().failures.push_back(error);
    }

    /// Whether it answers at all, from now on.
    pub fn set_reachable(&self, reachable: bool) {
        self.state().unreachable = !reachable;
    }

    /// Whether what is launched from now on is only placed, and what was placed stays so; else all of it runs.
    pub fn set_slow(&self, slow: bool) {
        let mut state = self.state();
        state.slow = slow;
        for container in state.containers.values_mut().filter(|_| !slow) {
            if container.status == ContainerStatus::Starting {
                container.status = ContainerStatus::Running;
            }
        }
    }

    /// Takes the image away.
    pub fn remove_image(&self, image: &str) {
        self.state().missing_images.push(image.to_owned());
    }

    /// What was launched, each once, in order.
    pub fn launched(&self) -> Vec<Launch> {
        self.state().launched.clone()
    }

    /// What was stopped while it ran, in order.
    pub fn stopped(&self) -> Vec<AttemptId> {
        self.state().stopped.clone()
    }

    /// The attempts that run now.
    pub fn running(&self) -> Vec<AttemptId> {
        let state = self.state();
        let running = state.containers.iter().filter(|(_, container)| container.status.is_live());
        running.map(|(attempt, _)| attempt.clone()).collect()
    }

    fn end(&self, attempt: &AttemptId, code: Option<i64>, out_of_memory: bool, detail: Option<String>) {
        if let Some(container) = self.state().containers.get_mut(attempt)
            && container.status.is_live()
        {
            container.status = ContainerStatus::Exited { code, out_of_memory, detail };
        }
    }

    /// A test that panicked while it held the lock has failed already: the others go on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reachable(&self) -> Result<MutexGuard<'_, State>, RunnerError> {
        let state = self.state();
        match state.unreachable {
            true => Err(RunnerError::Unreachable("it was made unreachable".to_owned())),
            false => Ok(state),
        }
    }
}

#[async_trait]
impl Runner for MemoryRunner {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn launch(&self, launch: &Launch) -> Result<String, RunnerError> {
        let mut state = self.reachable()?;
        if let Some(error) = state.failures.pop_front() {
            return Err(error);
        }
        let name = launch.attempt.name();
        if state.containers.contains_key(&launch.attempt) {
            return Ok(name);
        }
        if state.missing_images.contains(&launch.image) {
            let hint = "it was taken away".to_owned();
            return Err(RunnerError::ImageMissing { image: launch.image.clone(), hint });
        }
        let status = if state.slow { ContainerStatus::Starting } else { ContainerStatus::Running };
        let container = Container { status, logs: Vec::new(), created_at: Timestamp::now() };
        state.containers.insert(launch.attempt.clone(), container);
        state.launched.push(launch.clone());
        Ok(name)
    }

    async fn status(&self, attempt: &AttemptId) -> Result<ContainerStatus, RunnerError> {
        let state = self.reachable()?;
        Ok(state
            .containers
            .get(attempt)
            .map_or(ContainerStatus::Missing, |container| container.status.clone()))
    }

    async fn stop(&self, attempt: &AttemptId, _patience: Duration) -> Result<(), RunnerError> {
        let mut state = self.reachable()?;
        if let Some(container) = state.containers.get_mut(attempt)
            && container.status.is_live()
        {
            // 130 is what a program gives that SIGINT ended.
            container.status =
                ContainerStatus::Exited { code: Some(130), out_of_memory: false, detail: None };
            state.stopped.push(attempt.clone());
        }
        Ok(())
    }

    async fn logs(&self, attempt: &AttemptId, max_bytes: usize) -> Result<Vec<u8>, RunnerError> {
        let state = self.reachable()?;
        let logs =
            state.containers.get(attempt).map(|container| container.logs.as_slice()).unwrap_or_default();
        Ok(logs[logs.len().saturating_sub(max_bytes)..].to_vec())
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), RunnerError> {
        self.reachable()?.containers.remove(attempt);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Listed>, RunnerError> {
        let state = self.reachable()?;
        let listed = state.containers.iter().map(|(attempt, container)| Listed {
            attempt: attempt.clone(),
            running: container.status.is_live(),
            created_at: container.created_at,
        });
        Ok(listed.collect())
    }

    async fn check(&self) -> Result<String, RunnerError> {
        drop(self.reachable()?);
        Ok("containers in memory".to_owned())
    }

    /// Containers here reach us by folders, and those don't run out.
    async fn renew(&self, _attempt: &AttemptId) -> Result<(), RunnerError> {
        Ok(())
    }

    async fn has_image(&self, image: &str) -> Result<bool, RunnerError> {
        let state = self.reachable()?;
        Ok(!state.missing_images.iter().any(|missing| missing == image))
    }
}
