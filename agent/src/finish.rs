//! The end of a task: commits what is left over, writes the bundle, and says what came of it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cloud_code_git::{Oid, bundle, stage};
use cloud_code_model::task::{
    BUNDLE_FILE, Changes, Conclusion, Status, Step, StepConclusion, Task, TaskReport,
};

use crate::agent::{Agent, words};
use crate::environment::default_author;
use crate::task::TaskState;

/// The commit that the workspace stands at, where it has one. What else is wrong with it, [`finish`] will tell.
pub(crate) async fn head(agent: &Agent) -> Option<String> {
    let root = agent.workspace.root().to_owned();
    blocking(move || Ok(stage::head(&root).ok().flatten().map(|head| head.to_string()))).await.ok().flatten()
}

/// Completes the task's part of the report. `start` is where the workspace stood when the task began.
pub(crate) async fn finish(state: &mut TaskState<'_>, start: Option<String>) {
    let job = Job::new(state, start);
    let collected = blocking(move || job.collect()).await;
    let (changes, trouble) = match collected {
        Ok(changes) => (Some(changes), None),
        Err(error) => (None, Some(error)),
    };
    let changed = changes.as_ref().is_some_and(|changes| changes.files > 0);
    let (mut conclusion, mut message) = state.conclusion(changed);
    if let Some(trouble) = trouble {
        if matches!(conclusion, Conclusion::Success | Conclusion::NoChanges | Conclusion::NeedsInput) {
            conclusion = Conclusion::Failure;
        }
        let trouble = format!("The work could not be collected: {trouble}");
        message = Some(message.map_or(trouble.clone(), |message| format!("{message} {trouble}")));
    }
    let bad = !matches!(conclusion, Conclusion::Success | Conclusion::NoChanges | Conclusion::NeedsInput);
    state.agent.journal.say(&format!("task {}: {}", state.task.id, words(conclusion)));
    let index = state.index;
    state.agent.report(|report| {
        report.salvaged |= bad && changed;
        // What an earlier task had to say was a question at most.
        report.message = message;
        if changes.is_some() {
            // The one bundle is this task's now, with all that was done before it.
            for earlier in report.tasks.iter_mut().take(index).filter_map(|task| task.changes.as_mut()) {
                (earlier.bundle, earlier.sha256) = (None, None);
            }
        }
        if let Some(task) = report.tasks.get_mut(index) {
            task.status = Status::Completed;
            task.conclusion = Some(conclusion);
            task.changes = changes;
            settle_steps(task, &state.task.steps, conclusion);
        }
    });
}

/// Agent steps that ended well in a task that changed nothing say so.
fn settle_steps(task: &mut TaskReport, steps: &[Step], conclusion: Conclusion) {
    let instead = match conclusion {
        Conclusion::NoChanges => StepConclusion::NoChanges,
        Conclusion::NeedsInput => StepConclusion::NeedsInput,
        _ => return,
    };
    for (step, asked) in task.steps.iter_mut().zip(steps) {
        if asked.uses.as_deref() == Some("agent") && step.conclusion == Some(StepConclusion::Success) {
            step.conclusion = Some(instead);
        }
    }
}

/// What the blocking part needs to know.
struct Job {
    root: PathBuf,
    folder: PathBuf,
    base: String,
    branch: String,
    message: String,
    author: stage::Author,
    exclude: Vec<String>,
}

impl Job {
    fn new(state: &TaskState<'_>, start: Option<String>) -> Job {
        let agent = state.agent;
        let Task { base, branch, author, commit_message, .. } = state.task;
        let author = author.clone().unwrap_or_else(default_author);
        Job {
            root: agent.workspace.root().to_owned(),
            folder: agent.workspace.folder(),
            base: Some(base.clone()).filter(|base| !base.is_empty()).or(start).unwrap_or_default(),
            branch: branch.clone(),
            message: commit_message.clone().unwrap_or_else(|| format!("Work on {branch}")),
            author: stage::Author { name: author.name, email: author.email },
            exclude: agent.workspace.never_committed().into_iter().chain(state.restored.clone()).collect(),
        }
    }

    /// Commits, compares, bundles.
    fn collect(&self) -> Result<Changes, String> {
        let tell = |error: cloud_code_git::GitError| error.to_string();
        let base = self.base.parse::<Oid>().map_err(|_| format!("`{}` is not a commit's id", self.base))?;
        let exclude: Vec<&str> = self.exclude.iter().map(String::as_str).collect();
        stage::commit_all(&self.root, &self.message, &self.author, &exclude).map_err(tell)?;
        let head = stage::head(&self.root).map_err(tell)?.ok_or("the workspace has no commit")?;
        let unchanged = Changes { base: base.to_string(), head: head.to_string(), ..Changes::default() };
        let out = self.folder.join(BUNDLE_FILE);
        if head == base {
            // An earlier task may have left one.
            return match fs::remove_file(&out) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(format!("{}: {error}", out.display()))
                }
                _ => Ok(unchanged),
            };
        }
        let summary = stage::summary(&self.root, base, head).map_err(tell)?;
        let refname = format!("refs/heads/{}", self.branch);
        let info = bundle::write(&self.root, base, head, &refname, &out).map_err(tell)?;
        sync(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        Ok(Changes {
            commits: summary.commits as u64,
            files: summary.files as u64,
            insertions: summary.insertions as u64,
            deletions: summary.deletions as u64,
            bundle: Some(BUNDLE_FILE.to_owned()),
            sha256: Some(info.sha256),
            ..unchanged
        })
    }
}

fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Runs something slow beside the heartbeat.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(format!("it was broken off: {error}")))
}
