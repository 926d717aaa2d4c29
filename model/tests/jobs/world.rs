//! A run of a workflow's text, played by hand.

use cloud_code_model::expression::{Contexts, JobStatus, Value};
use cloud_code_model::run::{
    AttemptState, Conclusion, Input, NewRun, Publication, ReportSummary, Repository, Run, Subject, Timing,
    Trigger, WorkflowRef, step,
};
use cloud_code_model::workflow::{self, Environment, Workflow, plan};
use jiff::Timestamp;
use std::collections::BTreeMap;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// Reads the jobs of a workflow; `head` stands before them.
pub(crate) fn workflow(head: &str, jobs: &str) -> Workflow {
    let text = format!("on: issues\n{head}\njobs:\n{jobs}");
    workflow::read("w.yml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(crate) struct Play {
    pub(crate) run: Run,
    pub(crate) now: i64,
    sequence: u64,
}

impl Play {
    pub(crate) fn new(jobs: &str) -> Self {
        Self::of(workflow("", jobs))
    }

    pub(crate) fn of(workflow: Workflow) -> Self {
        Self::by("ann", "d", workflow)
    }

    pub(crate) fn by(actor: &str, delivery: &str, workflow: Workflow) -> Self {
        let event =
            plan::Event::new("issues", serde_json::json!({"action": "labeled", "issue": {"number": 7}}));
        let context = plan::github(&event, "acme", "shop", "main", actor, &workflow.name);
        let contexts = Contexts::new().with("github", Value::from(&context));
        let concurrency = workflow.plan.concurrency.as_ref();
        let concurrency =
            concurrency.and_then(|wish| plan::concurrency(wish, &contexts, &JobStatus::Success).unwrap());
        let new = NewRun {
            repository: Repository {
                owner: "acme".into(),
                name: "shop".into(),
                installation: 1,
                default_branch: "main".into(),
            },
            subject: Subject { number: 7, title: "Greet".into(), url: String::new() },
            workflow: WorkflowRef { path: workflow.path, name: workflow.name },
            trigger: Trigger {
                delivery: delivery.into(),
                event: "issues".into(),
                action: "labeled".into(),
                actor: actor.into(),
            },
            concurrency,
            branch: "cloud-code/issue-7".into(),
            context,
            inputs: serde_json::Value::Null,
            vars: serde_json::Value::Null,
            timing: Timing::default(),
            plan: workflow.plan,
        };
        Self { run: Run::new(new, at(0)), now: 0, sequence: 0 }
    }

    pub(crate) fn with_environment(jobs: &str, name: &str, environment: Environment) -> Self {
        let mut workflow = workflow("", jobs);
        workflow.plan.environments.insert(name.into(), environment);
        Self::of(workflow)
    }

    pub(crate) fn give(&mut self, input: Input) {
        self.now += 1;
        step(&mut self.run, input, at(self.now));
    }

    /// The number of a job's attempt that is not over.
    pub(crate) fn attempt(&self, job: &str) -> u32 {
        let found = self.run.job(job).unwrap_or_else(|| panic!("no job {job} in {:?}", self.keys()));
        let attempt = found.attempts.last().unwrap_or_else(|| panic!("{job} has not started"));
        assert_ne!(attempt.state, AttemptState::Done, "{job} is over");
        attempt.number
    }

    pub(crate) fn launch(&mut self, job: &str) {
        let attempt = self.attempt(job);
        self.give(Input::Launched { job: job.into(), attempt, handle: "h".into() });
    }

    /// Runs a job to its end.
    pub(crate) fn end(&mut self, job: &str, conclusion: Conclusion) {
        self.end_with(job, conclusion, &[], &[]);
    }

    pub(crate) fn end_with(
        &mut self,
        job: &str,
        conclusion: Conclusion,
        job_outputs: &[(&str, &str)],
        outputs: &[(&str, &str)],
    ) {
        if self.run.job(job).unwrap().attempts.last().unwrap().launched_at.is_none() {
            self.launch(job);
        }
        let report = ReportSummary {
            conclusion: Some(conclusion),
            job_outputs: map(job_outputs),
            outputs: map(outputs),
            ..ReportSummary::default()
        };
        self.report(job, report);
    }

    pub(crate) fn report(&mut self, job: &str, report: ReportSummary) {
        self.sequence += 1;
        let attempt = self.attempt(job);
        let report = ReportSummary { sequence: self.sequence, ..report };
        self.give(Input::Reported { job: job.into(), attempt, report });
    }

    /// Ends a job with a change that is pushed to its branch.
    pub(crate) fn publish(&mut self, job: &str) -> String {
        self.launch(job);
        let report = ReportSummary {
            conclusion: Some(Conclusion::Success),
            has_changes: true,
            ..ReportSummary::default()
        };
        self.report(job, report);
        let branch = self.run.branch_of(self.run.job(job).unwrap());
        let publication = Publication {
            branch: branch.clone(),
            sha: format!("sha-of-{job}"),
            base: "b".into(),
            pull: None,
            diffstat: (1, 1, 0),
            commits: 1,
        };
        let attempt = self.attempt(job);
        self.give(Input::Published { job: job.into(), attempt, publication });
        branch
    }

    pub(crate) fn cancel(&mut self) {
        self.give(Input::Cancel { by: "ann".into(), replaced_by: None, force: false });
    }

    /// What the stopped containers of cancelled jobs say.
    pub(crate) fn stopped(&mut self, job: &str) {
        self.end(job, Conclusion::Cancelled);
    }

    pub(crate) fn keys(&self) -> Vec<&str> {
        self.run.jobs.iter().map(|job| job.key.as_str()).collect()
    }

    /// Each job and how it stands: its conclusion, or its state.
    pub(crate) fn stands(&self) -> String {
        let jobs = self.run.jobs.iter().map(|job| {
            let how = match job.conclusion {
                Some(conclusion) => conclusion.as_str().to_owned(),
                None => format!("{:?}", job.state).to_lowercase(),
            };
            format!("{} {how}", job.key)
        });
        jobs.collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    pub(crate) fn expect(&self, stands: &str) {
        assert_eq!(self.stands(), stands, "{:#?}", self.run.history);
    }

    pub(crate) fn effects(&self) -> Vec<String> {
        self.run.outbox.iter().map(|outgoing| outgoing.effect.key()).collect()
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
