//! Mirrors: what a fetch brings, what it costs, and what it survives.

use std::fs;

use cloud_code_git::mirror::MirrorKey;
use cloud_code_git::{Credentials, GitError, Remote};

use crate::harness::{World, git, oid, snapshot};

#[test]
fn a_fetch_brings_branches_and_tags_and_no_news_costs_one_request() {
    let world = World::with_shop();
    git(&world.work(), &["tag", "-a", "v1", "-m", "one"]);
    git(&world.work(), &["push", "-q", "origin", "v1", "main:topic", "main:refs/pull/7/head"]);
    let mirror = world.fetch();
    let head = oid(&git(&world.work(), &["rev-parse", "HEAD"]));
    assert_eq!(mirror.default_branch(), Some("main"));
    for revision in ["main", "topic", "v1", "HEAD", "refs/heads/main", &head.to_string()] {
        assert_eq!(mirror.resolve(revision).unwrap(), Some(head), "{revision}");
    }
    for revision in
        ["nothing", "refs/pull/7/head", "main~1", ":/first", "main@{0}", "", "-x", &"1".repeat(40)]
    {
        assert_eq!(mirror.resolve(revision).unwrap(), None, "{revision}");
    }
    git(mirror.path(), &["fsck", "--strict"]);

    world.server.taken_requests();
    world.fetch();
    assert_eq!(world.server.taken_requests(), ["GET /acme/shop.git/info/refs?service=git-upload-pack"]);

    let pull =
        world.mirrors().fetch_also(&world.key(), &world.remote(), &["+refs/pull/7/head:refs/pull/7/head"]);
    assert_eq!(pull.unwrap().resolve("refs/pull/7/head").unwrap(), Some(head));
}

#[test]
fn force_pushes_renames_and_deletions_are_followed() {
    let world = World::with_shop();
    git(&world.work(), &["push", "-q", "origin", "main:a", "main:gone"]);
    let before = world.fetch().resolve("main").unwrap().unwrap();

    git(&world.work(), &["commit", "-q", "--amend", "--allow-empty", "-m", "other words"]);
    git(&world.work(), &["push", "-q", "-f", "origin", "main", ":gone", ":a"]);
    git(&world.work(), &["push", "-q", "origin", "main:a/b"]);
    let mirror = world.fetch();
    let after = oid(&git(&world.work(), &["rev-parse", "HEAD"]));
    assert_eq!(mirror.resolve("main").unwrap(), Some(after));
    assert_eq!(mirror.resolve("gone").unwrap(), None);
    assert_eq!(mirror.resolve("a/b").unwrap(), Some(after));
    // A run may still stand at what was force-pushed away.
    assert_eq!(mirror.resolve(&before.to_string()).unwrap(), Some(before));
    let first = oid(&git(&world.work(), &["rev-parse", "HEAD~1"]));
    assert_eq!(mirror.merge_base(before, after).unwrap(), Some(first));

    let bare = world.forge("acme/shop.git");
    git(&bare, &["branch", "-m", "main", "trunk"]);
    assert_eq!(git(&bare, &["symbolic-ref", "HEAD"]), "refs/heads/trunk");
    let mirror = world.fetch();
    assert_eq!(mirror.default_branch(), Some("trunk"));
    assert_eq!(mirror.resolve("main").unwrap(), None);
}

#[test]
fn an_empty_repository_has_no_default_branch_until_it_has_a_commit() {
    let world = World::new();
    let bare = world.forge("acme/shop.git");
    fs::create_dir_all(&bare).unwrap();
    git(&bare, &["init", "--bare", "-q"]);
    assert_eq!(world.fetch().default_branch(), None);
    let work = world.work();
    fs::create_dir_all(&work).unwrap();
    git(&work, &["init", "-q"]);
    world.commit("first");
    git(&work, &["push", "-q", bare.to_str().unwrap(), "main"]);
    assert_eq!(world.fetch().default_branch(), Some("main"));
}

#[test]
fn many_threads_fetch_one_mirror_at_once() {
    let world = World::with_shop();
    let (mirrors, key, remote) = (world.mirrors(), world.key(), world.remote());
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (mirrors, key, remote, world) = (&mirrors, &key, &remote, &world);
            scope.spawn(move || {
                let mirror = mirrors.fetch(key, remote).unwrap();
                let (dir, _) = world.workspace(&mirror, &format!("workspace-{n}"));
                assert_eq!(git(&dir, &["status", "--porcelain"]), "");
                git(&dir, &["fsck"]);
            });
        }
    });
    git(world.fetch().path(), &["fsck", "--strict"]);
}

#[test]
fn a_fetch_that_broke_off_leaves_the_mirror_as_it_was() {
    let world = World::with_shop();
    world.server.set(|b| b.cut = Some(300));
    let error = world.mirrors().fetch(&world.key(), &world.remote()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(world.mirrors().open(&world.key()).unwrap().is_none());
    world.server.set(|b| b.cut = None);
    let before = world.fetch().resolve("main").unwrap();

    fs::write(world.work().join("big.bin"), (0..200_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>())
        .unwrap();
    world.commit("big");
    git(&world.work(), &["push", "-q", "origin", "main"]);
    world.server.set(|b| b.cut = Some(20_000));
    assert!(world.mirrors().fetch(&world.key(), &world.remote()).unwrap_err().is_transient());
    let mirror = world.mirrors().open(&world.key()).unwrap().unwrap();
    assert_eq!(mirror.resolve("main").unwrap(), before);
    git(mirror.path(), &["fsck", "--strict"]);
    world.server.set(|b| b.cut = None);
    assert_eq!(
        world.fetch().resolve("main").unwrap(),
        Some(oid(&git(&world.work(), &["rev-parse", "HEAD"])))
    );
    let left: Vec<_> =
        fs::read_dir(mirror.objects().join("pack")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with("pack-")), "{left:?}");
}

#[test]
fn what_a_killed_fetch_leaves_is_mended() {
    let world = World::with_shop();
    // Killed while the mirror was first made.
    let new = world.path("mirrors/127.0.0.1/acme/shop.git.new");
    fs::create_dir_all(new.join("objects/pack")).unwrap();
    fs::write(new.join("objects/pack/pack_git2_half"), "half").unwrap();
    let mirror = world.fetch();
    assert!(!new.exists());
    let objects: Vec<_> = snapshot(&mirror.objects()).into_keys().collect();

    // Killed while a reference was written and a pack received; and a machine that lost power.
    for damage in ["locks", "head", "config"] {
        fs::write(mirror.path().join("cloud-code-fetching"), "").unwrap();
        match damage {
            "locks" => {
                fs::write(mirror.path().join("refs/heads/main.lock"), "").unwrap();
                fs::write(mirror.path().join("HEAD.lock"), "").unwrap();
                fs::write(mirror.path().join("refs/heads/main"), "").unwrap();
                fs::write(mirror.path().join("objects/pack/pack_git2_half"), "half").unwrap();
            }
            "head" => fs::write(mirror.path().join("HEAD"), "").unwrap(),
            _ => fs::write(mirror.path().join("config"), "[core\n\0").unwrap(),
        }
        world.commit(damage);
        git(&world.work(), &["push", "-q", "origin", "main"]);
        let mirror = world.fetch();
        assert_eq!(
            mirror.resolve("main").unwrap(),
            Some(oid(&git(&world.work(), &["rev-parse", "HEAD"]))),
            "{damage}"
        );
        assert_eq!(mirror.default_branch(), Some("main"), "{damage}");
        git(mirror.path(), &["fsck", "--strict"]);
        assert!(
            objects.iter().all(|path| path.exists()),
            "{damage}: objects that a workspace may use are gone"
        );
        assert!(!mirror.objects().join("pack/pack_git2_half").exists());
    }
}

#[test]
fn failures_are_told_apart_and_never_name_the_password() {
    let world = World::with_shop();
    world.server.set(|b| b.basic = Some("x-access-token:s3cret".into()));
    let fetch = |remote: &Remote| world.mirrors().fetch(&world.key(), remote);
    let with = |password: &str| {
        world
            .remote()
            .with_credentials(Credentials { username: "x-access-token".into(), password: password.into() })
    };
    let error = fetch(&world.remote()).unwrap_err();
    assert!(matches!(error, GitError::Authentication { .. }), "{error}");
    let error = fetch(&with("wr0ng")).unwrap_err();
    assert!(
        matches!(error, GitError::Authentication { .. }) && !format!("{error:?}").contains("wr0ng"),
        "{error}"
    );
    let mirror = fetch(&with("s3cret")).unwrap();
    for (path, content) in snapshot(mirror.path()) {
        assert!(!String::from_utf8_lossy(&content).contains("s3cret"), "{}", path.display());
    }

    world.server.set(|b| b.basic = None);
    let missing = Remote::new(format!("{}/acme/nothing.git", world.server.url)).unwrap();
    let other = MirrorKey::new("127.0.0.1", "acme", "nothing").unwrap();
    let error = world.mirrors().fetch(&other, &missing).unwrap_err();
    assert!(matches!(error, GitError::NotFound { .. }), "{error}");
    for (status, transient) in [(500, true), (503, true), (429, true), (403, false), (418, false)] {
        world.server.set(|b| b.status = Some(status));
        assert_eq!(fetch(&world.remote()).unwrap_err().is_transient(), transient, "{status}");
    }
    world.server.set(|b| b.status = None);
    let closed = Remote::new("http://127.0.0.1:1/a/b.git").unwrap();
    assert!(fetch(&closed).unwrap_err().is_transient());
    let html = Remote::new(format!("{}/acme/shop.git/nowhere", world.server.url)).unwrap();
    assert!(fetch(&html).is_err());
}

#[test]
fn redirects_are_followed_on_the_same_host_only() {
    let world = World::with_shop();
    let elsewhere = World::with_shop();
    elsewhere.server.set(|b| b.redirect = Some(world.server.url.clone()));
    let remote =
        elsewhere.remote().with_credentials(Credentials { username: "u".into(), password: "p".into() });
    let error = world.mirrors().fetch(&world.key(), &remote).unwrap_err();
    assert!(error.to_string().contains("redirects to another place"), "{error}");
    assert!(world.server.taken_requests().is_empty());

    world.server.set(|b| b.moved = Some(("/old/name.git".into(), "/acme/shop.git".into())));
    let renamed = Remote::new(format!("{}/old/name.git", world.server.url)).unwrap();
    let mirror = world.mirrors().fetch(&world.key(), &renamed).unwrap();
    assert_eq!(mirror.default_branch(), Some("main"));
}

#[test]
fn a_folder_is_a_remote_too_and_files_are_read_from_a_commit() {
    let world = World::with_shop();
    fs::create_dir_all(world.work().join(".cloud-code")).unwrap();
    fs::write(world.work().join(".cloud-code/a.yml"), "name: a\n").unwrap();
    fs::write(world.work().join(".cloud-code/large.yml"), "x".repeat(2000)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", world.work().join(".cloud-code/link.yml")).unwrap();
    world.commit("workflow");
    let remote = Remote::new(world.work().to_str().unwrap()).unwrap();
    let mirror = world.mirrors().fetch(&world.key(), &remote).unwrap();
    let head = mirror.resolve("main").unwrap().unwrap();
    let files = mirror.files(head, ".cloud-code", 1000).unwrap();
    assert_eq!(files, [("a.yml".to_owned(), b"name: a\n".to_vec())]);
    assert!(mirror.files(head, "nowhere", 1000).unwrap().is_empty());
    assert!(mirror.files(head, "README.md", 1000).unwrap().is_empty());
}
