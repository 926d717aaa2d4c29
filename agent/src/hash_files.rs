//! `hashFiles()` as Actions has it: the SHA-256 over the SHA-256 of each file that matches, in the order of their paths.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Hashes the workspace's files that the patterns match; empty text where none does.
pub(crate) fn hash(root: &Path, patterns: &[String]) -> Result<String, String> {
    let patterns: Vec<(bool, Vec<&str>)> = patterns
        .iter()
        .flat_map(|pattern| pattern.lines())
        .map(str::trim)
        .filter(|pattern| !pattern.is_empty() && !pattern.starts_with('#'))
        .map(|pattern| match pattern.strip_prefix('!') {
            Some(pattern) => (false, parts(pattern)),
            None => (true, parts(pattern)),
        })
        .collect();
    let mut all = Sha256::new();
    let mut any = false;
    let mut path = Vec::new();
    walk(root, &mut path, &mut |path| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let wanted = patterns.iter().fold(
            false,
            |wanted, (include, pattern)| if matches(pattern, &path) { *include } else { wanted },
        );
        if wanted {
            let mut one = Sha256::new();
            io::copy(&mut File::open(root.join(path.join("/")))?, &mut Writer(&mut one))?;
            all.update(one.finalize());
            any = true;
        }
        Ok(())
    })
    .map_err(|error| format!("hashFiles: {error}"))?;
    Ok(if any { hex::encode(all.finalize()) } else { String::new() })
}

fn parts(pattern: &str) -> Vec<&str> {
    pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

/// Visits every plain file below the root in the order of the paths; links are not followed.
fn walk(
    root: &Path,
    path: &mut Vec<String>,
    visit: &mut dyn FnMut(&[String]) -> io::Result<()>,
) -> io::Result<()> {
    let mut entries = fs::read_dir(root.join(path.join("/")))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let kind = entry.file_type()?;
        path.push(name);
        if kind.is_dir() {
            if path.as_slice() != [".git"] {
                walk(root, path, visit)?;
            }
        } else if kind.is_file() {
            visit(path)?;
        }
        path.pop();
    }
    Ok(())
}

/// `**` is any number of folders, the rest is matched part by part.
fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) if matches(rest, path) => true,
        (Some((&"**", _)), Some((_, below))) => matches(pattern, below),
        (Some((part, rest)), Some((name, below))) => part_matches(part, name) && matches(rest, below),
        // A pattern for a folder means all in it.
        (None, Some(_)) => true,
        (Some(_), None) => false,
    }
}

/// `*` and `?` inside a part; linear, by going back to the last star only.
fn part_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(character) if *character == '?' || *character == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    at = back + 1;
                    seen = from + 1;
                    star = Some((back, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|character| *character == '*')
}

struct Writer<'a>(&'a mut Sha256);

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, path: &str, expected: bool| {
            assert_eq!(matches(&parts(pattern), &parts(path)), expected, "{pattern} on {path}");
        };
        check("**/Cargo.lock", "Cargo.lock", true);
        check("**/Cargo.lock", "a/b/Cargo.lock", true);
        check("*.lock", "a/b.lock", false);
        check("a/*.l?ck", "a/b.lock", true);
        check("a", "a/b/c", true);
        check("a/**", "a/b", true);
        check("*a*b*", "xxaxxbxx", true);
        check("*a*b", "xxaxxbxx", false);
    }

    #[test]
    fn files_are_hashed_in_order_and_nothing_gives_empty() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/x.lock"), "1").unwrap();
        fs::write(folder.path().join("y.lock"), "2").unwrap();
        let hash = |patterns: &[&str]| {
            hash(folder.path(), &patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>())
                .unwrap()
        };
        let expected = [Sha256::digest("1"), Sha256::digest("2")].concat();
        assert_eq!(hash(&["**/*.lock"]), hex::encode(Sha256::digest(expected)));
        assert_eq!(hash(&["**/*.lock", "!a/**"]), hex::encode(Sha256::digest(Sha256::digest("2"))));
        assert_eq!(hash(&["nothing"]), "");
    }
}
