//! Git bundles, version 2: a short header, then a pack. The agent writes one; the server reads its header here and hands
//! the pack to [`crate::quarantine`].
//!
//! Format: git's Documentation/gitformat-bundle.adoc.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use git2::{Oid, PackBuilder, Repository};
use sha2::{Digest, Sha256};

use crate::GitError;

const SIGNATURE: &[u8] = b"# v2 git bundle\n";
const MAX_HEADER: usize = 64 * 1024;
const MAX_LINE: usize = 4 * 1024;
const MAX_LINES: usize = 100;

/// A bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleInfo {
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// Commits from base (left out) to head.
    pub commits: usize,
}

/// What a bundle's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleHeader {
    /// Commits that the reader must have.
    pub prerequisites: Vec<Oid>,
    /// References and what they point at.
    pub references: Vec<(String, Oid)>,
    /// Where the pack begins, in bytes from the start.
    pub pack_offset: usize,
}

/// Writes the commits from `base` (left out, and named as prerequisite) to `head` as a bundle with one reference, under a
/// temporary name first.
///
/// # Errors
/// [`GitError::NotFound`] where one of them is not there; [`GitError::Invalid`] where `head` does not descend from `base`,
/// or is it; [`GitError::Io`].
pub fn write(
    repository: &Path,
    base: Oid,
    head: Oid,
    refname: &str,
    out: &Path,
) -> Result<BundleInfo, GitError> {
    crate::setup::ready();
    let repository = Repository::open(repository)?;
    for id in [base, head] {
        repository.find_commit(id).map_err(|_| GitError::no_commit(id, "the workspace"))?;
    }
    if head == base || !repository.graph_descendant_of(head, base)? {
        return Err(GitError::Invalid(format!(
            "{head} holds no commits on top of {base}: the branch was moved elsewhere"
        )));
    }
    let mut walk = repository.revwalk()?;
    walk.push(head)?;
    walk.hide(base)?;
    let commits = walk.count();
    let mut walk = repository.revwalk()?;
    walk.push(head)?;
    walk.hide(base)?;
    let mut builder = repository.packbuilder()?;
    builder.insert_walk(&mut walk)?;

    let folder = out.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(".bundle")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(GitError::io("creating a temporary file in", folder))?;
    let header = format!("# v2 git bundle\n-{base}\n{head} {refname}\n\n");
    let (sha256, bytes) = write_hashed(temporary.as_file_mut(), &header, &mut builder, out)?;
    temporary.persist(out).map_err(|error| GitError::io("writing", out)(error.error))?;
    Ok(BundleInfo { sha256, bytes, commits })
}

/// Header and pack into a file; their SHA-256 and size.
fn write_hashed(
    to: &mut File,
    header: &str,
    builder: &mut PackBuilder<'_>,
    shown: &Path,
) -> Result<(String, u64), GitError> {
    let mut file = Hashing { to: BufWriter::new(to), hash: Sha256::new(), bytes: 0 };
    let mut written = file.write_all(header.as_bytes());
    if written.is_ok() {
        let built = builder.foreach(|chunk| {
            written = file.write_all(chunk);
            written.is_ok()
        });
        if written.is_ok() {
            built?;
        }
    }
    written.and_then(|()| file.to.flush()).map_err(GitError::io("writing", shown))?;
    Ok((hex::encode(file.hash.finalize()), file.bytes))
}

struct Hashing<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes)
    }
}

/// Why the start of a file is no bundle's header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a git bundle that can be read: {0}")]
pub struct HeaderError(pub(crate) String);

/// Reads a bundle's header. Nothing in it is believed: lengths and counts are bounded, names must be valid, and the pack
/// must begin where the header ends.
///
/// # Errors
/// [`HeaderError`] with the reason.
pub fn parse_header(bytes: &[u8]) -> Result<BundleHeader, HeaderError> {
    let refuse = |reason: &str| HeaderError(reason.to_owned());
    let mut rest = bytes.strip_prefix(SIGNATURE).ok_or_else(|| {
        refuse(if bytes.starts_with(b"# v3 git bundle\n") {
            "version 3 is not supported, only version 2"
        } else {
            "it does not begin with `# v2 git bundle`"
        })
    })?;
    let mut header = BundleHeader { prerequisites: Vec::new(), references: Vec::new(), pack_offset: 0 };
    loop {
        let window = rest.get(..MAX_LINE).unwrap_or(rest);
        let end = window.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| refuse("a header line is too long or does not end"))?;
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        header.pack_offset = bytes.len() - rest.len();
        if header.pack_offset > MAX_HEADER
            || header.prerequisites.len() + header.references.len() >= MAX_LINES
        {
            return Err(refuse("its header is too long"));
        }
        if line.is_empty() {
            break;
        }
        let line = std::str::from_utf8(line).map_err(|_| refuse("a header line is not UTF-8"))?;
        let (prerequisite, line) = line.strip_prefix('-').map_or((false, line), |line| (true, line));
        let (digits, text) = line.split_once(' ').unwrap_or((line, ""));
        let id = Some(digits)
            .filter(|digits| digits.len() == 40)
            .and_then(|digits| Oid::from_str(digits).ok())
            .ok_or_else(|| refuse("a header line holds no 40-digit object id"))?;
        if prerequisite {
            if !header.references.is_empty() {
                return Err(refuse("a prerequisite follows a reference"));
            }
            header.prerequisites.push(id);
        } else if git2::Reference::is_valid_name(text) {
            header.references.push((text.to_owned(), id));
        } else {
            return Err(refuse("a reference's name is not valid"));
        }
    }
    if !rest.starts_with(b"PACK") {
        return Err(refuse("no pack follows its header"));
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111";

    #[test]
    fn headers_are_read() {
        let text = format!("# v2 git bundle\n-{ID} subject of it\n{ID} refs/heads/x\n\nPACK");
        let header = parse_header(text.as_bytes()).unwrap();
        assert_eq!(header.prerequisites, [Oid::from_str(ID).unwrap()]);
        assert_eq!(header.references, [("refs/heads/x".to_owned(), Oid::from_str(ID).unwrap())]);
        assert_eq!(&text[header.pack_offset..], "PACK");
    }

    #[test]
    fn every_broken_header_has_its_reason() {
        let long = "x".repeat(5000);
        let many = format!("{ID} refs/heads/x\n").repeat(101);
        for (header, reason) in [
            (String::new(), "does not begin"),
            ("# v2 git bundle".into(), "does not begin"),
            (format!("# v3 git bundle\n{ID} refs/heads/x\n\nPACK"), "version 3"),
            (format!("# v2 git bundle\n{ID} refs/heads/x"), "does not end"),
            (format!("# v2 git bundle\n{ID} refs/heads/{long}\n\nPACK"), "too long"),
            (format!("# v2 git bundle\n{many}\nPACK"), "too long"),
            ("# v2 git bundle\n123 refs/heads/x\n\nPACK".into(), "40-digit"),
            ("# v2 git bundle\n-\n\nPACK".into(), "40-digit"),
            (format!("# v2 git bundle\n{ID} refs/heads/..\n\nPACK"), "name is not valid"),
            (format!("# v2 git bundle\n{ID}\n\nPACK"), "name is not valid"),
            (format!("# v2 git bundle\n{ID} refs/heads/x\n-{ID}\n\nPACK"), "follows a reference"),
            (format!("# v2 git bundle\n{ID} refs/heads/x\n\nJUNK"), "no pack"),
            (format!("# v2 git bundle\n{ID} refs/heads/x\n\n"), "no pack"),
        ] {
            let error = parse_header(header.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(reason), "{header:.60?}: {error}");
        }
        assert!(parse_header(b"# v2 git bundle\n\xff\xfe\n\nPACK").is_err());
    }

    #[test]
    fn no_prefix_of_a_header_panics() {
        let text = format!("# v2 git bundle\n-{ID} s\n{ID} refs/heads/x\n\nPACK");
        for end in 0..text.len() {
            assert!(parse_header(&text.as_bytes()[..end]).is_err());
        }
    }
}
