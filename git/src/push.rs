//! Pushing one branch, and believing it only once the remote shows it.

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;

use git2::{Direction, ErrorCode, Oid, PushOptions, Reference, RemoteCallbacks, Repository};

use crate::error::one_line;
use crate::{GitError, Remote, remote_ref};

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushOutcome {
    /// The branch was created or moved.
    Pushed,
    /// The branch was there already; nothing was sent.
    UpToDate,
}

/// Pushes `head` out of the repository at `source` to a branch (without `refs/heads/`) of the remote: over HTTP, or into a
/// repository in a local folder.
///
/// `lease` says where the branch must be for the push to go on: `Some(None)`: it must not exist, `Some(Some(id))`: there,
/// and then history may be replaced; `None`: anywhere, but only a fast-forward is made. A branch that is already at `head`
/// is [`PushOutcome::UpToDate`] whatever the lease says, so that a push can be repeated after a crash.
///
/// # Errors
/// [`GitError::Stale`] where the lease does not hold or history would be lost, [`GitError::Rejected`] where the remote
/// refuses the branch, [`GitError::Authentication`], [`GitError::NotFound`], [`GitError::Network`] as of any talk, and
/// [`GitError::Other`] where the remote reports success and does not show the commit.
pub fn push(
    source: &Path,
    head: Oid,
    remote: &Remote,
    branch: &str,
    lease: Option<Option<Oid>>,
) -> Result<PushOutcome, GitError> {
    crate::setup::ready();
    push_from(&Repository::open(source)?, head, remote, branch, lease)
}

pub(crate) fn push_from(
    source: &Repository,
    head: Oid,
    remote: &Remote,
    branch: &str,
    lease: Option<Option<Oid>>,
) -> Result<PushOutcome, GitError> {
    let refname = format!("refs/heads/{branch}");
    if !Reference::is_valid_name(&refname) || branch.starts_with('-') {
        return Err(GitError::Invalid(format!("`{}` is not a branch name", one_line(branch))));
    }
    if let Some(folder) = remote.folder() {
        return push_into(source, head, &folder, remote, &refname, lease);
    }

    let stale: RefCell<Option<GitError>> = RefCell::new(None);
    let mut answer: Option<Result<(), String>> = None;
    let result = remote.talk(|| {
        let mut connection = source.remote_anonymous(remote.url())?;
        connection.connect(Direction::Push)?;
        if connection.list()?.iter().any(|known| known.name() == refname && known.oid() == head) {
            connection.disconnect()?;
            return Ok(PushOutcome::UpToDate);
        }
        let mut callbacks = RemoteCallbacks::new();
        // Asked with the values that the server will be told as the old ones, so nothing can come in between.
        callbacks.push_negotiation(|updates| {
            let current = updates.first().map(git2::PushUpdate::src).filter(|id| !id.is_zero());
            match check_lease(lease, current, &refname) {
                Ok(()) => Ok(()),
                Err(error) => {
                    let text = error.to_string();
                    *stale.borrow_mut() = Some(error);
                    Err(git2::Error::from_str(&text))
                }
            }
        });
        callbacks.push_update_reference(|name, status| {
            if name == refname {
                answer = Some(status.map_or(Ok(()), |reason| Err(one_line(reason))));
            }
            Ok(())
        });
        let mut options = PushOptions::new();
        options.remote_callbacks(callbacks);
        let force = if lease.is_some_and(|expected| expected.is_some()) { "+" } else { "" };
        connection.push(&[format!("{force}{head}:{refname}")], Some(&mut options))?;
        connection.disconnect()?;
        Ok(PushOutcome::Pushed)
    });
    if let Some(stale) = stale.into_inner() {
        return Err(stale);
    }
    if let Some(Err(reason)) = answer {
        return Err(refused(refname, reason));
    }
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(GitError::Other(detail)) if detail.contains("cannot push") => {
            return Err(GitError::Stale { refname, detail });
        }
        Err(error) => return Err(error),
    };
    if outcome == PushOutcome::Pushed {
        if answer.is_none() {
            return Err(GitError::Other(format!("{} did not say what became of {refname}", remote.url())));
        }
        confirm(remote, &refname, head)?;
    }
    Ok(outcome)
}

fn check_lease(lease: Option<Option<Oid>>, current: Option<Oid>, refname: &str) -> Result<(), GitError> {
    let Some(expected) = lease else { return Ok(()) };
    if current == expected {
        return Ok(());
    }
    let shown = |id: Option<Oid>| id.map_or("absent".to_owned(), |id| format!("at {id}"));
    Err(GitError::Stale {
        refname: refname.to_owned(),
        detail: format!("expected it {}, found it {}", shown(expected), shown(current)),
    })
}

/// A reference that the remote refused: because it moved, or for a reason of its own.
fn refused(refname: String, reason: String) -> GitError {
    let moved = [
        "stale info",
        "fetch first",
        "non-fast-forward",
        "already exists",
        "failed to update ref",
        "cannot lock ref",
    ];
    if moved.iter().any(|sign| reason.contains(sign)) {
        GitError::Stale { refname, detail: reason }
    } else {
        GitError::Rejected { refname, reason }
    }
}

/// The remote's own word that the branch is where we put it.
fn confirm(remote: &Remote, refname: &str, head: Oid) -> Result<(), GitError> {
    match remote_ref(remote, refname)? {
        Some(id) if id == head => Ok(()),
        found => Err(GitError::Other(format!(
            "{} reported success, but shows {refname} {}",
            remote.url(),
            found.map_or("absent".to_owned(), |id| format!("at {id}"))
        ))),
    }
}

/// Pushes into a repository in a folder, which may have a work tree: its checked-out branches are left alone, since a
/// branch that moves under a person's work tree looks like a change of theirs.
fn push_into(
    source: &Repository,
    head: Oid,
    folder: &Path,
    remote: &Remote,
    refname: &str,
    lease: Option<Option<Oid>>,
) -> Result<PushOutcome, GitError> {
    let target = Repository::open(folder).map_err(|error| match error.code() {
        ErrorCode::NotFound => GitError::NotFound {
            what: format!("a git repository in {}", folder.display()),
            hint: "give the folder of a repository".into(),
        },
        _ => error.into(),
    })?;
    let current = match target.find_reference(refname) {
        Ok(reference) => reference.target(),
        Err(error) if error.code() == ErrorCode::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if current == Some(head) {
        return Ok(PushOutcome::UpToDate);
    }
    check_lease(lease, current, refname)?;
    if checked_out(&target, refname) {
        let reason = format!("it is checked out in {}; switch to another branch there", folder.display());
        return Err(GitError::Rejected { refname: refname.to_owned(), reason });
    }

    let mut walk = source.revwalk()?;
    walk.push(head)?;
    for reference in target.references()?.flatten() {
        if let Ok(known) = reference.peel_to_commit()
            && source.find_commit(known.id()).is_ok()
        {
            walk.hide(known.id())?;
        }
    }
    let mut builder = source.packbuilder()?;
    builder.insert_walk(&mut walk)?;
    if builder.object_count() > 0 {
        let odb = target.odb()?;
        let mut writer = odb.packwriter()?;
        let mut written = Ok(());
        let built = builder.foreach(|chunk| {
            written = writer.write_all(chunk);
            written.is_ok()
        });
        written.map_err(|source| GitError::Io {
            what: format!("writing objects to {}", folder.display()),
            source,
        })?;
        built?;
        writer.commit()?;
    }
    let moved = match current {
        None => target.reference(refname, head, false, "cloud-code: push"),
        Some(current) if lease.is_some() || target.graph_descendant_of(head, current)? => {
            target.reference_matching(refname, head, true, current, "cloud-code: push")
        }
        Some(current) => {
            let detail = format!("it is at {current}, which {head} does not descend from");
            return Err(GitError::Stale { refname: refname.to_owned(), detail });
        }
    };
    moved.map_err(|error| match error.code() {
        ErrorCode::Modified | ErrorCode::Exists | ErrorCode::Locked => {
            GitError::Stale { refname: refname.to_owned(), detail: one_line(error.message()) }
        }
        _ => error.into(),
    })?;
    confirm(remote, refname, head)?;
    Ok(PushOutcome::Pushed)
}

/// Whether the repository's own work tree, or one added to it, is on this branch.
fn checked_out(target: &Repository, refname: &str) -> bool {
    let on = |repository: &Repository| {
        !repository.is_bare()
            && repository
                .find_reference("HEAD")
                .is_ok_and(|head| head.symbolic_target().is_ok_and(|name| name == Some(refname)))
    };
    let added = || {
        let names = target.worktrees().ok()?;
        names.iter().flatten().flatten().find_map(|name| {
            let worktree = Repository::open_from_worktree(&target.find_worktree(name).ok()?).ok()?;
            on(&worktree).then_some(())
        })
    };
    on(target) || added().is_some()
}
