//! Workspaces: what is in them, how they start over, and that nothing done in one reaches the mirror.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use cloud_code_git::{GitError, workspace};

use crate::harness::{World, git, oid, snapshot, spec, try_git};

#[test]
fn a_workspace_is_a_clean_checkout_that_copies_no_objects() {
    let world = World::with_shop();
    symlink("../outside", world.work().join("link")).unwrap();
    fs::write(world.work().join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(world.work().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(world.work().join(".gitattributes"), "* text=auto\n*.txt ident eol=crlf\n*.evil filter=evil\n")
        .unwrap();
    fs::write(world.work().join("a.txt"), "$Id$\n").unwrap();
    world.commit("more");
    git(&world.work(), &["push", "-q", "origin", "main"]);
    let mirror = world.fetch();
    let (dir, base) = world.workspace(&mirror, "workspace");

    assert_eq!(git(&dir, &["status", "--porcelain"]), "");
    assert_eq!(git(&dir, &["symbolic-ref", "HEAD"]), "refs/heads/cloud-code/issue-1");
    assert_eq!(git(&dir, &["rev-parse", "HEAD"]), base.to_string());
    assert_eq!(git(&dir, &["merge-base", "HEAD", "origin/HEAD"]), base.to_string());
    assert_eq!(git(&dir, &["log", "--oneline"]).lines().count(), 3);
    assert_eq!(git(&dir, &["remote", "get-url", "origin"]), "https://example.com/acme/shop.git");
    assert!(!try_git(&dir, &["config", "user.name"]).0);
    assert_eq!(fs::read_link(dir.join("link")).unwrap(), Path::new("../outside"));
    assert!(fs::metadata(dir.join("run.sh")).unwrap().permissions().mode() & 0o111 != 0);
    assert_eq!(fs::read_to_string(dir.join("a.txt")).unwrap(), "$Id$\n");
    let hooks: Vec<_> =
        fs::read_dir(dir.join(".git/hooks")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(hooks, ["README.sample"]);
    assert_eq!(
        git(&dir, &["count-objects", "-v"])
            .lines()
            .filter(|l| *l == "count: 0" || *l == "in-pack: 0")
            .count(),
        2
    );

    fs::create_dir_all(dir.join(".cloud-code")).unwrap();
    for ours in ["tasking.yaml", "reporting.yaml", "changes.bundle", "log.txt", "prompt-1.md", "x.tmp"] {
        fs::write(dir.join(".cloud-code").join(ours), "ours").unwrap();
    }
    assert_eq!(git(&dir, &["status", "--porcelain"]), "");
    fs::write(dir.join(".cloud-code/theirs.yml"), "theirs").unwrap();
    assert_eq!(git(&dir, &["status", "--porcelain", "-uall"]), "?? .cloud-code/theirs.yml");
}

#[test]
fn alternates_can_name_where_a_container_sees_the_objects() {
    let world = World::with_shop();
    let mirror = world.fetch();
    let base = mirror.resolve("main").unwrap().unwrap();
    let (dir, seen) = (world.path("workspace"), world.path("seen"));
    let mut wanted = spec(&mirror, base, &dir);
    wanted.objects_at = Some(&seen);
    let us = fs::metadata(world.path("")).unwrap();
    wanted.owner = Some((if us.uid() == 0 { 4711 } else { us.uid() }, us.gid()));
    workspace::create(&wanted).unwrap();
    let alternates = fs::read_to_string(dir.join(".git/objects/info/alternates")).unwrap();
    assert_eq!(alternates, format!("{}\n", seen.display()));
    assert!(!try_git(&dir, &["-c", "safe.directory=*", "log"]).0);
    symlink(mirror.objects(), &seen).unwrap();
    assert_eq!(fs::metadata(dir.join("src/lib.rs")).unwrap().uid(), wanted.owner.unwrap().0);
    // Another owner's repository is opened all the same.
    assert_eq!(cloud_code_git::stage::head(&dir).unwrap(), Some(base));
}

#[test]
fn creating_again_starts_over_and_strangers_folders_are_left_alone() {
    let world = World::with_shop();
    let mirror = world.fetch();
    let (dir, base) = world.workspace(&mirror, "workspace");
    fs::write(dir.join("README.md"), "changed").unwrap();
    fs::write(dir.join("left.txt"), "left").unwrap();
    fs::remove_file(dir.join(".git/HEAD")).unwrap();
    world.workspace(&mirror, "workspace");
    assert_eq!(git(&dir, &["status", "--porcelain"]), "");
    assert!(!dir.join("left.txt").exists());

    fs::create_dir_all(world.path("half/.git")).unwrap();
    world.workspace(&mirror, "half");
    let mine = world.path("mine");
    fs::create_dir_all(mine.join(".git")).unwrap();
    fs::write(mine.join("thesis.txt"), "mine").unwrap();
    symlink(&dir, world.path("link")).unwrap();
    for name in ["mine", "link"] {
        let error = workspace::create(&spec(&mirror, base, &world.path(name))).unwrap_err();
        assert!(matches!(error, GitError::Invalid(_)), "{error}");
    }
    assert!(mine.join("thesis.txt").exists());

    workspace::remove(&dir).unwrap();
    workspace::remove(&dir).unwrap();
    assert!(!dir.exists() && mirror.path().exists());
}

#[test]
fn a_base_that_is_gone_is_the_users_error() {
    let world = World::with_shop();
    let mirror = world.fetch();
    let dir = world.path("workspace");
    let gone = oid("1111111111111111111111111111111111111111");
    let error = workspace::create(&spec(&mirror, gone, &dir)).unwrap_err();
    assert!(error.is_user_error());
    assert_eq!(
        error.to_string(),
        "commit 1111111111111111111111111111111111111111 was not found: it is not in acme/shop; its branch may have been \
         deleted or force-pushed. Start again from a commit that exists"
    );
    let base = mirror.resolve("main").unwrap().unwrap();
    for branch in ["", "a..b", "-x", "a b", "x.lock", "/a"] {
        let mut wanted = spec(&mirror, base, &dir);
        wanted.branch = branch;
        assert!(matches!(workspace::create(&wanted), Err(GitError::Invalid(_))), "{branch}");
    }
    assert!(!dir.exists());
}

#[test]
fn nothing_done_in_a_workspace_reaches_the_mirror_or_another_workspace() {
    let world = World::with_shop();
    let mirror = world.fetch();
    let (one, _) = world.workspace(&mirror, "one");
    let (two, _) = world.workspace(&mirror, "two");
    let before = (snapshot(mirror.path()), snapshot(&two));
    // As an attempt would: new objects, history rewritten, everything collected and repacked, files overwritten.
    fs::write(one.join("README.md"), "evil").unwrap();
    git(&one, &["commit", "-qam", "evil"]);
    git(&one, &["reset", "-q", "--hard", "HEAD~2"]);
    git(&one, &["reflog", "expire", "--expire=now", "--all"]);
    git(&one, &["repack", "-q", "-a", "-d", "-l"]);
    git(&one, &["gc", "-q", "--prune=now", "--aggressive"]);
    let blob = git(&one, &["rev-parse", "HEAD:README.md"]);
    let loose = one.join(".git/objects").join(&blob[..2]);
    fs::create_dir_all(&loose).unwrap();
    fs::write(loose.join(&blob[2..]), "not an object").unwrap();
    assert!(before == (snapshot(mirror.path()), snapshot(&two)), "the mirror or the other workspace changed");
    git(mirror.path(), &["fsck", "--strict"]);
    assert_eq!(git(&two, &["status", "--porcelain"]), "");
}
