//! The job's side of its proxy: the relay to it, and asking at the end what it refused.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::agent::Agent;
use crate::proxy::BLOCKED_PATH;
use crate::proxy::relay::{self, Relay};

/// For the proxy's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Bytes of it.
const MAX_ANSWER: u64 = 64 * 1024;

/// Opens the job's way out, where it has one, for as long as the runtime lives. That it can't be opened is told: steps that need no
/// network can go on.
pub(crate) async fn open_way_out(agent: &Agent) -> Option<Arc<Relay>> {
    let relay = Arc::new(Relay::new(agent.config.proxy.clone()?));
    match relay::listen().await {
        Ok(listener) => {
            tokio::spawn(relay::serve(listener, Arc::clone(&relay)));
        }
        Err(error) => agent.journal.say(&format!("##[warning]nothing outside can be reached: {error}")),
    }
    Some(relay)
}

/// What the proxy refused, each host once.
pub(crate) async fn blocked_hosts(agent: &Agent, relay: Option<&Relay>) -> Vec<String> {
    let Some(relay) = relay else { return Vec::new() };
    let text = match timeout(ANSWER, ask(relay)).await.map_err(|_| io::ErrorKind::TimedOut.into()).flatten() {
        Ok(text) => text,
        Err(error) => {
            agent
                .journal
                .say(&format!("##[warning]the job's network proxy does not say what it refused: {error}"));
            return Vec::new();
        }
    };
    let hosts: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if !hosts.is_empty() {
        agent.journal.say(&format!("##[warning]blocked network access: {}", hosts.join(", ")));
    }
    hosts
}

/// The body of the proxy's answer.
async fn ask(relay: &Relay) -> io::Result<String> {
    let Some(mut stream) = relay.last_connection().await? else { return Ok(String::new()) };
    let request = format!("GET {BLOCKED_PATH} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it answered something else")),
    }
}
