//! Makes the views of what the store has.

use super::view::{
    ApiAddition, ApiAnnotation, ApiAttempt, ApiCancelRequest, ApiDecision, ApiEnvironment, ApiHistoryEntry,
    ApiJob, ApiPending, ApiPublication, ApiPullRequest, ApiRun, ApiRunRow, ApiStep, ApiSubject, ApiTrigger,
    ApiUsage, ApiWorkflow,
};
use crate::ports::{Decision, RunSummary};
use cloud_code_model::run::{
    Addition, Attempt, AttemptState, Job, JobState, Outgoing, Publication, Run, StepSummary, StopReason,
    Usage,
};
use cloud_code_model::task::Annotation;

impl ApiRunRow {
    /// The row of a run.
    pub fn of(row: &RunSummary) -> Self {
        Self {
            id: row.id.to_string(),
            repository: row.repository.clone(),
            subject: row.subject,
            title: row.title.clone(),
            workflow: row.workflow.clone(),
            status: row.status.as_str().to_owned(),
            conclusion: row.conclusion.map(|conclusion| conclusion.as_str().to_owned()),
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

impl ApiRun {
    /// The view of a run.
    pub fn of(run: &Run) -> Self {
        Self {
            id: run.id.to_string(),
            repository: run.repository.full_name(),
            subject: ApiSubject {
                number: run.subject.number,
                title: run.subject.title.clone(),
                url: run.subject.url.clone(),
            },
            workflow: ApiWorkflow { path: run.workflow.path.clone(), name: run.workflow.name.clone() },
            trigger: ApiTrigger {
                delivery: run.trigger.delivery.clone(),
                event: run.trigger.event.clone(),
                action: run.trigger.action.clone(),
                actor: run.trigger.actor.clone(),
            },
            group: run.group.clone(),
            branch: run.branch.clone(),
            status: run.status.as_str().to_owned(),
            conclusion: run.conclusion.map(|conclusion| conclusion.as_str().to_owned()),
            reason: run.reason.clone(),
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            cancel: run.cancel.as_ref().map(|wish| ApiCancelRequest { by: wish.by.clone(), at: wish.at }),
            usage: usage(&run.usage()),
            publication: run.publication().map(publication),
            additions: run.additions.iter().map(|addition| self::addition(run, addition)).collect(),
            jobs: run.jobs.iter().map(job).collect(),
            pending: run.outbox.iter().map(pending).collect(),
            history: run
                .history
                .iter()
                .map(|entry| ApiHistoryEntry { at: entry.at, what: entry.what.clone() })
                .collect(),
        }
    }
}

fn addition(run: &Run, addition: &Addition) -> ApiAddition {
    ApiAddition {
        subject: addition.subject,
        by: addition.by.clone(),
        words: addition.words.clone(),
        at: addition.at,
        state: run.state_of(addition).as_str().to_owned(),
    }
}

impl ApiDecision {
    /// The view of a decision.
    pub fn of(decision: Decision) -> Self {
        Self {
            delivery: decision.delivery,
            at: decision.at,
            event: decision.event,
            repository: decision.repository,
            subject: decision.subject,
            actor: decision.actor,
            outcome: decision.outcome,
            reason: decision.reason,
            runs: decision.runs.iter().map(ToString::to_string).collect(),
        }
    }
}

fn usage(usage: &Usage) -> ApiUsage {
    ApiUsage {
        input_tokens: usage.input_tokens,
        cached_input_tokens: usage.cached_input_tokens,
        output_tokens: usage.output_tokens,
        cost_usd: usage.cost_usd,
    }
}

fn publication(publication: &Publication) -> ApiPublication {
    let (files, insertions, deletions) = publication.diffstat;
    ApiPublication {
        branch: publication.branch.clone(),
        sha: publication.sha.clone(),
        base: publication.base.clone(),
        pull_request: publication.pull.as_ref().map(|pull| ApiPullRequest {
            number: pull.number,
            url: pull.url.clone(),
            draft: pull.draft,
        }),
        files,
        insertions,
        deletions,
        commits: publication.commits,
    }
}

fn job(job: &Job) -> ApiJob {
    ApiJob {
        key: job.key.clone(),
        name: job.spec.name.clone(),
        state: if job.is_over() { "completed" } else { job_state(job.state) }.to_owned(),
        matrix: job.matrix.clone().map(serde_json::Value::Object),
        outputs: job.outputs.clone(),
        environment: job.gate.as_ref().map(|gate| ApiEnvironment {
            name: gate.environment.clone(),
            reviewers: gate.reviewers.clone(),
            approved_by: gate.approved_by.clone(),
            wait_until: gate.wait_until,
        }),
        conclusion: job.conclusion.map(|conclusion| conclusion.as_str().to_owned()),
        reason: job.reason.clone(),
        attempts: job.attempts.iter().map(attempt).collect(),
    }
}

fn attempt(attempt: &Attempt) -> ApiAttempt {
    let report = attempt.report.as_ref();
    ApiAttempt {
        number: attempt.number,
        state: state(attempt.state).to_owned(),
        created_at: attempt.created_at,
        launched_at: attempt.launched_at,
        started_at: attempt.started_at,
        finished_at: attempt.finished_at,
        deadline: attempt.deadline,
        stopping: attempt.stopping.map(|reason| stop_reason(reason).to_owned()),
        conclusion: attempt.conclusion.map(|conclusion| conclusion.as_str().to_owned()),
        reason: attempt.reason.clone(),
        steps: report.map(|report| report.steps.iter().map(step).collect()).unwrap_or_default(),
        summary: report.and_then(|report| report.summary.clone()),
        usage: report.map(|report| usage(&report.usage)).unwrap_or_default(),
        salvaged: report.is_some_and(|report| report.salvaged),
        blocked_hosts: report.map(|report| report.blocked_hosts.clone()).unwrap_or_default(),
        publication: attempt.publication.as_ref().map(publication),
    }
}

fn step(step: &StepSummary) -> ApiStep {
    let annotation = |annotation: &Annotation| ApiAnnotation {
        level: annotation.level.word().to_owned(),
        message: annotation.message.clone(),
        title: annotation.title.clone(),
        file: annotation.file.clone(),
        line: annotation.line,
    };
    ApiStep {
        name: step.name.clone(),
        status: step.status.clone(),
        conclusion: step.conclusion.clone(),
        annotations: step.annotations.iter().map(annotation).collect(),
    }
}

fn pending(outgoing: &Outgoing) -> ApiPending {
    ApiPending {
        effect: outgoing.effect.key(),
        tries: outgoing.tries,
        due_at: outgoing.due_at,
        error: outgoing.error.clone(),
    }
}

fn job_state(state: JobState) -> &'static str {
    match state {
        JobState::Blocked => "blocked",
        JobState::Ready => "ready",
        JobState::Environment => "environment",
        JobState::Concurrency => "concurrency",
        JobState::Started => "started",
        JobState::Calling => "calling",
    }
}

fn state(state: AttemptState) -> &'static str {
    match state {
        AttemptState::Queued => "queued",
        AttemptState::Starting => "starting",
        AttemptState::Running => "running",
        AttemptState::Stopping => "stopping",
        AttemptState::Publishing => "publishing",
        AttemptState::Done => "done",
    }
}

fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Cancelled => "cancelled",
        StopReason::TimedOut => "timed_out",
        StopReason::Lost => "lost",
        StopReason::NotStarted => "not_started",
    }
}
