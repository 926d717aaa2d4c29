//! Variables of Actions, as people set them.

use serde_json::{Value, json};

use super::{Answer, ApiError, Call};
use crate::clock::rfc3339;
use crate::state::{Access, VariableScope};

/// `path` is what follows the repository.
pub(super) fn route(call: &mut Call<'_>, repo: &str, path: &[&str]) -> Answer {
    let (scope, permission) = match path {
        ["actions", "organization-variables"] => (VariableScope::Organization, "actions_variables"),
        ["actions", "variables"] => (VariableScope::Repository, "actions_variables"),
        ["environments", name, "variables"] => {
            (VariableScope::Environment((*name).to_owned()), "environments")
        }
        _ => return Err(ApiError::not_found()),
    };
    let name = call.need(repo, &[(permission, Access::Read)])?;
    let found = call.world.repo(&name)?;
    let variables = found.variables.iter().filter(|((known, _), _)| *known == scope);
    let at = rfc3339(found.created_at);
    let listed: Vec<Value> = variables
        .map(|((scope, name), value)| {
            let mut body = json!({ "name": name, "value": value, "created_at": at, "updated_at": at });
            if *scope == VariableScope::Organization {
                body["visibility"] = "all".into();
            }
            body
        })
        .collect();
    if listed.is_empty() && matches!(scope, VariableScope::Environment(_)) {
        return Err(ApiError::not_found());
    }
    Ok(call.counted_page("variables", listed))
}
