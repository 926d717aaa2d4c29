//! Putting an attempt's change on the forge.

use super::{App, AppError, given};
use crate::comments;
use crate::ports::{Artifact, ArtifactError, Change, PullSpec, RemoteAccess, WorkspaceError};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::policy::ChangePolicy;
use cloud_code_model::run::{Attempt, AttemptState, Conclusion, Input, Origin, Publication, Run};

/// Checks the attempt's change as a stranger's, pushes it and opens or renews the pull request. Every part finds what an
/// earlier, interrupted call of it did.
///
/// # Errors
/// When a port does not answer: try again. What is refused for good is an input, not an error.
pub async fn publish(app: &App, run: &Run, id: &AttemptId) -> Result<Option<Input>, AppError> {
    let Some(attempt) = run.attempt(id).filter(|attempt| attempt.state == AttemptState::Publishing) else {
        return Ok(None);
    };
    if let Some(picked) = &attempt.picked {
        return pick(app, run, id, picked).await;
    }
    let (job, number) = (id.job.clone(), id.number);
    let refused = |reason: String, pushed| Input::PublishRefused {
        job: id.job.clone(),
        attempt: number,
        reason,
        pushed,
    };
    let Some(origin) = &attempt.origin else {
        return Ok(Some(refused("the attempt's starting point is not known".to_owned(), None)));
    };
    let change = match push(app, run, id, origin).await {
        Ok(Some(change)) => change,
        Ok(None) => return Ok(Some(Input::NothingToPublish { job, attempt: number })),
        Err(error) if for_good(&error) => return Ok(Some(refused(error.to_string(), None))),
        Err(error) => return Err(error),
    };
    let mut publication = Publication {
        branch: origin.branch.clone(),
        sha: change.head.clone(),
        base: change.base.clone(),
        pull: None,
        diffstat: (change.files.len() as u64, change.insertions, change.deletions),
        commits: change.commits.len() as u64,
    };
    let own = run.job(&job);
    if !own.is_some_and(|job| run.opens_pull(job) && run.may_write(job, "pull-requests")) {
        return Ok(Some(Input::Published { job, attempt: number, publication }));
    }
    let spec = pull_spec(app, run, attempt, origin, &change);
    match app.forge.put_pull(&run.repository, &spec).await.map_err(AppError::from) {
        Ok(pull) => {
            publication.pull = Some(pull);
            Ok(Some(Input::Published { job, attempt: number, publication }))
        }
        Err(error) if for_good(&error) => {
            let reason = format!("the change was pushed, but its pull request could not be opened: {error}");
            Ok(Some(refused(reason, Some(publication))))
        }
        Err(error) => Err(error),
    }
}

/// Makes a pull request of the candidate that a judge has picked.
async fn pick(app: &App, run: &Run, id: &AttemptId, picked: &str) -> Result<Option<Input>, AppError> {
    let (job, attempt) = (id.job.clone(), id.number);
    let candidate = run.job(picked).and_then(|job| job.attempt());
    let Some((candidate, publication, origin)) = candidate
        .and_then(|candidate| Some((candidate, candidate.publication.clone()?, candidate.origin.as_ref()?)))
    else {
        let reason = format!("the picked candidate `{picked}` is not there any more");
        return Ok(Some(Input::PublishRefused { job, attempt, reason, pushed: None }));
    };
    let change = Change {
        base: publication.base.clone(),
        head: publication.sha.clone(),
        commits: Vec::new(),
        files: Vec::new(),
        insertions: publication.diffstat.1,
        deletions: publication.diffstat.2,
        diffstat: String::new(),
    };
    let spec = pull_spec(app, run, candidate, origin, &change);
    let spec = PullSpec { head: publication.branch.clone(), ..spec };
    match app.forge.put_pull(&run.repository, &spec).await.map_err(AppError::from) {
        Ok(pull) => {
            let publication = Publication { pull: Some(pull), ..publication };
            Ok(Some(Input::Published { job, attempt, publication }))
        }
        Err(error) if for_good(&error) => {
            let reason = format!("the pull request of the picked candidate could not be opened: {error}");
            Ok(Some(Input::PublishRefused { job, attempt, reason, pushed: Some(publication) }))
        }
        Err(error) => Err(error),
    }
}

/// Whether an error will be the same next time. A branch that somebody else moved is theirs now.
fn for_good(error: &AppError) -> bool {
    match error {
        AppError::Bug(_) => false,
        AppError::Workspace(WorkspaceError::Moved(_)) => true,
        other => !other.may_heal(),
    }
}

async fn push(app: &App, run: &Run, id: &AttemptId, origin: &Origin) -> Result<Option<Change>, AppError> {
    let limit = app.settings.policy.max_bytes;
    let bundle = match app.artifacts.read(id, Artifact::Bundle, limit).await {
        Ok(Some(bundle)) => bundle,
        Ok(None) => return Ok(None),
        Err(ArtifactError::TooLarge { size, limit, .. }) => {
            let text = format!("the change has {size} bytes as a bundle; at most {limit} are accepted");
            return Err(WorkspaceError::Rejected(text).into());
        }
        Err(error) => return Err(error.into()),
    };
    let secrets = given::secrets(app, run, id, true).await?;
    let read = app.forge.remote(&run.repository, RemoteAccess::Read).await?;
    let policy = &ChangePolicy { closes: Some(run.subject.number), ..app.settings.policy.clone() };
    let examined =
        app.workspaces.examine(id, &read, &origin.base, &origin.branch, bundle, policy, &secrets).await?;
    let Some(change) = examined else { return Ok(None) };
    let write = app.forge.remote(&run.repository, RemoteAccess::Write).await?;
    let ours = if origin.continues { vec![origin.base.clone()] } else { Vec::new() };
    app.workspaces.push(id, &write, &origin.branch, &change, &ours).await?;
    tracing::info!(branch = %origin.branch, sha = %change.head, "pushed");
    Ok(Some(change))
}

fn pull_spec(app: &App, run: &Run, attempt: &Attempt, origin: &Origin, change: &Change) -> PullSpec {
    let outputs = attempt.report.as_ref().map(|report| &report.outputs);
    let title = outputs.and_then(|outputs| outputs.get("pr-title")).filter(|title| !title.trim().is_empty());
    let partial = attempt.conclusion != Some(Conclusion::Success);
    PullSpec {
        head: origin.branch.clone(),
        base: origin.target.clone(),
        title: comments::pull_title(title.map_or(run.subject.title.as_str(), String::as_str)),
        body: comments::pull_body(run, attempt, change, app.settings.public_url.as_deref()),
        draft: app.settings.draft || partial,
    }
}
