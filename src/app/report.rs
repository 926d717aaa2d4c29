//! Reading what an attempt reports: data from a stranger, made into what the engine and people need.

use super::{App, AppError, given, network};
use crate::ports::{Artifact, ArtifactError};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::mask::Masker;
use cloud_code_model::run::{
    Addition, Conclusion, Input, ReportSummary, Run, SessionSummary, StepSummary, Usage,
};
use cloud_code_model::task::{self, Annotation, AnnotationLevel, Report, StepReport};
use cloud_code_model::untrusted::visible;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Bytes of a report at most.
const MAX_REPORT: u64 = 1024 * 1024;
const MAX_SUMMARY: usize = 8_000;
const MAX_MESSAGE: usize = 2_000;
const MAX_STEPS: usize = 200;
/// Remarks kept: of each level of a step, and of all steps. GitHub keeps as many.
const MAX_ANNOTATIONS_A_LEVEL: usize = 10;
const MAX_ANNOTATIONS: usize = 50;
const MAX_ANNOTATION: usize = 500;
/// Characters of one output of a job, and bytes of all of them: they are stored with the run.
const MAX_OUTPUT: usize = 32_000;
const MAX_OUTPUTS: usize = 64_000;

/// What a look at an attempt's report came to.
#[derive(Debug)]
pub enum Reading {
    /// There is none, or it is another attempt's.
    Nothing,
    /// An input for the engine.
    Input(Box<Input>),
    /// There is one with this number, and whether it is the last; but nothing of it may be said while the secrets that would be masked in it
    /// are not to be had. Look again.
    Unmasked {
        /// The report's sequence number.
        sequence: u64,
        /// Whether it is the final one.
        completed: bool,
        /// Why they are not.
        error: AppError,
    },
}

/// Reads the attempt's report.
///
/// # Errors
/// When the artifacts can't be reached.
pub async fn read(app: &App, run: &Run, attempt: &AttemptId) -> Result<Reading, AppError> {
    let refused = |reason: String| {
        let (job, attempt) = (attempt.job.clone(), attempt.number);
        Reading::Input(Box::new(Input::ReportRefused { job, attempt, reason }))
    };
    let bytes = match app.artifacts.read(attempt, Artifact::Report, MAX_REPORT).await {
        Ok(None) => return Ok(Reading::Nothing),
        Ok(Some(bytes)) => bytes,
        Err(ArtifactError::Unavailable(reason)) => return Err(ArtifactError::Unavailable(reason).into()),
        Err(error) => return Ok(refused(format!("the agent's report was refused: {error}"))),
    };
    let report = match Report::parse(&bytes, MAX_REPORT as usize) {
        Ok(report) => report,
        Err(error) => return Ok(refused(format!("the agent's report was refused: {error}"))),
    };
    if report.run != run.id.as_str() || report.job != attempt.job || report.attempt != attempt.number {
        // A stale file of another attempt says nothing about this one.
        tracing::warn!(%attempt, "a report of another attempt was ignored");
        return Ok(Reading::Nothing);
    }
    let completed = report.status == task::Status::Completed;
    let masker = match given::secrets(app, run, attempt, completed).await {
        Ok(secrets) => Masker::new(secrets.iter().map(|value| value.reveal().to_owned())),
        Err(error) => return Ok(Reading::Unmasked { sequence: report.sequence, completed, error }),
    };
    let mut summary = summarise(&report, &masker);
    if let Some(job) = run.job(&attempt.job).filter(|_| summary.conclusion.is_some()) {
        match run.outputs(job, steps(&report)) {
            Ok(outputs) => summary.job_outputs = bounded(outputs, &masker),
            Err(error) => summary.outputs_error = Some(clean(&masker, &error, MAX_MESSAGE)),
        }
    }
    let reported = Input::Reported { job: attempt.job.clone(), attempt: attempt.number, report: summary };
    Ok(Reading::Input(Box::new(reported)))
}

fn clean(masker: &Masker, text: &str, max: usize) -> String {
    visible(&masker.mask_str(text), max)
}

/// The context `steps`, as the job's outputs see it.
fn steps(report: &Report) -> Value {
    let mut steps = Map::new();
    for step in report.tasks.iter().flat_map(|task| &task.steps) {
        let conclusion = step.conclusion.as_ref().map(name).unwrap_or_default();
        let outcome = json!({ "outputs": step.outputs, "outcome": conclusion, "conclusion": conclusion });
        steps.insert(step.id.clone(), outcome);
    }
    Value::Object(steps)
}

/// The outputs, masked, each and all together within bounds: a value that is too long is cut, where the sum is, the rest is left out.
fn bounded(outputs: BTreeMap<String, String>, masker: &Masker) -> BTreeMap<String, String> {
    let mut left = MAX_OUTPUTS;
    let mut kept = BTreeMap::new();
    for (name, value) in outputs {
        let masked = masker.mask_str(&value);
        let value: String = masked.chars().take(MAX_OUTPUT).collect();
        if value.len() <= left {
            left -= value.len();
            kept.insert(name, value);
        }
    }
    kept
}

fn summarise(report: &Report, masker: &Masker) -> ReportSummary {
    let clean = |text: &str, max: usize| clean(masker, text, max);
    let steps = steps_of(report);
    let mut usage = Usage::default();
    for step in steps.clone() {
        if let Some(spent) = &step.usage {
            usage.add(&Usage {
                input_tokens: spent.input_tokens,
                cached_input_tokens: spent.cached_input_tokens,
                output_tokens: spent.output_tokens,
                cost_usd: spent.cost_usd,
            });
        }
    }
    let said = |task: &task::TaskReport| task.steps.iter().rev().find_map(|step| step.summary.clone());
    let summary: Vec<String> = report.tasks.iter().filter_map(said).collect();
    let error = steps.clone().filter_map(|step| step.error.as_deref()).next_back();
    let finished = report.status == task::Status::Completed;
    let outputs = report.tasks.iter().flat_map(|task| &task.outputs);
    ReportSummary {
        sequence: report.sequence,
        conclusion: finished.then(|| report.conclusion.map_or(Conclusion::Failure, conclusion)),
        message: report.message.as_deref().or(error).map(|text| clean(text, MAX_MESSAGE)),
        summary: (!summary.is_empty()).then(|| clean(&summary.join("\n\n"), MAX_SUMMARY)),
        usage,
        steps: steps
            .clone()
            .take(MAX_STEPS)
            .scan(MAX_ANNOTATIONS, |left, step| {
                let annotations = annotations(step, masker, *left);
                *left -= annotations.len();
                Some((step, annotations))
            })
            .map(|(step, annotations)| StepSummary {
                name: clean(step.name.as_deref().unwrap_or(&step.id), 100),
                status: name(&step.status),
                conclusion: step.conclusion.as_ref().map(name),
                annotations,
            })
            .collect(),
        has_changes: report
            .tasks
            .iter()
            .any(|task| task.changes.as_ref().is_some_and(|changes| changes.bundle.is_some())),
        salvaged: report.salvaged,
        blocked_hosts: network::blocked_hosts(&report.blocked_hosts, masker),
        sessions: sessions(steps, masker),
        outputs: outputs
            .filter(|(name, _)| matches!(name.as_str(), "pr-title" | "pr-body" | "pick"))
            .map(|(name, value)| (name.clone(), clean(value, MAX_SUMMARY)))
            .collect(),
        job_outputs: BTreeMap::new(),
        outputs_error: None,
        heard: report.tasks.iter().filter(|task| is_begun(task)).filter_map(addition).collect(),
    }
}

fn addition(task: &task::TaskReport) -> Option<u64> {
    Addition::of_task(&task.id)
}

/// Whether any of its steps was.
fn is_begun(task: &task::TaskReport) -> bool {
    task.steps.iter().any(|step| step.started_at.is_some())
}

/// The conversations; one that a later task went on with is still one.
fn sessions<'a>(steps: impl Iterator<Item = &'a StepReport>, masker: &Masker) -> Vec<SessionSummary> {
    let mut sessions: Vec<SessionSummary> = Vec::new();
    for step in steps.filter(|step| step.session.is_some() || step.not_resumed.is_some()) {
        let new = session(step, masker);
        let same =
            |known: &SessionSummary| (&known.step, &known.cli, &known.id) == (&new.step, &new.cli, &new.id);
        if sessions.len() < task::MAX_CONVERSATIONS && !sessions.iter().any(same) {
            sessions.push(new);
        }
    }
    sessions
}

fn steps_of(report: &Report) -> impl DoubleEndedIterator<Item = &StepReport> + Clone {
    report.tasks.iter().flat_map(|task| &task.steps)
}

/// A step's conversation. Its id and its CLI's name are used again, so that they are what they should be or empty.
fn session(step: &StepReport, masker: &Masker) -> SessionSummary {
    let id = step.session.as_deref().filter(|id| task::is_session_id(id) && masker.mask_str(id) == **id);
    let cli = step.cli.as_deref().filter(|name| cloud_code_model::cli::find(name).is_some());
    SessionSummary {
        step: clean(masker, &step.id, 256),
        cli: cli.unwrap_or_default().to_owned(),
        id: id.filter(|_| cli.is_some()).unwrap_or_default().to_owned(),
        resumed: step.resumed,
        not_resumed: step.not_resumed.as_deref().map(|why| clean(masker, why, 300)),
    }
}

/// A step's remarks, so many at most: errors before warnings before notices.
fn annotations(step: &StepReport, masker: &Masker, max: usize) -> Vec<Annotation> {
    let mut kept = Vec::new();
    for level in [AnnotationLevel::Failure, AnnotationLevel::Warning, AnnotationLevel::Notice] {
        let of_level = step.annotations.iter().filter(|annotation| annotation.level == level);
        kept.extend(of_level.take(MAX_ANNOTATIONS_A_LEVEL).map(|annotation| Annotation {
            message: clean(masker, &annotation.message, MAX_ANNOTATION),
            title: annotation.title.as_deref().map(|title| clean(masker, title, 100)),
            file: annotation.file.as_deref().map(|file| clean(masker, file, 200)),
            ..annotation.clone()
        }));
    }
    kept.truncate(max);
    kept
}

/// A word as the report's file has it.
fn name(word: &impl serde::Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn conclusion(reported: task::Conclusion) -> Conclusion {
    match reported {
        task::Conclusion::Success => Conclusion::Success,
        task::Conclusion::Failure => Conclusion::Failure,
        task::Conclusion::NoChanges => Conclusion::NoChanges,
        task::Conclusion::NeedsInput => Conclusion::NeedsInput,
        task::Conclusion::TimedOut => Conclusion::TimedOut,
        task::Conclusion::Cancelled => Conclusion::Cancelled,
        task::Conclusion::BudgetExceeded => Conclusion::BudgetExceeded,
    }
}
