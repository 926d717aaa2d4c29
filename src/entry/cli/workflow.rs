//! `cloud-code workflow lint|eval`.

use super::{CommandResult, print_line};
use anyhow::Context;
use clap::{Args, Subcommand};
use cloud_code_model::expression::{Contexts, Expression, JobStatus, Value};
use cloud_code_model::workflow;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to do with workflow files.
#[derive(Debug, Subcommand)]
pub(super) enum WorkflowCommand {
    /// Check workflow files. Exit code 0: no error; 1: errors; 2: a file can't be read.
    Lint(LintArgs),
    /// Evaluate an expression and print its value as JSON.
    Eval(EvalArgs),
}

/// `workflow lint`
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// The files.
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
    }
}

fn lint(args: &LintArgs) -> CommandResult {
    let mut unread = false;
    let mut findings = Vec::new();
    for file in &args.files {
        // Bytes that are no text are shown as such: the reader says where they stand.
        match std::fs::read(file) {
            Err(error) => {
                writeln!(std::io::stderr(), "cloud-code: {}: {error}", file.display())?;
                unread = true;
            }
            Ok(bytes) => {
                findings
                    .extend(workflow::lint(&file.display().to_string(), &String::from_utf8_lossy(&bytes)));
            }
        }
    }
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
