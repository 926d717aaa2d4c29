//! Issues, their comments, and reactions to these.

use super::{Answer, ApiError, Call, Reply, labels};
use crate::payloads::REACTIONS;
use crate::state::{Access, MAX_BODY};

/// `path` is what follows `/issues`.
pub(super) fn route(call: &mut Call<'_>, method: &str, repo: &str, path: &[&str]) -> Answer {
    match (method, path) {
        ("GET", []) => list(call, repo),
        ("POST", []) => create(call, repo),
        (_, ["comments", id, rest @ ..]) => {
            let id = id.parse().map_err(|_| ApiError::not_found())?;
            comment(call, method, repo, id, rest)
        }
        (_, [number, rest @ ..]) => {
            let number = number.parse().map_err(|_| ApiError::not_found())?;
            match (method, rest) {
                ("GET", []) => {
                    let name = call.need_issue(repo, number, Access::Read)?;
                    Ok(Reply::ok(&call.world.issue_json(&name, number)?))
                }
                ("PATCH", []) => patch(call, repo, number),
                ("GET", ["comments"]) => comments(call, repo, number),
                ("POST", ["comments"]) => add_comment(call, repo, number),
                (_, ["labels", rest @ ..]) => labels::of_issue(call, method, repo, number, rest),
                _ => Err(ApiError::not_found()),
            }
        }
        _ => Err(ApiError::not_found()),
    }
}

fn list(call: &mut Call<'_>, repo: &str) -> Answer {
    let name = call.need(repo, &[("issues", Access::Read), ("pull_requests", Access::Read)])?;
    let state = call.query("state").unwrap_or("open").to_owned();
    let wanted: Vec<_> =
        call.query("labels").unwrap_or_default().split(',').filter(|label| !label.is_empty()).collect();
    let since = call.query("since").and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let found = call.world.repo(&name)?;
    let mut listed = Vec::new();
    for issue in found.issues.values().rev() {
        let has = |label: &&str| issue.labels.iter().any(|have| have.eq_ignore_ascii_case(label));
        let state_fits = state == "all" || (state == "open") == issue.open;
        if state_fits && wanted.iter().all(has) && since.is_none_or(|since| issue.updated_at >= since) {
            listed.push(call.world.issue_json(&name, issue.number)?);
        }
    }
    Ok(call.page(listed))
}

fn create(call: &mut Call<'_>, repo: &str) -> Answer {
    let name = call.need(repo, &[("issues", Access::Write)])?;
    let title = call.required("title")?;
    if title.trim().is_empty() {
        return Err(ApiError::invalid("Issue", "title", "missing_field", None));
    }
    let body = call.text("body")?;
    check_length("Issue", body.as_deref())?;
    let labels =
        if call.body.get("labels").is_some() { super::app::names_in(&call.body, "labels")? } else { vec![] };
    let assignees = call.texts("assignees")?.unwrap_or_default();
    let actor = call.actor();
    let number = call.world.create_issue(&name, &actor, &title, body, &labels, &assignees)?;
    Ok(Reply::json(201, &call.world.issue_json(&name, number)?))
}

fn patch(call: &mut Call<'_>, repo: &str, number: u64) -> Answer {
    let name = call.need_issue(repo, number, Access::Write)?;
    let actor = call.actor();
    let title = call.text("title")?;
    let body = if call.body.get("body").is_some() { Some(call.text("body")?) } else { None };
    check_length("Issue", body.as_ref().and_then(Option::as_deref))?;
    let state = call.text("state")?;
    if state.as_ref().is_some_and(|state| state != "open" && state != "closed") {
        return Err(ApiError::invalid("Issue", "state", "invalid", None));
    }
    call.world.edit_issue(&name, number, &actor, title, body)?;
    if call.body.get("labels").is_some() {
        let names = super::app::names_in(&call.body, "labels")?;
        call.world.set_labels(&name, number, &actor, &names)?;
    }
    if let Some(assignees) = call.texts("assignees")? {
        call.world.issue_mut(&name, number)?.assignees = assignees;
    }
    if let Some(state) = state {
        let reason = call.text("state_reason")?;
        call.world.set_open(&name, number, &actor, state == "open", reason)?;
    }
    Ok(Reply::ok(&call.world.issue_json(&name, number)?))
}

fn comments(call: &mut Call<'_>, repo: &str, number: u64) -> Answer {
    let name = call.need_issue(repo, number, Access::Read)?;
    let since = call.query("since").and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let mut found = call.world.repo(&name)?.comments_of(number);
    found.retain(|comment| since.is_none_or(|since| comment.updated_at >= since));
    let listed = call.world.comments_json(&name, &found)?;
    Ok(call.page(listed))
}

fn add_comment(call: &mut Call<'_>, repo: &str, number: u64) -> Answer {
    let name = call.need_issue(repo, number, Access::Write)?;
    let body = comment_body(call)?;
    let actor = call.actor();
    let id = call.world.add_comment(&name, number, &actor, &body)?;
    Ok(Reply::json(201, &call.world.comment_json(&name, id)?))
}

fn comment(call: &mut Call<'_>, method: &str, repo: &str, id: u64, path: &[&str]) -> Answer {
    let access = if method == "GET" { Access::Read } else { Access::Write };
    let number = call.world.find_comment(repo, id).map(|comment| comment.issue);
    let name = match number {
        Ok(number) => call.need_issue(repo, number, access)?,
        // Who may not see the repository must not learn that the comment is missing either.
        Err(_) => {
            call.need(repo, &[("issues", access), ("pull_requests", access)])?;
            return Err(ApiError::not_found());
        }
    };
    let actor = call.actor();
    match (method, path) {
        ("GET", []) => Ok(Reply::ok(&call.world.comment_json(&name, id)?)),
        ("PATCH", []) => {
            let body = comment_body(call)?;
            call.world.edit_comment(&name, id, &actor, &body)?;
            Ok(Reply::ok(&call.world.comment_json(&name, id)?))
        }
        ("DELETE", []) => {
            call.world.delete_comment(&name, id, &actor)?;
            Ok(Reply::empty(204))
        }
        ("GET", ["reactions"]) => {
            let comment = call.world.find_comment(&name, id)?;
            let wanted = call.query("content");
            let fitting =
                comment.reactions.iter().filter(|found| wanted.is_none_or(|wanted| found.content == wanted));
            let listed = fitting.map(|reaction| call.world.reaction_json(reaction)).collect();
            Ok(call.page(listed))
        }
        ("POST", ["reactions"]) => {
            let content = call.required("content")?;
            if !REACTIONS.contains(&content.as_str()) {
                return Err(ApiError::invalid("Reaction", "content", "invalid", None));
            }
            let (reaction, is_new) = call.world.react(&name, id, &actor, &content)?;
            Ok(Reply::json(if is_new { 201 } else { 200 }, &call.world.reaction_json(&reaction)))
        }
        _ => Err(ApiError::not_found()),
    }
}

fn comment_body(call: &Call<'_>) -> Result<String, ApiError> {
    let body = call.required("body")?;
    if body.trim().is_empty() {
        return Err(ApiError::invalid("IssueComment", "body", "missing_field", None));
    }
    if body.chars().count() > MAX_BODY {
        let message = "Body is too long (maximum is 65536 characters)";
        return Err(ApiError::invalid("IssueComment", "data", "unprocessable", Some(message)));
    }
    Ok(body)
}

pub(super) fn check_length(resource: &str, body: Option<&str>) -> Result<(), ApiError> {
    if body.is_some_and(|body| body.chars().count() > MAX_BODY) {
        let message = "body is too long (maximum is 65536 characters)";
        return Err(ApiError::invalid(resource, "body", "custom", Some(message)));
    }
    Ok(())
}
