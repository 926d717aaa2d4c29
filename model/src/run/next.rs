//! What is to become of a job that is not over, by what its definition says and how the others stand. Nothing is changed here.

use super::context::{GitHub, View, outputs_of, with_matrix};
use super::engine::after;
use super::job::{Gate, Job, JobResult, JobState, Place};
use super::state::{Conclusion, Run};
use crate::expression::{Contexts, JobStatus, Value, condition};
use crate::workflow::plan::{self, Matrix};
use crate::workflow::{Environment, JobDefinition, PlanError, Token};
use jiff::Timestamp;

/// Why a job can't go on as it is written.
pub(super) struct Refused {
    pub(super) conclusion: Conclusion,
    pub(super) reason: String,
}

impl From<PlanError> for Refused {
    fn from(error: PlanError) -> Self {
        Self { conclusion: Conclusion::Failure, reason: error.to_string() }
    }
}

fn refused(reason: impl Into<String>) -> Refused {
    Refused { conclusion: Conclusion::Failure, reason: reason.into() }
}

/// What becomes of a job in one move.
pub(super) enum Move {
    Stay,
    End(Conclusion, Option<String>),
    /// Its condition holds, and it has no matrix.
    Prepare(Place, Option<Matrix>),
    /// Jobs of a matrix take its place.
    Expand(Vec<Matrix>, Place),
    Gate(Gate),
    Pass,
    Ask(plan::ConcurrencyWish),
    Start,
    Call(serde_json::Value),
    Returned(Conclusion, Vec<(String, String)>),
}

/// What is to become of a job. Nothing is changed here.
pub(super) fn next(view: &View<'_>, github: &GitHub, job: &Job, now: Timestamp) -> Result<Move, Refused> {
    let run = view.run;
    match job.state {
        JobState::Started => return Ok(Move::Stay),
        JobState::Calling => return returned(view, github, job),
        _ => {}
    }
    if job.cancelled_by.is_some() {
        return Ok(Move::End(Conclusion::Cancelled, None));
    }
    let Some(definition) = run.definition(job) else { return Ok(Move::Start) };
    let parent = job.parent.as_deref();
    match job.state {
        JobState::Blocked => {
            if !view.needs_are_over(parent, definition) {
                return Ok(Move::Stay);
            }
            let contexts = view.contexts(github, parent, definition);
            if !wanted(view, &contexts, parent, definition)? {
                return Ok(Move::End(Conclusion::Skipped, None));
            }
            strategy(definition, &contexts)
        }
        JobState::Ready => {
            let running = || {
                let others = view.node(parent, &job.node).filter(|other| !other.is_over());
                others.filter(|other| !matches!(other.state, JobState::Blocked | JobState::Ready)).count()
            };
            let earlier = || {
                view.node(parent, &job.node)
                    .filter(|other| !other.is_over() && other.state == JobState::Ready)
                    .take_while(|other| other.key != job.key)
                    .count()
            };
            if job.place.max_parallel.is_some_and(|most| running() + earlier() >= most) {
                return Ok(Move::Stay);
            }
            let contexts = with_matrix(view.contexts(github, parent, definition), job);
            environment(run, definition, &contexts, now)
        }
        JobState::Environment => match &job.gate {
            Some(gate) if !gate.is_open(now) => {
                if gate.expires_at().is_some_and(|at| at <= now) {
                    let reason = format!("nobody approved `{}` within 30 days", gate.environment);
                    return Ok(Move::End(Conclusion::Failure, Some(reason)));
                }
                Ok(Move::Stay)
            }
            _ => Ok(Move::Pass),
        },
        // The environment is passed: the group, where there is one, and then the start.
        JobState::Concurrency => match &job.hold {
            Some(hold) if !hold.granted => Ok(Move::Stay),
            Some(_) => start(view, github, job, definition),
            None => {
                let contexts = with_matrix(view.contexts(github, parent, definition), job);
                let wish = match &definition.concurrency {
                    Some(concurrency) => plan::concurrency(concurrency, &contexts, &JobStatus::Success)?,
                    None => None,
                };
                match wish {
                    Some(wish) => Ok(Move::Ask(wish)),
                    None => start(view, github, job, definition),
                }
            }
        },
        JobState::Started | JobState::Calling => Ok(Move::Stay),
    }
}

/// Whether a job's `if` holds.
fn wanted(
    view: &View<'_>,
    contexts: &Contexts,
    parent: Option<&str>,
    definition: &JobDefinition,
) -> Result<bool, PlanError> {
    let text = definition.condition.as_ref().and_then(Token::text).unwrap_or_default();
    let at = |error: crate::expression::ExpressionError| PlanError {
        at: definition.condition.as_ref().map_or(definition.at, |token| token.at),
        message: format!("if: {error}"),
    };
    let standing = view.standing(parent, definition);
    condition(&text).map_err(at)?.evaluate(contexts, &standing).map_err(at)
}

/// Whether a job that has not ended would still be wanted after the run was cancelled.
pub(super) fn outlives_cancel(run: &Run, key: &str) -> bool {
    let view = View::new(run);
    let Some(job) = run.job(key) else { return false };
    let Some(definition) = run.definition(job).filter(|definition| definition.condition.is_some()) else {
        return false;
    };
    let parent = job.parent.as_deref();
    let contexts = view.contexts(&GitHub::default(), parent, definition);
    wanted(&view, &contexts, parent, definition).unwrap_or(false)
}

fn strategy(definition: &JobDefinition, contexts: &Contexts) -> Result<Move, Refused> {
    let mut place = Place::default();
    let Some(strategy) = &definition.strategy else { return Ok(Move::Prepare(place, None)) };
    let status = JobStatus::Success;
    if let Some(token) = &strategy.fail_fast {
        place.fail_fast = flag(&token.evaluate(contexts, &status)?);
    }
    if let Some(token) = &strategy.max_parallel {
        let most = token.evaluate(contexts, &status)?.to_number();
        if !(most >= 1.0) {
            return Err(token.error("max-parallel: a number of at least 1 is needed").into());
        }
        place.max_parallel = Some(most as usize);
    }
    let Some(token) = &strategy.matrix else { return Ok(Move::Prepare(place, None)) };
    let matrix = token.evaluate(contexts, &status)?;
    let combinations =
        plan::combinations(&matrix).map_err(|message| token.error(format!("matrix: {message}")))?;
    Ok(Move::Expand(combinations, place))
}

pub(super) fn flag(value: &Value) -> bool {
    value.is_truthy() && value.as_str() != Some("false")
}

fn environment(
    run: &Run,
    definition: &JobDefinition,
    contexts: &Contexts,
    now: Timestamp,
) -> Result<Move, Refused> {
    let Some(token) = &definition.environment else { return Ok(Move::Pass) };
    let name = token.get("name").unwrap_or(token).render(contexts, &JobStatus::Success)?;
    if name.is_empty() {
        return Ok(Move::Pass);
    }
    let known = run.plan.environments.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
    let open = Environment::default();
    let rules = known.map_or(&open, |(_, rules)| rules);
    let branch = run.context["ref_name"].as_str().unwrap_or(&run.repository.default_branch);
    if !rules.branches.is_empty() && !plan::matches(&rules.branches, branch) {
        return Err(refused(format!(
            "{}: the branch `{branch}` may not pass the environment `{name}`, which takes `{}`",
            token.at,
            rules.branches.join("`, `")
        )));
    }
    let wait = (rules.wait_timer > 0).then(|| after(now, i64::from(rules.wait_timer) * 60));
    Ok(Move::Gate(Gate {
        environment: name,
        reviewers: rules.reviewers.clone(),
        approved_by: None,
        since: now,
        wait_until: wait,
    }))
}

fn start(view: &View<'_>, github: &GitHub, job: &Job, definition: &JobDefinition) -> Result<Move, Refused> {
    let Some(call) = &definition.call else { return Ok(Move::Start) };
    let Some(plan) = &call.plan else {
        return Err(refused(format!("{}: the workflow `{}` is not there", definition.at, call.uses)));
    };
    let contexts = with_matrix(view.contexts(github, job.parent.as_deref(), definition), job);
    let mut given = serde_json::Map::new();
    for (name, token) in &call.with {
        given.insert(name.clone(), token.evaluate(&contexts, &JobStatus::Success)?.to_json());
    }
    let inputs = plan::resolve_inputs(&plan.inputs, &given, &contexts)
        .map_err(|message| refused(format!("{}: {}: {message}", definition.at, call.uses)))?;
    Ok(Move::Call(inputs))
}

/// Ends a job whose called workflow is over.
fn returned(view: &View<'_>, github: &GitHub, job: &Job) -> Result<Move, Refused> {
    let Some(plan) = view.run.plan_of(Some(&job.key)) else { return Ok(Move::Stay) };
    let mut jobs = serde_json::Map::new();
    let mut worst: Option<&Job> = None;
    for definition in &plan.jobs {
        let Some(result) = view.result(Some(&job.key), &definition.key) else { return Ok(Move::Stay) };
        for child in view.node(Some(&job.key), &definition.key) {
            if child.result() >= worst.and_then(Job::result) {
                worst = Some(child);
            }
        }
        let children: Vec<&Job> = view.node(Some(&job.key), &definition.key).collect();
        let outputs = outputs_of(&children);
        jobs.insert(
            definition.key.clone(),
            serde_json::json!({ "result": result.as_str(), "outputs": outputs }),
        );
    }
    let contexts =
        view.outer(github, Some(&job.key)).with("jobs", Value::from(serde_json::Value::Object(jobs)));
    let mut outputs = Vec::new();
    for (name, token) in &plan.outputs {
        outputs.push((name.clone(), token.render(&contexts, &JobStatus::Success)?));
    }
    let conclusion = match worst.and_then(Job::result) {
        Some(JobResult::Success) => Conclusion::Success,
        Some(JobResult::Skipped) | None => Conclusion::Skipped,
        _ => worst.and_then(|job| job.conclusion).unwrap_or(Conclusion::Failure),
    };
    Ok(Move::Returned(conclusion, outputs))
}
