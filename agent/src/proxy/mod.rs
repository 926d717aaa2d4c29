//! `cloud-code-agent proxy`: the only way out of a job whose network is restricted.
//!
//! A small HTTP proxy in a container of its own beside the job's: `CONNECT`, and plain requests whose target is a whole address.
//! It lets through what the allow-list names, connects only to the addresses that it has looked at itself, and keeps a list of
//! what it refused, which the agent asks for at the end of the job. It decides by name and port; what goes through a tunnel it
//! neither opens nor reads, and nothing of it is ever logged. All that it holds is bounded: connections, heads, the list.
//!
//! | module | for |
//! | --- | --- |
//! | `head` | a request's head: what is asked, and what is sent on |
//! | `address` | addresses that are not for jobs |
//! | `dial` | from a name to a connection |
//! | `serve` | connections, answers, the relay |
//! | `blocked` | the list of what was refused |

mod address;
mod blocked;
mod dial;
mod head;
mod serve;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use cloud_code_model::network::{AllowList, HostPattern, PatternError};
use serve::Limits;
use tokio::net::TcpListener;

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
        "unknown argument `{0}`; usage: cloud-code-agent proxy --listen HOST:PORT [--allow HOST]… [--named HOST]…"
    )]
    Usage(String),
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("listening at {at}: {source}")]
    Listen { at: String, source: io::Error },
    #[error("no runtime: {0}")]
    Runtime(#[source] io::Error),
}

/// How it was started.
#[derive(Debug, Default, PartialEq)]
struct Options {
    /// `HOST:PORT`. The host's address in the job's network, so that nobody else in the proxy's other network reaches it.
    listen: String,
    allow: AllowList,
}

impl Options {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, ProxyError> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let Some(value) = arguments.next() else { return Err(ProxyError::Usage(name)) };
            match name.as_str() {
                "--listen" => options.listen = value,
                "--allow" => options.allow.hosts.push(value.parse::<HostPattern>()?),
                "--named" => options.allow.named.push(value.parse::<HostPattern>()?),
                _ => return Err(ProxyError::Usage(name)),
            }
        }
        if options.listen.is_empty() {
            Err(ProxyError::Usage("--listen is missing".to_owned()))
        } else {
            Ok(options)
        }
    }
}

/// The whole subcommand: runs until it is killed.
pub(crate) fn main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let Err(error) = start(arguments);
    // Nobody is left to tell when standard error is closed too.
    let _ = writeln!(io::stderr(), "cloud-code-agent proxy: {error}");
    ExitCode::FAILURE
}

fn start(arguments: impl IntoIterator<Item = String>) -> Result<std::convert::Infallible, ProxyError> {
    let options = Options::parse(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVERS)
        .thread_keep_alive(Duration::from_secs(5))
        .build()
        .map_err(ProxyError::Runtime)?;
    runtime.block_on(async {
        let failed = |source| ProxyError::Listen { at: options.listen.clone(), source };
        let listener = TcpListener::bind(&options.listen).await.map_err(failed)?;
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
        let options = parse("--listen p:1 --allow *.a.b --allow c --named 10.0.0.1:2").unwrap();
        assert_eq!(options.listen, "p:1");
        assert_eq!(options.allow.hosts, ["*.a.b".parse().unwrap(), "c".parse().unwrap()]);
        assert_eq!(options.allow.named, ["10.0.0.1:2".parse().unwrap()]);
        for (line, word) in [
            ("", "--listen"),
            ("--listen", "--listen"),
            ("--port 1", "--port"),
            ("--listen p:1 --allow a/b", "a/b"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
