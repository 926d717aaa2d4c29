//! The whole way: mirror, workspace, commit, bundle, quarantine, push.

use std::fs;
use std::path::Path;

use cloud_code_git::bundle::{self, parse_header};
use cloud_code_git::change::FileStatus;
use cloud_code_git::push::PushOutcome;
use cloud_code_git::quarantine::{Expected, Limits, Place, Quarantine};
use cloud_code_git::stage::{Author, commit_all};
use cloud_code_git::{Credentials, remote_ref};
use sha2::{Digest, Sha256};

use crate::harness::{REFNAME, World, git, snapshot, try_git};

fn commit(dir: &Path, message: &str) -> cloud_code_git::Oid {
    commit_all(dir, message, &Author { name: "Bot".into(), email: "bot@example.com".into() }, &[])
        .unwrap()
        .unwrap()
}

#[test]
fn from_mirror_to_push() {
    let world = World::with_shop();
    fs::write(world.work().join("old.txt"), "one\ntwo\nthree\nfour\n").unwrap();
    fs::write(world.work().join("dead.txt"), "dead\n").unwrap();
    world.commit("more");
    git(&world.work(), &["push", "-q", "origin", "main"]);
    world.server.set(|b| b.basic = Some("x-access-token:s3cret".into()));
    let credentials = Credentials { username: "x-access-token".into(), password: "s3cret".into() };
    let remote = world.remote().with_credentials(credentials);
    let mirror = world.mirrors().fetch(&world.key(), &remote).unwrap();
    let (dir, base) = world.workspace(&mirror, "workspace");

    fs::write(dir.join("secret.txt"), "hunter2\n").unwrap();
    commit(&dir, "first step");
    fs::remove_file(dir.join("secret.txt")).unwrap();
    fs::remove_file(dir.join("dead.txt")).unwrap();
    fs::rename(dir.join("old.txt"), dir.join("new.txt")).unwrap();
    fs::write(dir.join("src/lib.rs"), "pub fn price() -> u32 {\n    2\n}\n").unwrap();
    fs::write(dir.join("picture.bin"), [0, 1, 2, 3]).unwrap();
    let head = commit(&dir, "second step\n\nwith a body");
    let out = dir.join(".cloud-code/changes.bundle");
    fs::create_dir_all(out.parent().unwrap()).unwrap();
    let info = bundle::write(&dir, base, head, REFNAME, &out).unwrap();
    let bytes = fs::read(&out).unwrap();
    assert_eq!((info.bytes, info.commits), (bytes.len() as u64, 2));
    assert_eq!(info.sha256, hex::encode(Sha256::digest(&bytes)));
    assert_eq!(parse_header(&bytes).unwrap().references, [(REFNAME.to_owned(), head)]);
    // The git program agrees that it is a bundle, and that it needs the base.
    git(&world.work(), &["bundle", "verify", out.to_str().unwrap()]);
    assert!(bundle::write(&dir, head, base, REFNAME, &out).is_err());
    assert!(bundle::write(&dir, base, base, REFNAME, &out).is_err());

    let before = snapshot(mirror.path());
    let scratch = world.path("scratch");
    let expected = Expected { base, refname: REFNAME.into() };
    let quarantine =
        Quarantine::open(mirror.path(), &scratch, &bytes, &expected, &Limits::default()).unwrap();
    let change = quarantine.change();
    assert_eq!((change.base, change.head), (base, head));
    let messages: Vec<_> = change.commits.iter().map(|c| (c.message.as_str(), c.email.as_str())).collect();
    assert_eq!(
        messages,
        [("first step", "bot@example.com"), ("second step\n\nwith a body", "bot@example.com")]
    );
    assert_eq!(change.commits[0].parents, [base]);
    let files: Vec<_> =
        change.files.iter().map(|f| (f.path.as_str(), f.status, f.insertions, f.deletions)).collect();
    assert_eq!(
        files,
        [
            ("dead.txt", FileStatus::Deleted, 0, 1),
            ("new.txt", FileStatus::Renamed, 0, 0),
            ("picture.bin", FileStatus::Added, 0, 0),
            ("src/lib.rs", FileStatus::Modified, 1, 1),
        ]
    );
    assert!(change.files[2].binary && change.files[2].size == 4 && change.files[2].old_mode == 0);
    assert_eq!((change.files[3].old_mode, change.files[3].new_mode), (0o100_644, 0o100_644));
    assert_eq!(
        change.diffstat(),
        " dead.txt           | +0 -1\n old.txt => new.txt | +0 -0\n picture.bin        | binary, 4 bytes\n \
         src/lib.rs         | +1 -1\n 4 files changed, 1 insertion(+), 2 deletions(-)"
    );
    let (patch, cut) = quarantine.patch(100_000).unwrap();
    assert!(!cut && patch.contains("-    1\n+    2\n") && patch.contains("rename from old.txt"), "{patch}");
    let (patch, cut) = quarantine.patch(100).unwrap();
    assert!(cut && patch.len() <= 100);
    assert_eq!(quarantine.file("src/lib.rs", 1000).unwrap().unwrap(), b"pub fn price() -> u32 {\n    2\n}\n");

    // The secret that a later commit took out again is found, and so is each message.
    let mut seen = Vec::new();
    quarantine
        .each_new_content(&mut |place, content| {
            if String::from_utf8_lossy(content).contains("hunter2") {
                seen.push(place.clone());
            }
        })
        .unwrap();
    assert!(
        matches!(seen.as_slice(), [Place::File { path, commit, .. }] if path == "secret.txt" && *commit == change.commits[0].id)
    );
    let mut commits = 0;
    quarantine
        .each_new_content(&mut |place, _| commits += usize::from(matches!(place, Place::Commit(_))))
        .unwrap();
    assert_eq!(commits, 2);
    assert!(before == snapshot(mirror.path()), "the mirror was written to");

    world.server.taken_requests();
    let pushed = quarantine.push(&remote, "cloud-code/issue-1", Some(None)).unwrap();
    assert_eq!(pushed, PushOutcome::Pushed);
    assert_eq!(
        world.server.taken_requests(),
        [
            "GET /acme/shop.git/info/refs?service=git-receive-pack",
            "POST /acme/shop.git/git-receive-pack",
            "GET /acme/shop.git/info/refs?service=git-upload-pack"
        ]
    );
    assert_eq!(remote_ref(&remote, REFNAME).unwrap(), Some(head));
    assert_eq!(remote_ref(&remote, "refs/heads/nothing").unwrap(), None);
    git(&world.forge("acme/shop.git"), &["fsck", "--strict"]);
    let again = quarantine.push(&remote, "cloud-code/issue-1", Some(None)).unwrap();
    assert_eq!(again, PushOutcome::UpToDate);
    drop(quarantine);
    assert!(fs::read_dir(&scratch).unwrap().next().is_none(), "the quarantine is still there");

    // And the git program sees what was pushed.
    world.server.set(|b| b.basic = None);
    git(&world.path(""), &["clone", "-q", "-b", "cloud-code/issue-1", &world.url(), "clone"]);
    assert_eq!(git(&world.path("clone"), &["show", "HEAD:src/lib.rs"]), "pub fn price() -> u32 {\n    2\n}");
    assert!(try_git(&world.path("clone"), &["merge-base", "--is-ancestor", "origin/main", "HEAD"]).0);
}

#[test]
fn a_merge_of_what_the_mirror_has_is_a_change_like_any_other() {
    let world = World::with_shop();
    let mirror = world.fetch();
    let (dir, base) = world.workspace(&mirror, "workspace");
    fs::write(world.work().join("theirs.txt"), "theirs\n").unwrap();
    let theirs = world.commit("theirs");
    git(&world.work(), &["push", "-q", "origin", "main"]);
    let mirror = world.fetch();
    fs::write(dir.join("mine.txt"), "mine\n").unwrap();
    commit(&dir, "mine");
    git(&dir, &["merge", "-q", "-m", "merge", &theirs]);
    let head = cloud_code_git::stage::head(&dir).unwrap().unwrap();
    let out = world.path("bundle");
    bundle::write(&dir, base, head, REFNAME, &out).unwrap();
    let expected = Expected { base, refname: REFNAME.into() };
    let scratch = world.path("scratch");
    let bytes = fs::read(out).unwrap();
    let quarantine =
        Quarantine::open(mirror.path(), &scratch, &bytes, &expected, &Limits::default()).unwrap();
    let messages: Vec<_> = quarantine.change().commits.iter().map(|c| c.message.trim()).collect();
    assert_eq!(messages, ["mine", "merge"]);
    assert_eq!(quarantine.change().files.len(), 2);
}
