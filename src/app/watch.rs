//! Watching over attempts: their reports, and whether they still run.

use super::report::{self, Reading};
use super::{App, AppError, update};
use crate::ports::{ContainerStatus, Stored};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{Input, Observation, ReportSummary, Run};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How often an attempt is looked at: often at first, since a mistake in a workflow shows at once.
const FIRST_INTERVAL: Duration = Duration::from_millis(60);

/// Watches an attempt until no runner is needed for it any more.
///
/// # Errors
/// When the store does not answer.
pub async fn watch(app: &App, id: &AttemptId) -> Result<(), AppError> {
    let mut seen = Seen::default();
    let mut interval = FIRST_INTERVAL;
    loop {
        let Some(Stored { run, .. }) = app.store.load(&id.run).await? else { return Ok(()) };
        if !run.attempt(id).is_some_and(|attempt| attempt.state.is_live()) {
            return Ok(());
        }
        if let Err(error) = observe(app, &run, id, &mut seen).await {
            // The lease decides how long this may go on.
            tracing::warn!(run = %id.run, job = %id.job, attempt = id.number, %error, "could not look at the attempt");
        }
        tokio::time::sleep(interval).await;
        interval = interval.mul_f64(1.25).min(app.settings.watch_interval);
    }
}

/// Looks once.
///
/// # Errors
/// When a port does not answer.
pub async fn look(app: &App, id: &AttemptId) -> Result<(), AppError> {
    let Some(Stored { run, .. }) = app.store.load(&id.run).await? else { return Ok(()) };
    observe(app, &run, id, &mut Seen { always: true, ..Seen::default() }).await
}

/// What the watcher has told the engine last: a heartbeat that says nothing new is told only now and then, so that a
/// hundred running agents do not mean a hundred writes every few seconds.
#[derive(Default)]
struct Seen {
    /// Everything is news: this look is the only one.
    always: bool,
    /// The number of the last report that could not be masked.
    unmasked: Option<u64>,
    told_at: Option<Timestamp>,
    steps: Option<ReportSummary>,
}

async fn observe(app: &App, run: &Run, id: &AttemptId, seen: &mut Seen) -> Result<(), AppError> {
    // The order matters: a container that ended has written its last report before.
    let status = app.runner.status(id).await?;
    let mut inputs = Vec::new();
    match report::read(app, run, id).await? {
        Reading::Nothing => {}
        Reading::Input(input) => {
            inputs.extend(seen.is_news(&input, app.clock.now(), run).then_some(*input));
        }
        Reading::Unmasked { sequence, completed, error } => {
            let (now, last) = (app.clock.now(), run.attempt(id).and_then(|attempt| attempt.report.as_ref()));
            let grew = last.is_none_or(|last| last.sequence < sequence) && seen.unmasked != Some(sequence);
            if (completed || grew) && seen.is_due(now, run) {
                tracing::warn!(attempt = %id, %error, "the attempt's report waits for the secrets to mask it with");
                seen.unmasked = Some(sequence);
                seen.told_at = Some(now);
                inputs.push(Input::Alive { job: id.job.clone(), attempt: id.number });
            }
            if completed {
                // It did all that it was to do: that its container has ended must not be held against it.
                return told(app, id, &inputs).await;
            }
        }
    }
    let observation = match status {
        ContainerStatus::Starting => Observation::Starting,
        ContainerStatus::Running => Observation::Running,
        ContainerStatus::Exited { code, out_of_memory, detail } => {
            Observation::Exited { code, out_of_memory, detail }
        }
        ContainerStatus::Missing => Observation::Missing,
    };
    // That it is on its way is worth a write only where the lease has run out.
    let news = match observation {
        Observation::Starting => run.attempt(id).is_some_and(|attempt| attempt.probed),
        Observation::Running => false,
        Observation::Exited { .. } | Observation::Missing => true,
    };
    if news {
        inputs.push(Input::Observed { job: id.job.clone(), attempt: id.number, observation });
    }
    told(app, id, &inputs).await
}

async fn told(app: &App, id: &AttemptId, inputs: &[Input]) -> Result<(), AppError> {
    if !inputs.is_empty() {
        update::apply(app, &id.run, inputs).await?;
    }
    Ok(())
}

impl Seen {
    /// Whether a third of the lease is over since something was told.
    fn is_due(&self, now: Timestamp, run: &Run) -> bool {
        let third = SignedDuration::from_secs(run.timing.lease_seconds / 3);
        self.told_at.is_none_or(|told| now.duration_since(told) >= third)
    }

    fn is_news(&mut self, input: &Input, now: Timestamp, run: &Run) -> bool {
        let Input::Reported { report, .. } = input else { return true };
        if self.always {
            return true;
        }
        let due = self.is_due(now, run);
        let changed = self.steps.as_ref().is_none_or(|last| last.steps != report.steps);
        let news = report.conclusion.is_some()
            || changed
            || due && self.steps.as_ref().is_none_or(|last| last.sequence < report.sequence);
        if news {
            self.told_at = Some(now);
            self.steps = Some(report.clone());
        }
        news
    }
}
