//! Repositories: themselves, who may what, and what git has of them.

use serde_json::{Value, json};

use super::{Answer, ApiError, Call, Caller, Reply};
use crate::git_store;
use crate::payloads::extend;
use crate::state::{Access, PushedRef, Role};

const CONTENTS: &[(&str, Access)] = &[("contents", Access::Read)];
const METADATA: &[(&str, Access)] = &[("metadata", Access::Read)];

pub(super) fn route(call: &mut Call<'_>, method: &str, repo: &str, path: &[&str]) -> Answer {
    match (method, path) {
        ("GET", []) => {
            let name = call.need(repo, METADATA)?;
            Ok(Reply::ok(&call.world.full_repo_json(call.world.repo(&name)?)))
        }
        ("GET", ["installation"]) => {
            call.need_app()?;
            let found = call.world.repo(repo).map_err(|_| ApiError::not_found())?;
            let installation = call.world.installation_of(found).ok_or_else(ApiError::not_found)?;
            Ok(Reply::ok(&call.world.installation_json(installation)))
        }
        ("GET", ["collaborators", login, "permission"]) => permission(call, repo, login),
        ("GET", ["branches"]) => {
            let name = call.need(repo, CONTENTS)?;
            let found = call.world.repo(&name)?;
            let mut listed = Vec::new();
            for branch in git_store::branches(&found.dir)? {
                let Some(sha) = git_store::branch_tip(&found.dir, &branch) else { continue };
                let url = format!("{}/commits/{sha}", call.world.repo_api(found));
                listed.push(
                    json!({ "name": branch, "commit": { "sha": sha, "url": url }, "protected": false }),
                );
            }
            Ok(call.page(listed))
        }
        ("GET", ["branches", branch @ ..]) => {
            let name = call.need(repo, CONTENTS)?;
            let (found, branch) = (call.world.repo(&name)?, branch.join("/"));
            let missing = || ApiError::new(404, "Branch not found");
            let sha = git_store::branch_tip(&found.dir, &branch).ok_or_else(missing)?;
            Ok(Reply::ok(&call.world.branch_json(found, &branch, &sha)?))
        }
        ("GET", ["git", "ref", reference @ ..]) => {
            let name = call.need(repo, CONTENTS)?;
            let (found, reference) = (call.world.repo(&name)?, format!("refs/{}", reference.join("/")));
            let all = git_store::references(&found.dir)?;
            let Some((_, sha)) = all.iter().find(|(name, _)| *name == reference) else {
                return Err(ApiError::not_found());
            };
            Ok(Reply::ok(&call.world.reference_json(found, &reference, sha)))
        }
        ("GET", ["git", "matching-refs", start @ ..]) => {
            let name = call.need(repo, CONTENTS)?;
            let (found, start) = (call.world.repo(&name)?, format!("refs/{}", start.join("/")));
            let all = git_store::references(&found.dir)?;
            let fitting = all.iter().filter(|(name, _)| name.starts_with(&start));
            let listed: Vec<_> =
                fitting.map(|(name, sha)| call.world.reference_json(found, name, sha)).collect();
            Ok(Reply::ok(&Value::Array(listed)))
        }
        ("DELETE", ["git", "refs", reference @ ..]) => {
            delete_reference(call, repo, &format!("refs/{}", reference.join("/")))
        }
        ("GET", ["git", "trees", treeish @ ..]) => {
            let name = call.need(repo, CONTENTS)?;
            let recursive = call.query("recursive").is_some();
            let found = call.world.repo(&name)?;
            let tree = git_store::tree_entries(&found.dir, &treeish.join("/"), recursive)?;
            let (sha, entries) = tree.ok_or_else(ApiError::not_found)?;
            Ok(Reply::ok(&call.world.tree_json(found, &sha, &entries)))
        }
        ("GET", ["commits", reference @ ..]) if !reference.is_empty() => {
            commit(call, repo, &reference.join("/"))
        }
        _ => Err(ApiError::not_found()),
    }
}

fn permission(call: &mut Call<'_>, repo: &str, login: &str) -> Answer {
    let name = call.need(repo, METADATA)?;
    if matches!(call.caller, Caller::Anonymous) {
        return Err(ApiError::new(401, "Requires authentication"));
    }
    let found = call.world.repo(&name)?;
    let user = call.world.user(login).ok_or_else(ApiError::not_found)?;
    let role = found.role_of(login);
    let has = |least: Role| role.is_some_and(|role| role >= least);
    let mut body = call.world.user_json(&user.login);
    let role_name = role.map_or("none", Role::name);
    let permissions = json!({
        "admin": has(Role::Admin), "maintain": has(Role::Maintain), "push": has(Role::Write),
        "triage": has(Role::Triage), "pull": has(Role::Read),
    });
    extend(
        &mut body,
        json!({ "permissions": permissions, "role_name": role_name, "user_view_type": "public" }),
    );
    let permission = role.map_or("none", Role::permission);
    Ok(Reply::ok(&json!({ "permission": permission, "user": body, "role_name": role_name })))
}

fn commit(call: &mut Call<'_>, repo: &str, reference: &str) -> Answer {
    let name = call.need(repo, CONTENTS)?;
    let found = call.world.repo(&name)?;
    let missing = || ApiError::new(422, format!("No commit found for SHA: {reference}"));
    let sha = git_store::resolve(&found.dir, reference).ok_or_else(missing)?;
    if call.accept.contains("sha") {
        return Ok(Reply::text(200, "application/vnd.github.sha; charset=utf-8", sha));
    }
    if call.accept.contains("diff") {
        let parent = git_store::commit(&found.dir, &sha)?.parents.into_iter().next();
        let text = git_store::diff_text(&found.dir, parent.as_deref(), &sha)?;
        return Ok(Reply::text(200, "application/vnd.github.diff; charset=utf-8", text));
    }
    Ok(Reply::ok(&call.world.commit_json(found, &sha, true)?))
}

fn delete_reference(call: &mut Call<'_>, repo: &str, reference: &str) -> Answer {
    let name = call.need(repo, &[("contents", Access::Write)])?;
    let actor = call.actor();
    let (dir, is_default) = {
        let found = call.world.repo(&name)?;
        (found.dir.clone(), reference == format!("refs/heads/{}", found.default_branch))
    };
    let old = git_store::references(&dir)?.into_iter().find(|(name, _)| name == reference);
    let Some((_, old)) = old else { return Err(ApiError::new(422, "Reference does not exist")) };
    if is_default {
        return Err(ApiError::new(422, "Cannot delete this protected ref."));
    }
    git_store::set_reference(&dir, reference, None)?;
    let gone = PushedRef { name: reference.to_owned(), old: Some(old), new: None, forced: false };
    call.world.after_push(&name, &actor, &[gone])?;
    Ok(Reply::empty(204))
}
