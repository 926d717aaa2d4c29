//! `GET /repos/{owner}/{repo}/contents/{path}`: files in base64 or raw, directories as lists.

use serde_json::Value;

use super::{Answer, ApiError, Call, Reply};
use crate::git_store::{self, AtPath};
use crate::state::Access;

/// Over this size GitHub sends no content in the JSON form.
const MAX_INLINE: usize = 1024 * 1024;

pub(super) fn get(call: &mut Call<'_>, repo: &str, path: &str) -> Answer {
    let name = call.need(repo, &[("contents", Access::Read)])?;
    let found = call.world.repo(&name)?;
    let reference = call.query("ref").unwrap_or(&found.default_branch).to_owned();
    let missing = || ApiError::new(404, format!("No commit found for the ref {reference}"));
    let commit = match git_store::resolve(&found.dir, &reference) {
        Some(commit) => commit,
        None if call.query("ref").is_none() => return Err(ApiError::new(404, "This repository is empty.")),
        None => return Err(missing()),
    };
    match git_store::at_path(&found.dir, &commit, path)?.ok_or_else(ApiError::not_found)? {
        AtPath::File(_, content) if call.accept.contains("raw") => {
            Ok(Reply::text(200, "application/vnd.github.raw; charset=utf-8", content))
        }
        AtPath::File(entry, content) => {
            let shown = if content.len() > MAX_INLINE { &[][..] } else { &content };
            let mut body = call.world.content_json(found, &reference, &entry, Some(shown));
            if content.len() > MAX_INLINE {
                body["encoding"] = Value::String("none".into());
            }
            Ok(Reply::ok(&body))
        }
        AtPath::Directory(entries) => {
            let listed = entries.iter().map(|entry| call.world.content_json(found, &reference, entry, None));
            Ok(Reply::ok(&listed.collect()))
        }
    }
}
