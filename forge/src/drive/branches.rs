//! Branches and pull requests, as people make and merge them.

use crate::error::{ForgeError, Result};
use crate::state::{Actor, NewPull, PullRefusal, PushedRef, World};
use crate::{Forge, git_store};

/// Branches and pull requests.
impl Forge {
    /// Commits a file to a branch as the owner does; a branch that is missing starts at the default branch. Returns the
    /// commit's id.
    ///
    /// # Errors
    /// Where there is no such repository, or git cannot write.
    pub fn commit_file(&self, repo: &str, branch: &str, path: &str, content: &str) -> Result<String> {
        self.move_branch(repo, branch, |world, actor| {
            let found = world.repo(repo)?;
            if git_store::branch_tip(&found.dir, branch).is_none()
                && let Some(tip) = git_store::branch_tip(&found.dir, &found.default_branch)
            {
                git_store::set_branch(&found.dir, branch, &tip)?;
            }
            let files = [(path, Some(content.as_bytes()))];
            let message = format!("Change {path}");
            git_store::commit_files(&found.dir, branch, &files, &message, &actor.signature()?)?;
            Ok(false)
        })
    }

    /// Replaces a branch's history by one commit with these files. Returns its id.
    ///
    /// # Errors
    /// Where there is no such repository, or git cannot write.
    pub fn force_push(&self, repo: &str, branch: &str, files: &[(&str, &str)]) -> Result<String> {
        self.move_branch(repo, branch, |world, actor| {
            let files: Vec<_> = files.iter().map(|(path, text)| (*path, Some(text.as_bytes()))).collect();
            let dir = &world.repo(repo)?.dir;
            git_store::rewrite_branch(dir, branch, &files, "Begin anew", &actor.signature()?)?;
            Ok(true)
        })
    }

    /// Lets `change` move a branch (it says whether by force), and does what follows from a push by the owner.
    fn move_branch(
        &self,
        repo: &str,
        branch: &str,
        change: impl FnOnce(&mut World, &Actor) -> Result<bool>,
    ) -> Result<String> {
        self.inner.change(|world| {
            let (actor, dir) = {
                let found = world.repo(repo)?;
                (Actor::person(&found.owner), found.dir.clone())
            };
            let old = git_store::branch_tip(&dir, branch);
            let forced = change(world, &actor)?;
            let new = git_store::branch_tip(&dir, branch);
            let sha =
                new.clone().ok_or_else(|| ForgeError::NotFound(format!("branch {branch} in {repo}")))?;
            let moved = PushedRef { name: format!("refs/heads/{branch}"), old, new, forced };
            world.after_push(repo, &actor, &[moved])?;
            Ok(sha)
        })
    }

    /// Renames the default branch; open pull requests to it follow, as on GitHub.
    ///
    /// # Errors
    /// Where there is no such repository, or git cannot write.
    pub fn rename_default_branch(&self, repo: &str, to: &str) -> Result<()> {
        self.inner.change(|world| {
            let found = world.repo_mut(repo)?;
            let from = std::mem::replace(&mut found.default_branch, to.to_owned());
            for issue in found.issues.values_mut().filter(|issue| issue.open) {
                if let Some(pull) = issue.pull.as_mut().filter(|pull| pull.base_branch == from) {
                    to.clone_into(&mut pull.base_branch);
                }
            }
            let dir = found.dir.clone();
            if let Some(tip) = git_store::branch_tip(&dir, &from) {
                git_store::set_branch(&dir, to, &tip)?;
                git_store::set_head(&dir, to)?;
                git_store::set_reference(&dir, &format!("refs/heads/{from}"), None)?;
            }
            Ok(())
        })
    }

    /// Deletes a branch; open pull requests from it are closed, as on GitHub.
    ///
    /// # Errors
    /// Where there is no such branch.
    pub fn delete_branch(&self, repo: &str, branch: &str) -> Result<()> {
        self.inner.change(|world| {
            let found = world.repo(repo)?;
            let (actor, dir) = (Actor::person(&found.owner), found.dir.clone());
            let missing = || ForgeError::NotFound(format!("branch {branch} in {repo}"));
            let old = git_store::branch_tip(&dir, branch).ok_or_else(missing)?;
            let name = format!("refs/heads/{branch}");
            git_store::set_reference(&dir, &name, None)?;
            world.after_push(repo, &actor, &[PushedRef { name, old: Some(old), new: None, forced: false }])
        })
    }

    /// Opens a pull request from a branch of the same repository; returns its number.
    ///
    /// # Errors
    /// Where GitHub would refuse it.
    pub fn open_pull(&self, repo: &str, author: &str, title: &str, body: &str, head: &str) -> Result<u64> {
        self.act(author, |world, actor| {
            let base_branch = world.repo(repo)?.default_branch.clone();
            pull(world, actor, repo, repo, title, body, head, base_branch)
        })
    }

    /// A stranger forks the repository, commits a file on a branch there, and opens a pull request; returns its number.
    ///
    /// # Errors
    /// Where there is no such repository, or git cannot write.
    pub fn fork_pull(
        &self,
        repo: &str,
        author: &str,
        title: &str,
        body: &str,
        path: &str,
        content: &str,
    ) -> Result<u64> {
        self.act(author, |world, actor| {
            let origin = world.repo(repo)?.clone();
            let fork = format!("{author}/{}", origin.name);
            let branch = "patch-1";
            if world.repo(&fork).is_err() {
                world.create_repo(&fork, &[], &origin.default_branch, origin.private)?;
                let found = world.repo_mut(&fork)?;
                found.fork_of = Some(origin.full_name());
            }
            let dir = world.repo(&fork)?.dir.clone();
            let default = &origin.default_branch;
            git_store::fetch_branch(&dir, &origin.dir, default, &format!("refs/heads/{default}"))?;
            if let Some(tip) = git_store::branch_tip(&dir, default) {
                git_store::set_branch(&dir, branch, &tip)?;
            }
            let files = [(path, Some(content.as_bytes()))];
            git_store::commit_files(&dir, branch, &files, title, &actor.signature()?)?;
            pull(world, actor, repo, &fork, title, body, branch, origin.default_branch)
        })
    }

    /// Merges a pull request, which closes the issues that it says it fixes; returns the merge commit's id.
    ///
    /// # Errors
    /// Where it is not open, or has conflicts.
    pub fn merge_pull(&self, repo: &str, actor: &str, number: u64) -> Result<String> {
        self.act(actor, |world, actor| world.merge_pull(repo, number, actor))
    }
}

#[expect(clippy::too_many_arguments, reason = "one place that names all parts of a pull request")]
fn pull(
    world: &mut World,
    actor: &Actor,
    repo: &str,
    head_repo: &str,
    title: &str,
    body: &str,
    head: &str,
    base_branch: String,
) -> Result<u64> {
    let new = NewPull {
        title: title.to_owned(),
        body: (!body.is_empty()).then(|| body.to_owned()),
        head_repo: head_repo.to_owned(),
        head_branch: head.to_owned(),
        base_branch,
        draft: false,
        maintainer_can_modify: true,
    };
    world.create_pull(repo, actor, new).map_err(|refusal| match refusal {
        PullRefusal::Forge(error) => error,
        other => ForgeError::Refused(format!("the pull request from {head} to {repo} is refused: {other:?}")),
    })
}
