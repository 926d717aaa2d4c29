//! Signs of life before there is a workspace to keep a report in: a checkout with its whole history may take longer than a lease.

use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use cloud_code_model::task::{REPORTING_FILE, Report, Status, Tasking, VERSION};
use jiff::Timestamp;
use tokio::time::sleep;

use super::sync::Sync;
use crate::workspace::Workspace;

/// Makes the workspace by `work`, and meanwhile says that the attempt is there: at once, and then each time that `every` is over. The
/// agent's own report goes on from the last of these, which is left in the workspace.
pub(super) async fn told_meanwhile<T>(
    sync: &Sync,
    workspace: &Workspace,
    tasking: &Tasking,
    every: Duration,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let mut report = Report {
        version: VERSION,
        run: tasking.run.clone(),
        job: tasking.job.clone(),
        attempt: tasking.attempt,
        sequence: 0,
        at: Timestamp::now(),
        // No task has begun.
        status: Status::Queued,
        conclusion: None,
        message: None,
        salvaged: false,
        blocked_hosts: Vec::new(),
        tasks: Vec::new(),
    };
    let done = tokio::select! {
        done = work => done,
        never = tell(sync, &mut report, every) => match never {},
    };
    let written = || {
        fs::create_dir_all(workspace.folder())?;
        fs::write(workspace.report(), text(&report).map_err(std::io::Error::other)?)
    };
    written().map_err(|error| format!("{}: {error}", workspace.report().display()))?;
    done
}

async fn tell(sync: &Sync, report: &mut Report, every: Duration) -> Infallible {
    loop {
        report.sequence += 1;
        report.at = Timestamp::now();
        if let Ok(text) = text(report) {
            // One that can't be handed over now is followed by others.
            let _ = sync.put(REPORTING_FILE, text.into_bytes()).await;
        }
        sleep(every).await;
        sync.look_for_grant().await;
    }
}

fn text(report: &Report) -> Result<String, String> {
    report.to_yaml().map_err(|error| error.to_string())
}
