//! Attempts as child processes of this machine, for development.
//!
//! **This is no sandbox.** The agent, and every program that it starts, runs as the user that runs the server, and may do what
//! that user may: read their files and their credentials, talk to anything on the network, disturb other attempts. Limits on
//! memory, processors and processes are not applied, and the log is not bounded. Use it for workflows and issues that you would
//! run by hand. It needs Linux (`/proc`, pidfd), `sh` and `setsid`.
//!
//! What it does give: a clean environment, a home and a temporary folder of the attempt's own, a session of its own. The
//! server's death, also by SIGKILL, does not touch the attempt: a small shell around the agent writes its exit code down, and
//! the process's number is kept together with when it started, so that a server that starts again finds it, and never signals
//! a stranger that got the number since.
//!
//! Secrets are in the process's environment, readable by the same user. `CLOUD_CODE_SECRETS` names them.

mod folder;
mod identity;

use crate::ports::{ContainerStatus, Launch, Listed, Runner, RunnerError};
use async_trait::async_trait;
use cloud_code_model::ids::AttemptId;
use folder::{Folder, failed};
use identity::{Identity, MARK};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

const WRAPPER: &str = include_str!("wrapper.sh");
/// After SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// After SIGKILL.
const REAPING: Duration = Duration::from_secs(10);
/// Rounds of killing what is left: each finds what the round before let start.
const ROUNDS: usize = 50;

/// Runs attempts as child processes. See the module for what that means.
#[derive(Debug)]
pub struct ProcessRunner {
    command: Vec<OsString>,
    state: PathBuf,
}

impl ProcessRunner {
    /// Runs `agent_command` (a program and its arguments, e.g. this program and `agent`) for each attempt, and keeps a folder for
    /// each in `state_dir`, which is made when it is first needed.
    pub fn new(agent_command: Vec<OsString>, state_dir: impl Into<PathBuf>) -> Self {
        Self { command: agent_command, state: state_dir.into() }
    }

    /// The agent's program; refused where it is a path that leads nowhere.
    fn program(&self) -> Result<&OsString, RunnerError> {
        let program = self.command.first().ok_or_else(|| {
            RunnerError::Refused("the process runner has no agent command: it is empty".to_owned())
        })?;
        let path = Path::new(program);
        if path.components().count() > 1 && !path.is_file() {
            return Err(RunnerError::Refused(format!("the agent program {} is not there", path.display())));
        }
        Ok(program)
    }

    /// The wrapper with the agent in it, not yet started.
    fn wrapped(&self, launch: &Launch, folder: &Folder) -> Result<Command, RunnerError> {
        let workspace = &launch.workspace;
        if !workspace.is_dir() {
            return Err(RunnerError::Refused(format!("the workspace {} is not there", workspace.display())));
        }
        if let Some((outside, inside)) = &launch.objects
            && outside != inside
        {
            return Err(RunnerError::Refused(format!(
                "the checkout looks for the mirror's objects at {}, but they are at {}, and the process runner can't mount: \
                 prepare checkouts with the objects' own path",
                inside.display(),
                outside.display()
            )));
        }
        let mut command = Command::new("setsid");
        command
            .args(["sh", "-c", WRAPPER, "cloud-code"])
            .arg(folder.path())
            .arg(self.program()?)
            .args(&self.command[1..]);
        command.current_dir(workspace).env_clear();
        // Passed on as they are; they are no settings of ours.
        for name in ["PATH", "LANG"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.env("HOME", folder.home()).env("TMPDIR", folder.temporary());
        command.env("CLOUD_CODE_WORKSPACE", workspace);
        let clear = launch.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let secret = launch.secrets.iter().map(|(name, value)| (name.as_str(), value.reveal()));
        for (name, value) in clear.chain(secret) {
            if name.is_empty() || name.contains(['=', '\0', ',']) || value.contains('\0') {
                // The value stays out of the message: it may be a secret.
                let name = name.escape_debug();
                return Err(RunnerError::Refused(format!(
                    "the variable `{name}` can't be in an environment"
                )));
            }
            command.env(name, value);
        }
        let secrets: Vec<&str> = launch.secrets.iter().map(|(name, _)| name.as_str()).collect();
        command.env("CLOUD_CODE_SECRETS", secrets.join(",")).env(MARK, launch.attempt.name());
        Ok(command)
    }
}

#[async_trait]
impl Runner for ProcessRunner {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn launch(&self, launch: &Launch) -> Result<String, RunnerError> {
        let name = launch.attempt.name();
        let folder = Folder::of(&self.state, &launch.attempt);
        if folder.process().map_err(|error| failed("looking for the attempt", &error))?.is_some() {
            return Ok(name);
        }
        let mut command = self.wrapped(launch, &folder)?;
        folder.make().map_err(|error| failed("making the attempt's folder", &error))?;
        let log = folder.open_log().map_err(|error| failed("opening the attempt's log", &error))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|error| failed("starting `setsid sh`", &error))?;

        // The wrapper closes this end when the attempt is its own, or another's.
        let mut answer = String::new();
        if let Some(mut stdout) = child.stdout.take() {
            let read = stdout.read_to_string(&mut answer).await;
            read.map_err(|error| failed("starting the agent", &error))?;
        }
        // Reaped when it ends; dropping it would leave that to chance, and never kills it.
        tokio::spawn(async move {
            if let Err(error) = child.wait().await {
                tracing::warn!(%error, "an agent process could not be waited for");
            }
        });
        match answer.trim() {
            "started" | "found" => Ok(name),
            _ => {
                let log =
                    folder.log_tail(2000).map_err(|error| failed("reading the attempt's log", &error))?;
                let log = String::from_utf8_lossy(&log);
                Err(RunnerError::Failed(format!("the agent process did not start: {}", log.trim())))
            }
        }
    }

    async fn status(&self, attempt: &AttemptId) -> Result<ContainerStatus, RunnerError> {
        let folder = Folder::of(&self.state, attempt);
        status(&folder).map_err(|error| failed("looking for the attempt", &error))
    }

    async fn stop(&self, attempt: &AttemptId, patience: Duration) -> Result<(), RunnerError> {
        let folder = Folder::of(&self.state, attempt);
        let failing = |error: io::Error| failed("stopping the attempt", &error);
        let Some(process) = folder.process().map_err(failing)? else { return Ok(()) };
        for (signal, wait) in [(Signal::INT, patience), (Signal::TERM, GRACE)] {
            if signal_and_wait(&process, signal, wait).await.map_err(failing)? {
                break;
            }
        }
        finish_off(&attempt.name(), &folder, &process).await
    }

    async fn logs(&self, attempt: &AttemptId, max_bytes: usize) -> Result<Vec<u8>, RunnerError> {
        let folder = Folder::of(&self.state, attempt);
        folder.log_tail(max_bytes).map_err(|error| failed("reading the attempt's log", &error))
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), RunnerError> {
        let folder = Folder::of(&self.state, attempt);
        if let Some(process) = folder.process().map_err(|error| failed("removing the attempt", &error))? {
            finish_off(&attempt.name(), &folder, &process).await?;
        }
        blocking(move || folder.remove()).await.map_err(|error| failed("removing the attempt", &error))
    }

    async fn list(&self) -> Result<Vec<Listed>, RunnerError> {
        let failing = |error: io::Error| failed("listing the attempts", &error);
        let mut listed = Vec::new();
        for attempt in folder::attempts(&self.state).map_err(failing)? {
            let folder = Folder::of(&self.state, &attempt);
            let running = match status(&folder).map_err(failing)? {
                ContainerStatus::Missing => continue,
                status => status == ContainerStatus::Running,
            };
            let created_at = match folder.started_at() {
                Ok(at) => at,
                // Removed since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failing(error)),
            };
            listed.push(Listed { attempt, running, created_at });
        }
        Ok(listed)
    }

    async fn check(&self) -> Result<String, RunnerError> {
        let program = self.program()?.to_string_lossy().into_owned();
        let mut probe = Command::new("setsid");
        probe
            .args(["sh", "-c", "command -v ln"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if !probe.status().await.is_ok_and(|status| status.success()) {
            return Err(RunnerError::Refused(
                "the process runner needs `setsid` (util-linux) and a shell; install util-linux, or use RUNNER=docker".to_owned(),
            ));
        }
        let state = self.state.display();
        std::fs::create_dir_all(&self.state).map_err(|error| failed(&format!("making {state}"), &error))?;
        tempfile::tempfile_in(&self.state).map_err(|error| failed(&format!("writing in {state}"), &error))?;
        Ok(format!("child processes of this machine, no sandbox ({program})"))
    }

    /// Containers here reach us by folders, and those don't run out.
    async fn renew(&self, _attempt: &AttemptId) -> Result<(), RunnerError> {
        Ok(())
    }

    async fn has_image(&self, _image: &str) -> Result<bool, RunnerError> {
        Ok(true)
    }
}

/// How the attempt stands, from its folder. Whether the process lives is asked first: it writes its code before it goes.
fn status(folder: &Folder) -> io::Result<ContainerStatus> {
    let Some(process) = folder.process()? else { return Ok(ContainerStatus::Missing) };
    if process.is_alive() {
        return Ok(ContainerStatus::Running);
    }
    let code = folder.exit_code()?;
    let detail = match code {
        Some(127) => Some("the agent's command was not found".to_owned()),
        Some(_) => None,
        None => Some("the process was killed, or the machine was restarted".to_owned()),
    };
    Ok(ContainerStatus::Exited { code, out_of_memory: false, detail })
}

/// Signals the attempt's whole process group, and says whether its leader ended within `wait`.
async fn signal_and_wait(process: &Identity, signal: Signal, wait: Duration) -> io::Result<bool> {
    let Some(handle) = process.open()? else { return Ok(true) };
    if let Some(group) = Pid::from_raw(process.pid) {
        match kill_process_group(group, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    blocking(move || identity::wait(&handle, wait)).await
}

/// Kills whatever is left of the attempt: its session, and what left that but still has its mark, as a container's end would.
async fn finish_off(name: &str, folder: &Folder, process: &Identity) -> Result<(), RunnerError> {
    let failing = |error: io::Error| failed("killing the attempt", &error);
    for _ in 0..ROUNDS {
        let leader = process.open().map_err(failing)?;
        let (mark, identity) = (name.to_owned(), process.clone());
        let any = blocking(move || identity::kill_all(&mark, Some(&identity))).await.map_err(failing)?;
        if let Some(leader) = leader {
            if !blocking(move || identity::wait(&leader, REAPING)).await.map_err(failing)? {
                return Err(RunnerError::Failed(format!(
                    "{name} did not end {} s after SIGKILL",
                    REAPING.as_secs()
                )));
            }
            // As a shell says it: 128 and the signal's number.
            folder.set_exit_code(137).map_err(failing)?;
        }
        if !any {
            return Ok(());
        }
    }
    Err(RunnerError::Failed(format!("processes of {name} keep starting others and can't be ended")))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
