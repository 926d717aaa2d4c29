//! A run's jobs, where there are several.

use super::{quiet, quiet_line};
use cloud_code_model::run::{AttemptState, Conclusion, Job, JobState, Run};
use std::fmt::Write;

/// Jobs that are listed at most.
const MAX_JOBS: usize = 100;

/// The job whose words are shown: the one whose change was published, else the last that has said something.
pub(super) fn shown(run: &Run) -> Option<&Job> {
    let with_pull = |job: &&Job| job.publication().is_some_and(|publication| publication.pull.is_some());
    let said = |job: &&Job| job.attempt().is_some_and(|attempt| attempt.report.is_some());
    run.jobs.iter().rev().find(with_pull).or_else(|| run.jobs.iter().rev().find(said))
}

/// What waits for a person, and what to do.
pub(super) fn waiting(run: &Run) -> String {
    let mut out = String::new();
    for job in run.awaiting_review() {
        let Some(gate) = &job.gate else { continue };
        let reviewers: Vec<_> =
            gate.reviewers.iter().map(|reviewer| format!("`{}`", reviewer.replace('`', "'"))).collect();
        let _ = writeln!(
            out,
            "\n⏸️ `{}` waits for an approval of `{}` by {}: comment `/cloud-code approve {}` or `/cloud-code reject {}`.",
            job.key,
            gate.environment.replace('`', "'"),
            reviewers.join(" or "),
            job.key,
            job.key
        );
    }
    out
}

/// One line for each job.
pub(super) fn list(run: &Run) -> String {
    let mut out = "\n".to_owned();
    for job in run.jobs.iter().take(MAX_JOBS) {
        let _ = write!(out, "- {} {}", mark(job), quiet_line(&job.spec.name, 100));
        if let Some(publication) = job.publication() {
            match publication.pull.as_ref().filter(|pull| pull.number > 0) {
                Some(pull) => {
                    let _ = write!(out, ": #{}", pull.number);
                }
                None => {
                    let _ = write!(out, ": branch `{}`", publication.branch);
                }
            }
        }
        if let Some(reason) = job.reason.as_deref().filter(|reason| Some(*reason) != run.reason.as_deref()) {
            let line: String = reason.lines().next().unwrap_or_default().chars().take(200).collect();
            let _ = write!(out, " ({})", quiet(&line));
        }
        out.push('\n');
    }
    if run.jobs.len() > MAX_JOBS {
        let _ = writeln!(out, "- … and {} more", run.jobs.len() - MAX_JOBS);
    }
    out
}

fn mark(job: &Job) -> &'static str {
    match (job.conclusion, job.state) {
        (Some(Conclusion::Success), _) => "✅",
        (Some(Conclusion::NoChanges), _) => "➖",
        (Some(Conclusion::Skipped), _) => "⏭️",
        (Some(Conclusion::Cancelled), _) => "🛑",
        (Some(Conclusion::NeedsInput), _) => "❓",
        (Some(_), _) => "❌",
        (None, JobState::Environment) => "⏸️",
        (None, JobState::Calling) => "⏳",
        (None, JobState::Started) => match job.attempt().map(|attempt| attempt.state) {
            Some(AttemptState::Queued) | None => "🕓",
            _ => "⏳",
        },
        (None, _) => "▫️",
    }
}
