//! Runs, groups, containers, messages, and the processes that work on them.

use super::choices::Choices;
use super::operations::Operation;
use cloud_code_model::expression::{Contexts, JobStatus, Value};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{
    Addition, Conclusion, Group, Input, NewRun, Observation, ReportSummary, Repository, Rerun, Run, Subject,
    Timing, Trigger, WorkflowRef, step,
};
use cloud_code_model::workflow::{self, Environment, Workflow, plan};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// A comment that nobody wrote.
pub(crate) const NEVER_GIVEN: u64 = 4711;

/// A container, as far as a runner knows.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) running: bool,
    pub(crate) sequence: u64,
    /// Comments whose words lie in its task.
    pub(crate) given: Vec<u64>,
    /// The final report, which lies there until the container is removed.
    pub(crate) left: Option<ReportSummary>,
}

pub(crate) struct World {
    pub(crate) now: i64,
    pub(crate) runs: Vec<Run>,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) containers: BTreeMap<AttemptId, Container>,
    /// Attempts that wait for a free runner. A message may be there twice, or be lost: the sweeper then brings it again.
    pub(crate) launches: Vec<AttemptId>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) steps: u64,
    /// Comments that came too late for a run and were said again.
    pub(crate) followed: BTreeSet<(usize, u64)>,
    /// What each run was when it ended, and in which round.
    pub(crate) ended: BTreeMap<usize, (u32, Option<Conclusion>)>,
}

static WORKFLOWS: LazyLock<Vec<Workflow>> = LazyLock::new(|| {
    [
        "on: issues\nconcurrency: { group: g, cancel-in-progress: true }\njobs:\n  a: { retries: 1, steps: [{uses: agent}] }",
        "on: issues\nconcurrency: g\njobs:\n  a: {steps: [{run: x}]}\n  b: {needs: a, if: always(), steps: [{run: x}]}",
        "on: issues\nconcurrency: { group: g, queue: max }\njobs:\n  a: { strategy: {max-parallel: 2, matrix: {n: [1, 2, 3]}}, steps: [{run: x}] }\n  b: { needs: a, steps: [{run: x}] }",
        "on: issues\njobs:\n  a: { concurrency: {group: g, cancel-in-progress: true}, steps: [{run: x}] }\n  b: { concurrency: h, needs: a, if: '!cancelled()', steps: [{run: x}] }\n  c: { concurrency: H, steps: [{run: x}] }",
        "on: issues\nconcurrency: h\njobs:\n  a: { environment: gate, steps: [{run: x}] }\n  b: { environment: timer, continue-on-error: true, steps: [{run: x}] }\n  c: { needs: [a, b], if: failure(), steps: [{run: x}] }\n  d: { concurrency: h, steps: [{run: x}] }",
        "on: issues\njobs:\n  a: { strategy: {fail-fast: false, matrix: {n: [1, 2]}}, steps: [{uses: agent}] }\n  j: { needs: a, if: '!cancelled()', steps: [{uses: agent, with: {pick: needs.a}}] }\n  k: { needs: j, steps: [{uses: agent, with: {from: needs.j}}] }",
    ]
    .into_iter()
    .map(|text| {
        let mut workflow = workflow::read("w.yml", text).unwrap();
        let gate = Environment { reviewers: vec!["wes".into(), "kim".into()], ..Environment::default() };
        let timer = Environment { wait_timer: 5, ..Environment::default() };
        workflow.plan.environments.extend([("gate".into(), gate), ("timer".into(), timer)]);
        workflow
    })
    .collect()
});

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

impl World {
    pub(crate) fn new(choices: &mut Choices) -> Self {
        let mut world = Self {
            now: 0,
            runs: Vec::new(),
            groups: BTreeMap::new(),
            containers: BTreeMap::new(),
            launches: Vec::new(),
            operations: Vec::new(),
            steps: 0,
            followed: BTreeSet::new(),
            ended: BTreeMap::new(),
        };
        for _ in 0..=choices.below(3) {
            world.start(choices);
        }
        world
    }

    fn start(&mut self, choices: &mut Choices) {
        let workflow = WORKFLOWS[choices.below(WORKFLOWS.len())].clone();
        let concurrency = workflow.plan.concurrency.as_ref();
        let wish = concurrency
            .and_then(|wish| plan::concurrency(wish, &Contexts::new(), &JobStatus::Success).unwrap());
        let new = NewRun {
            repository: Repository {
                owner: "acme".into(),
                name: "shop".into(),
                installation: 1,
                default_branch: "main".into(),
            },
            subject: Subject { number: 7, title: String::new(), url: String::new() },
            workflow: WorkflowRef { path: "w.yml".into(), name: "w".into() },
            trigger: Trigger {
                delivery: format!("d{}", self.runs.len()),
                event: "issues".into(),
                action: "labeled".into(),
                actor: "ann".into(),
            },
            concurrency: wish,
            branch: "cloud-code/issue-7".into(),
            context: serde_json::json!({}),
            inputs: Value::Null.to_json(),
            vars: serde_json::Value::Null,
            timing: Timing::default(),
            plan: workflow.plan,
        };
        self.runs.push(Run::new(new, at(self.now)));
    }

    /// One save of a run: the compare-and-set that reads again until it wins, as one.
    pub(crate) fn save(&mut self, run: usize, input: Input) {
        self.steps += 1;
        let now = at(self.now);
        step(&mut self.runs[run], input, now);
    }

    pub(crate) fn run_of(&self, attempt: &AttemptId) -> usize {
        self.runs.iter().position(|run| run.id == attempt.run).expect("a run")
    }

    /// One thing happens.
    pub(crate) fn act(&mut self, choices: &mut Choices) {
        let run = choices.below(self.runs.len());
        match choices.below(24) {
            0..=6 => self.begin(run, choices),
            7..=12 => self.go_on(choices),
            13 => {
                // A crash: whatever was at hand is forgotten, what was written stays.
                if choices.one_in(3) {
                    self.operations.clear();
                } else if !self.operations.is_empty() {
                    let gone = choices.below(self.operations.len());
                    self.operations.remove(gone);
                }
            }
            14..=16 => self.launch(choices),
            17..=19 => self.container(choices),
            20 => self.time(choices),
            21 => self.person(run, choices),
            22 => self.observe(choices),
            _ => {
                if self.runs.len() < 4 {
                    self.start(choices);
                }
            }
        }
    }

    /// A worker takes up an effect of a run, perhaps one that another one is at already.
    fn begin(&mut self, run: usize, choices: &mut Choices) {
        let due: Vec<_> =
            self.runs[run].outbox.iter().filter(|outgoing| outgoing.due_at <= at(self.now)).collect();
        if !due.is_empty() && self.operations.len() < 6 {
            let outgoing = due[choices.below(due.len())].clone();
            self.operations.push(Operation::new(run, outgoing));
        }
    }

    fn go_on(&mut self, choices: &mut Choices) {
        if !self.operations.is_empty() {
            let at = choices.below(self.operations.len());
            let mut operation = self.operations.remove(at);
            let fails = choices.one_in(12);
            if operation.advance(self, fails) {
                self.operations.push(operation);
            }
        }
    }

    /// A runner takes an attempt; the message may be delivered again, and the record of the launch be lost.
    fn launch(&mut self, choices: &mut Choices) {
        if self.launches.is_empty() {
            return;
        }
        let at = choices.below(self.launches.len());
        let attempt = self.launches[at].clone();
        if !choices.one_in(4) {
            self.launches.remove(at);
        }
        let record = !choices.one_in(6);
        self.take(&attempt, record, choices.one_in(10));
        if !record {
            // A crash before the record: the message comes back.
            self.launches.push(attempt);
        }
    }

    pub(crate) fn take(&mut self, attempt: &AttemptId, record: bool, fails: bool) {
        use cloud_code_model::run::AttemptState;
        let run = self.run_of(attempt);
        if self.runs[run].attempt(attempt).is_none_or(|found| found.state != AttemptState::Queued) {
            return;
        }
        let (job, number) = (attempt.job.clone(), attempt.number);
        if fails {
            self.save(run, Input::LaunchFailed { job, attempt: number, reason: "no image".into() });
            return;
        }
        let given = self.runs[run].attempt(attempt).map(|found| found.additions.clone()).unwrap_or_default();
        let fresh = Container { running: true, sequence: 0, given, left: None };
        self.containers.entry(attempt.clone()).or_insert(fresh);
        if record {
            self.save(run, Input::Launched { job, attempt: number, handle: "c".into() });
            // Launched after it had ended meanwhile: whoever launched it cleans up.
            if self.runs[run].attempt(attempt).is_none_or(|found| !found.state.is_live()) {
                self.containers.remove(attempt);
            }
        }
    }

    /// A container says something, or dies.
    fn container(&mut self, choices: &mut Choices) {
        let ids: Vec<AttemptId> = self.containers.keys().cloned().collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[choices.below(ids.len())].clone();
        let run = self.run_of(&id);
        let Some(container) = self.containers.get_mut(&id) else { return };
        let what = choices.below(8);
        let conclusions = [
            Conclusion::Success,
            Conclusion::Success,
            Conclusion::Failure,
            Conclusion::NoChanges,
            Conclusion::TimedOut,
        ];
        let conclusion = (what >= 4).then(|| conclusions[choices.below(conclusions.len())]);
        match what {
            0 => container.running = false,
            1 => {}
            _ => {
                if container.running && container.left.is_none() {
                    container.sequence += 1;
                    // A container may also say what was never asked of it.
                    let mut heard = container.given.clone();
                    heard.truncate(choices.below(4));
                    heard.push(NEVER_GIVEN);
                    let outputs = [("pick".to_owned(), ["a.1", "a.2", "x"][choices.below(3)].to_owned())];
                    let report = ReportSummary {
                        sequence: container.sequence,
                        conclusion,
                        has_changes: choices.one_in(2),
                        outputs: outputs.into(),
                        heard,
                        ..ReportSummary::default()
                    };
                    if conclusion.is_some() {
                        container.left = Some(report.clone());
                        container.running = false;
                    }
                    if !choices.one_in(4) {
                        // Else nobody looked yet.
                        self.save(run, Input::Reported { job: id.job.clone(), attempt: id.number, report });
                    }
                } else if let Some(report) = container.left.clone() {
                    self.save(run, Input::Reported { job: id.job.clone(), attempt: id.number, report });
                }
            }
        }
    }

    /// A watcher looks at an attempt, perhaps at one that is long over.
    fn observe(&mut self, choices: &mut Choices) {
        let run = choices.below(self.runs.len());
        let job = choices.below(self.runs[run].jobs.len());
        let job = &self.runs[run].jobs[job];
        let Some(last) = job.attempts.len().checked_sub(1) else { return };
        let attempt = &job.attempts[choices.below(last + 1)];
        let id = self.runs[run].attempt_id(&job.key, attempt.number);
        self.look(&id);
    }

    /// Reads the last report, then says how the container stands.
    pub(crate) fn look(&mut self, id: &AttemptId) {
        let run = self.run_of(id);
        let container = self.containers.get(id).cloned();
        if let Some(report) = container.as_ref().and_then(|container| container.left.clone()) {
            self.save(run, Input::Reported { job: id.job.clone(), attempt: id.number, report });
        }
        let observation = match container {
            Some(container) if container.running => return,
            Some(_) => Observation::Exited { code: Some(1), out_of_memory: false, detail: None },
            None => Observation::Missing,
        };
        self.save(run, Input::Observed { job: id.job.clone(), attempt: id.number, observation });
    }

    fn time(&mut self, choices: &mut Choices) {
        // Mostly forwards, now and then back.
        let jumps = [1, 5, 30, 100, 700, 4_000, 90_000, -20, -3_000];
        self.now += jumps[choices.below(jumps.len())];
        self.sweep();
    }

    pub(crate) fn sweep(&mut self) {
        for run in 0..self.runs.len() {
            if self.runs[run].due_at().is_some_and(|due| due <= at(self.now)) {
                self.save(run, Input::Tick);
            }
        }
    }

    fn person(&mut self, run: usize, choices: &mut Choices) {
        let jobs = &self.runs[run].jobs;
        let job = jobs[choices.below(jobs.len())].key.clone();
        let by = ["ann", "wes", "ron"][choices.below(3)].to_owned();
        let input = match choices.below(11) {
            0 | 1 => Input::Cancel { by, replaced_by: None, force: false },
            2 => Input::Cancel { by, replaced_by: None, force: true },
            3 => Input::CancelJob { job, by },
            4 | 5 => Input::Approve { job, by },
            6 => Input::Reject { job, by },
            7..=9 => {
                let (comment, words) = (choices.below(30) as u64, "and a test".to_owned());
                Input::Also { addition: Addition { comment, subject: 7, by, words, at: at(self.now) } }
            }
            _ => Input::Rerun { what: if choices.one_in(2) { Rerun::All } else { Rerun::Failed }, by },
        };
        if matches!(input, Input::Rerun { .. }) {
            if self.runs[run].round >= 4 {
                return;
            }
            self.ended.remove(&run);
        }
        self.save(run, input);
    }

    /// Everything is let run, fairly: workers execute what is due, runners launch, containers end, the clock goes on.
    pub(crate) fn come_to_rest(&mut self) {
        for _ in 0..400 {
            for run in 0..self.runs.len() {
                for outgoing in self.runs[run].outbox.clone() {
                    if outgoing.due_at <= at(self.now) {
                        let mut operation = Operation::new(run, outgoing);
                        while operation.advance(self, false) {}
                    }
                }
            }
            for operation in std::mem::take(&mut self.operations) {
                let mut operation = operation;
                while operation.advance(self, false) {}
            }
            for attempt in std::mem::take(&mut self.launches) {
                self.take(&attempt, true, false);
            }
            for id in self.containers.keys().cloned().collect::<Vec<_>>() {
                if let Some(container) = self.containers.get_mut(&id) {
                    container.running = false;
                }
                self.look(&id);
            }
            if self.runs.iter().all(|run| run.is_over() && run.outbox.is_empty()) {
                return;
            }
            self.now += 500;
            for run in 0..self.runs.len() {
                let waiting: Vec<String> =
                    self.runs[run].awaiting_review().map(|job| job.key.clone()).collect();
                for job in waiting {
                    self.save(run, Input::Approve { job, by: "kim".into() });
                }
                self.save(run, Input::Tick);
            }
        }
    }
}
