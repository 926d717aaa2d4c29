//! What a pull request changes, and where a repository is that only its name is known of.

use super::GitHubForge;
use super::bodies::{FileBody, Numbered, RepositoryBody};
use super::tokens::Grant;
use super::transport::{Call, encoded};
use crate::ports::ForgeError;
use cloud_code_model::run::Repository;

/// GitHub's filters look at the first 300 files of a diff. Source: "Workflow syntax", `paths`.
const PAGES: u32 = 3;

impl GitHubForge {
    pub(super) async fn read_changed_files(
        &self,
        repository: &Repository,
        number: u64,
    ) -> Result<Vec<String>, ForgeError> {
        let path = Self::path(repository, &format!("/pulls/{number}/files"));
        let mut names = Vec::new();
        for page in 1..=PAGES {
            let call = Call::get(path.clone()).query("per_page", "100").query("page", &page.to_string());
            let reply = self.tokens.as_installation(repository, Grant::Read, &call).await?;
            let files: Vec<FileBody> = reply.read()?;
            names.extend(
                files.into_iter().flat_map(|file| [Some(file.filename), file.previous_filename]).flatten(),
            );
            if reply.page("next").is_none() {
                break;
            }
        }
        Ok(names)
    }

    pub(super) async fn find_repository(&self, owner: &str, name: &str) -> Result<Repository, ForgeError> {
        let call = Call::get(format!("/repos/{}/{}/installation", encoded(owner), encoded(name)));
        let installation: Numbered = match self.tokens.as_app(&call).await {
            Ok(reply) => reply.read()?,
            Err(ForgeError::NotFound(_)) => {
                let slug = &self.slug;
                return Err(ForgeError::NotFound(format!(
                    "there is no repository {owner}/{name}, or the App {slug} is not installed there"
                )));
            }
            Err(error) => return Err(error),
        };
        let mut repository = Repository {
            owner: owner.to_owned(),
            name: name.to_owned(),
            installation: installation.id,
            default_branch: String::new(),
        };
        let call = Call::get(Self::path(&repository, ""));
        let body: RepositoryBody =
            self.tokens.as_installation(&repository, Grant::Read, &call).await?.read()?;
        repository.default_branch = body.default_branch;
        // As it is written there: runs are found by it.
        if let Some((owner, name)) = body.full_name.as_deref().and_then(|full| full.split_once('/')) {
            repository.owner = owner.to_owned();
            repository.name = name.to_owned();
        }
        Ok(repository)
    }
}
