//! Expressions in a workflow's texts, evaluated with what is known before the job starts.

use cloud_code_model::expression::template::Template;
use cloud_code_model::expression::{Contexts, JobStatus};

/// Renders one text; an error names the text's place.
pub(super) fn text(text: &str, contexts: &Contexts, at: &str) -> Result<String, String> {
    Template::parse(text)
        .and_then(|template| template.render(contexts, &JobStatus::Success))
        .map_err(|error| format!("{at}: {error}"))
}
