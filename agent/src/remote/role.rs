//! The task role's credentials, as ECS hands them out.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html>

use std::collections::BTreeMap;

use serde::Deserialize;

use super::http;

/// Where ECS's agent answers in every task.
const HOST: &str = "http://169.254.170.2";

/// Credentials. `Debug` is left out on purpose.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Role {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    #[serde(default)]
    pub(super) token: Option<String>,
}

/// Where they are asked for.
pub(super) fn address(variables: &BTreeMap<String, String>) -> Option<String> {
    let relative = variables.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let relative = relative.filter(|path| path.starts_with('/')).map(|path| format!("{HOST}{path}"));
    relative.or_else(|| variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").cloned())
}

pub(super) async fn credentials(address: Option<&str>) -> Result<Role, String> {
    let address = address.ok_or("this task has no role: its task definition must name one (TaskRoleArn)")?;
    let bytes = http::patiently(|| Ok(http::get(address.to_owned(), Vec::new())))
        .await
        .map_err(|error| format!("fetching the task role's credentials: {error}"))?;
    // The text of a parser's error may repeat what it read.
    serde_json::from_slice(&bytes).map_err(|_| "the task role's credentials can't be read".to_owned())
}
