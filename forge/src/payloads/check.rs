//! Check runs and their annotations.

use serde_json::{Value, json};

use super::{node_id, time_or_null};
use crate::error::{ForgeError, Result};
use crate::state::{Repo, World};

impl World {
    /// A `check-run`.
    pub(crate) fn check_json(&self, repo: &str, id: u64) -> Result<Value> {
        let repo = self.repo(repo)?;
        let run = repo.checks.get(&id).ok_or_else(|| ForgeError::NotFound(format!("check run {id}")))?;
        let api = format!("{}/check-runs/{id}", self.repo_api(repo));
        let html = format!("{}/runs/{id}", self.repo_html(repo));
        let pulls: Vec<_> = repo
            .issues
            .values()
            .filter(|issue| issue.open)
            .filter_map(|issue| Some((issue, issue.pull.as_ref()?)))
            .filter(|(_, pull)| pull.head_sha == run.head_sha && pull.head_repo == repo.full_name())
            .map(|(issue, pull)| {
                json!({
                    "id": issue.id,
                    "number": issue.number,
                    "url": format!("{}/pulls/{}", self.repo_api(repo), issue.number),
                    "head": self.minimal_side(repo, &pull.head_branch, &pull.head_sha),
                    "base": self.minimal_side(repo, &pull.base_branch, &pull.base_sha),
                })
            })
            .collect();
        Ok(json!({
            "id": id,
            "name": run.name,
            "node_id": node_id("CheckRun", id),
            "head_sha": run.head_sha,
            "external_id": run.external_id,
            "url": api,
            "html_url": html,
            "details_url": run.details_url.as_ref().unwrap_or(&html),
            "status": run.status,
            "conclusion": run.conclusion,
            "started_at": time_or_null(run.started_at),
            "completed_at": time_or_null(run.completed_at),
            "output": {
                "title": run.title,
                "summary": run.summary,
                "text": run.text,
                "annotations_count": run.annotations.len(),
                "annotations_url": format!("{api}/annotations"),
            },
            "check_suite": { "id": run.suite },
            "app": self.app_json(),
            "pull_requests": pulls,
        }))
    }

    fn minimal_side(&self, repo: &Repo, branch: &str, sha: &str) -> Value {
        let repository = json!({ "id": repo.id, "url": self.repo_api(repo), "name": repo.name });
        json!({ "ref": branch, "sha": sha, "repo": repository })
    }
}
