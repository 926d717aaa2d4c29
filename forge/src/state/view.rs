//! Looking at the world: what tests and the demo read.

use super::{CheckRun, Comment, Delivery, Issue, Repo, World};
use crate::error::Result;
use crate::git_store::{self, AtPath};
use crate::record::ApiRequest;

/// A pull request with both of its halves in one.
#[derive(Debug, Clone)]
pub struct PullView {
    /// The number in the repository.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Who opened it.
    pub author: String,
    /// Open, or closed.
    pub open: bool,
    /// Not ready for review.
    pub draft: bool,
    /// Whether it was merged.
    pub merged: bool,
    /// `owner/name` the change comes from.
    pub head_repo: String,
    /// The branch the change is on.
    pub head_branch: String,
    /// Its last commit.
    pub head_sha: String,
    /// The branch it should go to.
    pub base_branch: String,
    /// Names of its labels.
    pub labels: Vec<String>,
}

impl World {
    /// An issue (or the issue half of a pull request).
    ///
    /// # Errors
    /// Where there is none.
    pub fn issue(&self, repo: &str, number: u64) -> Result<Issue> {
        self.find_issue(repo, number).cloned()
    }

    /// The issues and pull requests of a repository, by number.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn issues(&self, repo: &str) -> Result<Vec<Issue>> {
        Ok(self.repo(repo)?.issues.values().cloned().collect())
    }

    /// The comments of an issue, oldest first.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn comments(&self, repo: &str, number: u64) -> Result<Vec<Comment>> {
        Ok(self.repo(repo)?.comments_of(number))
    }

    /// Names of the labels on an issue.
    ///
    /// # Errors
    /// Where there is none.
    pub fn labels(&self, repo: &str, number: u64) -> Result<Vec<String>> {
        Ok(self.find_issue(repo, number)?.labels.clone())
    }

    /// The pull requests of a repository, open and closed, by number.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn pulls(&self, repo: &str) -> Result<Vec<PullView>> {
        let issues = self.repo(repo)?.issues.values();
        Ok(issues
            .filter_map(|issue| {
                let pull = issue.pull.as_ref()?;
                Some(PullView {
                    number: issue.number,
                    title: issue.title.clone(),
                    body: issue.body.clone().unwrap_or_default(),
                    author: issue.author.clone(),
                    open: issue.open,
                    draft: pull.draft,
                    merged: pull.merged_at.is_some(),
                    head_repo: pull.head_repo.clone(),
                    head_branch: pull.head_branch.clone(),
                    head_sha: pull.head_sha.clone(),
                    base_branch: pull.base_branch.clone(),
                    labels: issue.labels.clone(),
                })
            })
            .collect())
    }

    /// The unified diff of a pull request.
    ///
    /// # Errors
    /// Where there is none, or git cannot read it.
    pub fn pull_diff(&self, repo: &str, number: u64) -> Result<String> {
        let from = self.pull_fork_point(repo, number)?;
        let (_, pull) = self.find_pull(repo, number)?;
        Ok(git_store::diff_text(&self.repo(repo)?.dir, from.as_deref(), &pull.head_sha)?)
    }

    /// Names of the branches, sorted.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn branches(&self, repo: &str) -> Result<Vec<String>> {
        Ok(git_store::branches(&self.repo(repo)?.dir)?)
    }

    /// The commit a branch points at; None where there is no such branch.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn branch_tip(&self, repo: &str, branch: &str) -> Result<Option<String>> {
        Ok(git_store::branch_tip(&self.repo(repo)?.dir, branch))
    }

    /// The check runs of a commit, oldest first.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn check_runs(&self, repo: &str, sha: &str) -> Result<Vec<CheckRun>> {
        let runs = self.repo(repo)?.checks.values();
        Ok(runs.filter(|run| run.head_sha == sha).cloned().collect())
    }

    /// A file on a branch; None where it is not there.
    ///
    /// # Errors
    /// Where there is no such repository, or git cannot read it.
    pub fn read_file(&self, repo: &str, branch: &str, path: &str) -> Result<Option<Vec<u8>>> {
        let repo = self.repo(repo)?;
        let Some(tip) = git_store::branch_tip(&repo.dir, branch) else { return Ok(None) };
        Ok(match git_store::at_path(&repo.dir, &tip, path)? {
            Some(AtPath::File(_, content)) => Some(content),
            _ => None,
        })
    }

    /// A repository as the forge keeps it.
    ///
    /// # Errors
    /// Where there is none.
    pub fn repository(&self, repo: &str) -> Result<Repo> {
        self.repo(repo).cloned()
    }

    /// Every webhook delivery, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Every request so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> &[ApiRequest] {
        &self.requests
    }
}
