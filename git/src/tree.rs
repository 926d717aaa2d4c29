//! Strict reading of tree objects, and what may not stand in one that a stranger made.
//!
//! The rules are those of `git fsck` and of git's checkout (CVE-2014-9390, CVE-2019-1352 and their like): a name must not
//! be able to become `.git`, or a way out of the work tree, on any file system.

use std::collections::HashSet;

use git2::Oid;

pub(crate) const FILE: u32 = 0o100_644;
pub(crate) const EXECUTABLE: u32 = 0o100_755;
pub(crate) const LINK: u32 = 0o120_000;
pub(crate) const FOLDER: u32 = 0o040_000;
pub(crate) const SUBMODULE: u32 = 0o160_000;

/// One line of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mode: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) id: Oid,
    /// Whether the mode was written as git writes it.
    pub(crate) canonical: bool,
}

/// Takes a tree's bytes apart. `None` where they are not a tree.
pub(crate) fn parse(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().take(8).position(|byte| *byte == b' ')?;
        let digits = std::str::from_utf8(bytes.get(..space)?).ok()?;
        let mode = u32::from_str_radix(digits, 8).ok()?;
        bytes = bytes.get(space + 1..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let name = bytes.get(..end)?.to_vec();
        let id = Oid::from_bytes(bytes.get(end + 1..end + 21)?).ok()?;
        bytes = bytes.get(end + 21..)?;
        entries.push(Entry { mode, name, id, canonical: format!("{mode:o}") == digits });
    }
    Some(entries)
}

/// The first thing wrong with a tree: the name it concerns, and what.
pub(crate) fn problem(entries: &[Entry]) -> Option<(String, &'static str)> {
    let mut names = HashSet::new();
    for entry in entries {
        let shown = || String::from_utf8_lossy(&entry.name).into_owned();
        if let Some(problem) = name_problem(&entry.name) {
            return Some((shown(), problem));
        }
        if !entry.canonical || ![FILE, EXECUTABLE, LINK, FOLDER, SUBMODULE].contains(&entry.mode) {
            return Some((shown(), "has a mode that git does not write"));
        }
        if !names.insert(&entry.name) {
            return Some((shown(), "stands twice in its folder"));
        }
    }
    let sorted = |entry: &Entry| {
        let mut key = entry.name.clone();
        if entry.mode == FOLDER {
            key.push(b'/');
        }
        key
    };
    let out_of_order = entries.windows(2).find(|pair| sorted(&pair[0]) >= sorted(&pair[1]))?;
    Some((String::from_utf8_lossy(&out_of_order[1].name).into_owned(), "is out of order in its folder"))
}

/// What makes one name unfit.
fn name_problem(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name.contains(&b'/') {
        return Some("contains a slash");
    }
    // On NTFS a backslash parts folders, too.
    for part in name.split(|byte| *byte == b'\\') {
        if part == b"." || part == b".." {
            return Some("leads out of its folder");
        }
        if is_dot_git(part) {
            return Some("stands for .git");
        }
    }
    (name.len() > 255).then_some("is longer than 255 bytes")
}

/// Whether some file system takes this name for `.git`: letter case, code points that HFS+ ignores, NTFS short names,
/// trailing dots and spaces, and alternate streams.
pub(crate) fn is_dot_git(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let ignored = |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{200b}');
    let folded: String = text.chars().filter(|c| !ignored(*c)).flat_map(char::to_lowercase).collect();
    let stem = folded.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
    matches!(stem, ".git" | "git~1")
}

/// Whether a path may be shown, judged and checked out: what a change touches, as opposed to what was there before.
pub(crate) fn path_problem(path: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(path) else { return Some("is not UTF-8") };
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    {
        return Some("contains control characters");
    }
    (text.len() > 4096).then_some("is longer than 4,096 bytes")
}

/// Why a link at `path` may not point at `target`.
///
/// `..` may only lead it, and not further up than the tree goes: a `..` behind a name could go up from wherever another
/// link leads.
pub(crate) fn link_problem(path: &[u8], target: &[u8]) -> Option<&'static str> {
    if target.is_empty() || target.len() > 4096 || target.contains(&0) {
        return Some("is not a path");
    }
    if target.starts_with(b"/") || target.starts_with(b"\\") || target.get(1) == Some(&b':') {
        return Some("is absolute");
    }
    let mut depth = path.iter().filter(|byte| **byte == b'/').count();
    let mut descended = false;
    for part in target.split(|byte| *byte == b'/' || *byte == b'\\') {
        match part {
            b"" | b"." => {}
            b".." if descended => return Some("goes up again behind a name"),
            b".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return Some("leads out of the repository"),
            },
            part if is_dot_git(part) => return Some("leads into .git"),
            _ => descended = true,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn tree(entries: &[(&str, &str)]) -> Vec<u8> {
        let line = |(mode, name): &(&str, &str)| [mode.as_bytes(), b" ", name.as_bytes(), &[0; 21]].concat();
        entries.iter().flat_map(line).collect()
    }

    fn check(entries: &[(&str, &str)], expected: Option<&str>) {
        let found = problem(&parse(&tree(entries)).unwrap());
        assert_eq!(found.as_ref().map(|(_, problem)| *problem), expected, "{entries:?}");
    }

    #[test]
    fn trees() {
        check(&[("100644", "a"), ("100755", "b"), ("120000", "c"), ("40000", "d"), ("160000", "e")], None);
        check(&[("100644", "a.b"), ("40000", "a"), ("100644", "a0")], None);
        check(&[("100644", ".gitignore"), ("100644", ".gitmodules"), ("100644", "git")], None);
        for name in [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git ",
            ".git.",
            ".git . .",
            ".git::$INDEX_ALLOCATION",
            ".g\u{200c}it",
            "\u{feff}.git",
            "x\\.git",
            ".git\\x",
            "a\\git~1\\b",
        ] {
            check(&[("40000", name)], Some("stands for .git"));
        }
        check(&[("100644", ".")], Some("leads out of its folder"));
        check(&[("40000", "..")], Some("leads out of its folder"));
        check(&[("100644", "..\\x")], Some("leads out of its folder"));
        check(&[("100644", "a/b")], Some("contains a slash"));
        check(&[("100644", "")], Some("is empty"));
        check(&[("100644", "a"), ("100644", "a")], Some("stands twice in its folder"));
        check(&[("100644", "a"), ("40000", "a")], Some("stands twice in its folder"));
        check(&[("100644", "b"), ("100644", "a")], Some("is out of order in its folder"));
        check(&[("40000", "a"), ("100644", "a.b")], Some("is out of order in its folder"));
        for mode in ["100664", "100600", "040000", "10644", "0", "777"] {
            check(&[(mode, "a")], Some("has a mode that git does not write"));
        }
        assert!(parse(b"100644 a").is_none());
        assert!(parse(b"100644 a\0short").is_none());
        assert!(parse(b"nonsense a\0").is_none());
    }

    #[test]
    fn links() {
        for (path, target, problem) in [
            ("a", "b", None),
            ("a/b/c", "../../d", None),
            ("a/b", "./c", None),
            ("a", "/etc/passwd", Some("is absolute")),
            ("a", "C:\\x", Some("is absolute")),
            ("a", "..", Some("leads out of the repository")),
            ("a/b", "../../c", Some("leads out of the repository")),
            ("a/b", "..\\..\\c", Some("leads out of the repository")),
            ("a", "b/../..", Some("goes up again behind a name")),
            ("a", ".git/config", Some("leads into .git")),
            ("a/b", "../.GIT/hooks", Some("leads into .git")),
            ("a", "", Some("is not a path")),
        ] {
            assert_eq!(link_problem(path.as_bytes(), target.as_bytes()), problem, "{path} -> {target}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(path_problem("src/ä b.rs".as_bytes()), None);
        assert!(path_problem(b"a\nb").is_some());
        assert!(path_problem(b"a\xff").is_some());
        assert!(path_problem("a\u{202e}b".as_bytes()).is_some());
    }
}
