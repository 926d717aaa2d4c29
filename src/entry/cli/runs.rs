//! `cloud-code runs list|show|logs|start|cancel|approve|reject|rerun`: what the server knows, on the terminal.

use super::client::{Answer, Client};
use super::show;
use super::start::{self, StartArgs};
use super::table::{self, Cell, Palette};
use crate::config::Environment;
use crate::http::api::logs::{COMPLETE, NEXT_OFFSET};
use crate::http::api::view::{ApiActed, ApiCancelled, ApiRun, ApiRunList};
use crate::words::{Tone, age, cut, one_line, outcome};
use clap::{Args, Subcommand, ValueEnum};
use cloud_code_model::ids::RunId;
use jiff::Timestamp;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

pub use super::client::ClientError;

/// How often a followed log is asked for.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// `cloud-code runs …`
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// The server's address.
    #[arg(
        long,
        global = true,
        env = "CLOUD_CODE_SERVER",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub server: String,
    /// A file with the API token; without it, the token is taken from the environment's CLOUD_CODE_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: RunsCommand,
}

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first.
    List(ListArgs),
    /// Show a run: its steps, cost, links, and why it ended as it did.
    Show(ShowArgs),
    /// Print what a run's agent printed.
    Logs(LogsArgs),
    /// Start a workflow that takes `workflow_dispatch`.
    Start(StartArgs),
    /// End a run, or one job of it.
    Cancel(CancelArgs),
    /// Let a job pass its environment.
    Approve(ReviewArgs),
    /// Do not let a job pass its environment.
    Reject(ReviewArgs),
    /// Run again what failed of a run, or all of it.
    Rerun(RerunArgs),
}

/// `runs list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this repository.
    #[arg(long, value_name = "OWNER/NAME")]
    pub repository: Option<String>,
    /// Only these.
    #[arg(long)]
    pub status: Option<StatusArg>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
    /// Where the list before ended.
    #[arg(long)]
    pub cursor: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// A status to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Nothing has begun.
    Queued,
    /// At work.
    #[value(name = "in_progress", alias = "in-progress")]
    InProgress,
    /// Over.
    Completed,
}

/// `runs show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The run's id.
    #[arg(value_parser = run_id)]
    pub run: RunId,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `runs logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The run's id.
    #[arg(value_parser = run_id)]
    pub run: RunId,
    /// The job's key, where the run has several.
    #[arg(long)]
    pub job: Option<String>,
    /// The attempt's number; the last one by default.
    #[arg(long)]
    pub attempt: Option<u32>,
    /// Go on until the attempt is over.
    #[arg(long, short)]
    pub follow: bool,
}

/// `runs cancel`
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The run's id.
    #[arg(value_parser = run_id)]
    pub run: RunId,
    /// Only this job, by its key.
    #[arg(long)]
    pub job: Option<String>,
    /// Jobs too that would go on all the same (`if: always()`), also of a run that is being cancelled already.
    #[arg(long, conflicts_with = "job")]
    pub force: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `runs approve` and `runs reject`
#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// The run's id.
    #[arg(value_parser = run_id)]
    pub run: RunId,
    /// The job's key.
    #[arg(long)]
    pub job: String,
    /// Your login on the forge: one of the environment's reviewers, and not who started the run.
    #[arg(long, value_name = "LOGIN")]
    pub by: String,
}

/// `runs rerun`
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// The run's id.
    #[arg(value_parser = run_id)]
    pub run: RunId,
    /// Run everything again, not only what failed and what needs that.
    #[arg(long)]
    pub all: bool,
}

fn run_id(text: &str) -> Result<RunId, String> {
    RunId::parse(text).ok_or_else(|| {
        "a run's id is r- and 20 hexadecimal digits; `cloud-code runs list` shows them".to_owned()
    })
}

/// What a command takes from its surroundings.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The value of CLOUD_CODE_TOKEN.
    pub token: Option<String>,
    /// Whether the output is a terminal: strangers' control sequences are kept from it.
    pub terminal: bool,
    /// Whether colours are wanted.
    pub colours: bool,
    /// What ages are counted from; `None` is the machine's clock.
    pub now: Option<Timestamp>,
}

impl Surroundings {
    /// Those of this process with its environment, writing to its standard output.
    pub fn of_process(env: &Environment) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { token: env.client_token(), terminal, colours: terminal && !env.no_colour(), now: None }
    }

    fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(Timestamp::now)
    }
}

/// Does what was asked for, writing to `out`, which is the process's standard output.
///
/// # Errors
/// When the server can't be reached, refuses or fails; each says what to do.
pub async fn execute(
    args: RunsArgs,
    env: &Environment,
    out: &mut (impl Write + Send),
) -> Result<(), ClientError> {
    execute_in(args, &Surroundings::of_process(env), out).await
}

/// As [`execute`], in surroundings of the caller's choice.
///
/// # Errors
/// As [`execute`].
pub async fn execute_in(
    args: RunsArgs,
    surroundings: &Surroundings,
    out: &mut (impl Write + Send),
) -> Result<(), ClientError> {
    let token = match &args.token_file {
        Some(path) => Some(read_token(path)?),
        None => surroundings.token.clone(),
    };
    let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    let client = Client::new(&args.server, token)?;
    match args.command {
        RunsCommand::List(args) => list(&client, &args, surroundings, out).await,
        RunsCommand::Show(args) => {
            let answer = client.get(format!("/runs/{}", args.run)).await?;
            let run: ApiRun = client.json(&answer)?;
            if args.json {
                return json(&answer, out);
            }
            let palette = Palette { colours: surroundings.colours };
            print(&show::lines(&run, surroundings.now(), palette), out)
        }
        RunsCommand::Logs(args) => logs(&client, &args, surroundings, out).await,
        RunsCommand::Approve(args) => {
            acted(&client, &args.run, "approve", &[("job", &args.job), ("by", &args.by)], "is approved", out)
                .await
        }
        RunsCommand::Reject(args) => {
            acted(&client, &args.run, "reject", &[("job", &args.job), ("by", &args.by)], "is rejected", out)
                .await
        }
        RunsCommand::Rerun(args) => {
            let jobs = if args.all { "all" } else { "failed" };
            acted(&client, &args.run, "rerun", &[("jobs", jobs)], "runs again", out).await
        }
        RunsCommand::Start(args) => start::start(&client, args, out).await,
        RunsCommand::Cancel(CancelArgs { run, job: Some(job), .. }) => {
            acted(&client, &run, "cancel-job", &[("job", &job)], "is being cancelled", out).await
        }
        RunsCommand::Cancel(args) => {
            let answer = client.post(format!("/runs/{}/cancel?force={}", args.run, args.force)).await?;
            let cancelled: ApiCancelled = client.json(&answer)?;
            if args.json {
                return json(&answer, out);
            }
            let said = match cancelled.outcome.as_str() {
                "already_over" => format!("{} had ended before; nothing was changed", args.run),
                _ => format!("{} is being cancelled", args.run),
            };
            print(&[said], out)
        }
    }
}

/// Does something to a run, and says so.
async fn acted(
    client: &Client,
    run: &RunId,
    what: &str,
    query: &[(&str, &str)],
    said: &str,
    out: &mut (impl Write + Send),
) -> Result<(), ClientError> {
    let pairs = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let answer = client.post(format!("/runs/{run}/{what}?{pairs}")).await?;
    let _: ApiActed = client.json(&answer)?;
    let job = query.iter().find(|(name, _)| *name == "job").map(|(_, job)| format!("{job} of "));
    print(&[format!("{}{run} {said}", job.unwrap_or_default())], out)
}

fn read_token(path: &std::path::Path) -> Result<String, ClientError> {
    std::fs::read_to_string(path)
        .map_err(|reason| ClientError::TokenFile { path: path.display().to_string(), reason })
}

pub(super) fn print(lines: &[String], out: &mut (impl Write + Send)) -> Result<(), ClientError> {
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// The server's own JSON, laid out: fields that this version does not know are kept.
pub(super) fn json(answer: &Answer, out: &mut (impl Write + Send)) -> Result<(), ClientError> {
    let value: serde_json::Value =
        serde_json::from_slice(&answer.body).map_err(|error| ClientError::Internal(error.to_string()))?;
    print(&[format!("{value:#}")], out)
}

fn list_query(args: &ListArgs) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    if let Some(repository) = &args.repository {
        query.append_pair("repository", repository);
    }
    if let Some(status) = args.status.and_then(|status| status.to_possible_value()) {
        query.append_pair("status", status.get_name());
    }
    if let Some(cursor) = &args.cursor {
        query.append_pair("cursor", cursor);
    }
    query.finish()
}

fn log_query(args: &LogsArgs, attempt: Option<u32>, offset: u64) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("offset", &offset.to_string());
    if let Some(job) = &args.job {
        query.append_pair("job", job);
    }
    if let Some(attempt) = attempt {
        query.append_pair("attempt", &attempt.to_string());
    }
    query.finish()
}

async fn list(
    client: &Client,
    args: &ListArgs,
    surroundings: &Surroundings,
    out: &mut (impl Write + Send),
) -> Result<(), ClientError> {
    let answer = client.get(format!("/runs?{}", list_query(args))).await?;
    let list: ApiRunList = client.json(&answer)?;
    if args.json {
        return json(&answer, out);
    }
    if list.runs.is_empty() {
        return print(&["no runs".to_owned()], out);
    }
    let now = surroundings.now();
    let row = |run: &crate::http::api::view::ApiRunRow| {
        let tone = Tone::of(&run.status, run.conclusion.as_deref());
        let said = outcome(&run.status, run.conclusion.as_deref());
        vec![
            Cell::plain(one_line(&run.id)),
            Cell::toned(tone, format!("{} {}", tone.mark(), one_line(&said))),
            Cell::plain(one_line(&format!("{}#{}", run.repository, run.subject))),
            Cell::plain(age(run.created_at, now)),
            Cell::plain(cut(&one_line(&run.title), 60)),
        ]
    };
    let rows: Vec<_> = list.runs.iter().map(row).collect();
    let palette = Palette { colours: surroundings.colours };
    let mut lines = table::lines(&["RUN", "STATUS", "ISSUE", "STARTED", "TITLE"], &rows, palette);
    if let Some(next) = &list.next {
        lines.push(palette.faint(&format!("more: --cursor {}", one_line(next))));
    }
    print(&lines, out)
}

async fn logs(
    client: &Client,
    args: &LogsArgs,
    surroundings: &Surroundings,
    out: &mut (impl Write + Send),
) -> Result<(), ClientError> {
    let mut offset = 0_u64;
    let mut attempt = args.attempt;
    let mut filter = surroundings.terminal.then(ControlFilter::default);
    if args.follow && attempt.is_none() {
        attempt = last_attempt(client, args).await?;
    }
    loop {
        let query = log_query(args, attempt, offset);
        let answer = client.get(format!("/runs/{}/logs?{query}", args.run)).await?;
        let field = |name: &str| {
            answer.headers.get(name).and_then(|value: &ureq::http::HeaderValue| value.to_str().ok())
        };
        let next: Option<u64> = field(NEXT_OFFSET).and_then(|value| value.parse().ok());
        let next = next.ok_or_else(|| client.strange("a log without X-Next-Offset"))?;
        match &mut filter {
            Some(filter) => out.write_all(&filter.tame(&answer.body))?,
            None => out.write_all(&answer.body)?,
        }
        out.flush()?;
        let moved = next > offset;
        offset = next;
        if field(COMPLETE) == Some("true") || !(moved || args.follow) {
            return Ok(());
        }
        if !moved {
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    }
}

/// The attempt to stay with, so that a retry in between does not splice two logs.
async fn last_attempt(client: &Client, args: &LogsArgs) -> Result<Option<u32>, ClientError> {
    let run: ApiRun = client.json(&client.get(format!("/runs/{}", args.run)).await?)?;
    let job = match &args.job {
        Some(key) => run.jobs.iter().find(|job| job.key == *key),
        None => run.jobs.first(),
    };
    Ok(job.and_then(|job| job.attempts.last()).map(|attempt| attempt.number))
}

/// Lets text, line ends, tabs and colours through to a terminal, and nothing that moves the cursor, renames the window or
/// writes to the clipboard. Keeps its place between pieces.
#[derive(Debug, Default)]
struct ControlFilter {
    held: Vec<u8>,
}

impl ControlFilter {
    fn tame(&mut self, piece: &[u8]) -> Vec<u8> {
        const ESCAPE: u8 = 0x1b;
        // The first byte of U+0080 to U+009F in UTF-8: control characters too, one of them the short form of ESC [.
        const C1: u8 = 0xc2;
        let mut out = Vec::with_capacity(piece.len());
        for &byte in piece {
            match (self.held.as_slice(), byte) {
                (_, ESCAPE) => self.held = vec![ESCAPE],
                (_, C1) => self.held = vec![C1],
                ([C1], 0xa0..=0xbf) => {
                    out.append(&mut self.held);
                    out.push(byte);
                }
                ([], b'\n' | b'\t' | 0x20..=0x7e | 0x80..) => out.push(byte),
                ([], _) => {}
                ([ESCAPE], b'[') => self.held.push(byte),
                ([ESCAPE, b'[', ..], b'0'..=b'9' | b';') if self.held.len() < 24 => self.held.push(byte),
                ([ESCAPE, b'[', ..], b'm') => {
                    out.append(&mut self.held);
                    out.push(byte);
                }
                // Any other sequence: its beginning is dropped, and what follows is harmless text.
                (_, b'\n' | b'\t' | 0x20..=0x7e) => {
                    self.held.clear();
                    out.push(byte);
                }
                _ => self.held.clear(),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_and_other_control_sequences_do_not() {
        let mut filter = ControlFilter::default();
        let mut out = Vec::new();
        for piece in [
            "a\u{1b}[1;3",
            "1mred\u{1b}[0m\r\n",
            "\u{1b}]52;c;aGk=\u{7}x",
            "\u{1b}[2Jy\u{1b}",
            "\u{1b}[32mz\u{8}",
            "\u{9b}2J£é",
        ] {
            out.extend(filter.tame(piece.as_bytes()));
        }
        assert_eq!(String::from_utf8_lossy(&out), "a\u{1b}[1;31mred\u{1b}[0m\n]52;c;aGk=xJy\u{1b}[32mz2J£é");
    }
}
