//! New messages for commits that are not published yet. The same commits and messages always give the same new commits, so that
//! a change that is taken up again after a restart has the same head.

use std::collections::HashMap;

use git2::{ObjectType, Oid, Repository};

use crate::GitError;
use crate::change::Commit;

/// Gives every commit of a chain (oldest first) the message that `reword` makes of its own, and the parents the new ids. A
/// commit for which that changes nothing stays as it is; of the others a signature is dropped, since it would not fit.
///
/// # Errors
/// [`GitError::Other`] where a commit cannot be read or written.
pub(crate) fn reword(
    repository: &Repository,
    commits: &mut [Commit],
    reword: &dyn Fn(&str) -> String,
) -> Result<HashMap<Oid, Oid>, GitError> {
    let odb = repository.odb()?;
    let mut renamed: HashMap<Oid, Oid> = HashMap::new();
    for commit in commits {
        let message = reword(&commit.message);
        let old = commit.id;
        for parent in &mut commit.parents {
            *parent = renamed.get(parent).copied().unwrap_or(*parent);
        }
        let object = odb.read(old)?;
        let raw = object.data();
        let same_message = message == commit.message;
        let same_parents = !commit.parents.iter().any(|parent| renamed.values().any(|new| new == parent));
        if same_message && same_parents {
            continue;
        }
        // Headers, an empty line, the message; a header's further lines begin with a space.
        let (headers, text) = match raw.windows(2).position(|pair| pair == b"\n\n") {
            Some(at) => (&raw[..=at], &raw[at + 2..]),
            None => (raw, &[][..]),
        };
        let mut new = Vec::with_capacity(raw.len() + 64);
        let mut parents = commit.parents.iter();
        let mut dropped = false;
        for line in headers.split_inclusive(|byte| *byte == b'\n') {
            dropped = line.starts_with(b"gpgsig") || (dropped && line.starts_with(b" "));
            match line.strip_prefix(b"parent ") {
                _ if dropped => {}
                Some(_) => {
                    if let Some(parent) = parents.next() {
                        new.extend_from_slice(format!("parent {parent}\n").as_bytes());
                    }
                }
                None => new.extend_from_slice(line),
            }
        }
        new.push(b'\n');
        new.extend_from_slice(if same_message { text } else { message.as_bytes() });
        let id = odb.write(ObjectType::Commit, &new)?;
        renamed.insert(old, id);
        commit.id = id;
        commit.message = message;
    }
    Ok(renamed)
}
