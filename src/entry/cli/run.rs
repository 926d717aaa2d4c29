//! `cloud-code run`: an issue against a local folder.

use super::progress::Progress;
use super::{CommandResult, logging, print_line};
use crate::app::{App, cancel, intake};
use crate::comments;
use crate::config::{AgentsConfig, Environment, RunnerKind};
use crate::entry::vps::{self, LocalRun};
use crate::entry::worker::{Worker, WorkerOptions};
use crate::ports::{Artifact, Issue};
use anyhow::Context;
use clap::Args;
use cloud_code_model::cli;
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Conclusion, Repository, Run};
use cloud_code_model::workflow::plan::Event;
use cloud_code_model::workflow::{self, Job, JobDefinition, Workflow};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// `cloud-code run`
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The repository's folder.
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    /// A text file with the issue: its first line is the title (a leading `# ` is taken off), the rest the text.
    #[arg(long, value_name = "FILE", conflicts_with = "title")]
    issue: Option<PathBuf>,
    /// The issue's title.
    #[arg(long)]
    title: Option<String>,
    /// The issue's text.
    #[arg(long, default_value = "", requires = "title")]
    body: String,
    /// The issue's number, which names the branch.
    #[arg(long, default_value_t = 1)]
    number: u64,
    /// A workflow file; otherwise the folder's only one in .cloud-code, or the built-in `implement`.
    #[arg(long, value_name = "FILE")]
    workflow: Option<PathBuf>,
    /// The coding CLI, instead of the workflow's or the default.
    #[arg(long, value_name = "NAME")]
    cli: Option<String>,
    /// For `--cli script`: the command line to run; the prompt is in the file $CLOUD_CODE_PROMPT_FILE.
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Where the job runs; `process` is no sandbox: the agent may do whatever you may.
    #[arg(long, value_name = "docker|process")]
    runner: Option<String>,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object at the end, and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(args: RunArgs, env: &Environment) -> CommandResult {
    logging::start(env, true)?;
    let mut agents = AgentsConfig::read(env)?;
    if let Some(runner) = &args.runner {
        agents.runner = runner
            .parse()
            .map_err(|()| anyhow::anyhow!("--runner: `{runner}` is neither `docker` nor `process`"))?;
    }
    let folder =
        std::fs::canonicalize(&args.repo).with_context(|| format!("--repo {}", args.repo.display()))?;
    let issue = issue(&args)?;
    let branch = cloud_code_git::checked_out_branch(&folder)
        .with_context(|| format!("--repo {}", folder.display()))?;
    let workflow = workflow(&args, &folder, &agents)?;
    if args.dry_run {
        return plan(&args, &agents, &folder, &branch, &issue, &workflow);
    }
    let data_dir = env
        .cache_dir()
        .context("neither HOME nor XDG_CACHE_HOME is set; one is needed for mirrors and logs")?;
    let app = Arc::new(vps::local(
        &agents,
        &LocalRun { folder: &folder, branch: &branch, issue: issue.clone(), data_dir: &data_dir },
    )?);
    app.runner.check().await.context("the runner (with --runner process, none is needed)")?;
    let id = start(&app, &folder, &branch, issue, workflow).await?;
    let worker =
        Worker::start(Arc::clone(&app), WorkerOptions { concurrency: 1, sweep: Duration::from_secs(5) })
            .await?;
    let run = follow(&app, &id, args.json).await?;
    worker.stop(Duration::from_secs(5)).await;
    summarise(&app, &run, &folder, &data_dir, args.json).await
}

fn issue(args: &RunArgs) -> anyhow::Result<Issue> {
    let (title, body) = match (&args.issue, &args.title) {
        (Some(file), _) => {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("--issue {}", file.display()))?;
            let text = text.trim_start();
            let (title, body) = text.split_once('\n').unwrap_or((text, ""));
            (title.trim_start_matches('#').trim().to_owned(), body.trim().to_owned())
        }
        (None, Some(title)) => (title.trim().to_owned(), args.body.clone()),
        (None, None) => anyhow::bail!("say what to do: --issue FILE, or --title TEXT [--body TEXT]"),
    };
    if title.is_empty() {
        anyhow::bail!("the issue has no title: its first line is empty");
    }
    Ok(Issue {
        number: args.number,
        title,
        body,
        author: "you".to_owned(),
        url: String::new(),
        open: true,
        is_pull: false,
        from_fork: false,
        branches: None,
        labels: Vec::new(),
    })
}

fn workflow(args: &RunArgs, folder: &Path, agents: &AgentsConfig) -> anyhow::Result<Workflow> {
    let path = match &args.workflow {
        Some(path) => Some(path.clone()),
        None => only_workflow(folder)?,
    };
    let mut workflow = match path {
        None => workflow::implement(),
        Some(path) => {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("--workflow {}", path.display()))?;
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            workflow::read(&name, &text)?
        }
    };
    let name = args.cli.as_deref();
    if let Some(name) = name {
        anyhow::ensure!(
            cli::find(name).is_some(),
            "--cli: there is no CLI `{name}`; known are {}",
            cli::names()
        );
    }
    for step in workflow.plan.jobs.iter_mut().flat_map(|job| &mut job.steps) {
        if step.uses.as_deref() != Some("agent") {
            continue;
        }
        if let Some(name) = name {
            step.with.insert("cli".to_owned(), name.into());
        }
        if let Some(command) = &args.command {
            step.with.insert("command".to_owned(), command.as_str().into());
        }
        let cli = step.with.get("cli").and_then(|cli| cli.as_str()).unwrap_or(&agents.settings.default_cli);
        anyhow::ensure!(
            cli != "script" || step.with.contains_key("command"),
            "the CLI `script` needs a command line: --command '…', or `with: {{ command: … }}` in the workflow"
        );
    }
    // The folder's own server may name another runner; here the command line decides.
    workflow.plan.jobs.iter_mut().for_each(|job| job.runs_on = None);
    Ok(workflow)
}

fn only_workflow(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut found = Vec::new();
    let dir = folder.join(".cloud-code");
    let Ok(entries) = std::fs::read_dir(&dir) else { return Ok(None) };
    for entry in entries {
        let path = entry?.path();
        let yaml = path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
        let ours = path
            .file_stem()
            .is_some_and(|stem| stem == "tasking" || stem == "reporting" || stem == "environments");
        if yaml && !ours && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    anyhow::ensure!(
        found.len() < 2,
        "{} has several workflows; choose one with --workflow FILE",
        dir.display()
    );
    Ok(found.pop())
}

fn plan(
    args: &RunArgs,
    agents: &AgentsConfig,
    folder: &Path,
    branch: &str,
    issue: &Issue,
    workflow: &Workflow,
) -> CommandResult {
    let runner = match agents.runner {
        RunnerKind::Docker => "docker",
        RunnerKind::Process => "process (no sandbox)",
        RunnerKind::Ecs => "ecs",
    };
    let target = format!("cloud-code/issue-{}", issue.number);
    if args.json {
        let jobs: Vec<_> = workflow
            .plan
            .jobs
            .iter()
            .map(|job| {
                serde_json::json!({
                    "key": job.key, "timeout_minutes": minutes(job).parse::<f64>().ok(),
                    "clis": clis(job, &agents.settings.default_cli),
                    "steps": job.steps.iter().map(step_line).collect::<Vec<_>>(),
                })
            })
            .collect();
        let plan = serde_json::json!({
            "repository": folder, "from": branch, "to": target, "runner": runner,
            "workflow": workflow.path, "title": issue.title, "jobs": jobs,
        });
        print_line(&serde_json::to_string_pretty(&plan)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    print_line(&format!("issue      {}", issue.title))?;
    print_line(&format!("repository {} ({branch} → {target})", folder.display()))?;
    print_line(&format!("workflow   {}", workflow.path))?;
    print_line(&format!("runner     {runner}"))?;
    for job in &workflow.plan.jobs {
        print_line(&format!("job        {} (at most {} minutes)", job.key, minutes(job)))?;
        for step in &job.steps {
            print_line(&format!("  - {}", step_line(step)))?;
        }
    }
    print_line("Nothing was started (--dry-run).")?;
    Ok(ExitCode::SUCCESS)
}

/// The time limit, as far as it is known before the job starts.
fn minutes(job: &JobDefinition) -> String {
    let written = job.timeout_minutes.as_ref().and_then(workflow::Token::text);
    written.unwrap_or_else(|| Job::DEFAULT_TIMEOUT_MINUTES.to_string())
}

fn clis(job: &JobDefinition, default: &str) -> Vec<String> {
    let agents = job.steps.iter().filter(|step| step.is_agent());
    let mut names: Vec<String> = agents
        .map(|step| step.with.get("cli").and_then(serde_json::Value::as_str).unwrap_or(default).to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn step_line(step: &workflow::Step) -> String {
    let what = step.uses.clone().or_else(|| Some(format!("run: {}", step.run.as_deref()?.lines().next()?)));
    let name = step.name.clone().or_else(|| step.id.clone());
    match (name, what.unwrap_or_default()) {
        (Some(name), what) => format!("{name} ({what})"),
        (None, what) => what,
    }
}

async fn start(
    app: &App,
    folder: &Path,
    branch: &str,
    issue: Issue,
    workflow: Workflow,
) -> anyhow::Result<RunId> {
    let now = app.clock.now();
    let name = folder
        .file_name()
        .map_or_else(|| "repository".to_owned(), |name| name.to_string_lossy().into_owned());
    let delivery = format!("local {} {now}", std::process::id());
    let payload = serde_json::json!({
        "action": "labeled",
        "issue": { "number": issue.number, "title": issue.title, "body": issue.body, "user": { "login": issue.author } },
    });
    let spec = intake::StartSpec {
        semantic_key: delivery.clone(),
        delivery,
        event: Event::new("issues", payload),
        actor: "you".to_owned(),
        instructions: None,
        triggered_at: now,
        repository: Repository {
            owner: "local".to_owned(),
            name,
            installation: 0,
            default_branch: branch.to_owned(),
        },
        issue,
    };
    let mut workflow = workflow;
    intake::complete(app, &spec.repository, &mut workflow)
        .await?
        .map_err(|problem| anyhow::anyhow!(problem))?;
    intake::start(app, &spec, workflow).await?.map_err(|problem| anyhow::anyhow!(problem))
}

async fn follow(app: &App, id: &RunId, quiet: bool) -> anyhow::Result<Run> {
    let mut progress = Progress::new(app, id.clone());
    if quiet {
        return tokio::select! {
            run = wait_quietly(app, id) => run,
            stopped = cancelled(app, id) => stopped,
        };
    }
    let canceller = async {
        tokio::signal::ctrl_c().await?;
        progress_note("Ctrl-C: cancelling; once more to leave at once")?;
        cancel::cancel(app, id, "Ctrl-C", false).await?;
        tokio::signal::ctrl_c().await?;
        anyhow::bail!(
            "left while the run was being cancelled; its container is removed by the next `cloud-code run`"
        )
    };
    tokio::select! {
        run = progress.follow() => run,
        left = canceller => left,
    }
}

fn progress_note(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stderr(), "{text}")
}

async fn wait_quietly(app: &App, id: &RunId) -> anyhow::Result<Run> {
    let mut saved = app.saved.subscribe();
    loop {
        if let Some(stored) = app.store.load(id).await?
            && stored.run.is_over()
            && stored.run.outbox.is_empty()
        {
            return Ok(stored.run);
        }
        // A missed message only means that there was more than one.
        let _ = tokio::time::timeout(Duration::from_secs(1), saved.recv()).await;
    }
}

async fn cancelled(app: &App, id: &RunId) -> anyhow::Result<Run> {
    tokio::signal::ctrl_c().await?;
    cancel::cancel(app, id, "Ctrl-C", false).await?;
    wait_quietly(app, id).await
}

/// What the container printed, when the agent in it did not come as far as a report.
async fn print_container_log(app: &App, run: &Run) -> anyhow::Result<()> {
    const MAX: u64 = 8 * 1024;
    let Some((job, attempt)) = run.jobs.last().and_then(|job| Some((job, job.attempts.last()?))) else {
        return Ok(());
    };
    let id = run.attempt_id(&job.key, attempt.number);
    if let Some(bytes) = app.artifacts.read(&id, Artifact::ContainerLog, MAX).await? {
        for line in String::from_utf8_lossy(&bytes).lines() {
            print_line(&format!("  │ {}", super::progress::printable(line)))?;
        }
    }
    Ok(())
}

async fn summarise(app: &App, run: &Run, folder: &Path, data_dir: &Path, json: bool) -> CommandResult {
    let conclusion = run.conclusion.unwrap_or(Conclusion::Failure);
    let report =
        run.jobs.last().and_then(|job| job.attempts.last()).and_then(|attempt| attempt.report.as_ref());
    let usage = run.usage();
    let logs = data_dir.join("attempts").join(run.id.as_str());
    if json {
        let publication = run.publication();
        let out = serde_json::json!({
            "run": run.id, "conclusion": conclusion, "reason": run.reason,
            "branch": publication.map(|p| &p.branch), "sha": publication.map(|p| &p.sha), "base": publication.map(|p| &p.base),
            "files": publication.map(|p| p.diffstat.0), "insertions": publication.map(|p| p.diffstat.1),
            "deletions": publication.map(|p| p.diffstat.2), "commits": publication.map(|p| p.commits),
            "summary": report.and_then(|report| report.summary.as_ref()), "usage": usage, "logs": logs,
        });
        print_line(&serde_json::to_string_pretty(&out)?)?;
    } else {
        print_line("")?;
        if let Some(summary) = report.and_then(|report| report.summary.as_ref()) {
            print_line(&format!("{summary}\n"))?;
        }
        if let Some(publication) = run.publication() {
            let stat = cloud_code_git::diffstat(folder, &publication.base, &publication.sha)?;
            print_line(stat.trim_end())?;
            print_line(&format!(
                "\nBranch {} is at {}. To look: git diff {}..{}",
                publication.branch,
                &publication.sha[..10],
                &publication.base[..10],
                publication.branch
            ))?;
        }
        let spent = comments::cost(&usage);
        let spent = if spent.is_empty() { String::new() } else { format!(" · {}", spent.join(" · ")) };
        let reason = run.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        print_line(&format!("{}{reason}{spent}", conclusion.as_str()))?;
        if conclusion == Conclusion::Failure && report.is_none() {
            print_container_log(app, run).await?;
        }
        print_line(&format!("Logs: {}", logs.display()))?;
    }
    Ok(match conclusion {
        Conclusion::Success | Conclusion::NoChanges => ExitCode::SUCCESS,
        Conclusion::Cancelled => ExitCode::from(130),
        _ => ExitCode::FAILURE,
    })
}
