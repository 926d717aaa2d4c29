//! A run on the terminal: a line for each thing that happens, which reads as well in a log.

use super::print_line;
use crate::app::App;
use crate::ports::Artifact;
use cloud_code_model::ids::{AttemptId, RunId};
use cloud_code_model::run::Run;
use jiff::Timestamp;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Follows a run and prints what is new of it.
pub(super) struct Progress<'a> {
    app: &'a App,
    id: RunId,
    began: Timestamp,
    entries: usize,
    log: Option<(AttemptId, u64)>,
    /// Also what the agent prints.
    pub(super) with_log: bool,
}

/// How often a log is looked at.
const LOG_EVERY: Duration = Duration::from_millis(250);
/// Read at once.
const LOG_CHUNK: u64 = 64 * 1024;

impl<'a> Progress<'a> {
    pub(super) fn new(app: &'a App, id: RunId) -> Self {
        Self { app, id, began: app.clock.now(), entries: 0, log: None, with_log: true }
    }

    /// Prints until the run is over and nothing of it is left to do. Returns it as it then is.
    pub(super) async fn follow(&mut self) -> anyhow::Result<Run> {
        let mut saved = self.app.saved.subscribe();
        let mut ticks = tokio::time::interval(LOG_EVERY);
        loop {
            if let Some(stored) = self.app.store.load(&self.id).await? {
                self.print_log(&stored.run).await?;
                self.print_history(&stored.run)?;
                if stored.run.is_over() && stored.run.outbox.is_empty() {
                    return Ok(stored.run);
                }
            }
            tokio::select! {
                _ = ticks.tick() => {}
                received = saved.recv() => if let Err(RecvError::Closed) = received { ticks.tick().await; },
            }
        }
    }

    /// One line of our own.
    pub(super) fn say(&self, what: &str) -> std::io::Result<()> {
        let elapsed = self.app.clock.now().duration_since(self.began).as_secs_f64();
        print_line(&format!("{elapsed:6.1}s  {what}"))
    }

    fn print_history(&mut self, run: &Run) -> std::io::Result<()> {
        for entry in run.history.iter().skip(self.entries) {
            let elapsed = entry.at.duration_since(self.began).as_secs_f64().max(0.0);
            print_line(&format!("{elapsed:6.1}s  {}", entry.what))?;
        }
        self.entries = run.history.len();
        Ok(())
    }

    async fn print_log(&mut self, run: &Run) -> anyhow::Result<()> {
        if !self.with_log {
            return Ok(());
        }
        let Some(job) = run.jobs.last() else { return Ok(()) };
        let Some(attempt) = job.attempts.last() else { return Ok(()) };
        let id = run.attempt_id(&job.key, attempt.number);
        let offset = match &self.log {
            Some((followed, offset)) if *followed == id => *offset,
            _ => 0,
        };
        let bytes = match self.app.artifacts.read_from(&id, Artifact::Log, offset, LOG_CHUNK).await {
            Ok(bytes) => bytes,
            // The workspace goes while we look: the kept log is there a moment later.
            Err(_) => return Ok(()),
        };
        // Whole lines only, unless nothing more will come.
        let end = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if run.is_over() || bytes.len() as u64 == LOG_CHUNK => bytes.len(),
            None => 0,
        };
        for line in String::from_utf8_lossy(&bytes[..end]).lines() {
            print_line(&format!("         │ {}", printable(line)))?;
        }
        self.log = Some((id, offset + end as u64));
        Ok(())
    }
}

/// Takes away what could command a terminal.
pub(super) fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}
