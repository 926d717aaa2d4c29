//! Check runs: only the app makes them, on commits that exist, within GitHub's limits.

use serde_json::Value;

use super::{Answer, ApiError, Call, Reply};
use crate::git_store;
use crate::state::{Access, CheckRun};

/// GitHub's limit on summary and on text, each.
const MAX_OUTPUT: usize = 65_535;
/// GitHub's limit on annotations in one request.
const MAX_ANNOTATIONS: usize = 50;
const STATUSES: [&str; 6] = ["queued", "in_progress", "completed", "waiting", "requested", "pending"];
const CONCLUSIONS: [&str; 7] =
    ["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];
const READ: &[(&str, Access)] = &[("checks", Access::Read)];
const WRITE: &[(&str, Access)] = &[("checks", Access::Write)];

/// `path` begins with `check-runs`, or is `commits/REF/check-runs`.
pub(super) fn route(call: &mut Call<'_>, method: &str, repo: &str, path: &[&str]) -> Answer {
    match (method, path) {
        ("POST", ["check-runs"]) => create(call, repo),
        ("GET" | "PATCH", ["check-runs", id, rest @ ..]) => {
            let name = call.need(repo, if method == "GET" { READ } else { WRITE })?;
            let id: u64 = id.parse().map_err(|_| ApiError::not_found())?;
            let run = call.world.repo(&name)?.checks.get(&id).cloned().ok_or_else(ApiError::not_found)?;
            match (method, rest) {
                ("GET", []) => Ok(Reply::ok(&call.world.check_json(&name, id)?)),
                ("GET", ["annotations"]) => Ok(call.page(run.annotations)),
                ("PATCH", []) => {
                    let run = apply(call, run)?;
                    store(call, &name, run, false).map(|body| Reply::ok(&body))
                }
                _ => Err(ApiError::not_found()),
            }
        }
        ("GET", ["commits", reference, "check-runs"]) => {
            let name = call.need(repo, READ)?;
            let found = call.world.repo(&name)?;
            let missing = || ApiError::new(422, format!("No commit found for SHA: {reference}"));
            let sha = git_store::resolve(&found.dir, reference).ok_or_else(missing)?;
            let fits = |field: &str, have: &str| call.query(field).is_none_or(|wanted| wanted == have);
            // Without `filter=all`, only the newest run of each name.
            let all = call.query("filter") == Some("all");
            let (mut listed, mut names) = (Vec::new(), std::collections::BTreeSet::new());
            for run in found.checks.values().rev() {
                if run.head_sha == sha
                    && (names.insert(run.name.clone()) || all)
                    && fits("check_name", &run.name)
                    && fits("status", &run.status)
                {
                    listed.push(call.world.check_json(&name, run.id)?);
                }
            }
            Ok(call.counted_page("check_runs", listed))
        }
        _ => Err(ApiError::not_found()),
    }
}

fn create(call: &mut Call<'_>, repo: &str) -> Answer {
    let name = call.need(repo, WRITE)?;
    let (check, sha) = (call.required("name")?, call.required("head_sha")?);
    let found = call.world.repo(&name)?;
    if !git_store::has_commit(&found.dir, &sha) {
        return Err(ApiError::new(422, format!("No commit found for SHA: {sha}")));
    }
    let suite = found.checks.values().find(|run| run.head_sha == sha).map(|run| run.suite);
    let suite = suite.unwrap_or_else(|| call.world.fresh_id());
    let run = CheckRun {
        id: call.world.fresh_id(),
        suite,
        name: check,
        head_sha: sha,
        status: "queued".into(),
        conclusion: None,
        external_id: String::new(),
        details_url: None,
        started_at: Some(call.world.now()),
        completed_at: None,
        title: None,
        summary: None,
        text: None,
        annotations: Vec::new(),
    };
    let run = apply(call, run)?;
    store(call, &name, run, true).map(|body| Reply::json(201, &body))
}

fn store(call: &mut Call<'_>, repo: &str, run: CheckRun, is_new: bool) -> Result<Value, ApiError> {
    let (id, actor) = (run.id, call.actor());
    call.world.put_check(repo, &actor, run, is_new)?;
    Ok(call.world.check_json(repo, id)?)
}

/// The run with the body's fields put on it.
fn apply(call: &Call<'_>, mut run: CheckRun) -> Result<CheckRun, ApiError> {
    let chosen = |field: &str, allowed: &[&str]| -> Result<Option<String>, ApiError> {
        let value = call.text(field)?;
        match &value {
            Some(word) if !allowed.contains(&word.as_str()) => Err(ApiError::schema(format!(
                "For 'properties/{field}', {word} is not a member of {allowed:?}."
            ))),
            _ => Ok(value),
        }
    };
    let time = |field: &str| -> Result<Option<jiff::Timestamp>, ApiError> {
        let wrong = |text: &str| {
            ApiError::schema(format!("For 'properties/{field}', {text} is not a valid date-time."))
        };
        call.text(field)?.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
    };
    if let Some(name) = call.text("name")? {
        run.name = name;
    }
    if let Some(status) = chosen("status", &STATUSES)? {
        run.status = status;
    }
    run.external_id = call.text("external_id")?.unwrap_or(run.external_id);
    run.details_url = call.text("details_url")?.or(run.details_url);
    run.started_at = time("started_at")?.or(run.started_at);
    if let Some(conclusion) = chosen("conclusion", &CONCLUSIONS)? {
        // GitHub: providing a conclusion sets the status to completed.
        run.conclusion = Some(conclusion);
        run.status = "completed".into();
    } else if run.status == "completed" && run.conclusion.is_none() {
        return Err(ApiError::schema("\"conclusion\" wasn't supplied."));
    } else if run.status != "completed" {
        run.conclusion = None;
    }
    run.completed_at = match run.status.as_str() {
        "completed" => time("completed_at")?.or(run.completed_at).or(Some(call.world.now())),
        _ => None,
    };
    if let Some(output) = call.body.get("output").filter(|output| !output.is_null()) {
        apply_output(&mut run, output)?;
    }
    Ok(run)
}

fn apply_output(run: &mut CheckRun, output: &Value) -> Result<(), ApiError> {
    let text = |field: &str| -> Result<Option<String>, ApiError> {
        let value = output.get(field).and_then(Value::as_str).map(str::to_owned);
        let length = value.as_ref().map_or(0, |value| value.chars().count());
        if length > MAX_OUTPUT {
            let message = format!("Only {MAX_OUTPUT} characters are allowed; {length} were supplied.");
            return Err(ApiError::schema(message));
        }
        Ok(value)
    };
    let Some(summary) = text("summary")? else {
        return Err(ApiError::schema("\"summary\" wasn't supplied."));
    };
    run.title = text("title")?.or(run.title.take());
    if run.title.is_none() {
        return Err(ApiError::schema("\"title\" wasn't supplied."));
    }
    run.summary = Some(summary);
    run.text = text("text")?;
    let more = output.get("annotations").and_then(Value::as_array).cloned().unwrap_or_default();
    if more.len() > MAX_ANNOTATIONS {
        let message =
            format!("No more than {MAX_ANNOTATIONS} items are allowed; {} were supplied.", more.len());
        return Err(ApiError::schema(message));
    }
    for mut annotation in more {
        let required = ["path", "start_line", "end_line", "annotation_level", "message"];
        if let Some(missing) = required.iter().find(|field| annotation.get(**field).is_none()) {
            return Err(ApiError::schema(format!("\"{missing}\" wasn't supplied.")));
        }
        // As they are listed, with every field.
        for field in ["start_column", "end_column", "title", "raw_details"] {
            if annotation.get(field).is_none() {
                annotation[field] = Value::Null;
            }
        }
        annotation["blob_href"] = Value::String(String::new());
        run.annotations.push(annotation);
    }
    Ok(())
}
