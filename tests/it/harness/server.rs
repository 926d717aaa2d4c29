//! The server, as an operator has it: the built program as a child process, with an environment of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cloud-code");

/// A command of the program with nothing in its environment but a `PATH` and a home.
pub(crate) fn program(home: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(PROGRAM);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command
}

/// A running `cloud-code serve`.
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
    log: Log,
    reader: tokio::task::JoinHandle<()>,
}

/// What servers have logged, over restarts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<String>>);

impl Log {
    fn push(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(text, "{line}");
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last lines.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let text = self.text();
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl ServerProcess {
    /// Starts the server and waits until it listens.
    pub(crate) async fn start(home: &Path, env: &[(String, String)], log: &Log) -> Self {
        let mut command = Command::from(program(home));
        command.arg("serve").envs(env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (listening, mut address) = watch::channel(None);
        let kept = log.clone();
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if entry["message"] == "listening" {
                    listening.send_replace(entry["address"].as_str().and_then(|text| text.parse().ok()));
                }
                kept.push(&line);
            }
        });
        let found = tokio::time::timeout(Duration::from_secs(60), address.wait_for(Option::is_some)).await;
        let address = match found {
            Ok(Ok(address)) => (*address).expect("it is some"),
            _ => panic!("the server does not listen:\n{}", log.tail(40)),
        };
        Self { child, address, log: log.clone(), reader }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().expect("it runs").cast_signed()
    }

    /// Asks it to stop, as an operator does, and waits for it. It must end well.
    pub(crate) async fn stop(mut self) {
        signal(self.pid(), rustix::process::Signal::TERM);
        let ended = tokio::time::timeout(Duration::from_secs(45), self.child.wait()).await;
        let status = match ended {
            Ok(status) => status.expect("its status"),
            Err(_) => panic!("the server does not stop:\n{}", self.log.tail(40)),
        };
        let _ = self.reader.await;
        assert!(status.success(), "the server ended with {status}:\n{}", self.log.tail(40));
    }
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process's number");
    rustix::process::kill_process(pid, signal).expect("the signal is sent");
}
