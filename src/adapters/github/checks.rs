//! Check runs on commits.

use super::GitHubForge;
use super::bodies::{CheckRun, CheckRuns, Numbered};
use super::tokens::Grant;
use super::transport::{Call, encoded};
use super::writes::cut;
use crate::ports::{CheckAnnotation, CheckSpec, ForgeError};
use cloud_code_model::run::Repository;
use http::Method;

/// GitHub's limit on a summary, in characters.
const MAX_SUMMARY: usize = 65_535;
/// Characters of an annotation; GitHub takes 64 KB.
const MAX_MESSAGE: usize = 16_000;
/// Pages of 100 in which ours is looked for: GitHub keeps at most 1,000 check runs of a suite.
const MAX_PAGES: u32 = 10;

impl GitHubForge {
    pub(super) async fn find_or_make_check(
        &self,
        repository: &Repository,
        known: Option<u64>,
        spec: &CheckSpec,
    ) -> Result<u64, ForgeError> {
        let title: String = spec.title.chars().take(255).collect();
        let mut body = serde_json::json!({
            "name": spec.name,
            "external_id": spec.external_id,
            "status": "completed",
            "conclusion": spec.conclusion,
            "completed_at": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "output": { "title": title, "summary": cut(&spec.summary, MAX_SUMMARY, "") },
        });
        if let Some(url) = &spec.details_url {
            body["details_url"] = url.as_str().into();
        }
        if let Some(id) = known {
            match self.complete_check(repository, id, &mut body, spec).await {
                // Its commit was thrown away with a force-push, or GitHub archived it: one is made again.
                Err(ForgeError::NotFound(_)) => {}
                done => return done,
            }
        }
        if let Some(id) = self.own_check(repository, spec).await? {
            return self.complete_check(repository, id, &mut body, spec).await;
        }
        body["output"]["annotations"] = annotations(&spec.annotations);
        body["head_sha"] = spec.sha.as_str().into();
        let call = Call::new(Method::POST, Self::path(repository, "/check-runs")).body(body)?;
        let made: Numbered = self.tokens.as_installation(repository, Grant::Checks, &call).await?.read()?;
        Ok(made.id)
    }

    /// Updates a check run. GitHub adds the annotations of each update to those that stand there: only what is missing is sent.
    async fn complete_check(
        &self,
        repository: &Repository,
        id: u64,
        body: &mut serde_json::Value,
        spec: &CheckSpec,
    ) -> Result<u64, ForgeError> {
        if !spec.annotations.is_empty() {
            let call = Call::get(Self::path(repository, &format!("/check-runs/{id}")));
            let run: CheckRun =
                self.tokens.as_installation(repository, Grant::Checks, &call).await?.read()?;
            let there = run.output.map_or(0, |output| output.annotations_count);
            let missing = spec.annotations.get(there..).unwrap_or_default();
            body["output"]["annotations"] = annotations(missing);
        }
        self.update_check(repository, id, body).await
    }

    async fn update_check(
        &self,
        repository: &Repository,
        id: u64,
        body: &serde_json::Value,
    ) -> Result<u64, ForgeError> {
        let call =
            Call::new(Method::PATCH, Self::path(repository, &format!("/check-runs/{id}"))).body(body)?;
        self.tokens.as_installation(repository, Grant::Checks, &call).await?;
        Ok(id)
    }

    async fn own_check(&self, repository: &Repository, spec: &CheckSpec) -> Result<Option<u64>, ForgeError> {
        let path = Self::path(repository, &format!("/commits/{}/check-runs", encoded(&spec.sha)));
        let mut page = 1;
        while page <= MAX_PAGES {
            // `latest`, the default, would hide ours behind a later one of the same name.
            let call = Call::get(path.clone())
                .query("app_id", &self.app_id.to_string())
                .query("filter", "all")
                .query("per_page", "100")
                .query("page", &page.to_string());
            let reply = self.tokens.as_installation(repository, Grant::Checks, &call).await?;
            let runs: CheckRuns = reply.read()?;
            let own = runs.check_runs.iter().find(|run| {
                run.external_id.as_deref() == Some(&spec.external_id)
                    && run.app.as_ref().is_some_and(|app| app.id == self.app_id)
            });
            if let Some(run) = own {
                return Ok(Some(run.id));
            }
            match reply.page("next") {
                Some(next) if next > page => page = next,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

fn annotations(annotations: &[CheckAnnotation]) -> serde_json::Value {
    let annotation = |annotation: &CheckAnnotation| {
        let mut body = serde_json::json!({
            "path": annotation.path,
            "start_line": annotation.first_line,
            "end_line": annotation.last_line,
            "annotation_level": annotation.level,
            "message": cut(&annotation.message, MAX_MESSAGE, ""),
        });
        if let Some((first, last)) = annotation.columns {
            body["start_column"] = first.into();
            body["end_column"] = last.into();
        }
        if let Some(title) = &annotation.title {
            body["title"] = title.chars().take(255).collect::<String>().into();
        }
        body
    };
    annotations.iter().map(annotation).collect()
}
