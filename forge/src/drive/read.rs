//! Reading the forge: each is a look at the world at one moment.

use crate::Forge;
use crate::error::Result;
use crate::record::ApiRequest;
use crate::state::{CheckRun, Comment, Issue, PullView, World};

/// Reading.
impl Forge {
    /// Looks at the whole world at one moment.
    pub fn look<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        self.inner.look(look)
    }

    /// An issue.
    ///
    /// # Errors
    /// Where there is none.
    pub fn issue(&self, repo: &str, number: u64) -> Result<Issue> {
        self.look(|world| world.issue(repo, number))
    }

    /// The comments of an issue, oldest first.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn comments(&self, repo: &str, number: u64) -> Result<Vec<Comment>> {
        self.look(|world| world.comments(repo, number))
    }

    /// Names of an issue's labels.
    ///
    /// # Errors
    /// Where there is no such issue.
    pub fn labels(&self, repo: &str, number: u64) -> Result<Vec<String>> {
        self.look(|world| world.labels(repo, number))
    }

    /// The pull requests of a repository.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn pulls(&self, repo: &str) -> Result<Vec<PullView>> {
        self.look(|world| world.pulls(repo))
    }

    /// The unified diff of a pull request.
    ///
    /// # Errors
    /// Where there is none.
    pub fn pull_diff(&self, repo: &str, number: u64) -> Result<String> {
        self.look(|world| world.pull_diff(repo, number))
    }

    /// Names of the branches.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn branches(&self, repo: &str) -> Result<Vec<String>> {
        self.look(|world| world.branches(repo))
    }

    /// The commit a branch points at.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn branch_tip(&self, repo: &str, branch: &str) -> Result<Option<String>> {
        self.look(|world| world.branch_tip(repo, branch))
    }

    /// The check runs of a commit.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn check_runs(&self, repo: &str, sha: &str) -> Result<Vec<CheckRun>> {
        self.look(|world| world.check_runs(repo, sha))
    }

    /// A file on a branch; None where it is not there.
    ///
    /// # Errors
    /// Where there is no such repository.
    pub fn read_file(&self, repo: &str, branch: &str, path: &str) -> Result<Option<Vec<u8>>> {
        self.look(|world| world.read_file(repo, branch, path))
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.look(|world| world.requests().to_vec())
    }

    /// The secrets of all tokens minted so far, so that a test can look for them where they must not be.
    #[must_use]
    pub fn token_secrets(&self) -> Vec<String> {
        self.look(|world| world.tokens.keys().cloned().collect())
    }
}
