//! `run:` — a script in a shell.

use std::path::{Component, Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use cloud_code_model::task::{Annotation, RunStep, StepConclusion};
use tokio::process::Command;

use super::commands::Commands;
use super::{Settings, StepResult};
use crate::environment::{Variables, find_program};
use crate::journal::{Journal, LogStream};
use crate::lines::Lines;
use crate::process::{self, Sink, Verdict};
use crate::task::TaskState;

/// Most bytes of a line that is looked at for a command; a longer one is logged in pieces.
const MAX_LINE: usize = 64 * 1024;

/// Runs the script to its end.
pub(super) async fn run(state: &mut TaskState<'_>, settings: &Settings, step: &RunStep) -> StepResult {
    let command = match command(state.agent.workspace.root(), settings, step) {
        Ok(command) => command,
        Err(error) => return StepResult::failure(error),
    };
    let agent = state.agent;
    let mut sink = RunSink::new(&agent.journal);
    let ended = process::run(command, settings.limits, agent.config.graces, &agent.stop, &mut sink).await;
    let annotations = sink.close();
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => return StepResult::failure(format!("the shell cannot be started: {error}")),
    };
    state.groups.extend(ended.group);
    let code = exit_code(ended.status);
    let (conclusion, error) = match ended.cause {
        Some(cause) => {
            let (conclusion, error) = state.stopped(cause);
            (conclusion, Some(error))
        }
        None if code == 0 => (StepConclusion::Success, None),
        None => (StepConclusion::Failure, Some(crate::cli::tell_exit(code))),
    };
    StepResult { exit_code: Some(code), error, annotations, ..StepResult::new(conclusion) }
}

/// The exit code as a shell gives it: 128 + N for signal N.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

fn command(workspace: &Path, settings: &Settings, step: &RunStep) -> Result<Command, String> {
    let (program, args, extension) = shell(step.shell.as_deref(), &settings.variables)?;
    let script = settings.files.folder().join(format!("script.{extension}"));
    std::fs::write(&script, &step.script)
        .map_err(|error| format!("the script cannot be written: {error}"))?;
    let script = script.display().to_string();
    let mut command = Command::new(program);
    command
        .args(args.into_iter().map(|arg| arg.replace("{0}", &script)))
        .current_dir(folder(workspace, step.working_directory.as_deref())?)
        .env_clear()
        .envs(&settings.variables)
        .stdin(Stdio::null());
    Ok(command)
}

/// Where the script starts: relative to the workspace, or an absolute folder of the container.
fn folder(workspace: &Path, wanted: Option<&str>) -> Result<PathBuf, String> {
    let folder = workspace.join(wanted.unwrap_or_default());
    let plain: PathBuf = folder.components().filter(|part| *part != Component::CurDir).collect();
    if plain.is_dir() {
        Ok(plain)
    } else {
        Err(format!("working-directory: there is no folder {}", plain.display()))
    }
}

/// Program, arguments (`{0}` is the script) and the script's extension for a `shell`.
fn shell(name: Option<&str>, variables: &Variables) -> Result<(PathBuf, Vec<String>, &'static str), String> {
    let has = |program: &str| find_program(variables, program);
    let missing = |program: &str| format!("shell: this image has no `{program}`");
    let bash = "--noprofile --norc -eo pipefail {0}";
    let (program, args, extension) = match name {
        None => match has("bash") {
            Some(program) => (program, bash, "sh"),
            None => (has("sh").ok_or_else(|| missing("sh"))?, "-e {0}", "sh"),
        },
        Some("bash") => (has("bash").ok_or_else(|| missing("bash"))?, bash, "sh"),
        Some("sh") => (has("sh").ok_or_else(|| missing("sh"))?, "-e {0}", "sh"),
        Some("python") => {
            let python = has("python").or_else(|| has("python3"));
            (python.ok_or_else(|| missing("python"))?, "{0}", "py")
        }
        Some(template) if template.contains("{0}") => {
            let (program, args) = template.trim().split_once(char::is_whitespace).unwrap_or((template, ""));
            (has(program).ok_or_else(|| missing(program))?, args, "sh")
        }
        Some(other) => {
            return Err(format!(
                "shell: `{other}` is not known here; use bash, sh, python, or a command with {{0}} for the script"
            ));
        }
    };
    Ok((program, args.split_whitespace().map(str::to_owned).collect(), extension))
}

/// Logs what a script says, and heeds its workflow commands.
struct RunSink<'a> {
    out: (Lines, LogStream),
    err: (Lines, LogStream),
    commands: Commands<'a>,
}

impl<'a> RunSink<'a> {
    fn new(journal: &'a Journal) -> RunSink<'a> {
        let stream = || (Lines::new(MAX_LINE), journal.stream());
        RunSink { out: stream(), err: stream(), commands: Commands::new(journal) }
    }

    /// The streams are over; gives the remarks.
    fn close(&mut self) -> Vec<Annotation> {
        for (lines, stream) in [&mut self.out, &mut self.err] {
            lines.finish(|piece| self.commands.take(stream, &piece));
            stream.close(self.commands.journal);
        }
        self.commands.close()
    }
}

fn push(commands: &mut Commands<'_>, (lines, stream): &mut (Lines, LogStream), bytes: &[u8]) {
    lines.push(bytes, |piece| commands.take(stream, &piece));
    stream.flush(commands.journal);
}

impl Sink for RunSink<'_> {
    fn stdout(&mut self, bytes: &[u8]) -> Verdict {
        push(&mut self.commands, &mut self.out, bytes);
        Verdict::Continue
    }

    fn stderr(&mut self, bytes: &[u8]) {
        push(&mut self.commands, &mut self.err, bytes);
    }
}
