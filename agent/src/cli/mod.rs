//! The coding CLIs: how each is started, how its output is read, and which of its failures can heal.
//!
//! A CLI is added by a file here, a line in [`REGISTRY`] and a row in `cloud_code_model::cli`: docs/adding-a-cli.md.

mod aider;
mod claude_code;
mod claude_spent;
mod codex;
mod fault;
mod gemini;
mod opencode;
#[cfg(test)]
mod playback;
mod script;

use std::path::{Path, PathBuf};

use cloud_code_model::task::{AgentStep, Usage};

use crate::environment::Variables;

/// What there is to know about one CLI before it runs.
pub(crate) trait Cli {
    /// How to start it; the error is for whoever wrote the workflow.
    fn launch(&self, turn: &Turn<'_>) -> Result<Launch, String>;

    /// A reader of its output, for this start of it; made before the start.
    fn reader(&self, turn: &Turn<'_>) -> Box<dyn Reader>;

    /// How the program is had, for the message when it is not there.
    fn install_hint(&self) -> &'static str;

    /// Where its conversations lie, for a step with this home and these variables; `None` where none can be carried elsewhere.
    fn store(&self, _home: &Path, _variables: &Variables) -> Option<Store> {
        None
    }
}

/// Where a CLI keeps its conversations.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// Its own folder.
    pub(crate) root: PathBuf,
    /// Is the file at this path below the folder, component by component, what the conversation with this id needs to be gone on
    /// with?
    pub(crate) is_part: fn(path: &[&str], id: &str) -> bool,
    /// Where it keeps them in a database: how one gets out of it, into the file `ID.json` of the folder, and back.
    pub(crate) exchange: Option<Exchange>,
}

/// A CLI's own programs for its database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) program: &'static str,
    /// Prints the conversation with this id.
    pub(crate) take_out: fn(id: &str) -> Vec<String>,
    /// Takes in the one of this file.
    pub(crate) put_back: fn(file: &str) -> Vec<String>,
    pub(crate) env: &'static [(&'static str, &'static str)],
}

/// Reads what one process of a CLI says.
pub(crate) trait Reader {
    /// A whole line of standard output, without its end.
    fn line(&mut self, line: &str, emit: &mut dyn FnMut(Event));

    /// The process ended by itself with this code (128 + N for signal N). Was it the end of the work?
    fn exited(&mut self, code: i32) -> End;

    /// What is known of the work when the process had to be stopped.
    fn stopped(&mut self) -> Partial;
}

/// One start of a CLI.
pub(crate) struct Turn<'a> {
    pub(crate) step: &'a AgentStep,
    pub(crate) prompt_file: &'a Path,
    pub(crate) session: &'a Session,
    /// US dollars that it may still spend.
    pub(crate) budget_usd: Option<f64>,
    pub(crate) home: &'a Path,
    /// Does it run as the superuser?
    pub(crate) root: bool,
    /// Its environment, secrets with it.
    pub(crate) variables: &'a Variables,
}

impl Turn<'_> {
    /// A variable of its environment that is not empty.
    fn variable(&self, name: &str) -> Option<&str> {
        set(self.variables, name)
    }

    /// A folder for files of this step alone.
    fn folder(&self) -> &Path {
        self.prompt_file.parent().unwrap_or(self.home)
    }
}

/// A variable that is not empty.
fn set<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// Which conversation a CLI is to have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Session {
    /// A new one under this id, a UUID.
    New(String),
    /// One that was begun before.
    Resume(String),
}

/// A command line.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Variables,
    /// Does the prompt go to its standard input?
    pub(crate) prompt_on_stdin: bool,
    /// Files that it needs; they are written with the folders they lie in.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// Does it keep `max-turns` by itself? Otherwise it is stopped at the limit.
    pub(crate) keeps_turn_limit: bool,
}

impl Launch {
    /// A bare one.
    fn of(program: &str) -> Launch {
        Launch {
            program: program.to_owned(),
            args: Vec::new(),
            env: Variables::new(),
            prompt_on_stdin: false,
            files: Vec::new(),
            keeps_turn_limit: false,
        }
    }
}

/// Something that a CLI said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The conversation's id, by which it can be resumed.
    Session(String),
    /// Words for people.
    Message(String),
    /// Words to itself.
    Thought(String),
    /// A tool is used; the input in short.
    ToolCall { name: String, input: String },
    /// What the tool answered, in short.
    ToolResult { failed: bool, output: String },
    /// The LLM speaks again.
    Turn,
    /// It tries a request again by itself.
    Retry { reason: String },
    /// It wants to know something from a person.
    Question(String),
    /// What it used since its start.
    Usage(Usage),
    /// It says that it is done, and may end.
    Closing,
}

/// What is known of the work at any time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Partial {
    pub(crate) summary: Option<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) turns: Option<u32>,
    /// The model's name, where the CLI tells it.
    pub(crate) model: Option<String>,
    /// What it asks with its last words; it counts where nothing was changed.
    pub(crate) question: Option<String>,
}

/// How the work ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) known: Partial,
    pub(crate) failure: Option<Failure>,
}

/// Why it did not succeed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// It may pass: try again later with the same conversation.
    Heals,
    /// The conversation to resume is not there: begin a new one.
    SessionLost,
    /// The money is spent.
    Budget,
    /// Trying again would end the same.
    Final,
}

impl Failure {
    pub(crate) fn last(message: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::Final, message: message.into() }
    }
}

/// All of them, by name.
const REGISTRY: [(&str, &dyn Cli); 6] = [
    ("claude-code", &claude_code::ClaudeCode),
    ("codex", &codex::Codex),
    ("gemini", &gemini::Gemini),
    ("aider", &aider::Aider),
    ("opencode", &opencode::OpenCode),
    ("script", &script::Script),
];

/// The CLI with this name, or the names that there are.
pub(crate) fn find(name: &str) -> Result<&'static dyn Cli, String> {
    match REGISTRY.iter().find(|(known, _)| *known == name) {
        Some((_, cli)) => Ok(*cli),
        None => {
            let names: Vec<&str> = REGISTRY.iter().map(|(name, _)| *name).collect();
            Err(format!("with.cli: `{name}` is not known here; there are {}", names.join(", ")))
        }
    }
}

/// How an exit code is told: `exit code 1`, or the signal.
pub(crate) fn tell_exit(code: i32) -> String {
    match code {
        137 => "killed by signal 9 (out of memory, or somebody stopped it)".to_owned(),
        129..=192 => format!("killed by signal {}", code - 128),
        _ => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_the_servers_table() {
        let here: Vec<&str> = REGISTRY.iter().map(|(name, _)| *name).collect();
        let there: Vec<&str> = cloud_code_model::cli::ALL.iter().map(|cli| cli.name).collect();
        assert_eq!(here, there);
    }
}
