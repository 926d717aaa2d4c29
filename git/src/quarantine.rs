//! A bundle from a container, read as what it is: data from a stranger.
//!
//! Its objects go into a repository made for the purpose, which borrows the mirror's objects and is thrown away; the
//! mirror itself is never written to. Every object that a push would send is checked before anything looks at it: it is
//! there, it is well formed, its names and modes are harmless, and all of it together stays within limits. What the
//! mirror already has is trusted, since it came from the forge.

use std::io::Write;
use std::path::Path;

use git2::{ErrorCode, Oid, Repository};
use tempfile::TempDir;

use crate::audit::Audit;
use crate::bundle::parse_header;
use crate::change::{self, Change};
use crate::error::one_line;
use crate::pack::{self, PackLimits, PackProblem};
use crate::{GitError, Remote};

/// What the bundle must be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The commit that the attempt's workspace started at.
    pub base: Oid,
    /// Full name of the one reference, such as `refs/heads/cloud-code/issue-42`.
    pub refname: String,
}

/// What a bundle may hold at most. The defaults are the product's: 100 files and 4 MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of the bundle.
    pub max_bundle_bytes: usize,
    /// Files that differ between base and head, a renamed one counted once.
    pub max_files: usize,
    /// New commits.
    pub max_commits: usize,
    /// Objects in the pack.
    pub max_objects: usize,
    /// Size of one object, inflated.
    pub max_object_bytes: usize,
    /// Size of all objects together, inflated.
    pub max_total_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bundle_bytes: 4 << 20,
            max_files: 100,
            max_commits: 100,
            max_objects: 5_000,
            max_object_bytes: 16 << 20,
            max_total_bytes: 64 << 20,
        }
    }
}

/// Why a bundle is refused, in words for the person who waits for the change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what its fields are")]
pub enum Rejected {
    #[error("the bundle is {bytes} bytes; at most {limit} are accepted")]
    BundleTooLarge { bytes: usize, limit: usize },
    #[error("{0}")]
    NotABundle(String),
    #[error("the bundle must build on {expected} alone, but builds on {found}")]
    WrongBase { expected: Oid, found: String },
    #[error("the bundle must hold {expected} alone, but holds {found}")]
    WrongReference { expected: String, found: String },
    #[error("the bundle's pack is damaged: {0}")]
    BadPack(String),
    #[error("the bundle holds {count} objects; at most {limit} are accepted")]
    TooManyObjects { count: u64, limit: usize },
    #[error("an object of the bundle is {bytes} bytes; at most {limit} are accepted")]
    ObjectTooLarge { bytes: u64, limit: usize },
    #[error("the bundle inflates to more than {limit} bytes")]
    TotalTooLarge { limit: usize },
    #[error("the bundle holds no commits on top of {base}")]
    Empty { base: Oid },
    #[error("the bundle's head {head} does not descend from {base}")]
    NotDescended { base: Oid, head: Oid },
    #[error("the change has more than {limit} commits")]
    TooManyCommits { limit: usize },
    #[error("the change touches more than {limit} files")]
    TooManyFiles { limit: usize },
    #[error("the bundle lacks {what} {id}")]
    Missing { what: &'static str, id: Oid },
    #[error("commit {id} is malformed: {problem}")]
    BadCommit { id: Oid, problem: String },
    #[error("tree {id} is malformed: {problem}")]
    BadTree { id: Oid, problem: String },
    #[error("the path `{path}` {problem}")]
    BadPath { path: String, problem: &'static str },
    #[error("`{path}` is or was a submodule; changes of submodules are not accepted")]
    Submodule { path: String },
    #[error("the link `{path}` {problem}: its target is `{target}`")]
    BadLink { path: String, target: String, problem: &'static str },
}

/// Opening a bundle did not work out.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The bundle is to blame; tell the person.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The server is: the disk, the mirror, or a bug.
    #[error(transparent)]
    Failed(#[from] GitError),
}

impl From<git2::Error> for OpenError {
    fn from(error: git2::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Where in a change a piece of content stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A commit itself: author, committer, message and any other header.
    Commit(Oid),
    /// A path that a commit adds, changes or removes, against any of its parents; the content is the path.
    Path {
        /// The commit.
        commit: Oid,
        /// The path.
        path: String,
    },
    /// A file's content, or a link's target, as a commit leaves it; perhaps one that a later commit removes again.
    File {
        /// The first commit that has it.
        commit: Oid,
        /// Its path there.
        path: String,
        /// The blob's id.
        blob: Oid,
    },
}

/// A bundle that passed every check, in its throw-away repository, which is removed when this is dropped.
pub struct Quarantine {
    repository: Repository,
    change: Change,
    places: Vec<Place>,
    _scratch: TempDir,
}

impl Quarantine {
    /// Imports a bundle and checks it. `mirror` is the bare mirror's folder, `scratch` a folder for temporary repositories.
    ///
    /// # Errors
    /// [`OpenError::Rejected`] with the reason where the bundle is to blame, else [`OpenError::Failed`].
    pub fn open(
        mirror: &Path,
        scratch: &Path,
        bundle: &[u8],
        expected: &Expected,
        limits: &Limits,
    ) -> Result<Self, OpenError> {
        crate::setup::ready();
        let (head, pack) = header(bundle, expected, limits)?;
        let trusted = Repository::open_bare(mirror)?;
        trusted
            .find_commit(expected.base)
            .map_err(|_| GitError::no_commit(expected.base, &mirror.display().to_string()))?;

        std::fs::create_dir_all(scratch).map_err(GitError::io("creating", scratch))?;
        let folder = tempfile::Builder::new()
            .prefix("quarantine-")
            .tempdir_in(scratch)
            .map_err(GitError::io("creating a folder in", scratch))?;
        let repository = import(trusted.path(), folder.path(), pack)?;

        if head == expected.base {
            return Err(Rejected::Empty { base: head }.into());
        }
        let mut audit = Audit::new(&repository, &trusted, expected.base, limits)?;
        let commits = audit.commits(head)?;
        if !repository.graph_descendant_of(head, expected.base)? {
            return Err(Rejected::NotDescended { base: expected.base, head }.into());
        }
        audit.overall(head)?;
        let places = audit.into_places();

        let diff = change::diff(&repository, expected.base, head)?;
        let files = change::files(&repository, &diff)?;
        drop(diff);
        if files.len() > limits.max_files {
            return Err(Rejected::TooManyFiles { limit: limits.max_files }.into());
        }
        let insertions = files.iter().map(|file| file.insertions).sum();
        let deletions = files.iter().map(|file| file.deletions).sum();
        let change = Change { base: expected.base, head, commits, files, insertions, deletions };
        Ok(Self { repository, change, places, _scratch: folder })
    }

    /// Gives the new commits the messages that `message` makes of theirs. Head and commits are others afterwards; trees, authors
    /// and times stay, and the same bundle and messages give the same head again.
    ///
    /// # Errors
    /// [`GitError::Other`] where the throw-away repository cannot be read or written any more.
    pub fn reword(&mut self, message: &dyn Fn(&str) -> String) -> Result<(), GitError> {
        let renamed = crate::reword::reword(&self.repository, &mut self.change.commits, message)?;
        let new = |id: &mut Oid| *id = renamed.get(id).copied().unwrap_or(*id);
        new(&mut self.change.head);
        for place in &mut self.places {
            match place {
                Place::Commit(commit) | Place::Path { commit, .. } | Place::File { commit, .. } => {
                    new(commit)
                }
            }
        }
        Ok(())
    }

    /// What the bundle changes.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// The difference from base to head as a patch, cut at a line's end before `max_bytes`; true where it was cut. Bytes
    /// that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// [`GitError::Other`] where the throw-away repository cannot be read any more.
    pub fn patch(&self, max_bytes: usize) -> Result<(String, bool), GitError> {
        let diff = change::diff(&self.repository, self.change.base, self.change.head)?;
        let mut patch: Vec<u8> = Vec::new();
        let mut cut = false;
        let printed = diff.print(git2::DiffFormat::Patch, |_, _, line| {
            let origin = line.origin();
            let marked = matches!(origin, '+' | '-' | ' ');
            if patch.len() + line.content().len() + usize::from(marked) > max_bytes {
                cut = true;
                return false;
            }
            if marked {
                patch.push(origin as u8);
            }
            patch.extend_from_slice(line.content());
            true
        });
        match printed {
            Err(error) if error.code() != ErrorCode::User => return Err(error.into()),
            _ => {}
        }
        let mut patch = String::from_utf8_lossy(&patch).into_owned();
        if patch.len() > max_bytes {
            // Replacing bytes made it longer.
            cut = true;
            patch.truncate(patch.floor_char_boundary(max_bytes));
        }
        Ok((patch, cut))
    }

    /// Shows `visit` everything that a push would publish and the mirror does not have: each new commit, path and blob,
    /// those of intermediate commits included. This is what to look for secrets in.
    ///
    /// # Errors
    /// [`GitError::Other`] where the throw-away repository cannot be read any more.
    pub fn each_new_content(&self, visit: &mut dyn FnMut(&Place, &[u8])) -> Result<(), GitError> {
        let odb = self.repository.odb()?;
        for place in &self.places {
            match place {
                Place::Commit(id) | Place::File { blob: id, .. } => visit(place, odb.read(*id)?.data()),
                Place::Path { path, .. } => visit(place, path.as_bytes()),
            }
        }
        Ok(())
    }

    /// Content of a file at head; `None` where there is none, or where it is larger than `max_bytes`.
    ///
    /// # Errors
    /// [`GitError::Other`] where the throw-away repository cannot be read any more.
    pub fn file(&self, path: &str, max_bytes: usize) -> Result<Option<Vec<u8>>, GitError> {
        let tree = self.repository.find_commit(self.change.head)?.tree()?;
        let Ok(entry) = tree.get_path(Path::new(path)) else { return Ok(None) };
        let odb = self.repository.odb()?;
        let (size, kind) = odb.read_header(entry.id())?;
        if kind != git2::ObjectType::Blob || size > max_bytes {
            return Ok(None);
        }
        Ok(Some(odb.read(entry.id())?.data().to_vec()))
    }

    /// Pushes the change's head; see [`crate::push::push`].
    ///
    /// # Errors
    /// As [`crate::push::push`].
    pub fn push(
        &self,
        remote: &Remote,
        branch: &str,
        lease: Option<Option<Oid>>,
    ) -> Result<crate::push::PushOutcome, GitError> {
        crate::push::push_from(&self.repository, self.change.head, remote, branch, lease)
    }
}

/// The bundle's head and its pack, once the header is what it should be and the pack within limits.
fn header<'a>(bundle: &'a [u8], expected: &Expected, limits: &Limits) -> Result<(Oid, &'a [u8]), Rejected> {
    if bundle.len() > limits.max_bundle_bytes {
        return Err(Rejected::BundleTooLarge { bytes: bundle.len(), limit: limits.max_bundle_bytes });
    }
    let header = parse_header(bundle).map_err(|error| Rejected::NotABundle(error.to_string()))?;
    if header.prerequisites != [expected.base] {
        let found: Vec<String> = header.prerequisites.iter().take(3).map(Oid::to_string).collect();
        let found = if found.is_empty() { "nothing".into() } else { found.join(", ") };
        return Err(Rejected::WrongBase { expected: expected.base, found });
    }
    let head = match header.references.as_slice() {
        [(name, head)] if *name == expected.refname => *head,
        references => {
            let found: Vec<&str> = references.iter().take(3).map(|(name, _)| name.as_str()).collect();
            let found = if found.is_empty() { "nothing".into() } else { one_line(&found.join(", ")) };
            return Err(Rejected::WrongReference { expected: expected.refname.clone(), found });
        }
    };
    let pack = bundle.get(header.pack_offset..).unwrap_or_default();
    let pack_limits = PackLimits {
        objects: limits.max_objects,
        object_bytes: limits.max_object_bytes as u64,
        total_bytes: limits.max_total_bytes as u64,
    };
    pack::scan(pack, pack_limits).map_err(|problem| match problem {
        PackProblem::Malformed(problem) => Rejected::BadPack(problem.to_owned()),
        PackProblem::TooManyObjects(count) => Rejected::TooManyObjects { count, limit: limits.max_objects },
        PackProblem::ObjectTooLarge(bytes) => {
            Rejected::ObjectTooLarge { bytes, limit: limits.max_object_bytes }
        }
        PackProblem::TotalTooLarge => Rejected::TotalTooLarge { limit: limits.max_total_bytes },
    })?;
    Ok((head, pack))
}

/// A new bare repository that borrows the mirror's objects, with the pack in it.
fn import(mirror: &Path, folder: &Path, pack: &[u8]) -> Result<Repository, OpenError> {
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head("quarantine");
    drop(Repository::init_opts(folder, &options)?);
    let objects = std::fs::canonicalize(mirror.join("objects"))
        .map_err(GitError::io("finding the objects of", mirror))?;
    let alternates = folder.join("objects/info/alternates");
    std::fs::write(&alternates, format!("{}\n", objects.display()))
        .map_err(GitError::io("writing", &alternates))?;
    let repository = Repository::open_bare(folder)?;
    // A pack of no objects is no pack to libgit2; then the head is missing, or the mirror's.
    if pack.get(8..12) != Some(&[0; 4]) {
        let odb = repository.odb()?;
        let mut writer = odb.packwriter()?;
        let refused = |error: git2::Error| Rejected::BadPack(one_line(error.message()));
        writer.write_all(pack).map_err(|_| refused(git2::Error::last_error(-1)))?;
        writer.commit().map_err(refused)?;
    }
    Ok(repository)
}
