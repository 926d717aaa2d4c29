//! A local folder in the place of a forge: the issue is a text, the change ends as a branch of the folder's repository.
//! Comments, labels and check runs have nowhere to go and are dropped; the terminal shows the run instead.

use crate::ports::{
    CheckSpec, Comment, FailedDelivery, Forge, ForgeError, Issue, LabelChange, PullSpec, Remote,
    RemoteAccess, RepositoryInfo, WorkflowFile,
};
use async_trait::async_trait;
use cloud_code_model::ids::digest;
use cloud_code_model::policy::Permission;
use cloud_code_model::run::{PullRequest, Repository};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder and the one issue it has.
#[derive(Debug, Clone)]
pub struct FolderForge {
    folder: PathBuf,
    issue: Issue,
    default_branch: String,
}

/// Workflow files beyond this are not read.
const MAX_WORKFLOW: u64 = 256 * 1024;

impl FolderForge {
    /// A forge over the repository in `folder`, whose checked-out branch is what changes are made from.
    pub fn new(folder: &Path, default_branch: &str, issue: Issue) -> Self {
        Self { folder: folder.to_owned(), issue, default_branch: default_branch.to_owned() }
    }
}

#[async_trait]
impl Forge for FolderForge {
    fn own_login(&self) -> String {
        "cloud-code".to_owned()
    }

    async fn repository(&self, _: &Repository) -> Result<RepositoryInfo, ForgeError> {
        Ok(RepositoryInfo { default_branch: self.default_branch.clone(), read_only: false })
    }

    /// Whoever may start the program on the folder may change it.
    async fn permission(&self, _: &Repository, _: &str) -> Result<Permission, ForgeError> {
        Ok(Permission::Admin)
    }

    async fn issue(&self, _: &Repository, _: u64) -> Result<Issue, ForgeError> {
        Ok(self.issue.clone())
    }

    async fn comments(&self, _: &Repository, _: u64) -> Result<Vec<Comment>, ForgeError> {
        Ok(Vec::new())
    }

    async fn workflows(&self, _: &Repository) -> Result<Vec<WorkflowFile>, ForgeError> {
        let folder = self.folder.join(".cloud-code");
        let unreadable =
            |error: std::io::Error| ForgeError::Unavailable(format!("{}: {error}", folder.display()));
        let mut entries = match tokio::fs::read_dir(&folder).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut files = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = matches!(name.as_str(), "tasking.yaml" | "reporting.yaml");
            let meta = entry.metadata().await.map_err(unreadable)?;
            if ours || !meta.is_file() || !(name.ends_with(".yml") || name.ends_with(".yaml")) {
                continue;
            }
            if meta.len() > MAX_WORKFLOW {
                return Err(ForgeError::Invalid(format!(".cloud-code/{name} has {} bytes", meta.len())));
            }
            let text = tokio::fs::read_to_string(entry.path()).await.map_err(unreadable)?;
            files.push(WorkflowFile { path: format!(".cloud-code/{name}"), text });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    async fn changed_files(&self, _: &Repository, number: u64) -> Result<Vec<String>, ForgeError> {
        Err(ForgeError::NotFound(format!("a folder has no pull request {number}")))
    }

    async fn find(&self, owner: &str, name: &str) -> Result<Repository, ForgeError> {
        Err(ForgeError::NotFound(format!("{owner}/{name}: a folder has no name")))
    }

    /// There is nowhere to set any.
    async fn variables(
        &self,
        _: &Repository,
        _: Option<&str>,
    ) -> Result<BTreeMap<String, String>, ForgeError> {
        Ok(BTreeMap::new())
    }

    async fn file(&self, _: &Repository, path: &str) -> Result<Option<String>, ForgeError> {
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Ok(None);
        }
        let file = self.folder.join(path);
        let unreadable =
            |error: std::io::Error| ForgeError::Unavailable(format!("{}: {error}", file.display()));
        match tokio::fs::symlink_metadata(&file).await {
            Ok(meta) if !meta.is_file() => Ok(None),
            Ok(meta) if meta.len() > MAX_WORKFLOW => {
                Err(ForgeError::Invalid(format!("{path} has {} bytes", meta.len())))
            }
            Ok(_) => tokio::fs::read_to_string(&file).await.map(Some).map_err(unreadable),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    async fn remote(&self, _: &Repository, _: RemoteAccess) -> Result<Remote, ForgeError> {
        let url = self.folder.to_string_lossy().into_owned();
        Ok(Remote { key: format!("folder/local/{}", digest(&[&url])), url, token: None })
    }

    async fn put_comment(
        &self,
        _: &Repository,
        _: u64,
        _: &str,
        known: Option<u64>,
        _: &str,
    ) -> Result<u64, ForgeError> {
        Ok(known.unwrap_or(1))
    }

    async fn change_labels(&self, _: &Repository, _: u64, _: &LabelChange) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn open_pull(&self, _: &Repository, _: &str) -> Result<Option<PullRequest>, ForgeError> {
        Ok(None)
    }

    async fn put_pull(&self, _: &Repository, spec: &PullSpec) -> Result<PullRequest, ForgeError> {
        Ok(PullRequest { number: 0, url: self.folder.display().to_string(), draft: spec.draft })
    }

    async fn put_check(&self, _: &Repository, known: Option<u64>, _: &CheckSpec) -> Result<u64, ForgeError> {
        Ok(known.unwrap_or(1))
    }

    /// A folder calls nobody.
    fn remembers_deliveries(&self) -> bool {
        false
    }

    async fn failed_deliveries(&self, _: Timestamp) -> Result<Vec<FailedDelivery>, ForgeError> {
        Ok(Vec::new())
    }

    async fn redeliver(&self, call: u64) -> Result<(), ForgeError> {
        Err(ForgeError::NotFound(format!("a folder made no call {call}")))
    }

    async fn check(&self) -> Result<String, ForgeError> {
        Ok(format!("the folder {}", self.folder.display()))
    }
}
