//! What a bundle would change, as plain data.

use std::fmt::Write as _;

use git2::{Delta, Diff, DiffFindOptions, DiffOptions, Oid, Patch, Repository};

use crate::tree;

/// Beyond this a file is shown and counted as binary.
const MAX_DIFFED_BYTES: i64 = 4 * 1024 * 1024;

/// The commits of a bundle and what they change, from base to head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The commit that the attempt started at.
    pub base: Oid,
    /// The commit that would be pushed.
    pub head: Oid,
    /// The commits that are new, oldest first. Commits merged in that the mirror has are not among them.
    pub commits: Vec<Commit>,
    /// The files that differ between base and head.
    pub files: Vec<FileChange>,
    /// Lines added.
    pub insertions: usize,
    /// Lines removed.
    pub deletions: usize,
}

/// One new commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: Oid,
    /// The author's name, as the commit claims.
    pub author: String,
    /// The author's address, as the commit claims.
    pub email: String,
    /// The whole message; bytes that are not UTF-8 are replaced.
    pub message: String,
    /// Its parents' ids.
    pub parents: Vec<Oid>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// It is new.
    Added,
    /// Its content or its executable bit changed.
    Modified,
    /// It is gone.
    Deleted,
    /// It moved, perhaps with changes.
    Renamed,
    /// A file became a link, or a link a file.
    TypeChanged,
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Its path; the old one where it was deleted. UTF-8 without control characters, `/` between folders, no `.` or `..`.
    pub path: String,
    /// Where it was, for [`FileStatus::Renamed`].
    pub old_path: Option<String>,
    /// What became of it.
    pub status: FileStatus,
    /// Mode before, such as 0o100644; 0 where it was not there.
    pub old_mode: u32,
    /// Mode after; 0 where it is gone.
    pub new_mode: u32,
    /// Lines added; 0 for binary files.
    pub insertions: usize,
    /// Lines removed; 0 for binary files.
    pub deletions: usize,
    /// Binary, or too large (4 MiB) to be compared line by line.
    pub binary: bool,
    /// Bytes after the change; 0 where it is gone.
    pub size: u64,
}

impl Change {
    /// `git diff --stat`, near enough: a line a file, then the sums.
    pub fn diffstat(&self) -> String {
        let mut text = String::new();
        let width = self.files.iter().map(|file| file.shown().chars().count()).max().unwrap_or_default();
        for file in &self.files {
            let shown = file.shown();
            let counts = match (file.binary, file.insertions, file.deletions) {
                (true, ..) => format!("binary, {} bytes", file.size),
                (false, plus, minus) => format!("+{plus} -{minus}"),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, " {shown:width$} | {counts}");
        }
        let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let _ = write!(
            text,
            " {} changed, {}(+), {}(-)",
            plural(self.files.len(), "file"),
            plural(self.insertions, "insertion"),
            plural(self.deletions, "deletion")
        );
        text
    }
}

impl FileChange {
    fn shown(&self) -> String {
        match &self.old_path {
            Some(old) => format!("{old} => {}", self.path),
            None => self.path.clone(),
        }
    }
}

/// The difference of two commits, renames found. Only for trees that are known to differ in few files.
pub(crate) fn diff(repository: &Repository, base: Oid, head: Oid) -> Result<Diff<'_>, git2::Error> {
    let (old, new) = (repository.find_commit(base)?.tree()?, repository.find_commit(head)?.tree()?);
    let mut options = DiffOptions::new();
    options.max_size(MAX_DIFFED_BYTES).include_typechange(true).indent_heuristic(false);
    let mut diff = repository.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options))?;
    diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
    Ok(diff)
}

/// The files of a difference, with their line counts.
pub(crate) fn files(repository: &Repository, diff: &Diff<'_>) -> Result<Vec<FileChange>, git2::Error> {
    let odb = repository.odb()?;
    let mut files = Vec::new();
    for index in 0..diff.deltas().len() {
        let patch = Patch::from_diff(diff, index)?;
        let Some(delta) = diff.get_delta(index) else { continue };
        let (insertions, deletions) = match &patch {
            Some(patch) => patch.line_stats().map(|(_, plus, minus)| (plus, minus))?,
            None => (0, 0),
        };
        // The patch's own delta knows whether the content turned out to be binary.
        let binary = patch.as_ref().is_none_or(|patch| patch.delta().flags().is_binary());
        let path = |file: git2::DiffFile<'_>| {
            String::from_utf8_lossy(file.path_bytes().unwrap_or_default()).into_owned()
        };
        let (old, new) = (path(delta.old_file()), path(delta.new_file()));
        let status = match delta.status() {
            Delta::Added | Delta::Copied => FileStatus::Added,
            Delta::Deleted => FileStatus::Deleted,
            Delta::Renamed => FileStatus::Renamed,
            Delta::Typechange => FileStatus::TypeChanged,
            _ => FileStatus::Modified,
        };
        let size = match status {
            FileStatus::Deleted => 0,
            _ => odb.read_header(delta.new_file().id())?.0 as u64,
        };
        files.push(FileChange {
            path: if status == FileStatus::Deleted { old.clone() } else { new },
            old_path: (status == FileStatus::Renamed).then_some(old),
            status,
            old_mode: if status == FileStatus::Added { 0 } else { mode(delta.old_file().mode()) },
            new_mode: if status == FileStatus::Deleted { 0 } else { mode(delta.new_file().mode()) },
            insertions,
            deletions,
            binary,
            size,
        });
    }
    Ok(files)
}

fn mode(mode: git2::FileMode) -> u32 {
    match mode {
        git2::FileMode::BlobExecutable => tree::EXECUTABLE,
        git2::FileMode::Link => tree::LINK,
        git2::FileMode::Tree => tree::FOLDER,
        git2::FileMode::Commit => tree::SUBMODULE,
        git2::FileMode::Unreadable => 0,
        git2::FileMode::Blob | git2::FileMode::BlobGroupWritable => tree::FILE,
    }
}
