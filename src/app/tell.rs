//! Telling people how a run stands: one comment, the labels, the check run.

use super::{App, AppError};
use crate::comments;
use crate::ports::{CheckAnnotation, CheckSpec, ForgeError, LabelChange};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{Attempt, Check, Conclusion, Input, Run, RunStatus};
use cloud_code_model::task::AnnotationLevel;

/// GitHub takes so many in one request.
const MAX_ANNOTATIONS: usize = 50;

/// Brings the comment and the labels up to the run's present state.
///
/// # Errors
/// When the forge does not answer: try again.
pub async fn tell(app: &App, run: &Run) -> Result<Option<Input>, AppError> {
    if run.subject.number == 0 {
        return Ok(None);
    }
    let marker = comments::run_marker(&run.id);
    let body = comments::run_comment(run, app.settings.public_url.as_deref());
    let number = run.subject.number;
    let posted = app.forge.put_comment(&run.repository, number, &marker, run.comment, &body).await;
    let id = final_answer(posted, "comment")?;
    if app.settings.state_labels {
        final_answer(app.forge.change_labels(&run.repository, number, &labels(run)).await, "labels")?;
    }
    Ok(id.filter(|id| run.comment != Some(*id)).map(|id| Input::Commented { id }))
}

/// Sets the check run on the commit that an attempt pushed.
///
/// # Errors
/// When the forge does not answer: try again.
pub async fn check(app: &App, run: &Run, id: &AttemptId) -> Result<Option<Input>, AppError> {
    let Some((attempt, publication)) =
        run.attempt(id).and_then(|attempt| Some((attempt, attempt.publication.as_ref()?)))
    else {
        return Ok(None);
    };
    let job = run.job(&id.job);
    if job.is_some_and(|job| !run.may_write(job, "checks")) {
        return Ok(None);
    }
    let conclusion = attempt.conclusion.unwrap_or(Conclusion::Failure);
    let spec = CheckSpec {
        name: match job.filter(|_| run.jobs.len() > 1) {
            None => format!("cloud-code / {}", run.workflow.name),
            Some(job) => format!("cloud-code / {} / {}", run.workflow.name, job.spec.name),
        },
        sha: publication.sha.clone(),
        external_id: id.name(),
        conclusion: github_conclusion(conclusion).to_owned(),
        title: comments::check_title(run, attempt),
        summary: comments::check_summary(run, attempt),
        details_url: comments::run_url(run, app.settings.public_url.as_deref()),
        annotations: annotations(attempt),
    };
    let known = attempt.check.as_ref().map(|check| check.id);
    let number = final_answer(app.forge.put_check(&run.repository, known, &spec).await, "check run")?;
    Ok(number.map(|number| Input::Checked {
        job: id.job.clone(),
        attempt: id.number,
        check: Check { id: number },
    }))
}

/// The remarks of an attempt's steps that name a file of the repository.
fn annotations(attempt: &Attempt) -> Vec<CheckAnnotation> {
    let steps = attempt.report.iter().flat_map(|report| &report.steps);
    let all = steps.flat_map(|step| &step.annotations).filter_map(|annotation| {
        let first_line = annotation.line.unwrap_or(1).max(1);
        let last_line = annotation.end_line.unwrap_or(first_line).max(first_line);
        let columns = annotation.column.filter(|column| *column > 0 && first_line == last_line);
        Some(CheckAnnotation {
            path: annotation.path()?.to_owned(),
            first_line,
            last_line,
            columns: columns.map(|first| (first, annotation.end_column.unwrap_or(first).max(first))),
            level: match annotation.level {
                AnnotationLevel::Notice => "notice",
                AnnotationLevel::Warning => "warning",
                AnnotationLevel::Failure => "failure",
            }
            .to_owned(),
            title: annotation.title.clone(),
            message: annotation.message.clone(),
        })
    });
    all.take(MAX_ANNOTATIONS).collect()
}

/// An answer that will not change is logged and let be: a run is not held up because its issue was deleted.
fn final_answer<T>(answer: Result<T, ForgeError>, what: &str) -> Result<Option<T>, AppError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if !error.is_final() => Err(error.into()),
        Err(error) => {
            tracing::warn!(what, %error, "could not tell");
            Ok(None)
        }
    }
}

fn github_conclusion(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Success => "success",
        Conclusion::Failure => "failure",
        Conclusion::NoChanges | Conclusion::Skipped => "neutral",
        Conclusion::NeedsInput | Conclusion::BudgetExceeded => "action_required",
        Conclusion::TimedOut => "timed_out",
        Conclusion::Cancelled => "cancelled",
    }
}

const QUEUED: &str = "cloud-code:queued";
const RUNNING: &str = "cloud-code:running";
const DONE: &str = "cloud-code:done";
const FAILED: &str = "cloud-code:failed";

/// The one label of ours that fits the run's state; a cancelled run has none, and one that made room for
/// another of its group leaves them to that one.
pub fn labels(run: &Run) -> LabelChange {
    if run.cancel.as_ref().is_some_and(|cancel| cancel.replaced_by.is_some()) {
        return LabelChange::default();
    }
    let wanted = match (run.status, run.conclusion) {
        (RunStatus::Queued, _) => Some(QUEUED),
        (RunStatus::InProgress, _) => Some(RUNNING),
        (RunStatus::Completed, Some(Conclusion::Cancelled | Conclusion::Skipped)) => None,
        (
            RunStatus::Completed,
            Some(Conclusion::Success | Conclusion::NoChanges | Conclusion::NeedsInput),
        ) => Some(DONE),
        (RunStatus::Completed, _) => Some(FAILED),
    };
    let remove = [QUEUED, RUNNING, DONE, FAILED].into_iter().filter(|label| Some(*label) != wanted);
    LabelChange {
        add: wanted.into_iter().map(str::to_owned).collect(),
        remove: remove.map(str::to_owned).collect(),
    }
}
