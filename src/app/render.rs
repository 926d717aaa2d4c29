//! Expressions in a workflow's texts, evaluated with what is known before the job starts.

use cloud_code_model::expression::template::Template;
use cloud_code_model::expression::{Contexts, JobStatus, Value};
use indexmap::IndexMap;

/// The contexts of a run.
pub(super) fn contexts(github: &serde_json::Value) -> Contexts {
    Contexts::new().with("github", Value::from(github))
}

/// Renders one text; an error names the text's place.
pub(super) fn text(text: &str, contexts: &Contexts, at: &str) -> Result<String, String> {
    Template::parse(text)
        .and_then(|template| template.render(contexts, &JobStatus::Success))
        .map_err(|error| format!("{at}: {error}"))
}

/// Renders all texts of a `with:`.
pub(super) fn inputs(
    with: &IndexMap<String, serde_json::Value>,
    contexts: &Contexts,
    at: &str,
) -> Result<IndexMap<String, serde_json::Value>, String> {
    with.iter()
        .map(|(key, value)| {
            let value = match value {
                serde_json::Value::String(raw) => text(raw, contexts, &format!("{at}.{key}"))?.into(),
                other => other.clone(),
            };
            Ok((key.clone(), value))
        })
        .collect()
}

/// Renders all texts of an `env:`.
pub(super) fn env(
    env: &IndexMap<String, String>,
    contexts: &Contexts,
    at: &str,
) -> Result<IndexMap<String, String>, String> {
    env.iter().map(|(key, value)| Ok((key.clone(), text(value, contexts, &format!("{at}.{key}"))?))).collect()
}
