//! Files of a workspace as another commit has them, hidden from git: what is worked on stays what it is, and only what programs
//! find in the folder changes.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use git2::{DiffOptions, Repository};

use crate::GitError;

/// git's mark on an index entry whose file in the work tree is not to be looked at.
const SKIP_WORKTREE: u16 = 1 << 14;
/// Says that `flags_extended` counts.
const EXTENDED: u16 = 1 << 14;

/// Makes every file that `which` picks, and that differs between HEAD and the first of the references `from` that there is, as
/// that reference has it: changed, taken away or added. The index says that they are as HEAD has them, and a new one is
/// ignored, so that neither `git add` nor `git status` sees a change. Gives their paths.
///
/// # Errors
/// [`GitError::NotFound`] where the folder is no repository, or has none of the references.
pub fn restore(dir: &Path, from: &[String], which: &dyn Fn(&str) -> bool) -> Result<Vec<String>, GitError> {
    crate::setup::ready();
    let repository = Repository::open(dir)?;
    let source = from.iter().find_map(|name| repository.find_reference(name).ok()?.peel_to_tree().ok());
    let source = source.ok_or_else(|| GitError::NotFound {
        what: format!("{} in the workspace", from.join(" or ")),
        hint: "the workspace was not made by this version's server".to_owned(),
    })?;
    let head = repository.head()?.peel_to_tree()?;
    let mut options = DiffOptions::new();
    options.include_typechange(true);
    let diff = repository.diff_tree_to_tree(Some(&head), Some(&source), Some(&mut options))?;
    let mut paths: Vec<String> = Vec::new();
    for delta in diff.deltas() {
        for file in [delta.old_file(), delta.new_file()] {
            let path = file.path_bytes().and_then(|path| str::from_utf8(path).ok());
            paths.extend(path.filter(|path| which(path)).map(str::to_owned));
        }
    }
    paths.sort_unstable();
    paths.dedup();
    if paths.is_empty() {
        return Ok(paths);
    }
    let mut index = repository.index()?;
    let mut new = Vec::new();
    for path in &paths {
        remove(&dir.join(path))?;
        if let Ok(entry) = source.get_path(Path::new(path))
            && let Ok(blob) = repository.find_blob(entry.id())
        {
            write(dir, path, entry.filemode(), blob.content())?;
        }
        match index.get_path(Path::new(path), 0) {
            Some(mut entry) => {
                entry.flags |= EXTENDED;
                entry.flags_extended |= SKIP_WORKTREE;
                index.add(&entry)?;
            }
            None => new.push(path),
        }
    }
    index.write()?;
    if !new.is_empty() {
        let info = repository.path().join("info");
        fs::create_dir_all(&info).map_err(GitError::io("making", &info))?;
        let file = info.join("exclude");
        let lines: String = new.iter().map(|path| format!("\n/{}\n", escaped(path))).collect();
        let opened = fs::File::options().create(true).append(true).open(&file);
        opened
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(GitError::io("writing", &file))?;
    }
    Ok(paths)
}

/// A path as a pattern that means it alone.
fn escaped(path: &str) -> String {
    let special = |c: char| matches!(c, '*' | '?' | '[' | '\\' | '!' | '#' | ' ');
    path.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Writes a file or a link. A folder on the way that is none gives way, so that nothing is written through a link.
fn write(dir: &Path, path: &str, mode: i32, content: &[u8]) -> Result<(), GitError> {
    let mut folder = dir.to_owned();
    for part in Path::new(path).parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        if !fs::symlink_metadata(&folder).is_ok_and(|data| data.is_dir()) {
            remove(&folder)?;
            fs::create_dir(&folder).map_err(GitError::io("making", &folder))?;
        }
    }
    let file = dir.join(path);
    let written = match mode {
        0o120_000 => std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(content), &file),
        _ => fs::write(&file, content).and_then(|()| {
            let executable = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(&file, fs::Permissions::from_mode(executable))
        }),
    };
    written.map_err(GitError::io("writing", &file))
}

fn remove(path: &Path) -> Result<(), GitError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(GitError::io("removing", path)(error))
        }
        _ => Ok(()),
    }
}
