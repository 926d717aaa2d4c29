//! Labels of a repository and of an issue.

use serde_json::Value;

use super::app::names_in;
use super::{Answer, ApiError, Call, Reply};
use crate::state::Access;

const READ: &[(&str, Access)] = &[("issues", Access::Read), ("pull_requests", Access::Read)];
const WRITE: &[(&str, Access)] = &[("issues", Access::Write), ("pull_requests", Access::Write)];

/// Labels of the repository.
pub(super) fn route(call: &mut Call<'_>, method: &str, repo: &str, path: &[&str]) -> Answer {
    match (method, path) {
        ("GET", []) => {
            let name = call.need(repo, READ)?;
            let found = call.world.repo(&name)?;
            let listed = found.labels.values().map(|label| call.world.label_body(found, label)).collect();
            Ok(call.page(listed))
        }
        ("GET", [label]) => {
            let name = call.need(repo, READ)?;
            let body = call.world.label_json(&name, label)?;
            if body.is_null() { Err(ApiError::not_found()) } else { Ok(Reply::ok(&body)) }
        }
        ("POST", []) => {
            let name = call.need(repo, WRITE)?;
            let label = call.required("name")?;
            if call.world.repo(&name)?.labels.contains_key(&label.to_lowercase()) {
                return Err(ApiError::invalid("Label", "name", "already_exists", None));
            }
            let color = call.text("color")?.unwrap_or_else(|| "ededed".into());
            if color.len() != 6 || !color.chars().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(ApiError::invalid("Label", "color", "invalid", None));
            }
            let description = call.text("description")?;
            if description.as_ref().is_some_and(|text| text.chars().count() > 100) {
                let message = "description is too long (maximum is 100 characters)";
                return Err(ApiError::invalid("Label", "description", "custom", Some(message)));
            }
            call.world.create_label(&name, &label, &color, description)?;
            Ok(Reply::json(201, &call.world.label_json(&name, &label)?))
        }
        _ => Err(ApiError::not_found()),
    }
}

/// Labels of an issue or pull request.
pub(super) fn of_issue(call: &mut Call<'_>, method: &str, repo: &str, number: u64, path: &[&str]) -> Answer {
    let access = if method == "GET" { Access::Read } else { Access::Write };
    let name = call.need_issue(repo, number, access)?;
    let actor = call.actor();
    match (method, path) {
        ("GET", []) => return listed(call, &name, number).map(|labels| call.page(labels)),
        ("POST", []) => {
            let names = checked(names_in(&call.body, "labels")?)?;
            call.world.add_labels(&name, number, &actor, &names)?;
        }
        ("PUT", []) => {
            let names = if call.body.is_null() { Vec::new() } else { names_in(&call.body, "labels")? };
            let names = checked(names)?;
            call.world.set_labels(&name, number, &actor, &names)?;
        }
        ("DELETE", []) => {
            call.world.set_labels(&name, number, &actor, &[])?;
            return Ok(Reply::empty(204));
        }
        ("DELETE", [label]) => {
            let removed = call.world.remove_label(&name, number, &actor, label);
            removed.map_err(|_| ApiError::new(404, "Label does not exist"))?;
        }
        _ => return Err(ApiError::not_found()),
    }
    Ok(Reply::ok(&Value::Array(listed(call, &name, number)?)))
}

fn checked(names: Vec<String>) -> Result<Vec<String>, ApiError> {
    if names.iter().any(|name| name.trim().is_empty() || name.chars().count() > 50) {
        return Err(ApiError::invalid("Label", "name", "invalid", None));
    }
    Ok(names)
}

fn listed(call: &Call<'_>, repo: &str, number: u64) -> Result<Vec<Value>, ApiError> {
    let (repo, issue) = (call.world.repo(repo)?, call.world.find_issue(repo, number)?);
    Ok(call.world.labels_json(repo, issue))
}
