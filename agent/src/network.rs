//! The job's side of its proxy: waiting until it is there, and asking at the end what it refused.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::agent::Agent;
use crate::proxy::BLOCKED_PATH;
use crate::stop::Urgency;

/// The proxy's container is started together with ours.
const START: Duration = Duration::from_secs(30);
/// Between two tries of reaching a proxy that does not listen yet, which sends no signal when it does.
const LOOK: Duration = Duration::from_millis(20);
/// For its answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Bytes of its answer.
const MAX_ANSWER: u64 = 64 * 1024;

/// Waits until the job's proxy listens, where it has one. One that does not is told: steps that need no network can go on.
pub(crate) async fn await_proxy(agent: &Agent) {
    let Some(proxy) = &agent.config.proxy else { return };
    let there = async {
        while TcpStream::connect(proxy).await.is_err() {
            sleep(LOOK).await;
        }
    };
    let mut stop = agent.stop.clone();
    tokio::select! {
        found = timeout(START, there) => {
            if found.is_err() {
                agent.journal.say("##[warning]the job's network proxy does not answer: nothing outside can be reached");
            }
        }
        _ = stop.over(Urgency::None) => {}
    }
}

/// What the proxy refused, each host once.
pub(crate) async fn blocked_hosts(agent: &Agent) -> Vec<String> {
    let Some(proxy) = &agent.config.proxy else { return Vec::new() };
    let text = match timeout(ANSWER, ask(proxy)).await.map_err(|_| io::ErrorKind::TimedOut.into()).flatten() {
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
async fn ask(proxy: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(proxy).await?;
    let request = format!("GET {BLOCKED_PATH} HTTP/1.1\r\nHost: {proxy}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it answered something else")),
    }
}
