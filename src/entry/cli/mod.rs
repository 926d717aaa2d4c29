//! The command line.

mod client;
mod demo;
mod dlq;
mod doctor;
mod logging;
mod progress;
mod run;
pub mod runs;
mod secrets;
mod serve;
mod show;
mod start;
mod table;
mod workflow;

use crate::config::Environment;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// Turns issues into pull requests: a job runner with the GitHub Actions model whose steps may be coding agents.
#[derive(Debug, Parser)]
#[command(name = "cloud-code", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole way on this machine, from an issue to a pull request, with no account and no key.
    Demo(demo::DemoArgs),
    /// Work on an issue against a local folder, with no server and no account.
    Run(run::RunArgs),
    /// Serve webhooks, the API and the pages, and run jobs.
    Serve,
    /// Check, try and explain workflow files.
    #[command(subcommand)]
    Workflow(workflow::WorkflowCommand),
    /// Ask a server about its runs.
    Runs(runs::RunsArgs),
    /// Manage the secrets that are handed to agents.
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// List messages that were given up, or put them back in line.
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// Bring the database up to date; `serve` does so by itself.
    Migrate,
    /// Check settings, Docker, images and the GitHub App, and say how to mend what is wrong.
    Doctor,
    /// Print the API's description.
    Openapi,
    /// The agent: what the process runner starts.
    #[command(hide = true)]
    Agent,
}

/// What a command ends with when it did not fail but did not succeed either.
type CommandResult = anyhow::Result<ExitCode>;

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Agent) {
        // Its own runtime: a small, single-threaded one.
        return cloud_code_agent::main();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(execute(cli.command)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn execute(command: Command) -> CommandResult {
    let env = Environment::of_process();
    match command {
        Command::Demo(args) => demo::execute(args, &env).await,
        Command::Run(args) => run::execute(args, &env).await,
        Command::Serve => serve::serve(&env).await,
        Command::Workflow(command) => workflow::execute(command),
        Command::Runs(args) => {
            runs::execute(args, &env, &mut std::io::stdout()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Secrets(command) => secrets::execute(command, &env).await,
        Command::Dlq(command) => dlq::execute(command, &env).await,
        Command::Migrate => serve::migrate(&env).await,
        Command::Doctor => doctor::execute(&env).await,
        Command::Openapi => {
            print_line(&crate::http::openapi()?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Agent => Ok(ExitCode::FAILURE),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // Nothing is left to do about a stderr that can't be written.
    let _ = writeln!(std::io::stderr(), "cloud-code: {error:#}");
    ExitCode::FAILURE
}

/// Prints a line on standard output; a reader that has gone away (`| head`) is no error.
fn print_line(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
