//! `cloud-code workflow lint|eval|plan`.

use super::{CommandResult, print_line};
use anyhow::Context;
use clap::{Args, Subcommand};
use cloud_code_model::expression::{Contexts, Expression, JobStatus, Value};
use cloud_code_model::run::preview;
use cloud_code_model::workflow;
use cloud_code_model::workflow::yaml::Limits;
use cloud_code_model::workflow::{Files, Finding, ReusableOptions};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

/// What to do with workflow files.
#[derive(Debug, Subcommand)]
pub(super) enum WorkflowCommand {
    /// Check workflow files. Exit code 0: no error; 1: errors; 2: a file can't be read.
    Lint(LintArgs),
    /// Evaluate an expression and print its value as JSON.
    Eval(EvalArgs),
    /// Print the jobs that an event would start, and why the others do not, as JSON.
    Plan(PlanArgs),
}

/// `workflow plan`
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The workflow file.
    file: PathBuf,
    /// A JSON file: the payload as the forge sends it, or an object with `event_name`, `event` (the payload) and, if wanted, `actor`,
    /// `repository`, `inputs`, `changed_files`.
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// The event's name, where the file does not say it and its payload does not show it.
    #[arg(long, value_name = "NAME")]
    event_name: Option<String>,
}

/// `workflow lint`
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// The files, `-` for standard input. What they call and use from their repository is checked as well.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print the findings as a JSON array.
    #[arg(long, conflicts_with = "sarif")]
    json: bool,
    /// Print the findings as SARIF 2.1.0.
    #[arg(long)]
    sarif: bool,
}

/// `workflow eval`
#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// The expression, without `${{ }}`.
    expression: String,
    /// A JSON file: an object with a context under each name.
    #[arg(long, value_name = "FILE")]
    contexts: Option<PathBuf>,
}

pub(super) fn execute(command: WorkflowCommand) -> CommandResult {
    match command {
        WorkflowCommand::Lint(args) => lint(&args),
        WorkflowCommand::Eval(args) => eval(&args),
        WorkflowCommand::Plan(args) => plan(&args),
    }
}

fn plan(args: &PlanArgs) -> CommandResult {
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let name = args.file.display().to_string();
    let mut workflow = workflow::read(&name, &read(&args.file)?)?;
    let json: serde_json::Value = serde_json::from_str(&read(&args.event)?)
        .with_context(|| format!("{}: expected a JSON object", args.event.display()))?;
    let asked = preview::Asked::from_json(&json, args.event_name.as_deref())
        .map_err(|problem| anyhow::anyhow!("{}: {problem}", args.event.display()))?;
    let root = repository_of(&args.file);
    // What it calls and uses lies beside it, as far as it is there.
    loop {
        let known = |path: &str| Some(std::fs::read_to_string(root.join(path)).ok());
        if workflow.plan.resolve(&known)?.is_empty() {
            break;
        }
    }
    let environments = [".cloud-code/environments.yml", ".cloud-code/environments.yaml"];
    for path in environments.map(|path| root.join(path)).iter().filter(|path| path.is_file()) {
        let found = workflow::environments(&path.display().to_string(), &read(path)?);
        workflow.plan.environments = found.map_err(|problem| anyhow::anyhow!(problem))?;
    }
    print_line(&serde_json::to_string_pretty(&preview::preview(&workflow, &asked))?)?;
    Ok(ExitCode::SUCCESS)
}

/// The folder that a workflow's own paths (`./…`) start from: that of its repository, else its own.
fn repository_of(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let above = absolute.ancestors().skip(1);
    let root =
        above.into_iter().find(|folder| folder.join(".git").exists() || folder.join(".cloud-code").is_dir());
    root.or(absolute.parent()).unwrap_or(&absolute).to_owned()
}

/// More bytes of a file are not read: the reader refuses a file that is far smaller.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// What a file calls and uses from its repository.
struct Repository {
    root: PathBuf,
}

impl Repository {
    /// None for a path that leads out of the repository.
    fn path(&self, uses: &str) -> Option<PathBuf> {
        let relative = Path::new(uses.strip_prefix("./")?);
        let inside =
            relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        inside.then(|| self.root.join(relative))
    }

    /// The path of a file that was brought in, as a person in this folder would write it.
    fn shown(&self, uses: &str) -> String {
        let Some(path) = self.path(uses) else { return uses.to_owned() };
        let here = std::env::current_dir().unwrap_or_default();
        path.strip_prefix(&here).unwrap_or(&path).display().to_string()
    }
}

impl Files for Repository {
    fn text(&self, uses: &str) -> Option<String> {
        read_some(&self.path(uses)?).ok()
    }

    fn is_missing(&self, uses: &str) -> bool {
        self.path(uses).is_some_and(|path| !path.exists())
    }
}

/// The text of a file, up to the limit. Bytes that are no text are shown as such: the reader says where they stand.
fn read_some(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn lint(args: &LintArgs) -> CommandResult {
    let mut unread = false;
    let mut findings: Vec<Finding> = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        let text = match name.as_str() {
            "-" => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes);
                read.map(|_| String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => read_some(file),
        };
        match text {
            Err(error) => {
                writeln!(std::io::stderr(), "cloud-code: {name}: {error}")?;
                unread = true;
            }
            Ok(text) => {
                let repository = Repository { root: repository_of(file) };
                let (limits, options) = (Limits::default(), ReusableOptions::default());
                let found = workflow::lint_with(&name, &text, &limits, &options, &repository);
                findings.extend(found.into_iter().map(|finding| match finding.file == name {
                    true => finding,
                    false => Finding { file: repository.shown(&finding.file), ..finding },
                }));
            }
        }
    }
    // What several files bring in is told once.
    let mut seen = HashSet::new();
    findings.retain(|finding| seen.insert(finding.to_string()));
    if args.sarif {
        print_line(&serde_json::to_string_pretty(&workflow::sarif(&findings))?)?;
    } else if args.json {
        print_line(&serde_json::to_string_pretty(&findings)?)?;
    } else {
        for finding in &findings {
            print_line(&finding.to_string())?;
        }
    }
    let errors = findings.iter().any(|finding| finding.severity == workflow::Severity::Error);
    Ok(ExitCode::from(if unread { 2 } else { u8::from(errors) }))
}

fn eval(args: &EvalArgs) -> CommandResult {
    let contexts = match &args.contexts {
        None => Contexts::new(),
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)
                .with_context(|| format!("{}: expected a JSON object", file.display()))?;
            json.into_iter().map(|(name, value)| (name, Value::from(value))).collect()
        }
    };
    let value = Expression::parse(&args.expression)
        .and_then(|parsed| parsed.evaluate(&contexts, &JobStatus::Success))?;
    print_line(&serde_json::to_string_pretty(&value.to_json())?)?;
    Ok(ExitCode::SUCCESS)
}
