//! An attempt that shares no disk with the orchestrator: everything goes through the links of a *grant*.
//!
//! At the start the agent fetches its grant by the one name that it was started with, with the task role's credentials, which
//! can do nothing else; removes it there; fetches `tasking.yaml`; checks the repository out, and says meanwhile that it is there.
//! Then it works as it does anywhere, while [`sync`] carries its files to their links and looks for a newer grant before the
//! links end. At the end the bundle, the conversations, the log and the transcript go before the closing report, so that who sees the report finds
//! them.
//!
//! Nothing of this reaches a step: grant, token and role stay in this process's memory, which is closed to its children.

mod arrival;
mod checkout;
mod http;
mod role;
mod signature;
mod sync;

use std::path::Path;

use cloud_code_model::mask::Masker;
use cloud_code_model::task::{Conclusion, EARLIER_SESSION_FILE, FOLDER, Grant, TASKING_FILE, Tasking};

use crate::agent::{self, AgentError};
use crate::config::AgentConfig;
use crate::reporter::Reporter;
use crate::workspace::{Identity, Workspace};
use sync::Sync;

/// The address of the first grant.
const GRANT: &str = "CLOUD_CODE_GRANT";
/// The region of the storage that it lies in.
const REGION: &str = "CLOUD_CODE_GRANT_REGION";
/// What Fargate tells its containers about roles and about themselves; none of a step's business.
const HIDDEN: [&str; 4] = [
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "ECS_CONTAINER_METADATA_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
];

/// What leads to the first grant.
#[derive(Debug)]
pub(crate) struct Origin {
    address: String,
    region: String,
    role: Option<String>,
}

impl Origin {
    /// Takes it out of the environment; `None` where the files are on this disk.
    pub(crate) fn take(config: &mut AgentConfig) -> Option<Origin> {
        let variables = &mut config.environment;
        let address = variables.remove(GRANT).filter(|address| !address.is_empty())?;
        let region = variables.remove(REGION).unwrap_or_default();
        let role = role::address(variables);
        for name in HIDDEN {
            variables.remove(name);
        }
        Some(Origin { address, region, role })
    }
}

/// Works through an attempt whose files are elsewhere.
///
/// # Errors
/// [`AgentError`] when no completed report could be left there.
pub(crate) async fn run(mut config: AgentConfig, origin: Origin) -> Result<(), AgentError> {
    let grant = first_grant(&origin).await?;
    config.secrets.extend(grant.secrets.clone());
    let workspace = Workspace::new(config.workspace.clone());
    let sync = Sync::new(&grant, workspace.clone());
    let masker = Masker::new(config.secrets.values().cloned());
    if let Err(message) = arrive(&config, &grant, &sync, &workspace).await {
        refuse(&workspace, &sync, &masker, message)?;
        return sync.finish().await.map_err(AgentError::Remote);
    }
    let ended = tokio::select! {
        ended = agent::run_with(config, async || sync.look_for_tasks().await) => ended,
        never = sync.follow() => match never {},
    };
    // What was done is worth more than why it ended.
    let finished = sync.finish().await.map_err(AgentError::Remote);
    ended.and(finished)
}

async fn first_grant(origin: &Origin) -> Result<Grant, AgentError> {
    let role = role::credentials(origin.role.as_deref()).await.map_err(AgentError::Remote)?;
    let (url, region) = (origin.address.clone(), origin.region.clone());
    let bytes = http::patiently(|| {
        let headers = signature::headers("GET", &url, &region, &role, jiff::Timestamp::now())?;
        Ok(http::get(url.clone(), headers))
    })
    .await
    .map_err(|error| AgentError::Remote(format!("fetching the grant: {error}")))?;
    let grant = Grant::parse(&bytes).map_err(|error| AgentError::Remote(error.to_string()))?;
    // It is needed once: nobody who learns the name later finds anything under it. One that can't be removed now goes with the
    // attempt.
    if let Ok(headers) = signature::headers("DELETE", &url, &region, &role, jiff::Timestamp::now()) {
        drop(http::delete(url, headers).await);
    }
    Ok(grant)
}

/// Fetches the tasking and makes the workspace; the error is for people.
async fn arrive(
    config: &AgentConfig,
    grant: &Grant,
    sync: &Sync,
    workspace: &Workspace,
) -> Result<(), String> {
    let bytes = sync.tasking().await.map_err(|error| format!("The task could not be fetched: {error}"))?;
    let work = prepare(config, grant, sync, &bytes);
    match Tasking::parse(&bytes) {
        Ok(tasking) => {
            // Four heartbeats, 20 s as a rule: each is an event that is paid for.
            arrival::told_meanwhile(sync, workspace, &tasking, config.heartbeat.saturating_mul(4), work).await
        }
        // The agent tells what is wrong with it.
        Err(_) => work.await,
    }
}

/// Makes the workspace.
async fn prepare(config: &AgentConfig, grant: &Grant, sync: &Sync, tasking: &[u8]) -> Result<(), String> {
    if let Some(checkout) = grant.checkout.clone() {
        let root = config.workspace.clone();
        let made = tokio::task::spawn_blocking(move || checkout::make(&checkout, &root)).await;
        made.map_err(|error| error.to_string())?
            .map_err(|error| format!("The repository could not be checked out: {error}"))?;
    }
    let earlier = sync.earlier_session().await;
    let folder = config.workspace.join(FOLDER);
    let write = |path: &Path| {
        std::fs::create_dir_all(path)?;
        if let Some(earlier) = &earlier {
            std::fs::write(path.join(EARLIER_SESSION_FILE), earlier)?;
        }
        std::fs::write(path.join(TASKING_FILE), tasking)
    };
    write(&folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Leaves a report that says why nothing was done.
fn refuse(workspace: &Workspace, sync: &Sync, masker: &Masker, message: String) -> Result<(), AgentError> {
    let folder = |source| AgentError::Folder { what: "making the task folder", source };
    std::fs::create_dir_all(workspace.folder()).map_err(folder)?;
    let (run, job, attempt) = sync.identity();
    let reporter = Reporter::new(workspace.clone(), &Identity { run, job, attempt });
    Ok(reporter.close(masker, |report| {
        agent::end(report, Conclusion::Failure, masker.mask_str(&message));
    })?)
}
