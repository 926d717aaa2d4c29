//! Events, and whether a workflow's `on` takes one.

use super::pattern::matches;
use crate::workflow::definition::{EventDefinition, Workflow};
use serde_json::{Value, json};

/// Something that happened on the forge, or was asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// Its name: `issues`, `pull_request`, `workflow_dispatch`, ….
    pub name: String,
    /// Its activity type; empty where it has none.
    pub action: String,
    /// What the forge sent.
    pub payload: Value,
    /// The files that it changes; `None` where that is not known, and filters by path then take it.
    pub changed_files: Option<Vec<String>>,
}

impl Event {
    /// An event from the forge's payload.
    pub fn new(name: &str, payload: Value) -> Self {
        let action = payload["action"].as_str().unwrap_or_default().to_owned();
        let changed_files = if name == "push" { pushed_files(&payload) } else { None };
        Self { name: name.to_owned(), action, payload, changed_files }
    }

    /// Whether the workflow starts on it; the error says why not.
    ///
    /// # Errors
    /// The first reason why it does not.
    pub fn starts(&self, workflow: &Workflow) -> Result<(), String> {
        let Some(on) = workflow.on.get(&self.name) else {
            let names: Vec<_> = workflow.on.keys().map(String::as_str).collect();
            return Err(format!("it starts on {}, not on `{}`", list(&names), self.name));
        };
        self.fits_type(on)?;
        match self.name.as_str() {
            "push" => self.fits_push(on),
            "pull_request" | "pull_request_target" => {
                let base = self.payload["pull_request"]["base"]["ref"].as_str();
                fits_branch(on, base)?;
                self.fits_paths(on)
            }
            "merge_group" => {
                let base = self.payload["merge_group"]["base_ref"].as_str();
                fits_branch(on, base.map(|name| name.trim_start_matches("refs/heads/")))
            }
            "workflow_run" => {
                let name = self.payload["workflow_run"]["name"].as_str().unwrap_or_default();
                if on.workflows.as_ref().is_some_and(|names| !names.iter().any(|known| known == name)) {
                    return Err(format!("it follows other workflows than `{name}`"));
                }
                fits_branch(on, self.payload["workflow_run"]["head_branch"].as_str())
            }
            "schedule" => match self.payload["schedule"].as_str() {
                Some(cron) if !on.schedules.iter().any(|line| line.cron == cron) => {
                    Err(format!("it has no schedule `{cron}`"))
                }
                _ => self.fits_name(workflow),
            },
            "workflow_dispatch" => self.fits_name(workflow),
            _ => Ok(()),
        }
    }

    /// Whether the workflow looks at the files of a pull request, and what they are has still to be found out.
    pub fn asks_for_files(&self, workflow: &Workflow) -> bool {
        let pull = matches!(self.name.as_str(), "pull_request" | "pull_request_target");
        pull && self.changed_files.is_none()
            && workflow.filters_paths(&self.name)
            && self.starts(workflow).is_ok()
    }

    fn fits_name(&self, workflow: &Workflow) -> Result<(), String> {
        match self.payload["workflow"].as_str() {
            Some(wanted) if !workflow.is_called(wanted) => Err(format!("`{wanted}` is asked for")),
            _ => Ok(()),
        }
    }

    fn fits_type(&self, on: &EventDefinition) -> Result<(), String> {
        const PULL_REQUEST: [&str; 3] = ["opened", "synchronize", "reopened"];
        let default = matches!(self.name.as_str(), "pull_request" | "pull_request_target");
        let fits = match (on.types.is_empty(), default) {
            (true, false) => true,
            (true, true) => PULL_REQUEST.contains(&self.action.as_str()),
            (false, _) => on.types.contains(&self.action),
        };
        if fits {
            return Ok(());
        }
        let types: Vec<_> = match on.types.is_empty() {
            true => PULL_REQUEST.to_vec(),
            false => on.types.iter().map(String::as_str).collect(),
        };
        Err(format!("it starts on `{}` of the types {}, not `{}`", self.name, list(&types), self.action))
    }

    fn fits_push(&self, on: &EventDefinition) -> Result<(), String> {
        let reference = self.payload["ref"].as_str().unwrap_or_default();
        let by_branch = on.branches.is_some() || on.branches_ignore.is_some();
        let by_tag = on.tags.is_some() || on.tags_ignore.is_some();
        if let Some(tag) = reference.strip_prefix("refs/tags/") {
            let (taken, ignored) = (on.tags.as_deref(), on.tags_ignore.as_deref());
            if (by_branch && !by_tag) || !passes(taken, ignored, tag) {
                return Err(format!("its filters do not take the tag `{tag}`"));
            }
            // GitHub looks at no paths where a tag is pushed.
            return Ok(());
        }
        let branch = reference.trim_start_matches("refs/heads/");
        if by_tag && !by_branch {
            return Err(format!("it takes tags only, not the branch `{branch}`"));
        }
        fits_branch(on, Some(branch))?;
        self.fits_paths(on)
    }

    fn fits_paths(&self, on: &EventDefinition) -> Result<(), String> {
        let Some(files) = &self.changed_files else { return Ok(()) };
        let taken = on.paths.as_ref().is_none_or(|patterns| files.iter().any(|file| matches(patterns, file)));
        let ignored =
            on.paths_ignore.as_ref().is_some_and(|patterns| files.iter().all(|file| matches(patterns, file)));
        if taken && !ignored { Ok(()) } else { Err("its filters take none of the changed files".to_owned()) }
    }
}

fn fits_branch(on: &EventDefinition, branch: Option<&str>) -> Result<(), String> {
    let branch = branch.unwrap_or_default();
    match passes(on.branches.as_deref(), on.branches_ignore.as_deref(), branch) {
        true => Ok(()),
        false => Err(format!("its filters do not take the branch `{branch}`")),
    }
}

fn passes(taken: Option<&[String]>, ignored: Option<&[String]>, name: &str) -> bool {
    taken.is_none_or(|patterns| matches(patterns, name))
        && !ignored.is_some_and(|patterns| matches(patterns, name))
}

/// The files that a push's commits name; none where the payload lists no commit.
fn pushed_files(payload: &Value) -> Option<Vec<String>> {
    let commits = payload["commits"].as_array().filter(|commits| !commits.is_empty())?;
    let lists = commits.iter().flat_map(|commit| ["added", "modified", "removed"].map(|key| &commit[key]));
    let files = lists.flat_map(|list| list.as_array().into_iter().flatten());
    Some(files.filter_map(|file| file.as_str().map(str::to_owned)).collect())
}

fn list(names: &[&str]) -> String {
    format!("`{}`", names.join("`, `"))
}

/// The event's name by what its payload has, where nobody says it.
pub fn guess_event_name(payload: &Value) -> Option<&'static str> {
    let has = |key: &str| payload.get(key).is_some_and(|value| !value.is_null());
    let name = match () {
        () if has("issue") && has("comment") => "issue_comment",
        () if has("issue") => "issues",
        () if has("pull_request") && has("review") => "pull_request_review",
        () if has("pull_request") && has("comment") => "pull_request_review_comment",
        () if has("pull_request") => "pull_request",
        () if has("client_payload") => "repository_dispatch",
        () if has("schedule") => "schedule",
        () if has("commits") || has("head_commit") => "push",
        () if has("inputs") || has("workflow") => "workflow_dispatch",
        () if has("release") => "release",
        () => return None,
    };
    Some(name)
}

/// The context `github` of a run, but for what is only known later.
pub fn github(
    event: &Event,
    owner: &str,
    name: &str,
    default_branch: &str,
    actor: &str,
    workflow: &str,
) -> Value {
    let payload = &event.payload;
    let base = payload["pull_request"]["base"]["ref"].as_str();
    let head = payload["pull_request"]["head"]["ref"].as_str();
    let reference =
        payload["ref"].as_str().filter(|_| matches!(event.name.as_str(), "push" | "workflow_dispatch"));
    let full = match (reference, event.name.as_str()) {
        (Some(reference), _) if reference.starts_with("refs/") => reference.to_owned(),
        (Some(reference), _) => format!("refs/heads/{reference}"),
        (None, "pull_request") => format!("refs/pull/{}/merge", payload["pull_request"]["number"]),
        _ => format!("refs/heads/{default_branch}"),
    };
    let short =
        full.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/").trim_start_matches("refs/");
    json!({
        "event": payload,
        "event_name": event.name,
        "actor": actor,
        "triggering_actor": actor,
        "repository": format!("{owner}/{name}"),
        "repository_owner": owner,
        "ref": full,
        "ref_name": short,
        "ref_type": if full.starts_with("refs/tags/") { "tag" } else { "branch" },
        "base_ref": base.unwrap_or_default(),
        "head_ref": head.unwrap_or_default(),
        "workflow": workflow,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::workflow::read;

    fn check(on: &str, name: &str, payload: Value, expected: Result<(), &str>) {
        let text = format!("name: w\non: {on}\njobs: {{a: {{steps: [{{run: x}}]}}}}");
        let workflow = read(".cloud-code/w.yml", &text).unwrap();
        let found = Event::new(name, payload).starts(&workflow);
        match expected {
            Ok(()) => assert_eq!(found, Ok(()), "{on}"),
            Err(part) => {
                let why = found.unwrap_err();
                assert!(why.contains(part), "{on}: {why:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn events_and_types() {
        check("issues", "issues", json!({"action": "opened"}), Ok(()));
        check("issues", "push", json!({}), Err("starts on `issues`, not on `push`"));
        check(
            "{issues: {types: [labeled]}}",
            "issues",
            json!({"action": "opened"}),
            Err("types `labeled`, not `opened`"),
        );
        check("pull_request", "pull_request", json!({"action": "synchronize"}), Ok(()));
        check("pull_request", "pull_request", json!({"action": "closed"}), Err("not `closed`"));
        check("{pull_request: {types: [closed]}}", "pull_request", json!({"action": "closed"}), Ok(()));
        check(
            "{repository_dispatch: {types: [deploy]}}",
            "repository_dispatch",
            json!({"action": "other"}),
            Err("not `other`"),
        );
        check("{schedule: [{cron: '5 4 * * *'}]}", "schedule", json!({"schedule": "5 4 * * *"}), Ok(()));
        check(
            "{schedule: [{cron: '5 4 * * *'}]}",
            "schedule",
            json!({"schedule": "5 5 * * *"}),
            Err("no schedule"),
        );
        check("workflow_dispatch", "workflow_dispatch", json!({"workflow": "w.yml"}), Ok(()));
        check(
            "workflow_dispatch",
            "workflow_dispatch",
            json!({"workflow": "v.yml"}),
            Err("`v.yml` is asked for"),
        );
    }

    #[test]
    fn filters() {
        let push =
            |reference: &str, files: &[&str]| json!({"ref": reference, "commits": [{"modified": files}]});
        let to = |branch: &str| json!({"action": "opened", "pull_request": {"base": {"ref": branch}}});
        check("{push: {branches: [main]}}", "push", push("refs/heads/main", &[]), Ok(()));
        check("{push: {branches: [main]}}", "push", push("refs/heads/x", &[]), Err("branch `x`"));
        check("{push: {branches: [main]}}", "push", push("refs/tags/v1", &[]), Err("tag `v1`"));
        check("{push: {tags: ['v*']}}", "push", push("refs/tags/v1", &[]), Ok(()));
        check("{push: {tags: ['v*']}}", "push", push("refs/heads/main", &[]), Err("tags only"));
        check(
            "{push: {branches-ignore: ['x/**']}}",
            "push",
            push("refs/heads/x/y", &[]),
            Err("branch `x/y`"),
        );
        check("{push: {paths: ['src/**']}}", "push", push("refs/heads/main", &["src/a.rs"]), Ok(()));
        check(
            "{push: {paths: ['src/**']}}",
            "push",
            push("refs/heads/main", &["a.md"]),
            Err("changed files"),
        );
        check("{push: {paths: ['src/**']}}", "push", json!({"ref": "refs/heads/main"}), Ok(()));
        check(
            "{push: {paths-ignore: ['**.md']}}",
            "push",
            push("refs/heads/main", &["a.md"]),
            Err("changed files"),
        );
        check("{push: {paths-ignore: ['**.md']}}", "push", push("refs/heads/main", &["a.md", "b"]), Ok(()));
        check("{pull_request: {branches: ['release/*']}}", "pull_request", to("release/1"), Ok(()));
        check("{pull_request: {branches: ['release/*']}}", "pull_request", to("main"), Err("branch `main`"));
    }
}
