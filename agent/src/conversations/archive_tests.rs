#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use std::os::unix::fs::symlink;

const SECRET: &str = "sk-secret-0123456789";

fn store(root: &Path) -> Store {
    let is_part = |path: &[&str], id: &str| matches!(path, ["chats", _, file] if file.strip_suffix(".jsonl") == Some(id));
    Store { root: root.to_owned(), is_part, exchange: None }
}

fn conversation(session: &str) -> Conversation {
    Conversation { step: "fix".to_owned(), cli: "claude-code".to_owned(), session: session.to_owned() }
}

fn masker() -> Masker {
    Masker::new([SECRET.to_owned()])
}

fn put(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// An archive with one entry of this kind, under a name that no honest packer would give.
fn crafted(kind: EntryType, name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o777);
    header.set_size(bytes.len() as u64);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    if kind != EntryType::Regular {
        header.set_link_name_literal("/etc/passwd").unwrap();
    }
    header.set_cksum();
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    builder.append(&header, bytes).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_conversation_comes_back_without_its_secrets_and_without_its_neighbours() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(old.path(), "chats/w/one.jsonl", format!("{{\"key\":\"{SECRET}\"}}\n").as_bytes());
    put(old.path(), "chats/w/two.jsonl", b"two");
    put(old.path(), "credentials.json", SECRET.as_bytes());
    let packed = pack(&[(conversation("one"), store(old.path()))], &masker()).unwrap();
    let archive = new.path().join("archive");
    fs::write(&archive, &packed).unwrap();
    let root = new.path().join("root");
    unpack(&archive, "claude-code", "one", &store(&root)).unwrap();
    assert_eq!(fs::read_to_string(root.join("chats/w/one.jsonl")).unwrap(), "{\"key\":\"***\"}\n");
    assert!(!root.join("chats/w/two.jsonl").exists() && !root.join("credentials.json").exists());
    // One that is there is not touched, another CLI's or another id is not found.
    fs::write(root.join("chats/w/one.jsonl"), "newer").unwrap();
    unpack(&archive, "claude-code", "one", &store(&root)).unwrap();
    assert_eq!(fs::read_to_string(root.join("chats/w/one.jsonl")).unwrap(), "newer");
    for (cli, id) in [("codex", "one"), ("claude-code", "two")] {
        let error = unpack(&archive, cli, id, &store(&root)).unwrap_err();
        assert_eq!(error, "it is not in its archive");
    }
}

#[test]
fn what_is_not_text_is_kept_whole_or_not_at_all() {
    let old = tempfile::tempdir().unwrap();
    put(old.path(), "chats/w/one.jsonl", b"\0\xff binary");
    let kept = [(conversation("one"), store(old.path()))];
    assert!(pack(&kept, &masker()).is_ok());
    put(old.path(), "chats/w/one.jsonl", format!("\0{SECRET}").as_bytes());
    assert!(pack(&kept, &masker()).unwrap_err().contains("holds a secret"));
}

#[test]
fn links_and_missing_files_are_not_packed() {
    let old = tempfile::tempdir().unwrap();
    let kept = [(conversation("one"), store(old.path()))];
    assert!(pack(&kept, &masker()).unwrap_err().contains("not where"));
    put(old.path(), "elsewhere", b"private");
    fs::create_dir_all(old.path().join("chats/w")).unwrap();
    symlink(old.path().join("elsewhere"), old.path().join("chats/w/one.jsonl")).unwrap();
    assert!(pack(&kept, &masker()).unwrap_err().contains("not where"));
    assert!(open(&old.path().join("chats/w/one.jsonl")).is_err());
}

#[test]
fn a_strangers_archive_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let root = dir.path().join("root");
    let check = |bytes: &[u8], words: &str| {
        fs::write(&archive, bytes).unwrap();
        let error = unpack(&archive, "claude-code", "one", &store(&root)).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
        assert!(
            !root.exists() || fs::read_dir(&root).unwrap().next().is_none(),
            "{words}: something was written"
        );
    };
    let good = "claude-code/chats/w/one.jsonl";
    check(&crafted(EntryType::Symlink, good, b""), "other than files");
    check(&crafted(EntryType::Link, good, b""), "other than files");
    check(&crafted(EntryType::Fifo, good, b""), "other than files");
    check(&crafted(EntryType::Directory, good, b""), "other than files");
    for name in
        ["/etc/passwd", "claude-code/../../x", "claude-code/chats/../one.jsonl", "claude-code//x", "a\\b"]
    {
        check(&crafted(EntryType::Regular, name, b"x"), "leads elsewhere");
    }
    check(&crafted(EntryType::Regular, "claude-code/settings.json", b"{}"), "not in its archive");
    check(b"no archive", "cannot be read");
    check(&[], "cannot be read");
    let whole = crafted(EntryType::Regular, good, b"text");
    check(&whole[..whole.len() / 2], "cannot be read");
    // A bomb: little on the wire, too much unpacked.
    let zeros = vec![0; usize::try_from(MAX_BYTES).unwrap() + (4 << 20)];
    check(&crafted(EntryType::Regular, good, &zeros), "cannot be read");
    fs::remove_file(&archive).unwrap();
    let error = unpack(&archive, "claude-code", "one", &store(&root)).unwrap_err();
    assert_eq!(error, "it is not there any more");
    symlink("/etc/passwd", &archive).unwrap();
    assert!(unpack(&archive, "claude-code", "one", &store(&root)).is_err());
    // A folder that a step has made a link stands in the way.
    fs::remove_file(&archive).unwrap();
    fs::write(&archive, &whole).unwrap();
    fs::create_dir(&root).unwrap();
    symlink(dir.path(), root.join("chats")).unwrap();
    let error = unpack(&archive, "claude-code", "one", &store(&root)).unwrap_err();
    assert!(error.contains("a link stands in its way"), "{error}");
}
