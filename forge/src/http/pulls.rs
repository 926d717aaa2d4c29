//! Pull requests.

use serde_json::json;

use super::issues::check_length;
use super::{Answer, ApiError, Call, Reply};
use crate::git_store;
use crate::state::{Access, NewPull, PullRefusal};

const READ: &[(&str, Access)] = &[("pull_requests", Access::Read)];
const WRITE: &[(&str, Access)] = &[("pull_requests", Access::Write)];

/// `path` is what follows `/pulls`.
pub(super) fn route(call: &mut Call<'_>, method: &str, repo: &str, path: &[&str]) -> Answer {
    match (method, path) {
        ("GET", []) => list(call, repo),
        ("POST", []) => create(call, repo),
        (_, [number, rest @ ..]) => {
            let number = number.parse().map_err(|_| ApiError::not_found())?;
            let name = call.need(repo, if method == "GET" { READ } else { WRITE })?;
            call.world.find_pull(&name, number).map_err(|_| ApiError::not_found())?;
            one(call, method, &name, number, rest)
        }
        _ => Err(ApiError::not_found()),
    }
}

fn one(call: &mut Call<'_>, method: &str, repo: &str, number: u64, path: &[&str]) -> Answer {
    match (method, path) {
        ("GET", []) if call.accept.contains("diff") => {
            let text = call.world.pull_diff(repo, number)?;
            Ok(Reply::text(200, "application/vnd.github.diff; charset=utf-8", text))
        }
        ("GET", []) => Ok(Reply::ok(&call.world.pull_json(repo, number)?)),
        ("PATCH", []) => patch(call, repo, number),
        ("GET", ["files"]) => {
            let (found, (_, pull)) = (call.world.repo(repo)?, call.world.find_pull(repo, number)?);
            let from = call.world.pull_fork_point(repo, number)?;
            let changes = git_store::file_changes(&found.dir, from.as_deref(), &pull.head_sha)?;
            let listed =
                changes.iter().map(|change| call.world.file_change_json(found, &pull.head_sha, change));
            Ok(call.page(listed.collect()))
        }
        ("GET", ["commits"]) => {
            let (found, (_, pull)) = (call.world.repo(repo)?, call.world.find_pull(repo, number)?);
            let from = call.world.pull_fork_point(repo, number)?;
            let mut listed = Vec::new();
            for sha in git_store::commits_between(&found.dir, from.as_deref(), &pull.head_sha)? {
                listed.push(call.world.commit_json(found, &sha, false)?);
            }
            Ok(call.page(listed))
        }
        ("GET", ["merge"]) => {
            let merged = call.world.find_pull(repo, number)?.1.merged_at.is_some();
            if merged { Ok(Reply::empty(204)) } else { Err(ApiError::not_found()) }
        }
        // Nobody reviews on this forge yet: the lists are there, and empty.
        ("GET", ["reviews" | "comments"]) => Ok(call.page(Vec::new())),
        ("GET", ["requested_reviewers"]) => {
            let asked = &call.world.find_pull(repo, number)?.1.requested_reviewers;
            let users: Vec<_> = asked.iter().map(|login| call.world.user_json(login)).collect();
            Ok(Reply::ok(&json!({ "users": users, "teams": [] })))
        }
        ("POST", ["requested_reviewers"]) => {
            let logins = call.texts("reviewers")?.unwrap_or_default();
            let found = call.world.repo(repo)?;
            let stranger =
                |login: &&String| found.role_of(login).is_none() || call.world.user(login).is_none();
            if logins.iter().any(|login| stranger(&login)) {
                let message = "Reviews may only be requested from collaborators. One or more of the users or teams \
                               you specified is not a collaborator of the repository.";
                return Err(ApiError::new(422, format!("{message} {repo}")));
            }
            let actor = call.actor();
            call.world.request_reviewers(repo, number, &actor, &logins)?;
            Ok(Reply::json(201, &call.world.simple_pull_json(repo, number)?))
        }
        _ => Err(ApiError::not_found()),
    }
}

fn list(call: &mut Call<'_>, repo: &str) -> Answer {
    let name = call.need(repo, READ)?;
    let state = call.query("state").unwrap_or("open").to_owned();
    // GitHub ignores a head without an owner; so does this.
    let head =
        call.query("head").and_then(|head| head.split_once(':')).map(|(o, b)| (o.to_owned(), b.to_owned()));
    let base = call.query("base").map(str::to_owned);
    let mut listed = Vec::new();
    for issue in call.world.repo(&name)?.issues.values().rev() {
        let Some(pull) = &issue.pull else { continue };
        let owner = pull.head_repo.split('/').next().unwrap_or_default();
        let head_fits = head
            .as_ref()
            .is_none_or(|(wanted, branch)| owner.eq_ignore_ascii_case(wanted) && pull.head_branch == *branch);
        let base_fits = base.as_ref().is_none_or(|base| pull.base_branch == *base);
        if head_fits && base_fits && (state == "all" || (state == "open") == issue.open) {
            listed.push(call.world.simple_pull_json(&name, issue.number)?);
        }
    }
    if call.query("direction") == Some("asc") {
        listed.reverse();
    }
    Ok(call.page(listed))
}

fn create(call: &mut Call<'_>, repo: &str) -> Answer {
    let name = call.need(repo, WRITE)?;
    let (head, base) = (call.required("head")?, call.required("base")?);
    let title = call.required("title")?;
    let body = call.text("body")?;
    check_length("PullRequest", body.as_deref())?;
    if title.trim().is_empty() {
        return Err(ApiError::invalid("PullRequest", "title", "missing_field", None));
    }
    let (owner, repo_name) = name.split_once('/').unwrap_or_default();
    let (head_owner, head_branch) = head.split_once(':').unwrap_or((owner, &head));
    let head_repo = if head_owner.eq_ignore_ascii_case(owner) {
        name.clone()
    } else {
        let forks = call.world.repos.values().filter(|found| found.fork_of.as_ref() == Some(&name));
        let fork = forks.into_iter().find(|found| found.owner.eq_ignore_ascii_case(head_owner));
        fork.map_or_else(|| format!("{head_owner}/{repo_name}"), crate::state::Repo::full_name)
    };
    let new = NewPull {
        title,
        body,
        head_repo,
        head_branch: head_branch.to_owned(),
        base_branch: base.clone(),
        draft: call.flag("draft")?.unwrap_or(false),
        maintainer_can_modify: call.flag("maintainer_can_modify")?.unwrap_or(false),
    };
    let actor = call.actor();
    let custom = |message: String| ApiError::invalid("PullRequest", "", "custom", Some(&message));
    let number = call.world.create_pull(&name, &actor, new).map_err(|refusal| match refusal {
        PullRefusal::NoHead => ApiError::invalid("PullRequest", "head", "invalid", None),
        PullRefusal::NoBase => ApiError::invalid("PullRequest", "base", "invalid", None),
        PullRefusal::Exists => {
            custom(format!("A pull request already exists for {head_owner}:{head_branch}."))
        }
        PullRefusal::NoCommits => custom(format!("No commits between {base} and {head}")),
        PullRefusal::Forge(error) => error.into(),
    })?;
    Ok(Reply::json(201, &call.world.pull_json(&name, number)?))
}

fn patch(call: &mut Call<'_>, repo: &str, number: u64) -> Answer {
    let actor = call.actor();
    let title = call.text("title")?;
    let body = if call.body.get("body").is_some() { Some(call.text("body")?) } else { None };
    check_length("PullRequest", body.as_ref().and_then(Option::as_deref))?;
    let state = call.text("state")?;
    if state.as_ref().is_some_and(|state| state != "open" && state != "closed") {
        return Err(ApiError::invalid("PullRequest", "state", "invalid", None));
    }
    if let Some(base) = call.text("base")? {
        let dir = &call.world.repo(repo)?.dir;
        let wrong = || ApiError::invalid("PullRequest", "base", "invalid", None);
        let sha = git_store::branch_tip(dir, &base).ok_or_else(wrong)?;
        let pull = call.world.pull_mut(repo, number)?;
        pull.base_branch = base;
        pull.base_sha = sha;
    }
    call.world.edit_issue(repo, number, &actor, title, body)?;
    if let Some(can) = call.flag("maintainer_can_modify")? {
        call.world.pull_mut(repo, number)?.maintainer_can_modify = can;
    }
    if let Some(state) = state {
        let merged = call.world.find_pull(repo, number)?.1.merged_at.is_some();
        if state == "open" && merged {
            return Err(ApiError::invalid(
                "PullRequest",
                "state",
                "invalid",
                Some("state cannot be changed."),
            ));
        }
        call.world.set_open(repo, number, &actor, state == "open", None)?;
    }
    Ok(Reply::ok(&call.world.pull_json(repo, number)?))
}
