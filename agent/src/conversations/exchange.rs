//! CLIs that keep their conversations in a database of their own: a program of theirs takes one out, and puts it back.

use std::process::Stdio;

use tokio::process::Command;
use tokio::time::{Duration, Instant};

use crate::agent::Agent;
use crate::cli::Exchange;
use crate::environment::{Variables, find_program};
use crate::process::{self, Limits, Sink, Verdict};

/// Such a program takes seconds.
const MOST: Duration = Duration::from_secs(60);
/// Most bytes that are taken out; what is larger would not be kept.
const MAX_BYTES: usize = 64 << 20;

/// Runs one of them to its end, and gives what it printed.
pub(super) async fn run(
    agent: &Agent,
    exchange: &Exchange,
    variables: &Variables,
    args: Vec<String>,
) -> Result<Vec<u8>, String> {
    let told = |what: String| format!("`{} {}` {what}", exchange.program, args.join(" "));
    let program = find_program(variables, exchange.program).ok_or_else(|| told("is not there".to_owned()))?;
    let mut command = Command::new(program);
    command
        .args(&args)
        .current_dir(agent.workspace.root())
        .env_clear()
        .envs(variables)
        .envs(exchange.env.iter().copied())
        .stdin(Stdio::null());
    let limits = Limits { step: Some(Instant::now() + MOST), ..Limits::default() };
    let mut printed = Printed(Vec::new());
    let ended = process::run(command, limits, agent.config.graces, &agent.stop, &mut printed).await;
    let ended = ended.map_err(|error| told(format!("cannot be started: {error}")))?;
    if let Some(group) = &ended.group {
        group.kill();
    }
    match (ended.cause, ended.status.success()) {
        (None, true) if printed.0.len() > MAX_BYTES => Err(told("printed too much".to_owned())),
        (None, true) => Ok(printed.0),
        (None, false) => Err(told(format!("failed: {}", ended.status))),
        (Some(_), _) => Err(told("was stopped".to_owned())),
    }
}

struct Printed(Vec<u8>);

impl Sink for Printed {
    fn stdout(&mut self, bytes: &[u8]) -> Verdict {
        if self.0.len() <= MAX_BYTES {
            self.0.extend_from_slice(bytes);
        }
        Verdict::Continue
    }

    fn stderr(&mut self, _: &[u8]) {}
}
