//! `cloud-code runs start`: somebody wants a workflow to run.

use super::client::{Client, ClientError};
use super::runs::{json, print};
use crate::http::api::dispatch::{ApiDispatch, ApiDispatched};
use crate::words::one_line;
use clap::Args;
use std::io::Write;

/// `runs start`
#[derive(Debug, Args)]
pub struct StartArgs {
    /// The workflow: its file's name, its path, or its name.
    pub workflow: String,
    /// Where it is.
    #[arg(long, value_name = "OWNER/NAME", value_parser = repository)]
    pub repository: (String, String),
    /// An input; may be repeated.
    #[arg(long = "input", short = 'f', value_name = "NAME=VALUE", value_parser = input)]
    pub inputs: Vec<(String, String)>,
    /// Your login on the forge, if the run is to be yours: you must be allowed to write to the repository.
    #[arg(long, value_name = "LOGIN")]
    pub by: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn repository(text: &str) -> Result<(String, String), String> {
    let (owner, name) = text.split_once('/').ok_or("a repository is OWNER/NAME")?;
    let both = !owner.is_empty() && !name.is_empty() && !name.contains('/');
    both.then(|| (owner.to_owned(), name.to_owned())).ok_or_else(|| "a repository is OWNER/NAME".to_owned())
}

fn input(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("an input is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Starts a workflow, and says which run that is.
pub(super) async fn start(
    client: &Client,
    args: StartArgs,
    out: &mut (impl Write + Send),
) -> Result<(), ClientError> {
    let (owner, name) = &args.repository;
    let part = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let body = ApiDispatch {
        workflow: args.workflow.clone(),
        inputs: args.inputs.into_iter().map(|(name, value)| (name, value.into())).collect(),
        by: args.by,
    };
    let path = format!("/repositories/{}/{}/dispatches", part(owner), part(name));
    let answer = client.post_json(path, &body).await?;
    let started: ApiDispatched = client.json(&answer)?;
    if args.json {
        return json(&answer, out);
    }
    print(&[format!("{} of {owner}/{name} runs as {}", one_line(&args.workflow), started.run)], out)
}
