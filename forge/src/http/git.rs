//! Git's smart HTTP: who may fetch and push, what GitHub refuses in a push, and what follows from one.
//! The protocol itself is `cloud_code_git::server`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cloud_code_git::server::{self, RefUpdate, ServeError, Service};

use super::call::reaches;
use super::{Caller, Reply};
use crate::git_store;
use crate::server::Inner;
use crate::state::{Access, Actor, PushedRef, World};

const TEXT: &str = "text/plain; charset=utf-8";

/// One allowed git request, with all it needs so that the world need not be locked while packs are read.
#[derive(Debug)]
pub(crate) struct GitRequest {
    service: Service,
    advertise: bool,
    repo: String,
    dir: PathBuf,
    lock: Arc<Mutex<()>>,
    actor: Actor,
    may_change_workflows: bool,
    default_branch: String,
    protected: BTreeSet<String>,
}

/// Splits `/owner/name.git/rest`.
fn split(path: &str) -> Option<(String, &str)> {
    let (repo, rest) = path.trim_start_matches('/').split_once(".git/")?;
    (repo.matches('/').count() == 1).then(|| (repo.to_owned(), rest))
}

/// Decides on a request: None, it is not for git; an error reply, it is refused. Beside it, the permission asked for.
pub(crate) fn plan(
    world: &World,
    method: &str,
    path: &str,
    query: &[(String, String)],
    caller: Result<&Caller, ()>,
) -> Option<(Result<GitRequest, Reply>, String)> {
    let (repo, rest) = split(path)?;
    let wanted = query.iter().find(|(key, _)| key == "service").map_or("", |(_, value)| value.as_str());
    let (service, advertise) = match (method, rest) {
        ("GET", "info/refs") => (Service::from_name(wanted)?, true),
        ("POST", "git-upload-pack") => (Service::UploadPack, false),
        ("POST", "git-receive-pack") => (Service::ReceivePack, false),
        _ => return None,
    };
    let access = if service == Service::UploadPack { Access::Read } else { Access::Write };
    let asked = format!("contents={}", access.as_str());
    let decided = decide(world, &repo, access, caller).map(|(actor, may_change_workflows)| {
        // `decide` has seen that it is there.
        let found = world.repo(&repo).map_err(|_| not_found())?;
        Ok(GitRequest {
            service,
            advertise,
            repo: found.full_name(),
            dir: found.dir.clone(),
            lock: Arc::clone(&found.push_lock),
            actor,
            may_change_workflows,
            default_branch: found.default_branch.clone(),
            protected: found.protected.clone(),
        })
    });
    Some((decided.and_then(|request| request), asked))
}

fn not_found() -> Reply {
    Reply::text(404, TEXT, "Repository not found.\n")
}

fn unauthorised() -> Reply {
    let text = "Invalid username or token. Password authentication is not supported for Git operations.\n";
    Reply::text(401, TEXT, text).header("www-authenticate", "Basic realm=\"GitHub\"")
}

fn decide(
    world: &World,
    repo: &str,
    access: Access,
    caller: Result<&Caller, ()>,
) -> Result<(Actor, bool), Reply> {
    let caller = caller.map_err(|()| unauthorised())?;
    let found = world.repo(repo);
    match caller {
        // Without credentials GitHub asks for them before it says whether the repository exists.
        Caller::App => Err(unauthorised()),
        Caller::Anonymous => match found {
            Ok(found) if !found.private && access == Access::Read => Ok((Actor::person("anonymous"), false)),
            _ => Err(unauthorised()),
        },
        Caller::Installation(token) => {
            let found = found.map_err(|_| not_found())?;
            if !reaches(world, token, found.id) {
                return Err(not_found());
            }
            let has = |name: &str| token.permissions.get(name).is_some_and(|have| *have >= access);
            if !has("contents") {
                let what = if access == Access::Read { "Read" } else { "Write" };
                return Err(Reply::text(403, TEXT, format!("{what} access to repository not granted.\n")));
            }
            let actor = Actor { login: world.app.bot_login(), via_app: true };
            Ok((actor, has("workflows")))
        }
    }
}

/// Serves an allowed request. Blocks: call it off the async threads.
pub(crate) fn serve(inner: &Inner, request: &GitRequest, body: &Bytes) -> Reply {
    let answered = match (request.service, request.advertise) {
        (service, true) => server::info_refs(&request.dir, service).map(|body| {
            let media = match service {
                Service::UploadPack => "application/x-git-upload-pack-advertisement",
                Service::ReceivePack => "application/x-git-receive-pack-advertisement",
            };
            Reply::text(200, media, body)
        }),
        (Service::UploadPack, false) => server::upload_pack(&request.dir, body)
            .map(|body| Reply::text(200, "application/x-git-upload-pack-result", body)),
        (Service::ReceivePack, false) => push(inner, request, body),
    };
    match answered {
        Ok(reply) => reply.header("cache-control", "no-cache"),
        Err(ServeError::NotFound) => not_found(),
        Err(ServeError::Request(message)) => Reply::text(400, TEXT, message),
        Err(error @ ServeError::Repository(_)) => {
            tracing::error!(%error, repository = request.repo, "the forge failed to serve git");
            Reply::text(500, TEXT, error.to_string())
        }
    }
}

fn push(inner: &Inner, request: &GitRequest, body: &Bytes) -> Result<Reply, ServeError> {
    let _one_at_a_time = request.lock.lock().unwrap_or_else(PoisonError::into_inner);
    let received = server::receive_pack(&request.dir, body, &|update| allow(request, update))?;
    let moved: Vec<_> = received
        .updates
        .iter()
        .map(|update| PushedRef {
            name: update.refname.clone(),
            old: update.old.map(|id| id.to_string()),
            new: update.new.map(|id| id.to_string()),
            forced: !update.fast_forward,
        })
        .collect();
    if !moved.is_empty() {
        let told = inner.change(|world| world.after_push(&request.repo, &request.actor, &moved));
        if let Err(error) = told {
            tracing::error!(%error, repository = request.repo, "the forge could not follow up a push");
        }
    }
    Ok(Reply::text(200, "application/x-git-receive-pack-result", received.body))
}

/// GitHub's own refusals; the text is what it tells the git client.
fn allow(request: &GitRequest, update: &RefUpdate) -> Result<(), String> {
    if update.refname.starts_with("refs/pull/") {
        return Err("deny updating a hidden ref".into());
    }
    if update.refname.strip_prefix("refs/heads/").is_some_and(|branch| request.protected.contains(branch)) {
        return Err("protected branch hook declined".into());
    }
    let Some(new) = update.new else {
        if update.refname == format!("refs/heads/{}", request.default_branch) {
            return Err("refusing to delete the current branch".into());
        }
        return Ok(());
    };
    if request.may_change_workflows {
        return Ok(());
    }
    let new = new.to_string();
    let mut bases: Vec<String> = update.old.iter().map(ToString::to_string).collect();
    if let Some(tip) = git_store::branch_tip(&request.dir, &request.default_branch) {
        bases.extend(git_store::merge_base(&request.dir, &tip, &new));
        bases.push(tip);
    }
    match git_store::touches_workflows(&request.dir, &bases, &new) {
        Ok(false) => Ok(()),
        Ok(true) => Err("refusing to allow a GitHub App to create or update workflow without `workflows` \
                         permission"
            .into()),
        Err(error) => Err(format!("the pushed commit could not be read: {error}")),
    }
}
