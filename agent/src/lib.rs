//! The agent: runs inside the job's container, works through `tasking.yaml`, and says in `reporting.yaml` how far it is.
//!
//! On a shared disk it talks to nobody but its own proxy, where its network is restricted. What it is to do lies in the workspace's `.cloud-code/`, and so does all that it leaves: the
//! report with a heartbeat, the log, the CLI's transcript, and the work as a git bundle. It holds no credential for the
//! forge, and gives the secrets that it does hold only to the steps that name them.
//!
//! | module | for |
//! | --- | --- |
//! | [`config`](AgentConfig) | what the environment says, read once |
//! | `init` | being process 1 of a container, and what no step may read |
//! | `remote/` | where no disk is shared: links, checkout, carrying the files |
//! | `workspace`, `reporter`, `journal` | the files in `.cloud-code/` |
//! | `stop`, `process` | signals, time limits, children in process groups |
//! | `task`, `steps/` | one task, one step |
//! | `expressions`, `files` | `${{ }}` and the files through which steps answer |
//! | `cli/` | the coding CLIs: how each is started and read |
//! | `conversations/` | what outlives the run of a CLI's conversation, and going on with it |
//! | `finish` | commit, bundle, conclusion |
//! | `network`, `proxy/` | the way out of a job whose network is restricted: the job's side, and the proxy itself |

mod agent;
mod cli;
mod config;
mod conversations;
mod environment;
mod expressions;
mod files;
mod finish;
mod hash_files;
mod init;
mod journal;
mod lines;
mod network;
mod process;
mod proxy;
mod remote;
mod reporter;
mod steps;
mod stop;
mod task;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

pub use agent::AgentError;
pub use config::{AgentConfig, ConfigError};

/// The whole program: reads the environment, builds a runtime of its own, runs, and gives the exit code.
///
/// 0: a completed report was written, whatever its conclusion. 1: none could be; standard error says why. As process 1 of a container
/// it starts itself once more, and ends as that one ends. With the argument `proxy` it is the proxy of a job instead, with `relay` a
/// job's end of it, and runs until it is killed.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    match arguments.next().as_deref() {
        Some("proxy") => return proxy::main(arguments),
        Some("relay") => return proxy::relay_main(arguments),
        _ => {}
    }
    let ended = if init::is_due() {
        init::run().map_err(AgentError::Init)
    } else {
        start().map(|()| ExitCode::SUCCESS)
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell when standard error is closed too.
            let _ = writeln!(std::io::stderr(), "cloud-code-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), AgentError> {
    let mut config = AgentConfig::from_env(std::env::vars_os())?;
    let origin = remote::Origin::take(&mut config);
    // Before there is any other thread or process. Steps could read it all in /proc; without secrets there is nothing to hide.
    if origin.is_some() || !config.secrets.is_empty() {
        init::conceal().map_err(AgentError::Concealment)?;
    }
    // One thread: the agent waits nearly all of its life, and shares the container's memory with the CLI.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AgentError::Runtime)?;
    match origin {
        Some(origin) => runtime.block_on(remote::run(config, origin)),
        None => runtime.block_on(agent::run(config)),
    }
}
