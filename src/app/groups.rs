//! Concurrency groups: entering, leaving, and telling whoever is next.
//!
//! Everything here may be done twice, by several at once, and be torn off at any point: the group's document says in which order they came,
//! each run says whether it still wants or holds the group, and whoever looks brings the two together.

use super::{App, AppError, update};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Group, GroupEntry, Input, Run};

/// Rounds of read and compare-and-set before it is taken for a bug: each lost round means that somebody else made progress.
const MAX_ROUNDS: usize = 50;

/// Takes a place in the group, and brings it up to date: whoever holds it then has been told.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn enter(app: &App, run: &Run, ticket: u64) -> Result<(), AppError> {
    let Some((hold, _)) = run.holds(ticket).filter(|(hold, _)| !hold.granted) else { return Ok(()) };
    let wish = hold.wish.clone();
    let group = change(app, run, &wish.group, |group| group.enter(&run.id, ticket, &wish)).await?;
    // Two wishes of one run: the run's own holds the group, and a job of it waits for what can't come.
    let own = run.hold.as_ref().filter(|hold| hold.ticket != ticket);
    let before = group.entries.iter().take_while(|entry| entry.ticket != ticket || entry.run != run.id);
    let mut before = before.filter(|entry| entry.run == run.id);
    if own.is_some_and(|own| before.any(|entry| entry.ticket == own.ticket)) {
        update::apply(app, &run.id, &[Input::Deadlocked { ticket }]).await?;
        return Ok(());
    }
    settle(app, run, &wish.group, group).await
}

/// Leaves the group, and lets the next one have it.
///
/// # Errors
/// When the store or the queue does not answer.
pub async fn leave(app: &App, run: &Run, ticket: u64, name: &str) -> Result<(), AppError> {
    let group = change(app, run, name, |group| group.leave(&run.id, ticket)).await?;
    settle(app, run, name, group).await
}

/// Brings a group up to date: whoever wants it no more is taken out, those who were displaced are told, and so is the holder.
async fn settle(app: &App, run: &Run, name: &str, mut group: Group) -> Result<(), AppError> {
    for _ in 0..MAX_ROUNDS {
        let mut gone = Vec::new();
        for (entry, by) in group.displaced() {
            let displaced = Input::Displaced { ticket: entry.ticket, by: by.clone() };
            if !tell(app, entry, displaced).await? {
                gone.push(entry.clone());
            }
        }
        // The first that still counts is the holder; whoever stood before it and does not is gone.
        for entry in &group.entries {
            if gone.contains(entry) {
                continue;
            }
            if tell(app, entry, Input::Granted { ticket: entry.ticket }).await? {
                break;
            }
            gone.push(entry.clone());
        }
        if gone.is_empty() {
            return Ok(());
        }
        group = change(app, run, name, |group| {
            let before = group.entries.len();
            group.entries.retain(|entry| !gone.contains(entry));
            group.entries.len() < before
        })
        .await?;
    }
    Err(AppError::Bug(format!("the concurrency group {name} does not settle")))
}

/// Whether an entry still counts, once it was told something.
async fn tell(app: &App, entry: &GroupEntry, input: Input) -> Result<bool, AppError> {
    let counts = |run: &Run| run.holds(entry.ticket).is_some();
    let Some(stored) = load(app, &entry.run).await? else { return Ok(false) };
    if !counts(&stored) {
        return Ok(false);
    }
    let told = update::apply(app, &entry.run, &[input]).await?;
    Ok(told.is_some_and(|stored| counts(&stored.run)))
}

async fn load(app: &App, id: &RunId) -> Result<Option<Run>, AppError> {
    match app.store.load(id).await {
        Ok(stored) => Ok(stored.map(|stored| stored.run)),
        // Nobody can end it any more: it holds nobody up.
        Err(error @ crate::ports::StoreError::Corrupt(_)) => {
            tracing::error!(run = %id, %error, "a run could not be read");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn change(
    app: &App,
    run: &Run,
    name: &str,
    mut how: impl FnMut(&mut Group) -> bool,
) -> Result<Group, AppError> {
    let repository = run.repository.full_name().to_lowercase();
    for _ in 0..MAX_ROUNDS {
        let (mut group, version) = app.store.group(&repository, name).await?;
        if !how(&mut group) || app.store.save_group(&repository, name, &group, version).await? {
            return Ok(group);
        }
    }
    Err(AppError::Bug(format!("the concurrency group {name} could not be saved in {MAX_ROUNDS} rounds")))
}
