//! What keeps the schedules up to date: the App is installed somewhere or taken away, and our own wish to look again.

use super::payload::Payload;
use super::{files, repository_of};
use crate::app::{App, AppError, schedules};
use crate::ports::{Delivery, Source};
use cloud_code_model::run::Repository;

/// Repositories of one event that are looked at; the schedules of any more are found at their next events.
const MAX_REPOSITORIES: usize = 1000;

/// Whether a delivery is our wish to look again.
pub(super) fn is_refresh(delivery: &Delivery) -> bool {
    delivery.source == Source::Ourselves && delivery.event == schedules::REFRESH
}

/// Reads a repository's workflow files, and keeps what they want by the clock: nothing, where the repository is not ours any more.
pub(super) async fn refresh(app: &App, payload: &Payload) -> Result<(), AppError> {
    let Some(mut repository) = repository_of(payload) else { return Ok(()) };
    let info = match app.forge.repository(&repository).await {
        Ok(info) => info,
        Err(error) if error.is_final() => return schedules::note(app, &repository, &[]).await,
        Err(error) => return Err(error.into()),
    };
    repository.default_branch = info.default_branch;
    let workflows = match files::read(app, &repository).await {
        Ok(found) if !info.read_only => found.workflows,
        Ok(_) => Vec::new(),
        Err(AppError::Forge(error)) if error.is_final() => Vec::new(),
        Err(error) => return Err(error),
    };
    schedules::note(app, &repository, &workflows).await
}

/// Where an event says that repositories were added to our App's reach or taken from it, or changed themselves: lets each be looked at, and says
/// how many there are.
pub(super) async fn installed(
    app: &App,
    delivery: &Delivery,
    payload: &Payload,
) -> Result<Option<usize>, AppError> {
    let mut repositories: Vec<Repository> = match delivery.event.as_str() {
        "installation" | "installation_repositories" => {
            let lists = [&payload.repositories, &payload.repositories_added, &payload.repositories_removed];
            lists.into_iter().flatten().filter_map(|named| listed(payload, &named.full_name)).collect()
        }
        "repository" => repository_of(payload).into_iter().collect(),
        _ => return Ok(None),
    };
    repositories.truncate(MAX_REPOSITORIES);
    for repository in &repositories {
        schedules::refresh_soon(app, repository, &delivery.id, app.clock.now()).await?;
    }
    Ok(Some(repositories.len()))
}

/// A repository of a list, which has no more than its name; its branch is looked up when it is read.
fn listed(payload: &Payload, full_name: &str) -> Option<Repository> {
    let (owner, name) = full_name.split_once('/')?;
    Some(Repository {
        owner: owner.to_owned(),
        name: name.to_owned(),
        installation: payload.installation.as_ref()?.id,
        default_branch: "main".to_owned(),
    })
}
