//! What a job's expressions see: the contexts `github`, `needs`, `inputs`, `matrix`, `strategy`, and how the jobs before it stand.

use super::job::{Job, JobResult};
use super::state::Run;
use crate::expression::{Contexts, Host, JobStatus, Value};
use crate::workflow::{JobDefinition, Plan};
use serde_json::{Map, Value as Json, json};
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

/// The jobs by workflow and definition, made once for as long as the jobs are the same, and only where somebody asks: what needs nothing is
/// prepared job by job, and would go through all of them each time.
pub(super) struct View<'a> {
    pub(super) run: &'a Run,
    nodes: OnceCell<Nodes<'a>>,
}

/// By the calling job (`""` for the run's own) and the definition.
type Nodes<'a> = HashMap<&'a str, HashMap<&'a str, Vec<usize>>>;

/// The `github` context as a value; made when first asked for, since events are large.
#[derive(Default)]
pub(super) struct GitHub(OnceCell<Value>);

impl GitHub {
    fn get(&self, run: &Run) -> Value {
        self.0.get_or_init(|| Value::from(&run.context)).clone()
    }
}

impl<'a> View<'a> {
    pub(super) fn new(run: &'a Run) -> Self {
        Self { run, nodes: OnceCell::new() }
    }

    fn nodes(&self) -> &Nodes<'a> {
        self.nodes.get_or_init(|| {
            let mut nodes = Nodes::new();
            for (index, job) in self.run.jobs.iter().enumerate() {
                let parent = job.parent.as_deref().unwrap_or_default();
                nodes.entry(parent).or_default().entry(job.node.as_str()).or_default().push(index);
            }
            nodes
        })
    }

    /// The jobs of a definition.
    pub(super) fn node(
        &self,
        parent: Option<&str>,
        node: &str,
    ) -> impl Iterator<Item = &'a Job> + use<'_, 'a> {
        self.indices(parent, node).iter().filter_map(|index| self.run.jobs.get(*index))
    }

    fn indices(&self, parent: Option<&str>, node: &str) -> &[usize] {
        let found = self.nodes().get(parent.unwrap_or_default()).and_then(|nodes| nodes.get(node));
        found.map_or(&[], Vec::as_slice)
    }

    /// How a definition's jobs ended together; none while one is not over.
    pub(super) fn result(&self, parent: Option<&str>, node: &str) -> Option<JobResult> {
        self.node(parent, node)
            .map(Job::result)
            .try_fold(JobResult::Skipped, |worst, result| Some(worst.max(result?)))
    }

    /// Whether all that a job needs is over.
    pub(super) fn needs_are_over(&self, parent: Option<&str>, definition: &JobDefinition) -> bool {
        definition.needs.iter().all(|need| self.result(parent, need).is_some())
    }

    /// How everything stands that a job needs, directly or through others.
    pub(super) fn standing(&self, parent: Option<&str>, definition: &JobDefinition) -> Standing {
        let mut seen = HashSet::new();
        let mut waiting: Vec<String> = definition.needs.clone();
        let mut standing =
            Standing { cancelled: self.run.cancel.is_some(), direct: HashMap::new(), ancestors: Vec::new() };
        for need in &definition.needs {
            standing
                .direct
                .insert(need.to_lowercase(), self.result(parent, need).unwrap_or(JobResult::Skipped));
        }
        while let Some(name) = waiting.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            standing.ancestors.push(self.result(parent, &name).unwrap_or(JobResult::Skipped));
            if let Some(plan) = self.run.plan_of(parent)
                && let Some(needed) = plan.jobs.iter().find(|job| job.key == name)
            {
                waiting.extend(needed.needs.iter().cloned());
            }
        }
        standing
    }

    /// The context `needs`: of each needed job its `result` and `outputs`, and (ours) its `jobs`, one for each of a matrix.
    pub(super) fn needs(&self, parent: Option<&str>, definition: &JobDefinition) -> Json {
        let mut needs = Map::new();
        for need in &definition.needs {
            let jobs: Vec<&Job> = self.node(parent, need).collect();
            let result = self.result(parent, need).unwrap_or(JobResult::Skipped);
            needs.insert(
                need.clone(),
                json!({
                    "result": result.as_str(),
                    "outputs": outputs_of(&jobs),
                    "jobs": jobs.iter().map(|job| one(job)).collect::<Vec<_>>(),
                }),
            );
        }
        Json::Object(needs)
    }

    /// The contexts of a job before its matrix is known.
    pub(super) fn contexts(
        &self,
        github: &GitHub,
        parent: Option<&str>,
        definition: &JobDefinition,
    ) -> Contexts {
        let mut contexts = self.outer(github, parent);
        contexts.insert("needs", Value::from(self.needs(parent, definition)));
        contexts
    }

    /// The contexts of a workflow: of the run, or of one that a job called.
    pub(super) fn outer(&self, github: &GitHub, parent: Option<&str>) -> Contexts {
        let inputs = match parent.and_then(|key| self.run.job(key)) {
            Some(caller) => &caller.inputs,
            None => &self.run.inputs,
        };
        Contexts::new()
            .with("github", github.get(self.run))
            .with("inputs", Value::from(inputs))
            .with("vars", Value::from(&self.run.vars))
    }
}

/// The outputs of all jobs of a matrix: of several values the last one that is not empty, by the time the jobs ended.
pub(super) fn outputs_of(jobs: &[&Job]) -> Json {
    let mut ended: Vec<&&Job> = jobs.iter().collect();
    ended.sort_by_key(|job| job.attempt().and_then(|attempt| attempt.finished_at));
    let mut outputs = Map::new();
    for (name, value) in ended.iter().flat_map(|job| &job.outputs) {
        if !value.is_empty() || !outputs.contains_key(name) {
            outputs.insert(name.clone(), value.as_str().into());
        }
    }
    Json::Object(outputs)
}

/// One job, as `needs.JOB.jobs` shows it.
fn one(job: &Job) -> Json {
    let publication = job.publication();
    let report = job.attempt().and_then(|attempt| attempt.report.as_ref());
    json!({
        "key": job.key,
        "name": job.spec.name,
        "matrix": job.matrix,
        "result": job.result().map_or("", JobResult::as_str),
        "outputs": job.outputs,
        "branch": publication.map(|publication| publication.branch.as_str()),
        "sha": publication.map(|publication| publication.sha.as_str()),
        "summary": report.and_then(|report| report.summary.as_deref()),
    })
}

/// The contexts `matrix` and `strategy` of a job.
pub(super) fn with_matrix(contexts: Contexts, job: &Job) -> Contexts {
    let matrix = job.matrix.clone().map_or(Json::Null, Json::Object);
    contexts.with("matrix", Value::from(matrix)).with("strategy", Value::from(strategy(job)))
}

pub(super) fn strategy(job: &Job) -> Json {
    json!({
        "fail-fast": job.place.fail_fast,
        "job-index": job.place.index,
        "job-total": job.place.total,
        "max-parallel": job.place.max_parallel.unwrap_or(job.place.total),
    })
}

/// How the jobs stand that a job needs, as its `if` asks.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) cancelled: bool,
    direct: HashMap<String, JobResult>,
    ancestors: Vec<JobResult>,
}

impl Standing {
    fn named<'a>(&'a self, jobs: &'a [String]) -> impl Iterator<Item = JobResult> + 'a {
        jobs.iter().filter_map(|name| self.direct.get(&name.to_lowercase()).copied())
    }
}

impl Host for Standing {
    fn hash_files(&self, patterns: &[String]) -> Result<String, String> {
        JobStatus::Success.hash_files(patterns)
    }

    fn status(&self) -> JobStatus {
        if self.cancelled {
            return JobStatus::Cancelled;
        }
        match self.ancestors.iter().max() {
            Some(JobResult::Failure) => JobStatus::Failure,
            Some(_) if self.ancestors.iter().any(|result| *result != JobResult::Success) => {
                JobStatus::Skipped
            }
            _ => JobStatus::Success,
        }
    }

    fn success(&self, jobs: &[String]) -> bool {
        if jobs.is_empty() {
            return self.status() == JobStatus::Success;
        }
        !self.cancelled && self.named(jobs).all(|result| result == JobResult::Success)
    }

    fn failure(&self, jobs: &[String]) -> bool {
        if jobs.is_empty() {
            return self.status() == JobStatus::Failure;
        }
        !self.cancelled && self.named(jobs).any(|result| result == JobResult::Failure)
    }
}

impl Run {
    /// What a workflow's jobs are made of: of the run's own, or of the one that the job `parent` calls.
    pub fn plan_of(&self, parent: Option<&str>) -> Option<&Plan> {
        match parent {
            None => Some(&self.plan),
            Some(key) => self.definition(self.job(key)?)?.call.as_ref()?.plan.as_ref(),
        }
    }

    /// A job's definition; none in runs that older versions stored.
    pub fn definition(&self, job: &Job) -> Option<&JobDefinition> {
        let plan = self.plan_of(job.parent.as_deref())?;
        plan.jobs.iter().find(|definition| definition.key == job.node)
    }

    /// All that a job's expressions may see before it starts: for whoever writes its task.
    pub fn contexts(&self, job: &Job) -> Contexts {
        let (view, github) = (View::new(self), GitHub::default());
        let contexts = match self.definition(job) {
            Some(definition) => view.contexts(&github, job.parent.as_deref(), definition),
            None => view.outer(&github, None),
        };
        with_matrix(contexts, job)
    }

    /// The same as JSON, for the agent: `needs`, `matrix`, `strategy`, `inputs`, but not `github`.
    pub fn context_values(&self, job: &Job) -> Map<String, Json> {
        let view = View::new(self);
        let mut values = Map::new();
        if let Some(definition) = self.definition(job) {
            values.insert("needs".to_owned(), view.needs(job.parent.as_deref(), definition));
        }
        values.insert("matrix".to_owned(), job.matrix.clone().map_or(Json::Null, Json::Object));
        values.insert("strategy".to_owned(), strategy(job));
        let inputs =
            job.parent.as_deref().and_then(|key| self.job(key)).map_or(&self.inputs, |caller| &caller.inputs);
        values.insert("inputs".to_owned(), inputs.clone());
        values
    }
}
