//! What an event would start, and why each other job does not: the engine's own answer, on a run that nobody stores.

use super::job::JobState;
use super::state::{NewRun, Repository, Run, Subject, Timing, Trigger, WorkflowRef};
use crate::expression::{Contexts, JobStatus, Value as Computed};
use crate::workflow::plan::{self, Event};
use crate::workflow::{Token, Workflow};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The event, and who and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The event.
    pub event: Event,
    /// Who caused it.
    pub actor: String,
    /// `owner/name`.
    pub repository: String,
    /// The default branch.
    pub default_branch: String,
    /// The inputs, for `workflow_dispatch`.
    pub inputs: Map<String, Value>,
}

impl Asked {
    /// Reads an event's file: the payload itself, or an object with `event_name` and `event`, as the context `github` has them.
    ///
    /// # Errors
    /// Where the event's name can't be told.
    pub fn from_json(json: &Value, name: Option<&str>) -> Result<Self, String> {
        let wrapped = json.get("event").is_some_and(Value::is_object) && json.get("event_name").is_some();
        let payload = if wrapped { &json["event"] } else { json };
        if !payload.is_object() {
            return Err("expected a JSON object".to_owned());
        }
        let name = name.or(json["event_name"].as_str()).or(plan::guess_event_name(payload));
        let name = name.ok_or("the payload does not show which event it is; say --event-name NAME")?;
        let mut event = Event::new(name, payload.clone());
        if let Some(files) = json["changed_files"].as_array() {
            event.changed_files =
                Some(files.iter().filter_map(|file| file.as_str().map(str::to_owned)).collect());
        }
        let text = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_owned();
        let repository = &payload["repository"];
        let given = json["inputs"].as_object().or(payload["inputs"].as_object());
        Ok(Self {
            event,
            actor: text(&json["actor"], payload["sender"]["login"].as_str().unwrap_or("somebody")),
            repository: text(
                &json["repository"],
                repository["full_name"].as_str().unwrap_or("owner/repository"),
            ),
            default_branch: text(&repository["default_branch"], "main"),
            inputs: given.cloned().unwrap_or_default(),
        })
    }
}

/// What would start, as JSON for people and programs.
pub fn preview(workflow: &Workflow, asked: &Asked) -> Value {
    let event = &asked.event;
    let head = |starts: bool, reason: Option<String>, group: Value, jobs: Vec<Value>| {
        json!({
            "workflow": workflow.path, "name": workflow.name, "event": event.name, "action": event.action,
            "starts": starts, "reason": reason, "concurrency": group, "jobs": jobs,
        })
    };
    if let Err(reason) = event.starts(workflow) {
        let jobs = workflow.plan.jobs.iter().map(|job| {
            json!({ "key": job.key, "name": name_of(job.name.as_ref(), &job.key), "starts": false,
                    "state": "not_started", "reason": "the event does not start the workflow" })
        });
        return head(false, Some(reason), Value::Null, jobs.collect());
    }
    match run_of(workflow, asked) {
        Err(reason) => head(false, Some(reason), Value::Null, Vec::new()),
        Ok(run) => {
            let group = run.concurrency.as_ref().map_or(Value::Null, |wish| json!(wish));
            let mut free = run.clone();
            if let Some(ticket) = run.hold.as_ref().map(|hold| hold.ticket) {
                super::step(&mut free, super::Input::Granted { ticket }, Timestamp::UNIX_EPOCH);
            }
            let jobs = free.jobs.iter().zip(free.branches());
            let jobs: Vec<Value> = jobs.map(|(job, branch)| one(&free, job, branch)).collect();
            head(true, None, group, jobs)
        }
    }
}

fn name_of(name: Option<&Token>, key: &str) -> String {
    name.and_then(Token::text).unwrap_or_else(|| key.to_owned())
}

fn run_of(workflow: &Workflow, asked: &Asked) -> Result<Run, String> {
    let (owner, name) = asked.repository.split_once('/').unwrap_or(("owner", &asked.repository));
    let event = &asked.event;
    let context = plan::github(event, owner, name, &asked.default_branch, &asked.actor, &workflow.name);
    let contexts =
        Contexts::new().with("github", Computed::from(&context)).with("vars", Computed::from(json!({})));
    let inputs = match event.name.as_str() {
        "workflow_dispatch" => {
            let definitions = workflow.dispatch_inputs().cloned().unwrap_or_default();
            plan::resolve_inputs(&definitions, &asked.inputs, &contexts)?
        }
        _ => json!({}),
    };
    let contexts = contexts.with("inputs", Computed::from(&inputs));
    let concurrency = match &workflow.plan.concurrency {
        None => None,
        Some(wish) => plan::concurrency(wish, &contexts, &JobStatus::Success)
            .map_err(|error| format!("{}:{error}", workflow.path))?,
    };
    let number =
        event.payload["issue"]["number"].as_u64().or(event.payload["pull_request"]["number"].as_u64());
    let new = NewRun {
        repository: Repository {
            owner: owner.to_owned(),
            name: name.to_owned(),
            installation: 0,
            default_branch: asked.default_branch.clone(),
        },
        subject: Subject { number: number.unwrap_or(0), title: String::new(), url: String::new() },
        workflow: WorkflowRef { path: workflow.path.clone(), name: workflow.name.clone() },
        trigger: Trigger {
            delivery: "preview".to_owned(),
            event: event.name.clone(),
            action: event.action.clone(),
            actor: asked.actor.clone(),
        },
        concurrency,
        branch: format!("cloud-code/issue-{}", number.unwrap_or(0)),
        context,
        inputs,
        vars: serde_json::Value::Null,
        timing: Timing::default(),
        plan: workflow.plan.clone(),
    };
    Ok(Run::new(new, Timestamp::UNIX_EPOCH))
}

fn one(run: &Run, job: &super::Job, branch: String) -> Value {
    let definition = run.definition(job);
    let needs = definition.map(|definition| definition.needs.clone()).unwrap_or_default();
    let condition = definition.and_then(|definition| definition.condition.as_ref()).and_then(Token::text);
    let waits = |what: &str| (false, "waiting", Some(what.to_owned()));
    let (starts, state, reason) = match (job.conclusion, job.state) {
        (Some(super::Conclusion::Skipped), _) => {
            let why = condition.as_ref().map_or_else(
                || format!("what it needs was skipped: {}", needs.join(", ")),
                |condition| format!("its `if` is false: {condition}"),
            );
            (false, "skipped", Some(why))
        }
        (Some(conclusion), _) => (false, conclusion.as_str(), job.reason.clone()),
        (None, JobState::Blocked) => {
            let open = needs.iter().filter(|need| {
                let mut jobs =
                    run.jobs.iter().filter(|other| other.parent == job.parent && other.node == **need);
                jobs.any(|other| !other.is_over())
            });
            waits(&format!("it needs {}", open.cloned().collect::<Vec<_>>().join(", ")))
        }
        (None, JobState::Ready) => waits("only so many of its matrix run at once (`max-parallel`)"),
        (None, JobState::Environment) => {
            let gate = job.gate.as_ref();
            waits(&match gate {
                Some(gate) if !gate.reviewers.is_empty() => {
                    format!("`{}` has to be approved by {}", gate.environment, gate.reviewers.join(" or "))
                }
                Some(gate) => format!("`{}` has a wait timer", gate.environment),
                None => "it waits at its environment".to_owned(),
            })
        }
        (None, JobState::Concurrency) => {
            let group = job.hold.as_ref().map(|hold| hold.wish.group.clone()).unwrap_or_default();
            (true, "starts", Some(format!("once its concurrency group `{group}` is free")))
        }
        (None, JobState::Started | JobState::Calling) => (true, "starts", None),
    };
    json!({
        "key": job.key, "name": job.spec.name, "starts": starts, "state": state, "reason": reason, "needs": needs,
        "if": condition, "matrix": job.matrix, "runs-on": job.spec.runs_on, "timeout-minutes": job.spec.timeout_minutes,
        "environment": job.gate.as_ref().map(|gate| gate.environment.as_str()),
        "branch": branch,
        "steps": run.steps(job).iter().map(|step| step.name.clone().or(step.uses.clone()).or(step.run.clone())).collect::<Vec<_>>(),
    })
}
