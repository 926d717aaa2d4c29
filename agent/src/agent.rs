//! One life of the agent: reads the tasking, works on its tasks, keeps the report alive meanwhile, closes it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cloud_code_model::mask::Masker;
use cloud_code_model::task::{Conclusion, Report, Status, Task, Tasking};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::config::{AgentConfig, ConfigError};
use crate::conversations::Conversations;
use crate::environment;
use crate::journal::Journal;
use crate::network;
use crate::reporter::{ReportWriteError, Reporter};
use crate::stop::{Signals, Stop, Urgency};
use crate::task;
use crate::workspace::{Identity, ReadError, Workspace};

/// How often the tasking is looked at again while it is open.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long an agent whose tasks are done waits for more, unless the tasking says.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// Why no completed report could be written.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The environment.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No runtime, or no signal handlers.
    #[error("the agent cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// The agent can't be process 1 of its container.
    #[error("process 1 cannot start the agent: {0}")]
    Init(#[source] io::Error),
    /// The system does not let it be done.
    #[error("the environment, which has secrets, cannot be hidden from steps: {0}")]
    Concealment(#[source] io::Error),
    /// There is no tasking, and nobody to report to.
    #[error("there is nothing to do: {0}")]
    Tasking(String),
    /// The task folder or the temporary folder cannot be written to.
    #[error("{what}: {source}")]
    Folder {
        /// What was being done.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Files that are not on this disk can't be reached; says which, for people, and never how.
    #[error("{0}")]
    Remote(String),
    /// The report.
    #[error(transparent)]
    Report(#[from] ReportWriteError),
}

/// What a task leaves to the one after it, as a step does to the next.
#[derive(Default)]
pub(crate) struct Warm {
    /// When the first task began: the limits of time count from there.
    pub(crate) since: Option<Instant>,
    /// US dollars that agent steps have spent.
    pub(crate) spent: f64,
    /// Variables that steps added through GITHUB_ENV.
    pub(crate) env: IndexMap<String, String>,
    /// Folders that they added through GITHUB_PATH.
    pub(crate) path: Vec<String>,
    /// The context `steps`.
    pub(crate) steps: Map<String, Value>,
    /// Conversations with CLIs, oldest first.
    pub(crate) spoken: Vec<Spoken>,
}

/// A conversation that a step had.
pub(crate) struct Spoken {
    pub(crate) step: String,
    pub(crate) cli: String,
    pub(crate) session: String,
}

/// What everything else leans on.
pub(crate) struct Agent {
    pub(crate) config: AgentConfig,
    pub(crate) workspace: Workspace,
    pub(crate) reporter: Reporter,
    pub(crate) journal: Journal,
    pub(crate) home: PathBuf,
    pub(crate) temporary: TempDir,
    pub(crate) stop: Stop,
    pub(crate) warm: RefCell<Warm>,
    /// Those that are to outlive this run.
    pub(crate) conversations: Conversations,
}

/// Works through the workspace's tasking to a completed report.
///
/// # Errors
/// [`AgentError`] when no completed report could be written; whatever goes wrong in the work itself is told in the report.
pub(crate) async fn run(config: AgentConfig) -> Result<(), AgentError> {
    run_with(config, async || {}).await
}

/// The same, where `refresh` brings the tasking up to date before it is looked at again.
pub(crate) async fn run_with(config: AgentConfig, refresh: impl AsyncFn()) -> Result<(), AgentError> {
    let (signals, stop) = Signals::new().map_err(AgentError::Runtime)?;
    let workspace = Workspace::new(config.workspace.clone());
    let masker = Masker::new(config.secrets.values().cloned());
    let tasking = match workspace.tasking() {
        Ok(tasking) => tasking,
        Err(ReadError::Refused { error, identity: Some(identity) }) => {
            let reporter = Reporter::new(workspace, &identity);
            return Ok(reporter.close(&masker, |report| end(report, Conclusion::Failure, error.to_string()))?);
        }
        Err(error) => return Err(AgentError::Tasking(error.to_string())),
    };
    let reporter = Reporter::new(workspace.clone(), &Identity::from(&tasking));
    if reporter.completed_before() {
        return Ok(());
    }
    let folder = |what| move |source| AgentError::Folder { what, source };
    let journal = Journal::open(&workspace, masker, config.log_bytes).map_err(folder("opening the log"))?;
    let temporary = tempfile::Builder::new().prefix("cloud-code-").tempdir();
    let temporary = temporary.map_err(folder("making a temporary folder"))?;
    let home = environment::home(&config);
    let agent = Agent {
        config,
        workspace,
        reporter,
        journal,
        home,
        temporary,
        stop,
        warm: RefCell::default(),
        conversations: Conversations::default(),
    };
    agent.reporter.beat(&agent.journal.masker())?;
    if let Err(error) = agent.workspace.hide_own_files() {
        agent.journal.say(&format!("##[warning].git/info/exclude: {error}"));
    }
    tokio::select! {
        result = agent.work(tasking, refresh) => result,
        never = signals.listen() => match never {},
        never = agent.heartbeat() => match never {},
    }
}

impl Agent {
    /// Changes the report and writes it. A write that fails is noted and tried again with the next change; the closing
    /// one counts.
    pub(crate) fn report(&self, change: impl FnOnce(&mut Report)) {
        if let Err(error) = self.reporter.update(&self.journal.masker(), change) {
            self.journal.say(&format!("##[warning]{error}"));
        }
    }

    async fn heartbeat(&self) -> Infallible {
        loop {
            tokio::time::sleep(self.config.heartbeat).await;
            if let Err(error) = self.reporter.beat(&self.journal.masker()) {
                self.journal.say(&format!("##[warning]{error}"));
            }
        }
    }

    async fn work(&self, mut tasking: Tasking, refresh: impl AsyncFn()) -> Result<(), AgentError> {
        let way_out = network::open_way_out(self).await;
        let mut begun = 0;
        let mut idle_since = Instant::now();
        loop {
            while let Some(task) = tasking.tasks.get(begun)
                && !self.stop.is_asked()
                && self.may_begin(task)
            {
                task::run(self, &tasking, begun).await;
                begun += 1;
                idle_since = Instant::now();
            }
            if tasking.closed || self.stop.is_asked() || begun < tasking.tasks.len() {
                break;
            }
            // However short the patience, there is one look after the last task.
            refresh().await;
            tasking = self.look_again(tasking);
            if begun < tasking.tasks.len() {
                continue;
            }
            let idle = tasking.idle_minutes.map_or(IDLE, minutes_of);
            if idle_since.elapsed() >= idle {
                if !idle.is_zero() {
                    self.journal.say("no task came for a while: the agent ends");
                }
                break;
            }
            let mut stop = self.stop.clone();
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN.min(self.config.heartbeat)) => {}
                _ = stop.over(Urgency::None) => {}
            }
        }
        let unfinished = begun < tasking.tasks.len() && self.stop.is_asked();
        let (conclusion, mut message) = self.reporter.read(|report| overall(report, unfinished));
        if let Some(trouble) = self.journal.trouble() {
            message = Some(message.map_or(trouble.clone(), |message| format!("{message} ({trouble})")));
        }
        self.conversations.keep(self).await;
        let blocked_hosts = network::blocked_hosts(self, way_out.as_deref()).await;
        self.journal.say(&format!("finished: {}", words(conclusion)));
        Ok(self.reporter.close(&self.journal.masker(), |report| {
            report.salvaged |= conclusion != Conclusion::Success
                && conclusion != Conclusion::NoChanges
                && report
                    .tasks
                    .iter()
                    .any(|task| task.changes.as_ref().is_some_and(|changes| changes.bundle.is_some()));
            report.status = Status::Completed;
            report.conclusion = Some(conclusion);
            report.message = message;
            report.blocked_hosts = blocked_hosts;
        })?)
    }

    /// Whether a task may follow those before it: they did what they should, and left it time and money. What is not begun is not in the
    /// report, so that who asked for it knows.
    fn may_begin(&self, task: &Task) -> bool {
        let warm = self.warm.borrow();
        let Some(since) = warm.since else { return true };
        let spent = task.limits.budget_usd.is_some_and(|budget| warm.spent >= budget);
        let over = task.limits.timeout_minutes.is_some_and(|minutes| since.elapsed() >= minutes_of(minutes));
        let last = self.reporter.read(|report| report.tasks.last().and_then(|task| task.conclusion));
        let may = last.is_some_and(is_good) && !spent && !over;
        if !may {
            self.journal.say(&format!("task {} is not begun", task.id));
        }
        may
    }

    /// Looks whether tasks were appended. A file that cannot be read just now is looked at again.
    fn look_again(&self, tasking: Tasking) -> Tasking {
        match self.workspace.tasking() {
            Ok(new) if new.run == tasking.run && new.job == tasking.job && new.attempt == tasking.attempt => {
                new
            }
            Ok(_) => Tasking { closed: true, ..tasking },
            Err(_) => tasking,
        }
    }
}

/// The attempt's conclusion from those of its tasks: the last one's where that is not good, else a success if anything changed.
fn overall(report: &Report, unfinished: bool) -> (Conclusion, Option<String>) {
    let message = report.message.clone();
    match report.tasks.last().and_then(|task| task.conclusion) {
        Some(bad) if !is_good(bad) => (bad, message),
        _ if unfinished => (
            Conclusion::Cancelled,
            Some("The job was cancelled before all of its tasks were done.".to_owned()),
        ),
        None => (Conclusion::NoChanges, Some("There was no task.".to_owned())),
        Some(last) => {
            let success = report.tasks.iter().any(|task| task.conclusion == Some(Conclusion::Success));
            (if success { Conclusion::Success } else { last }, message)
        }
    }
}

/// Whether a task's end lets another follow it. A question does: what follows may be the answer.
fn is_good(conclusion: Conclusion) -> bool {
    matches!(conclusion, Conclusion::Success | Conclusion::NoChanges | Conclusion::NeedsInput)
}

/// Minutes of a limit.
pub(crate) fn minutes_of(minutes: f64) -> Duration {
    Duration::from_secs_f64(minutes * 60.0)
}

pub(crate) fn end(report: &mut Report, conclusion: Conclusion, message: String) {
    report.status = Status::Completed;
    report.conclusion = Some(conclusion);
    report.message = Some(message);
}

/// A conclusion for people.
pub(crate) fn words(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Success => "success",
        Conclusion::Failure => "failure",
        Conclusion::NoChanges => "no changes",
        Conclusion::NeedsInput => "needs input",
        Conclusion::TimedOut => "timed out",
        Conclusion::Cancelled => "cancelled",
        Conclusion::BudgetExceeded => "budget exceeded",
    }
}
