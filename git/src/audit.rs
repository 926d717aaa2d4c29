//! The checks of a quarantined history, commit by commit.
//!
//! Each new commit is compared with each of its parents by an own walk that enters only what differs and stops at a limit.
//! So the cost follows what the change touches, and a tree that would unfold into millions of paths is refused after the
//! first few hundred: libgit2's own comparison is asked only once the change is known to be small.

use std::collections::HashSet;

use git2::{ObjectType, Odb, OdbLookupFlags, Oid, Repository};

use crate::change::Commit;
use crate::error::one_line;
use crate::quarantine::{Limits, OpenError, Place, Rejected};
use crate::tree::{self, Entry};

/// All commits of a change together may touch this many times the files that the change as a whole may.
const INTERMEDIATE_FACTOR: usize = 20;
/// Parents of one commit; each costs a comparison.
const MAX_PARENTS: usize = 16;
/// How many commits the walk may meet that the mirror has: a merge of an old branch with its whole history is fine.
const MAX_WALKED: usize = 1_000_000;

pub(crate) struct Audit<'a> {
    repository: &'a Repository,
    odb: Odb<'a>,
    trusted: Odb<'a>,
    base: Oid,
    limits: &'a Limits,
    places: Vec<Place>,
    seen: HashSet<Oid>,
}

/// One walk from an old tree to a new one.
struct Walk {
    commit: Oid,
    touched: usize,
    limit: usize,
    /// Whether what is found is kept; the final walk from base to head finds nothing that the commits did not show.
    record: bool,
}

impl<'a> Audit<'a> {
    pub(crate) fn new(
        repository: &'a Repository,
        trusted: &'a Repository,
        base: Oid,
        limits: &'a Limits,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            repository,
            odb: repository.odb()?,
            trusted: trusted.odb()?,
            base,
            limits,
            places: Vec::new(),
            seen: HashSet::new(),
        })
    }

    /// Everything that the checked commits bring.
    pub(crate) fn into_places(self) -> Vec<Place> {
        self.places
    }

    fn is_trusted(&self, id: Oid) -> bool {
        self.trusted.exists_ext(id, OdbLookupFlags::NO_REFRESH)
    }

    /// Checks every new commit from base to head; gives them back, oldest first.
    pub(crate) fn commits(&mut self, head: Oid) -> Result<Vec<Commit>, OpenError> {
        self.header(head, ObjectType::Commit, "the head commit")?;
        let mut fresh = Vec::new();
        // Walked by hand: libgit2's walk would read commits that were not checked yet.
        let mut pending = vec![head];
        let mut met = HashSet::from([head]);
        while let Some(id) = pending.pop() {
            if self.is_trusted(id) {
                continue;
            }
            if fresh.len() >= self.limits.max_commits {
                return Err(Rejected::TooManyCommits { limit: self.limits.max_commits }.into());
            }
            let commit = self.commit(id)?;
            pending.extend(commit.parents.iter().filter(|parent| met.insert(**parent)));
            fresh.push(commit);
        }
        if fresh.is_empty() {
            return Ok(fresh);
        }
        let order = self.order(head)?;
        fresh.sort_by_key(|commit| order.iter().position(|id| *id == commit.id));
        let mut budget = self.limits.max_files.saturating_mul(INTERMEDIATE_FACTOR);
        for commit in &fresh {
            self.places.push(Place::Commit(commit.id));
            let new = self.tree_of(commit.id)?;
            // With every parent: what a merge takes back from one side is no change against the other.
            let mut old =
                commit.parents.iter().map(|parent| self.tree_of(*parent)).collect::<Result<Vec<_>, _>>()?;
            old.sort();
            old.dedup();
            let old: Vec<_> = if old.is_empty() { vec![None] } else { old.into_iter().map(Some).collect() };
            for old in old {
                let mut walk = Walk { commit: commit.id, touched: 0, limit: budget, record: true };
                self.compare(&mut walk, old, Some(new), &mut Vec::new())?;
                budget -= walk.touched;
            }
        }
        Ok(fresh)
    }

    /// New commits in an order in which parents come first.
    fn order(&self, head: Oid) -> Result<Vec<Oid>, OpenError> {
        let mut walk = self.repository.revwalk()?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE)?;
        walk.push(head)?;
        walk.hide(self.base)?;
        let mut order = Vec::new();
        for id in walk.take(MAX_WALKED) {
            let id = id?;
            if !self.is_trusted(id) {
                order.push(id);
            }
        }
        Ok(order)
    }

    /// Checks the change as a whole, from base to head.
    pub(crate) fn overall(&mut self, head: Oid) -> Result<(), OpenError> {
        let (old, new) = (self.tree_of(self.base)?, self.tree_of(head)?);
        // Twice the files, since a rename is found as two until renames are looked for.
        let limit = self.limits.max_files.saturating_mul(2);
        let mut walk = Walk { commit: head, touched: 0, limit, record: false };
        self.compare(&mut walk, Some(old), Some(new), &mut Vec::new())
    }

    fn commit(&self, id: Oid) -> Result<Commit, OpenError> {
        self.header(id, ObjectType::Commit, "commit")?;
        let bad = |problem: String| Rejected::BadCommit { id, problem };
        if self.odb.read(id)?.data().contains(&0) {
            return Err(bad("it contains a NUL byte".into()).into());
        }
        let commit = self.repository.find_commit(id).map_err(|error| bad(one_line(error.message())))?;
        let parents: Vec<Oid> = commit.parent_ids().collect();
        if parents.len() > MAX_PARENTS {
            return Err(
                bad(format!("it has {} parents; at most {MAX_PARENTS} are taken", parents.len())).into()
            );
        }
        for parent in &parents {
            self.header(*parent, ObjectType::Commit, "commit")?;
        }
        self.header(commit.tree_id(), ObjectType::Tree, "tree")?;
        let author = commit.author();
        Ok(Commit {
            id,
            author: String::from_utf8_lossy(author.name_bytes()).into_owned(),
            email: String::from_utf8_lossy(author.email_bytes()).into_owned(),
            message: String::from_utf8_lossy(commit.message_raw_bytes()).into_owned(),
            parents,
        })
    }

    fn tree_of(&self, commit: Oid) -> Result<Oid, OpenError> {
        Ok(self.repository.find_commit(commit)?.tree_id())
    }

    /// The object is there, of this type, and within the limit.
    fn header(&self, id: Oid, expected: ObjectType, what: &'static str) -> Result<usize, Rejected> {
        match self.odb.read_header(id) {
            Ok((size, kind)) if kind == expected => {
                let limit = self.limits.max_object_bytes;
                // What the mirror has was not sent by the stranger, and may be large.
                if size > limit && !self.is_trusted(id) {
                    return Err(Rejected::ObjectTooLarge { bytes: size as u64, limit });
                }
                Ok(size)
            }
            _ => Err(Rejected::Missing { what, id }),
        }
    }

    fn entries(&self, id: Oid) -> Result<Vec<Entry>, OpenError> {
        self.header(id, ObjectType::Tree, "tree")?;
        let object = self.odb.read(id)?;
        let bad = |problem: String| Rejected::BadTree { id, problem };
        let entries = tree::parse(object.data()).ok_or_else(|| bad("it cannot be read".into()))?;
        if !self.is_trusted(id)
            && let Some((name, problem)) = tree::problem(&entries)
        {
            return Err(bad(format!("`{}` {problem}", one_line(&name))).into());
        }
        Ok(entries)
    }

    /// Visits every file that differs between two trees, either of which may be absent.
    fn compare(
        &mut self,
        walk: &mut Walk,
        old: Option<Oid>,
        new: Option<Oid>,
        path: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        if old == new {
            return Ok(());
        }
        let old = old.map(|id| self.entries(id)).transpose()?.unwrap_or_default();
        let fresh = new.map(|id| self.entries(id)).transpose()?;
        if fresh.as_ref().is_some_and(Vec::is_empty) && !path.is_empty() {
            // Git never writes one, and a tree of such trees could unfold without end and hold no file.
            let id = new.unwrap_or(Oid::ZERO_SHA1);
            return Err(Rejected::BadTree { id, problem: "it is an empty folder".into() }.into());
        }
        let new = fresh.unwrap_or_default();
        let length = path.len();
        for entry in &new {
            let before = old.iter().find(|before| before.name == entry.name);
            if before.is_some_and(|before| before.id == entry.id && before.mode == entry.mode) {
                continue;
            }
            path.extend_from_slice(&entry.name);
            self.differs(walk, before, Some(entry), path)?;
            path.truncate(length);
        }
        for before in old.iter().filter(|before| new.iter().all(|entry| entry.name != before.name)) {
            path.extend_from_slice(&before.name);
            self.differs(walk, Some(before), None, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    /// One name that differs: descends into folders, and counts and checks files.
    fn differs(
        &mut self,
        walk: &mut Walk,
        old: Option<&Entry>,
        new: Option<&Entry>,
        path: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        if path.len() > 4096 {
            return Err(Rejected::BadPath {
                path: one_line(&shown()),
                problem: "is longer than 4,096 bytes",
            }
            .into());
        }
        let (old_folder, old_file) = sort(old);
        let (new_folder, new_file) = sort(new);
        if let Some(file) = new_file.or(old_file) {
            walk.touched += 1;
            if walk.touched > walk.limit {
                return Err(Rejected::TooManyFiles { limit: self.limits.max_files }.into());
            }
            if file.mode == tree::SUBMODULE || old_file.is_some_and(|old| old.mode == tree::SUBMODULE) {
                return Err(Rejected::Submodule { path: one_line(&shown()) }.into());
            }
        }
        if let Some(file) = new_file {
            if let Some(problem) = tree::path_problem(path) {
                return Err(Rejected::BadPath { path: one_line(&shown()), problem }.into());
            }
            self.file(walk, file, path)?;
        } else if old_file.is_some() && walk.record {
            self.places.push(Place::Path { commit: walk.commit, path: shown() });
        }
        if old_folder.is_some() || new_folder.is_some() {
            path.push(b'/');
            self.compare(walk, old_folder, new_folder, path)?;
            path.pop();
        }
        Ok(())
    }

    fn file(&mut self, walk: &Walk, file: &Entry, path: &[u8]) -> Result<(), OpenError> {
        let shown = String::from_utf8_lossy(path).into_owned();
        let size = self.header(file.id, ObjectType::Blob, "file")?;
        if file.mode == tree::LINK {
            let problem = match size {
                ..=4096 => tree::link_problem(path, self.odb.read(file.id)?.data()),
                _ => Some("is not a path"),
            };
            if let Some(problem) = problem {
                let target = match size {
                    ..=4096 => one_line(&String::from_utf8_lossy(self.odb.read(file.id)?.data())),
                    _ => format!("{size} bytes"),
                };
                return Err(Rejected::BadLink { path: shown, target, problem }.into());
            }
        }
        if walk.record {
            self.places.push(Place::Path { commit: walk.commit, path: shown.clone() });
            if !self.is_trusted(file.id) && self.seen.insert(file.id) {
                self.places.push(Place::File { commit: walk.commit, path: shown, blob: file.id });
            }
        }
        Ok(())
    }
}

/// An entry as a folder or as anything else.
fn sort(entry: Option<&Entry>) -> (Option<Oid>, Option<&Entry>) {
    match entry {
        Some(entry) if entry.mode == tree::FOLDER => (Some(entry.id), None),
        other => (None, other),
    }
}
