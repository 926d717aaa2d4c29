//! How a task stands, and why it stopped, in words that say what to do.
//!
//! What ECS says: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>

use super::CONTAINER;
use crate::ports::ContainerStatus;
use aws_sdk_ecs::types::{Task, TaskStopCode};

/// How a task stands. What comes before `RUNNING`: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html>
pub(super) fn status(task: &Task) -> ContainerStatus {
    match task.last_status() {
        Some("STOPPED") => {}
        Some("PROVISIONING" | "PENDING" | "ACTIVATING") => return ContainerStatus::Starting,
        _ => return ContainerStatus::Running,
    }
    let container = task.containers().iter().find(|container| container.name() == Some(CONTAINER));
    let container = container.or_else(|| task.containers().first());
    let code = container.and_then(|container| container.exit_code()).map(i64::from);
    let said = [container.and_then(|container| container.reason()), task.stopped_reason()];
    let said: Vec<&str> = said.into_iter().flatten().filter(|text| !text.is_empty()).collect();
    let reason = said.join("; ");
    let out_of_memory = reason.contains("OutOfMemory");
    ContainerStatus::Exited { code, out_of_memory, detail: detail(&reason, task.stop_code(), code) }
}

/// What ECS's reason means; `None` where the exit code says it all.
fn detail(reason: &str, stop_code: Option<&TaskStopCode>, code: Option<i64>) -> Option<String> {
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    // It ended, or we ended it: the code says how.
    let by_itself = code.is_some()
        && (stop_code == Some(&TaskStopCode::EssentialContainerExited)
            || has(&["Stopped by Cloud Code", "Removed by Cloud Code", "Essential container"]));
    let meaning = if stop_code == Some(&TaskStopCode::SpotInterruption) || has(&["Spot Task was interrupted"])
    {
        "AWS took the Spot capacity back; `retries:` in the workflow lets such a job run again, and ECS_CAPACITY=on-demand avoids it"
    } else if has(&["OutOfMemory"]) {
        "it ran out of memory; raise AGENT_MEMORY_MB"
    } else if has(&["manifest unknown", "not found", "does not exist"]) && has(&["CannotPull", "pull"]) {
        "the image was not found; push it to the repository that the task definition names"
    } else if has(&["CannotPullContainer"]) && has(&["no space left"]) {
        "the image does not fit on the task's disk; raise the task definition's ephemeral storage"
    } else if has(&["CannotPullContainer", "CannotPullECRContainer", "CannotPullImageManifest"]) {
        "the image can't be pulled; the subnets need a way to the registry (a public address or NAT), and the execution role the \
         right to pull"
    } else if has(&["unable to pull secrets or registry auth", "ResourceInitializationError"]) {
        "the task could not be set up: its execution role or its network keeps it from the registry, the logs or its secrets"
    } else if has(&["CannotStartContainer", "CannotCreateContainer"]) {
        "the container could not be started; look at the image's entry point and architecture"
    } else if has(&["DockerTimeout", "CannotInspectContainer", "Timeout waiting for network interface"]) {
        "AWS could not start the task in time; run again"
    } else if stop_code == Some(&TaskStopCode::TaskFailedToStart) {
        "the task did not start"
    } else if by_itself || reason.is_empty() {
        return None;
    } else {
        return Some(format!("the task was stopped: {reason}"));
    };
    if reason.is_empty() { Some(meaning.to_owned()) } else { Some(format!("{meaning} ({reason})")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ecs::types::Container;

    #[test]
    fn reasons_become_words() {
        let container = |code: Option<i32>, reason: &str| {
            Container::builder().name("agent").set_exit_code(code).reason(reason).build()
        };
        let check =
            |container: Container, stop: TaskStopCode, reason: &str, words: Option<&str>, oom: bool| {
                let task = Task::builder().last_status("STOPPED").containers(container).stop_code(stop);
                match status(&task.stopped_reason(reason).build()) {
                    ContainerStatus::Exited { detail, out_of_memory, .. } => {
                        match (words, &detail) {
                            (None, None) => {}
                            (Some(words), Some(text)) if text.contains(words) => {}
                            other => panic!("{reason}: {other:?}"),
                        }
                        assert_eq!(out_of_memory, oom, "{reason}");
                    }
                    other => panic!("{other:?}"),
                }
            };
        use TaskStopCode as Stop;
        let exited = "Essential container in task exited";
        check(container(Some(0), ""), Stop::EssentialContainerExited, exited, None, false);
        check(
            container(Some(137), "OutOfMemoryError: Container killed due to memory usage"),
            Stop::EssentialContainerExited,
            exited,
            Some("out of memory"),
            true,
        );
        check(
            container(
                None,
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref \
                             docker.io/acme/agent:latest: docker.io/acme/agent:latest: not found",
            ),
            Stop::TaskFailedToStart,
            "Task failed to start",
            Some("image was not found"),
            false,
        );
        check(
            container(None, "CannotPullContainerError: i/o timeout"),
            Stop::TaskFailedToStart,
            "Task failed to start",
            Some("way to the registry"),
            false,
        );
        check(
            container(Some(130), ""),
            Stop::SpotInterruption,
            "Your Spot Task was interrupted.",
            Some("Spot capacity"),
            false,
        );
        check(container(Some(130), ""), Stop::UserInitiated, "Stopped by Cloud Code", None, false);
        check(
            container(None, ""),
            Stop::UserInitiated,
            "stopped in the console",
            Some("stopped in the console"),
            false,
        );
        check(
            container(None, ""),
            Stop::TaskFailedToStart,
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed",
            Some("could not be set up"),
            false,
        );
    }

    #[test]
    fn what_has_not_stopped_starts_or_runs() {
        let check = |last: &str, expected: ContainerStatus| {
            assert_eq!(status(&Task::builder().last_status(last).build()), expected, "{last}");
        };
        for last in ["PROVISIONING", "PENDING", "ACTIVATING"] {
            check(last, ContainerStatus::Starting);
        }
        for last in ["RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING"] {
            check(last, ContainerStatus::Running);
        }
    }
}
