//! Bundles that a stranger made: each is refused, with its reason.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cloud_code_git::mirror::Mirror;
use cloud_code_git::quarantine::{Expected, Limits, OpenError, Place, Quarantine, Rejected};

use crate::harness::{REFNAME, World, git, oid, snapshot};

/// Makes objects and bundles by hand, malformed ones too.
struct Forger {
    world: World,
    mirror: Mirror,
    repository: PathBuf,
    base: String,
    base_tree: String,
}

impl Forger {
    fn new() -> Self {
        let world = World::with_shop();
        let mirror = world.fetch();
        let repository = world.work();
        let base = git(&repository, &["rev-parse", "HEAD"]);
        let base_tree = git(&repository, &["rev-parse", "HEAD^{tree}"]);
        Self { world, mirror, repository, base, base_tree }
    }

    fn pipe(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        self.pipe_program("git", arguments, input)
    }

    fn pipe_program(&self, program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(&self.repository)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}");
        output.stdout
    }

    fn object(&self, kind: &str, bytes: &[u8]) -> String {
        let id = self.pipe(&["hash-object", "-w", "--literally", "-t", kind, "--stdin"], bytes);
        String::from_utf8(id).unwrap().trim().to_owned()
    }

    fn blob(&self, text: &str) -> String {
        self.object("blob", text.as_bytes())
    }

    /// A tree of exactly these lines.
    fn tree(&self, lines: &[(&str, &str, &str)]) -> String {
        let line = |(mode, name, id): &(&str, &str, &str)| {
            [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &hex::decode(id).unwrap()].concat()
        };
        self.object("tree", &lines.iter().flat_map(line).collect::<Vec<u8>>())
    }

    /// The base's tree with more lines behind it, which must sort there.
    fn more(&self, lines: &[(&str, &str, &str)]) -> String {
        let readme = git(&self.repository, &["rev-parse", "HEAD:README.md"]);
        let src = git(&self.repository, &["rev-parse", "HEAD:src"]);
        let base = [("100644", "README.md", readme.as_str()), ("40000", "src", src.as_str())];
        self.tree(&[&base, lines].concat())
    }

    fn commit(&self, tree: &str, parents: &[&str], message: &str) -> String {
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let who = "Eve <eve@example.com> 1700000000 +0000";
        let text = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}\n");
        self.object("commit", text.as_bytes())
    }

    /// A bundle of these objects, as they are.
    fn bundle(&self, base: &str, head: &str, objects: &[&str]) -> Vec<u8> {
        let pack = self.pipe(&["pack-objects", "--stdout", "-q"], (objects.join("\n") + "\n").as_bytes());
        let header = format!("# v2 git bundle\n-{base}\n{head} {REFNAME}\n\n");
        [header.as_bytes(), &pack].concat()
    }

    /// A commit on the base with this tree, and a bundle of it and of the objects.
    fn one(&self, tree: &str, objects: &[&str]) -> Vec<u8> {
        let head = self.commit(tree, &[&self.base], "evil");
        self.bundle(&self.base, &head, &[&[head.as_str(), tree], objects].concat())
    }

    fn open(&self, bundle: &[u8], limits: &Limits) -> Result<Quarantine, OpenError> {
        let expected = Expected { base: oid(&self.base), refname: REFNAME.into() };
        Quarantine::open(self.mirror.path(), &self.world.path("scratch"), bundle, &expected, limits)
    }

    fn check(&self, what: &str, bundle: &[u8], limits: &Limits, reason: &str) {
        let before = snapshot(self.mirror.path());
        match self.open(bundle, limits) {
            Err(OpenError::Rejected(rejected)) => {
                let text = rejected.to_string();
                assert!(text.contains(reason), "{what}: refused, but because: {text}");
                assert!(!text.contains(['\n', '\0']), "{what}: {text:?}");
            }
            Err(OpenError::Failed(error)) => panic!("{what}: our failure: {error}"),
            Ok(quarantine) => panic!("{what}: accepted: {:?}", quarantine.change()),
        }
        assert!(before == snapshot(self.mirror.path()), "{what}: the mirror was written to");
        assert!(
            std::fs::read_dir(self.world.path("scratch")).map_or(true, |mut dir| dir.next().is_none()),
            "{what}: left"
        );
    }
}

#[test]
fn a_harmless_bundle_made_by_hand_is_accepted() {
    let f = Forger::new();
    let blob = f.blob("hello\n");
    let link = f.blob("src/lib.rs");
    let tree = f.more(&[("120000", "x", &link), ("100755", "y", &blob)]);
    let quarantine = f.open(&f.one(&tree, &[&blob, &link]), &Limits::default()).unwrap();
    assert_eq!(quarantine.change().files.len(), 2);
    assert_eq!(quarantine.change().commits[0].author, "Eve");
}

/// The paths that the commits of a change touch, sorted.
fn touched(quarantine: &Quarantine) -> Vec<String> {
    let mut paths = Vec::new();
    let mut visit = |place: &Place, _: &[u8]| {
        if let Place::Path { path, .. } = place {
            paths.push(path.clone());
        }
    };
    quarantine.each_new_content(&mut visit).unwrap();
    paths.sort();
    paths.dedup();
    paths
}

#[test]
fn what_is_removed_and_put_back_is_seen() {
    let f = Forger::new();
    let blob = f.blob("hello\n");
    let src = git(&f.repository, &["rev-parse", "HEAD:src"]);
    let without = f.tree(&[("40000", "src", &src)]);
    let removed = f.commit(&without, &[&f.base], "remove the README");
    let tree = f.more(&[("100644", "x", &blob)]);
    let head = f.commit(&tree, &[&removed], "put it back");
    let bundle = f.bundle(&f.base, &head, &[&removed, &without, &head, &tree, &blob]);
    let quarantine = f.open(&bundle, &Limits::default()).unwrap();
    assert_eq!(quarantine.change().files.len(), 1, "the change as a whole does not show it");
    assert_eq!(touched(&quarantine), ["README.md", "x"]);
    // A folder that takes a file's place removes the file.
    let inner = f.tree(&[("100644", "x", &blob)]);
    let folder = f.tree(&[("40000", "README.md", &inner), ("40000", "src", &src)]);
    let quarantine = f.open(&f.one(&folder, &[&inner, &blob]), &Limits::default()).unwrap();
    assert_eq!(touched(&quarantine), ["README.md", "README.md/x"]);
}

#[test]
fn a_merge_is_compared_with_every_parent() {
    let f = Forger::new();
    let blob = f.blob("hello\n");
    // The forge's main went on: it changed the README. The merge takes the old README back, which against its first
    // parent is no change.
    let (old, old_tree) = (f.base.clone(), f.base_tree.clone());
    let src = git(&f.repository, &["rev-parse", "HEAD:src"]);
    let main = f.tree(&[("100644", "README.md", &blob), ("40000", "src", &src)]);
    let base = f.commit(&main, &[&old], "a new README");
    git(&f.repository, &["push", "-q", "origin", &format!("{base}:refs/heads/main")]);
    let f = Forger { mirror: f.world.fetch(), base, base_tree: main.clone(), ..f };
    let merge = f.commit(&old_tree, &[&old, &f.base], "take the old README back");
    let tree = f.tree(&[("100644", "README.md", &blob), ("40000", "src", &src), ("100644", "x", &blob)]);
    let head = f.commit(&tree, &[&f.base, &merge], "and the new one");
    let bundle = f.bundle(&f.base, &head, &[&merge, &head, &tree]);
    let quarantine = f.open(&bundle, &Limits::default()).unwrap();
    assert_eq!(quarantine.change().files.len(), 1);
    assert_eq!(touched(&quarantine), ["README.md", "x"]);

    drop(quarantine);
    let many = f.commit(&tree, &[f.base.as_str()].repeat(17), "an octopus");
    f.check("17 parents", &f.bundle(&f.base, &many, &[&many, &tree]), &Limits::default(), "17 parents");
}

#[test]
fn headers_and_packs() {
    let f = Forger::new();
    let limits = Limits::default();
    let blob = f.blob("hello\n");
    let tree = f.more(&[("100644", "x", &blob)]);
    let head = f.commit(&tree, &[&f.base], "fine");
    let objects = [head.as_str(), &tree, &blob];
    let good = f.bundle(&f.base, &head, &objects);
    f.check("empty", b"", &limits, "not a git bundle");
    f.check("junk", &vec![0x1f; 5000], &limits, "not a git bundle");
    let first = git(&f.repository, &["rev-parse", "HEAD~1"]);
    f.check("another base", &f.bundle(&first, &head, &objects), &limits, "must build on");
    let text = |from: &str, to: &str| {
        let at = good.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        [&good[..at], to.as_bytes(), &good[at + from.len()..]].concat()
    };
    f.check("no base", &text(&format!("-{}\n", f.base), ""), &limits, "builds on nothing");
    f.check("another reference", &text(REFNAME, "refs/heads/main"), &limits, "holds refs/heads/main");
    f.check(
        "two references",
        &text(REFNAME, &format!("{REFNAME}\n{head} refs/heads/x")),
        &limits,
        "must hold",
    );
    for cut in [good.len() - 1, good.len() - 25, good.len() - 60] {
        f.check("cut off", &good[..cut], &limits, "pack is damaged");
    }
    f.check("a tail", &[good.as_slice(), b"tail"].concat(), &limits, "pack is damaged");
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    f.check("another checksum", &flipped, &limits, "pack is damaged");
    f.check("nothing new", &f.bundle(&f.base, &f.base, &objects), &limits, "no commits on top");
    f.check("older", &f.bundle(&f.base, &first, &objects), &limits, "does not descend");
    let orphan = f.commit(&tree, &[], "orphan");
    f.check("orphan", &f.bundle(&f.base, &orphan, &[&orphan, &tree, &blob]), &limits, "does not descend");
    let sibling = f.commit(&tree, &[&first], "sibling");
    f.check(
        "beside the base",
        &f.bundle(&f.base, &sibling, &[&sibling, &tree, &blob]),
        &limits,
        "does not descend",
    );
}

#[test]
fn objects_that_are_missing_or_of_the_wrong_kind() {
    let f = Forger::new();
    let limits = Limits::default();
    let blob = f.blob("hello\n");
    let tree = f.more(&[("100644", "x", &blob)]);
    let head = f.commit(&tree, &[&f.base], "fine");
    f.check("no head", &f.bundle(&f.base, &head, &[&tree, &blob]), &limits, "lacks the head commit");
    f.check("no tree", &f.bundle(&f.base, &head, &[&head, &blob]), &limits, "lacks tree");
    f.check("no blob", &f.bundle(&f.base, &head, &[&head, &tree]), &limits, "lacks file");
    let next = f.commit(&tree, &[&head], "next");
    f.check("no parent", &f.bundle(&f.base, &next, &[&next, &tree, &blob]), &limits, "lacks commit");
    f.check("a tree as head", &f.bundle(&f.base, &tree, &[&tree, &blob]), &limits, "lacks the head commit");
    let wrong = f.more(&[("100644", "x", &f.base_tree)]);
    f.check("a tree as file", &f.one(&wrong, &[]), &limits, "lacks file");
    let wrong = f.more(&[("40000", "x", &blob)]);
    f.check("a file as tree", &f.one(&wrong, &[&blob]), &limits, "lacks tree");
    let commit = f.object("commit", b"tree nonsense\n");
    f.check("a commit of nonsense", &f.bundle(&f.base, &commit, &[&commit]), &limits, "malformed");
    let nul = f.commit(&tree, &[&f.base], "a\0b");
    f.check("a commit with a NUL", &f.bundle(&f.base, &nul, &[&nul, &tree, &blob]), &limits, "NUL");
    let broken = f.object("tree", b"100644 x");
    f.check("a tree of nonsense", &f.one(&broken, &[]), &limits, "malformed");
    // The intermediate commit is checked, though the head is harmless again.
    let evil = f.more(&[("40000", ".git", &f.base_tree)]);
    let between = f.commit(&evil, &[&f.base], "between");
    let last = f.commit(&tree, &[&between], "last");
    let bundle = f.bundle(&f.base, &last, &[&between, &evil, &last, &tree, &blob]);
    f.check("hidden in between", &bundle, &limits, "stands for .git");
}

#[test]
fn names_modes_and_links() {
    let f = Forger::new();
    let limits = Limits::default();
    let blob = f.blob("hello\n");
    for (name, reason) in [
        (".git", "stands for .git"),
        (".GiT", "stands for .git"),
        ("git~1", "stands for .git"),
        (".g\u{200c}it", "stands for .git"),
        (".git ", "stands for .git"),
        ("..", "leads out"),
        (".", "leads out"),
        ("a/b", "slash"),
        ("", "is empty"),
    ] {
        let inner = f.tree(&[("100644", name, &blob)]);
        let tree = f.more(&[("40000", "zz", &inner)]);
        f.check(name, &f.one(&tree, &[&inner, &blob]), &limits, reason);
    }
    let twice = f.more(&[("100644", "x", &blob), ("100644", "x", &blob)]);
    f.check("twice", &f.one(&twice, &[&blob]), &limits, "stands twice");
    let unsorted = f.more(&[("100644", "y", &blob), ("100644", "x", &blob)]);
    f.check("unsorted", &f.one(&unsorted, &[&blob]), &limits, "out of order");
    for mode in ["100666", "104755", "0100644", "40777"] {
        let tree = f.more(&[(mode, "x", &blob)]);
        f.check(mode, &f.one(&tree, &[&blob]), &limits, "has a mode");
    }
    let line = f.more(&[("100644", "x\ny", &blob)]);
    f.check("a line break", &f.one(&line, &[&blob]), &limits, "control characters");
    let submodule = f.more(&[("160000", "x", &f.base)]);
    f.check("a submodule", &f.one(&submodule, &[]), &limits, "submodule");
    let empty = f.tree(&[]);
    let holder = f.more(&[("40000", "x", &empty)]);
    f.check("an empty folder", &f.one(&holder, &[&empty]), &limits, "empty folder");
    for target in ["/etc/passwd", "..", "../../x", "src/../../x", ".git/config", ""] {
        let link = f.blob(target);
        let tree = f.more(&[("120000", "x", &link)]);
        f.check(target, &f.one(&tree, &[&link]), &limits, "the link `x`");
    }
}

#[test]
fn limits() {
    let f = Forger::new();
    let limits = Limits::default();
    let many = |count: usize| {
        let blobs: Vec<String> = (0..count).map(|n| format!("f{n:04}")).collect();
        let blob = f.blob("same\n");
        let lines: Vec<_> = blobs.iter().map(|name| ("100644", name.as_str(), blob.as_str())).collect();
        let tree = f.tree(&lines);
        f.one(&f.more(&[("40000", "x", &tree)]), &[&tree, &blob])
    };
    f.check("300 files", &many(300), &limits, "more than 100 files");
    f.check("101 files", &many(101), &limits, "more than 100 files");
    assert!(f.open(&many(100), &limits).is_ok());
    let blob = f.blob("x");
    let rest = f.one(&f.tree(&[("100644", "x", &blob)]), &[&blob]);
    f.check("files gone", &rest, &Limits { max_files: 1, ..limits.clone() }, "more than 1 files");

    let noise: String =
        (0..700_000u64).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761) % (1 << 32))).collect();
    let blob = f.blob(&noise);
    let tree = f.more(&[("100644", "x", &blob)]);
    let bundle = f.one(&tree, &[&blob]);
    let small = Limits { max_bundle_bytes: bundle.len() - 1, ..limits.clone() };
    f.check("too many bytes", &bundle, &small, "at most");
    f.check("5 MB", &[bundle.as_slice(), &vec![0; 5 << 20]].concat(), &limits, "the bundle is");
    f.check(
        "a large object",
        &bundle,
        &Limits { max_bundle_bytes: 1 << 30, max_object_bytes: 1 << 20, ..limits.clone() },
        "an object",
    );
    f.check(
        "a large sum",
        &bundle,
        &Limits { max_bundle_bytes: 1 << 30, max_total_bytes: 1 << 20, ..limits.clone() },
        "inflates",
    );
    f.check(
        "objects",
        &bundle,
        &Limits { max_bundle_bytes: 1 << 30, max_objects: 2, ..limits.clone() },
        "objects",
    );

    // 17 MB of zeros in 17 kB.
    let zeros = f.object("blob", &vec![0; 17 << 20]);
    let tree = f.more(&[("100644", "x", &zeros)]);
    f.check("a bomb", &f.one(&tree, &[&zeros]), &limits, "an object of the bundle is 17825792 bytes");

    let mut parent = f.base.clone();
    let mut objects = Vec::new();
    for n in 0..101 {
        parent = f.commit(&f.base_tree, &[&parent], &format!("commit {n}"));
        objects.push(parent.clone());
    }
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    f.check("101 commits", &f.bundle(&f.base, &parent, &objects), &limits, "more than 100 commits");
}

#[test]
fn a_tree_that_unfolds_into_billions_of_files_is_refused_at_once() {
    let f = Forger::new();
    let blob = f.blob("x");
    let names: Vec<String> = (0..10).map(|n| format!("d{n}")).collect();
    let mut tree =
        f.tree(&names.iter().map(|name| ("100644", name.as_str(), blob.as_str())).collect::<Vec<_>>());
    let mut objects = vec![tree.clone(), blob];
    for _ in 0..10 {
        tree = f.tree(&names.iter().map(|name| ("40000", name.as_str(), tree.as_str())).collect::<Vec<_>>());
        objects.push(tree.clone());
    }
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    let started = std::time::Instant::now();
    f.check(
        "a git bomb",
        &f.one(&f.more(&[("40000", "x", &tree)]), &objects),
        &Limits::default(),
        "more than 100 files",
    );
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn what_was_there_before_does_not_stand_in_the_way() {
    let f = Forger::new();
    // A submodule and a link out of the tree that the forge has; another file changes beside them.
    let link = f.blob("/opt/tool");
    let blob = f.blob("x");
    let before = f.more(&[("160000", "sub", &f.base), ("120000", "tool", &link)]);
    let base = f.commit(&before, &[&f.base], "before");
    git(&f.repository, &["push", "-q", "origin", &format!("{base}:refs/heads/main")]);
    let f = Forger { mirror: f.world.fetch(), base, ..f };
    let after = f.more(&[
        ("160000", "sub", &git(&f.repository, &["rev-parse", "HEAD"])),
        ("120000", "tool", &link),
        ("100644", "x", &blob),
    ]);
    let quarantine = f.open(&f.one(&after, &[&blob]), &Limits::default()).unwrap();
    assert_eq!(quarantine.change().files.len(), 1);
    let moved = f.more(&[("160000", "sub", &f.base), ("120000", "tool", &link)]);
    let error = f.open(&f.one(&moved, &[]), &Limits::default()).err().unwrap();
    assert!(matches!(error, OpenError::Rejected(Rejected::Submodule { .. })), "{error}");
    let gone = f.more(&[("120000", "tool", &link)]);
    let error = f.open(&f.one(&gone, &[]), &Limits::default()).err().unwrap();
    assert!(matches!(error, OpenError::Rejected(Rejected::Submodule { .. })), "{error}");
}

#[test]
fn a_long_chain_of_deltas_in_the_worst_order_ends_soon() {
    let f = Forger::new();
    let content = |n: usize| format!("{n:020}").into_bytes();
    let id = |n: usize| git2::Oid::hash_object(git2::ObjectType::Blob, &content(n)).unwrap();
    let zlib = |bytes: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    // Each blob is a delta of the next one, and the only whole one comes last: no order could be worse for a reader.
    let count = 4_990;
    let mut pack = [b"PACK\0\0\0\x02".as_slice(), &u32::try_from(count).unwrap().to_be_bytes()].concat();
    for n in 1..count {
        // Type 7, 23 bytes: sizes of base and result, then one insertion of all 20 bytes.
        pack.extend_from_slice(&[0xf7, 0x01]);
        pack.extend_from_slice(id(n + 1).as_bytes());
        pack.extend(zlib(&[&[20, 20, 20], content(n).as_slice()].concat()));
    }
    pack.extend_from_slice(&[0xb4, 0x01]);
    pack.extend(zlib(&content(count)));
    let sum = f.pipe_program("sha1sum", &[], &pack);
    pack.extend(hex::decode(&sum[..40]).unwrap());
    let head = "1".repeat(40);
    let bundle = [format!("# v2 git bundle\n-{}\n{head} {REFNAME}\n\n", f.base).as_bytes(), &pack].concat();
    let started = std::time::Instant::now();
    f.check("a chain", &bundle, &Limits::default(), "lacks the head commit");
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}
