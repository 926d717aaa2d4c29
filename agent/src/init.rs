//! Process 1 of a container, when the agent is that: it keeps the container's environment to itself, starts the agent once more as
//! its child, passes signals on to it, reaps what others leave behind, and ends as the agent ended.
//!
//! The environment that a container was given, secrets and all, stays readable in `/proc/1` for as long as process 1 lives, for every
//! process of the same user. An init program of the runner's (tini, docker-init) leaves it open; this one is closed to its children from
//! its first moment on. It holds nothing but its environment, runs one thread, and never runs a step.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus};

use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, getpid, kill_process, set_dumpable_behavior, wait,
};
use tokio::signal::unix::{self, SignalKind};

/// What is passed on: what stops programs, and what terminals send.
const PASSED_ON: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

/// Whether this is a container's first process.
pub(crate) fn is_due() -> bool {
    getpid() == Pid::INIT
}

/// Closes this process's memory and environment to everybody but root: no core dumps, no debugger, and of `/proc/self` nothing but what
/// is told of any process. Lasts until another program is started in this process.
pub(crate) fn conceal() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Starts this program once more, with the same arguments and the same environment, and stays until it has ended. Its end is this
/// process's own: its exit code, or 128 and the number of the signal that ended it.
///
/// # Errors
/// When the program can't be started again, or signals can't be listened for.
pub(crate) fn run() -> io::Result<ExitCode> {
    conceal()?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    // One thread; it only ever waits for signals.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(watch_over(command))
}

async fn watch_over(mut command: Command) -> io::Result<ExitCode> {
    // Before the child is there: process 1 gets no signal that it does not listen for, and nothing that it is sent may be lost.
    let mut ended = unix::signal(SignalKind::child())?;
    let mut listeners = Vec::new();
    for signal in PASSED_ON {
        listeners.push((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
    }
    let child = command.spawn()?;
    let id = pid_of(&child)?;
    for (signal, mut listener) in listeners {
        tokio::spawn(async move {
            while listener.recv().await.is_some() {
                // It has not been reaped yet, so that the id is its own; one that has ended takes no harm.
                let _ = kill_process(id, signal);
            }
        });
    }
    loop {
        if let Some(status) = reap(id)? {
            return Ok(code(status));
        }
        ended.recv().await;
    }
}

fn pid_of(child: &Child) -> io::Result<Pid> {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| io::Error::other("the child has no process id"))
}

/// Takes leave of all that has ended, orphans too; of the child, how.
fn reap(child: Pid) -> io::Result<Option<ExitStatus>> {
    // One signal may stand for many ends.
    while let Some((id, status)) = wait(WaitOptions::NOHANG)? {
        if id == child {
            return Ok(Some(ExitStatus::from_raw(status.as_raw())));
        }
    }
    Ok(None)
}

fn code(status: ExitStatus) -> ExitCode {
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(number).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_end_is_told_as_shells_tell_it() {
        let check = |script: &str, expected: u8| {
            let status = Command::new("sh").args(["-c", script]).status().unwrap();
            assert_eq!(code(status), ExitCode::from(expected), "{script}");
        };
        check("exit 0", 0);
        check("exit 3", 3);
        check("kill -INT $$", 130);
        check("kill -KILL $$", 137);
    }
}
