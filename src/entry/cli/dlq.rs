//! `cloud-code dlq list|replay`: messages that were given up.

use super::{CommandResult, logging, print_line};
use crate::config::{Environment, StorageConfig};
use crate::entry::vps;
use crate::ports::Lane;
use clap::{Args, Subcommand, ValueEnum};
use std::process::ExitCode;

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(super) enum DlqCommand {
    /// List them, the latest first, each with its reason.
    List(ListArgs),
    /// Put one back into its lane, as if it were new.
    Replay(ReplayArgs),
}

/// Which.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this lane.
    #[arg(long)]
    lane: Option<LaneName>,
    /// At most so many of each lane.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which one.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Its lane.
    lane: LaneName,
    /// Its key, as `list` prints it.
    key: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LaneName {
    Deliveries,
    Runs,
    Launches,
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Self {
        match name {
            LaneName::Deliveries => Self::Deliveries,
            LaneName::Runs => Self::Runs,
            LaneName::Launches => Self::Launches,
        }
    }
}

pub(super) async fn execute(command: DlqCommand, env: &Environment) -> CommandResult {
    logging::start(env, true)?;
    let queue = vps::queue(&StorageConfig::read(env)?).await?;
    match command {
        DlqCommand::List(args) => {
            let mut all = Vec::new();
            for lane in args.lane.map_or(Lane::ALL.to_vec(), |lane| vec![lane.into()]) {
                for letter in queue.dead(lane, args.limit).await? {
                    all.push((lane, letter));
                }
            }
            if args.json {
                let rows = all.iter().map(|(lane, letter)| {
                    serde_json::json!({
                        "lane": lane.as_str(),
                        "key": letter.key,
                        "reason": letter.reason,
                        "receives": letter.receives,
                        "at": letter.at,
                    })
                });
                print_line(&serde_json::Value::Array(rows.collect()).to_string())?;
            } else if all.is_empty() {
                print_line("No message was given up.")?;
            } else {
                for (lane, letter) in all {
                    let (lane, key, reason) = (lane.as_str(), &letter.key, &letter.reason);
                    print_line(&format!(
                        "{lane}  {key}  {}  {} times  {reason}",
                        letter.at, letter.receives
                    ))?;
                }
            }
        }
        DlqCommand::Replay(args) => {
            let lane = Lane::from(args.lane);
            if !queue.replay(lane, &args.key).await? {
                anyhow::bail!(
                    "{} has no dead letter {}; `cloud-code dlq list` shows them",
                    lane.as_str(),
                    args.key
                );
            }
            print_line(&format!("{} is in line again", args.key))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
