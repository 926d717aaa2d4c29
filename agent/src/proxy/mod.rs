//! `cloud-code-agent proxy`: the only way out of a job whose network is restricted.
//!
//! A small HTTP proxy in a container of its own beside the job's: `CONNECT`, and plain requests whose target is a whole address.
//! It listens at a Unix socket, which is all that the two containers share; in the job's, which has no network but its loopback,
//! the agent listens there and passes connections on (`relay`).
//! It lets through what the allow-list names, connects only to the addresses that it has looked at itself, and keeps a list of
//! what it refused, which the agent asks for at the end of the job. It decides by name and port; what goes through a tunnel it
//! neither opens nor reads, and nothing of it is ever logged. All that it holds is bounded: connections, heads, the list.
//!
//! | module | for |
//! | --- | --- |
//! | `head` | a request's head: what is asked, and what is sent on |
//! | `address` | addresses that are not for jobs |
//! | `dial` | from a name to a connection |
//! | `serve` | connections, answers, what goes through |
//! | `relay` | the job's end |
//! | `blocked` | the list of what was refused |

mod address;
mod blocked;
mod dial;
mod head;
pub(crate) mod relay;
mod serve;

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::init;
use cloud_code_model::network::{AllowList, HostPattern, PatternError};
use serve::Limits;
use tokio::net::UnixListener;

/// Where the proxy says what it refused, one `host` or `host:port` a line.
pub(crate) const BLOCKED_PATH: &str = "/cloud-code/blocked";

/// An LLM that does not stream may think for ten minutes.
const LIMITS: Limits =
    Limits { connections: 256, head: Duration::from_secs(20), idle: Duration::from_secs(15 * 60) };
/// Threads that ask for addresses, which the system does only blockingly.
const RESOLVERS: usize = 8;

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error(
        "unknown argument `{0}`; usage: cloud-code-agent proxy --socket PATH [--allow HOST]… [--named HOST]…"
    )]
    Usage(String),
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("listening at {at}: {source}")]
    Listen { at: String, source: io::Error },
    #[error("no runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("the environment cannot be hidden from the job: {0}")]
    Concealment(#[source] io::Error),
}

/// How it was started.
#[derive(Debug, Default, PartialEq)]
struct Options {
    /// Where the socket is made. Its folder has to be there.
    socket: PathBuf,
    allow: AllowList,
}

impl Options {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, ProxyError> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let Some(value) = arguments.next() else { return Err(ProxyError::Usage(name)) };
            match name.as_str() {
                "--socket" => options.socket = value.into(),
                "--allow" => options.allow.hosts.push(value.parse::<HostPattern>()?),
                "--named" => options.allow.named.push(value.parse::<HostPattern>()?),
                _ => return Err(ProxyError::Usage(name)),
            }
        }
        if options.socket.as_os_str().is_empty() {
            Err(ProxyError::Usage("--socket is missing".to_owned()))
        } else {
            Ok(options)
        }
    }
}

/// Listens at the socket, in place of one that an earlier process left.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    // Under another name first: whoever finds it may use it, at once.
    let new = socket.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o666))?;
    fs::rename(&new, socket)?;
    Ok(listener)
}

/// The subcommand `proxy`: runs until it is killed.
pub(crate) fn main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    fail("proxy", init::conceal().map_err(ProxyError::Concealment).and_then(|()| start(arguments)))
}

/// The subcommand `relay`, for a job's container whose entry point is something else than the agent: listens at the proxy's usual
/// address and runs until it is killed. The argument is the proxy's socket.
pub(crate) fn relay_main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let socket = arguments.into_iter().next().unwrap_or_default();
    let run = || {
        // It has the job's whole environment, and steps run beside it.
        init::conceal().map_err(ProxyError::Concealment)?;
        runtime()?.block_on(async {
            let listener = relay::listen().await?;
            let relay = relay::Relay::new(socket.into());
            Ok(relay::serve(listener, Arc::new(relay)).await)
        })
    };
    fail("relay", run())
}

fn fail(what: &str, ran: Result<std::convert::Infallible, ProxyError>) -> ExitCode {
    let Err(error) = ran;
    // Nobody is left to tell when standard error is closed too.
    let _ = writeln!(io::stderr(), "cloud-code-agent {what}: {error}");
    ExitCode::FAILURE
}

fn runtime() -> Result<tokio::runtime::Runtime, ProxyError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVERS)
        .thread_keep_alive(Duration::from_secs(5))
        .build()
        .map_err(ProxyError::Runtime)
}

fn start(arguments: impl IntoIterator<Item = String>) -> Result<std::convert::Infallible, ProxyError> {
    let options = Options::parse(arguments)?;
    runtime()?.block_on(async {
        let at = options.socket.display().to_string();
        let listener = listen(&options.socket).map_err(|source| ProxyError::Listen { at, source })?;
        Ok(serve::serve(listener, options.allow, LIMITS).await)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn arguments_are_read() {
        let parse = |line: &str| Options::parse(line.split_whitespace().map(str::to_owned));
        let options = parse("--socket /p --allow *.a.b --allow c --named 10.0.0.1:2").unwrap();
        assert_eq!(options.socket, Path::new("/p"));
        assert_eq!(options.allow.hosts, ["*.a.b".parse().unwrap(), "c".parse().unwrap()]);
        assert_eq!(options.allow.named, ["10.0.0.1:2".parse().unwrap()]);
        for (line, word) in [
            ("", "--socket"),
            ("--socket", "--socket"),
            ("--port 1", "--port"),
            ("--socket /p --allow a/b", "a/b"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
