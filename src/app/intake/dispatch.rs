//! Somebody wants a workflow to start: `workflow_dispatch` by the API. GitHub offers its own for workflows of `.github/` alone.

use super::{StartSpec, decide, payload, read_files, start};
use crate::app::{App, AppError};
use crate::ports::ForgeError;
use cloud_code_model::ids::RunId;
use cloud_code_model::workflow::plan::Event;
use serde_json::{Map, Value, json};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The repository's owner.
    pub owner: String,
    /// The repository's name.
    pub name: String,
    /// The workflow: its path, its file's name or its own name.
    pub workflow: String,
    /// Its inputs.
    pub inputs: Map<String, Value>,
    /// On whose behalf: somebody who may write to the repository. Our App where nobody is named.
    pub by: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dispatched {
    /// The run that was started.
    Started(RunId),
    /// It can't be done; why, for people.
    Refused(String),
    /// There is no such repository or workflow; which, for people.
    NotFound(String),
}

/// Starts a run of a workflow.
///
/// # Errors
/// When a port does not answer.
pub async fn dispatch(app: &App, wish: &Dispatch) -> Result<Dispatched, AppError> {
    let repository = match app.forge.find(&wish.owner, &wish.name).await {
        Ok(repository) => repository,
        Err(ForgeError::NotFound(why)) => return Ok(Dispatched::NotFound(why)),
        Err(ForgeError::Forbidden(why) | ForgeError::Invalid(why)) => return Ok(Dispatched::Refused(why)),
        Err(error) => return Err(error.into()),
    };
    if let Some(by) = &wish.by
        && !app.forge.permission(&repository, by).await?.may_start()
    {
        return Ok(Dispatched::Refused(format!("{by} has no write access to {}", repository.full_name())));
    }
    if app.forge.repository(&repository).await?.read_only {
        return Ok(Dispatched::Refused("the repository is archived".to_owned()));
    }
    let mut files = read_files(app, &repository).await?;
    let named = |path: &str| path == wish.workflow || path.rsplit('/').next() == Some(&wish.workflow);
    let Some(at) = files.workflows.iter().position(|workflow| workflow.is_called(&wish.workflow)) else {
        // One that is there and can't be read is told with its mistakes, which name its file.
        let broken = files.errors.iter().find(|error| error.split(':').next().is_some_and(named));
        if let Some(broken) = broken {
            return Ok(Dispatched::Refused(broken.clone()));
        }
        let known: Vec<_> = files.workflows.iter().map(|workflow| workflow.path.as_str()).collect();
        let (wanted, known) = (&wish.workflow, known.join("`, `"));
        return Ok(Dispatched::NotFound(format!("there is no workflow `{wanted}`; there are `{known}`")));
    };
    let mut workflow = files.workflows.swap_remove(at);
    let path = workflow.path.clone();
    if workflow.dispatch_inputs().is_none() {
        return Ok(Dispatched::Refused(format!("{path} does not start on `workflow_dispatch`")));
    }
    if let Err(problem) = files.complete(app, &repository, &mut workflow).await? {
        return Ok(Dispatched::Refused(problem));
    }
    let actor = wish.by.clone().unwrap_or_else(|| app.forge.own_login());
    let event = Event::new(
        "workflow_dispatch",
        json!({
            "workflow": path,
            "ref": format!("refs/heads/{}", repository.default_branch),
            "inputs": wish.inputs,
            "repository": payload::repository(&repository),
            "sender": { "login": actor, "type": if wish.by.is_some() { "User" } else { "Bot" } },
        }),
    );
    let delivery = format!("dispatch-{}", uuid::Uuid::new_v4());
    let spec = StartSpec {
        semantic_key: delivery.clone(),
        delivery,
        issue: decide::no_issue(&event, &actor),
        event,
        actor,
        instructions: None,
        triggered_at: app.clock.now(),
        repository,
    };
    Ok(match start(app, &spec, workflow).await? {
        Ok(id) => Dispatched::Started(id),
        Err(problem) => Dispatched::Refused(problem),
    })
}
