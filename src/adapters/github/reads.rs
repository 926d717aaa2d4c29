//! Repositories, people's permissions, issues, and workflow files.

use super::GitHubForge;
use super::bodies::{ContentBody, GHOST, IssueBody, Label, PermissionBody, PullBody, RepositoryBody};
use super::remembered::Remembered;
use super::tokens::Grant;
use super::transport::{Call, encoded};
use crate::ports::{ForgeError, Issue, RepositoryInfo, WorkflowFile};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud_code_model::policy::Permission;
use cloud_code_model::run::Repository;
use futures::{StreamExt, TryStreamExt};

/// How long a permission is believed.
const MAX_PERMISSIONS: usize = 10_000;
/// Where workflow files lie, and what else lies there that is none.
const FOLDER: &str = ".cloud-code";
const NOT_WORKFLOWS: [&str; 4] = ["tasking.yaml", "tasking.yml", "reporting.yaml", "reporting.yml"];
const MAX_WORKFLOWS: usize = 50;
const MAX_WORKFLOW_BYTES: u64 = 256 * 1024;
/// Files that are read at the same time.
const AT_ONCE: usize = 8;

/// Installation, `owner/name` and login, both in lower case.
type Person = (u64, String, String);

/// Permissions by whose they are.
pub(super) type PermissionCache = Remembered<Person, Permission, MAX_PERMISSIONS>;

fn person(repository: &Repository, login: &str) -> Person {
    (repository.installation, repository.full_name().to_lowercase(), login.to_lowercase())
}

impl GitHubForge {
    pub(super) async fn read_repository(
        &self,
        repository: &Repository,
    ) -> Result<RepositoryInfo, ForgeError> {
        let call = Call::get(Self::path(repository, ""));
        let body: RepositoryBody =
            self.tokens.as_installation(repository, Grant::Read, &call).await?.read()?;
        Ok(RepositoryInfo { default_branch: body.default_branch, read_only: body.archived || body.disabled })
    }

    pub(super) async fn read_permission(
        &self,
        repository: &Repository,
        login: &str,
    ) -> Result<Permission, ForgeError> {
        let now = self.clock.now();
        let key = person(repository, login);
        if let Some(permission) = self.permissions.get(&key, now) {
            return Ok(permission);
        }
        let path = Self::path(repository, &format!("/collaborators/{}/permission", encoded(login)));
        let permission = match self.tokens.as_installation(repository, Grant::Read, &Call::get(path)).await {
            Ok(reply) => {
                let body: PermissionBody = reply.read()?;
                let role = body.role_name.as_deref().and_then(Permission::parse);
                role.max(Permission::parse(&body.permission)).unwrap_or(Permission::None)
            }
            Err(ForgeError::NotFound(_)) => Permission::None,
            Err(error) => return Err(error),
        };
        self.permissions.put(key, permission, now);
        Ok(permission)
    }

    pub(super) async fn read_issue(&self, repository: &Repository, number: u64) -> Result<Issue, ForgeError> {
        let call = Call::get(Self::path(repository, &format!("/issues/{number}")));
        let body: IssueBody = self.tokens.as_installation(repository, Grant::Read, &call).await?.read()?;
        if body.number != number {
            // GitHub redirects to the repository that an issue was transferred to.
            let name = repository.full_name();
            return Err(ForgeError::NotFound(format!("issue {number} of {name}: it was moved elsewhere")));
        }
        let pull: Option<PullBody> = if body.pull_request.is_some() {
            let call = Call::get(Self::path(repository, &format!("/pulls/{number}")));
            Some(self.tokens.as_installation(repository, Grant::Read, &call).await?.read()?)
        } else {
            None
        };
        let label = |label| match label {
            Label::Text(name) => Some(name),
            Label::Object { name } => name,
        };
        Ok(Issue {
            number,
            title: body.title,
            body: body.body.unwrap_or_default(),
            author: body.user.map_or_else(|| GHOST.to_owned(), |user| user.login),
            url: body.html_url,
            open: body.state == "open",
            is_pull: pull.is_some(),
            from_fork: pull.as_ref().is_some_and(PullBody::is_from_fork),
            branches: pull.map(|pull| (pull.head.branch, pull.base.branch)),
            labels: body.labels.into_iter().filter_map(label).collect(),
        })
    }

    pub(super) async fn read_workflows(
        &self,
        repository: &Repository,
    ) -> Result<Vec<WorkflowFile>, ForgeError> {
        let call = Call::get(Self::path(repository, &format!("/contents/{FOLDER}")));
        let listing: serde_json::Value =
            match self.tokens.as_installation(repository, Grant::Read, &call).await {
                Ok(reply) => reply.read()?,
                Err(ForgeError::NotFound(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
        // Where `.cloud-code` is a file, the answer is an object: no folder, no workflows.
        let entries: Vec<ContentBody> = if listing.is_array() {
            serde_json::from_value(listing).map_err(|_| {
                ForgeError::Unavailable(format!("{call}: the listing is not as GitHub documents it"))
            })?
        } else {
            Vec::new()
        };
        let mut files: Vec<ContentBody> = entries.into_iter().filter(is_workflow).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        if files.len() > MAX_WORKFLOWS {
            let (count, name) = (files.len(), repository.full_name());
            return Err(ForgeError::Invalid(format!(
                "{FOLDER}/ of {name} has {count} workflow files; at most {MAX_WORKFLOWS} are read: join or remove some"
            )));
        }
        // A vector first: a lazy iterator of borrowing futures is not `Send` enough for the port's boxed future.
        let reads: Vec<_> = files.iter().map(|file| self.read_workflow(repository, file)).collect();
        let texts: Vec<Option<WorkflowFile>> =
            futures::stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        Ok(texts.into_iter().flatten().collect())
    }

    pub(super) async fn read_file(
        &self,
        repository: &Repository,
        path: &str,
    ) -> Result<Option<String>, ForgeError> {
        // A way out of the repository is none into another part of the API.
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Ok(None);
        }
        let parts: Vec<String> = parts.into_iter().map(encoded).collect();
        Ok(self.read_content(repository, &parts.join("/")).await?.map(|file| file.text))
    }

    /// `None` where it has gone meanwhile, or is no regular file after all (a submodule is listed as one).
    async fn read_workflow(
        &self,
        repository: &Repository,
        file: &ContentBody,
    ) -> Result<Option<WorkflowFile>, ForgeError> {
        self.read_content(repository, &format!("{FOLDER}/{}", encoded(&file.name))).await
    }

    /// A file by its path, whose parts are encoded.
    async fn read_content(
        &self,
        repository: &Repository,
        path: &str,
    ) -> Result<Option<WorkflowFile>, ForgeError> {
        let call = Call::get(Self::path(repository, &format!("/contents/{path}")));
        let listing: serde_json::Value =
            match self.tokens.as_installation(repository, Grant::Read, &call).await {
                Ok(reply) => reply.read()?,
                Err(ForgeError::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
        // A folder is answered with a list.
        let body: ContentBody = match serde_json::from_value(listing) {
            Ok(body) => body,
            Err(_) => return Ok(None),
        };
        if body.size > MAX_WORKFLOW_BYTES {
            let (path, size) = (&body.path, body.size);
            return Err(ForgeError::Invalid(format!(
                "the workflow {path} has {size} bytes; at most {MAX_WORKFLOW_BYTES} are read: make it smaller"
            )));
        }
        let (Some(content), Some("base64"), "file") =
            (body.content, body.encoding.as_deref(), body.kind.as_str())
        else {
            return Ok(None);
        };
        let packed: String = content.split_ascii_whitespace().collect();
        let bytes = BASE64
            .decode(packed)
            .map_err(|_| ForgeError::Unavailable(format!("{call}: the content is no base64")))?;
        // Bytes that are no text are told by whoever reads the workflow, with their line.
        Ok(Some(WorkflowFile { path: body.path, text: String::from_utf8_lossy(&bytes).into_owned() }))
    }
}

fn is_workflow(entry: &ContentBody) -> bool {
    entry.kind == "file"
        && (entry.name.ends_with(".yml") || entry.name.ends_with(".yaml"))
        && !NOT_WORKFLOWS.contains(&entry.name.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use jiff::{SignedDuration, Timestamp};

    #[test]
    fn permissions_are_believed_for_a_minute_and_do_not_pile_up() {
        let cache = PermissionCache::default();
        let repository = Repository {
            owner: "Acme".into(),
            name: "Shop".into(),
            installation: 1,
            default_branch: "main".into(),
        };
        let start = Timestamp::from_second(1_000).unwrap();
        cache.put(person(&repository, "Ann"), Permission::Write, start);
        let lower = Repository { owner: "acme".into(), name: "shop".into(), ..repository.clone() };
        for (after, expected) in [(0, Some(Permission::Write)), (59, Some(Permission::Write)), (60, None)] {
            assert_eq!(
                cache.get(&person(&lower, "ann"), start + SignedDuration::from_secs(after)),
                expected,
                "{after}"
            );
        }
        assert_eq!(cache.get(&person(&repository, "bob"), start), None);
        for number in 0..2 * MAX_PERMISSIONS {
            cache.put(person(&repository, &number.to_string()), Permission::Read, start);
        }
        assert!(cache.len() <= MAX_PERMISSIONS);
    }

    #[test]
    fn which_files_are_workflows() {
        for (kind, name, expected) in [
            ("file", "fix.yml", true),
            ("file", "fix.yaml", true),
            ("file", "tasking.yaml", false),
            ("file", "reporting.yaml", false),
            ("file", "README.md", false),
            ("dir", "x.yml", false),
            ("symlink", "x.yml", false),
        ] {
            let entry =
                serde_json::json!({ "type": kind, "name": name, "path": format!(".cloud-code/{name}") });
            assert_eq!(is_workflow(&serde_json::from_value(entry).unwrap()), expected, "{kind} {name}");
        }
    }
}
