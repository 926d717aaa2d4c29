//! The archive: tar, compressed with gzip. What is read of it came out of another container: nothing in it is believed.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use cloud_code_model::mask::Masker;
use cloud_code_model::task::{Conversation, MAX_SESSION_FILE};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rustix::fs::OFlags;
use tar::{Archive, Builder, EntryType, Header};

use crate::cli::Store;

/// Bytes of all files together, unpacked, and how many they are at most.
const MAX_BYTES: u64 = 48 << 20;
const MAX_FILES: usize = 500;
/// How far a CLI's folder is looked through.
const MAX_DEPTH: usize = 8;
const MAX_ENTRIES: usize = 50_000;

/// Makes the archive of these conversations' files, with no secret in it.
pub(super) fn pack(had: &[(Conversation, Store)], masker: &Masker) -> Result<Vec<u8>, String> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let (mut files, mut bytes) = (0, 0);
    for (conversation, store) in had {
        let mut found = Vec::new();
        let mut looked_at = 0;
        walk(&store.root, &mut Vec::new(), &mut looked_at, &mut |path| {
            if (store.is_part)(path, &conversation.session) {
                found.push(path.iter().map(|part| (*part).to_owned()).collect::<Vec<String>>());
            }
        })?;
        found.sort();
        for path in found {
            let name = path.join("/");
            let told = |error: io::Error| format!("{name}: {error}");
            let file = open(&store.root.join(&name)).map_err(told)?;
            let mut text = Vec::new();
            file.take(MAX_BYTES + 1 - bytes).read_to_end(&mut text).map_err(told)?;
            let text =
                masked(text, masker).ok_or_else(|| format!("{name} is not text and holds a secret"))?;
            files += 1;
            bytes += text.len() as u64;
            if files > MAX_FILES || bytes > MAX_BYTES {
                return Err(format!(
                    "it is larger than {MAX_FILES} files of {} MiB together",
                    MAX_BYTES >> 20
                ));
            }
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o600);
            header.set_size(text.len() as u64);
            let name = format!("{}/{name}", conversation.cli);
            builder.append_data(&mut header, &name, &text[..]).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    if files == 0 {
        return Err("its files are not where they were expected".to_owned());
    }
    let packed = builder.into_inner().and_then(GzEncoder::finish).map_err(|error| error.to_string())?;
    if packed.len() as u64 > MAX_SESSION_FILE {
        return Err(format!("its archive is larger than {} MiB", MAX_SESSION_FILE >> 20));
    }
    Ok(packed)
}

/// Puts one conversation's files where the CLI looks for them. A file that is there already stays as it is.
pub(super) fn unpack(archive: &Path, cli: &str, id: &str, store: &Store) -> Result<(), String> {
    let broken = |error: io::Error| format!("its archive cannot be read: {error}");
    let file = match open(archive) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err("it is not there any more".to_owned());
        }
        Err(error) => return Err(broken(error)),
    };
    // As much as the files may have, and tar's own blocks.
    let text = GzDecoder::new(file.take(MAX_SESSION_FILE)).take(MAX_BYTES + (2 << 20));
    let mut found = Vec::new();
    for (number, entry) in Archive::new(text).entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if number >= MAX_FILES {
            return Err(format!("its archive has more than {MAX_FILES} files"));
        }
        if entry.header().entry_type() != EntryType::Regular {
            return Err("its archive holds something other than files".to_owned());
        }
        let name = String::from_utf8(entry.path_bytes().into_owned());
        let name = name.map_err(|_| "its archive has a name that is no text".to_owned())?;
        let parts: Vec<&str> = name.split('/').collect();
        let safe = |part: &&str| !matches!(*part, "" | "." | "..") && !part.contains(['\0', '\\']);
        if !parts.iter().all(safe) {
            return Err("its archive has a name that leads elsewhere".to_owned());
        }
        // Other conversations, and whatever else somebody put in, stay where they are.
        if parts[0] != cli || !(store.is_part)(&parts[1..], id) {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        found.push((parts[1..].iter().map(|part| (*part).to_owned()).collect::<Vec<String>>(), bytes));
    }
    if found.is_empty() {
        return Err("it is not in its archive".to_owned());
    }
    for (path, bytes) in found {
        write(&store.root, &path, &bytes).map_err(|error| format!("it cannot be put in place: {error}"))?;
    }
    Ok(())
}

/// Calls `each` with every plain file below a folder.
fn walk(
    folder: &Path,
    path: &mut Vec<String>,
    looked_at: &mut usize,
    each: &mut dyn FnMut(&[&str]),
) -> Result<(), String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    for entry in entries.flatten() {
        *looked_at += 1;
        if *looked_at > MAX_ENTRIES {
            return Err(format!("its folder has more than {MAX_ENTRIES} files"));
        }
        let (Ok(kind), Ok(name)) = (entry.file_type(), OsString::into_string(entry.file_name())) else {
            continue;
        };
        path.push(name);
        if kind.is_dir() && path.len() < MAX_DEPTH {
            walk(&entry.path(), path, looked_at, each)?;
        } else if kind.is_file() {
            each(&path.iter().map(String::as_str).collect::<Vec<_>>());
        }
        path.pop();
    }
    Ok(())
}

/// Opens a plain file, following no link.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = flags.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    Ok(file)
}

/// The bytes without secrets; `None` where that would break what is no text.
fn masked(bytes: Vec<u8>, masker: &Masker) -> Option<Vec<u8>> {
    let mut stream = masker.stream();
    let mut masked = stream.push(&bytes);
    masked.append(&mut stream.finish());
    let text = !bytes.contains(&0) && str::from_utf8(&bytes).is_ok();
    (text || masked == bytes).then_some(masked)
}

/// Writes a file below a folder, each folder on the way a real one.
fn write(root: &Path, path: &[String], bytes: &[u8]) -> io::Result<()> {
    let private = || {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        builder
    };
    private().recursive(true).create(root)?;
    let (Some((name, folders)), mut place) = (path.split_last(), root.to_owned()) else {
        return Err(io::Error::other("it has no name"));
    };
    for folder in folders {
        place.push(folder);
        match private().create(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ if fs::symlink_metadata(&place).as_ref().is_ok_and(Metadata::is_dir) => {}
            _ => return Err(io::Error::other("a link stands in its way")),
        }
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(place.join(name)) {
        Ok(mut file) => file.write_all(bytes),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
