//! The context `vars`: what people have set on the forge for an organisation, a repository, an environment. Asked for only where a workflow
//! looks at it.

use super::{App, AppError};
use crate::ports::ForgeError;
use cloud_code_model::run::{Job, Repository, Run};
use cloud_code_model::workflow::Plan;
use serde_json::Value;

/// The variables of a repository and its owner for the jobs of a plan, and why there are none where they can't be had; `null` where the plan does
/// not look at any.
///
/// # Errors
/// When the forge does not answer.
pub(super) async fn of_repository(
    app: &App,
    repository: &Repository,
    plan: &Plan,
) -> Result<(Value, Option<String>), AppError> {
    let text = serde_json::to_string(plan).map_err(|error| AppError::Bug(format!("a plan: {error}")))?;
    if !text.to_ascii_lowercase().contains("vars") {
        return Ok((Value::Null, None));
    }
    match app.forge.variables(repository, None).await {
        Ok(variables) => Ok((object(variables), None)),
        Err(error) if error.is_final() => {
            tracing::warn!(repository = %repository.full_name(), %error, "the variables can't be read");
            let reason = format!("`vars` is empty, since the variables can't be read: {error}");
            Ok((object([]), Some(reason)))
        }
        Err(error) => Err(error.into()),
    }
}

/// The variables for the steps of a job: those of its environment, which it has passed, before those of the repository.
///
/// # Errors
/// When the forge does not answer.
pub(super) async fn of_job(app: &App, run: &Run, job: &Job) -> Result<Value, ForgeError> {
    let mut vars = run.vars.clone();
    let (Some(known), Some(gate)) = (vars.as_object_mut(), &job.gate) else { return Ok(vars) };
    match app.forge.variables(&run.repository, Some(&gate.environment)).await {
        Ok(variables) => {
            for (name, value) in variables {
                known.retain(|other, _| !other.eq_ignore_ascii_case(&name));
                known.insert(name, value.into());
            }
        }
        Err(error) if error.is_final() => {
            tracing::warn!(run = %run.id, environment = gate.environment, %error, "an environment's variables can't be read");
        }
        Err(error) => return Err(error),
    }
    Ok(vars)
}

fn object(variables: impl IntoIterator<Item = (String, String)>) -> Value {
    Value::Object(variables.into_iter().map(|(name, value)| (name, value.into())).collect())
}
