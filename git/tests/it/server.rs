//! The real git program as the client of `cloud_code_git::server`.

use cloud_code_git::server::{self, Service};

use crate::harness::{World, git, try_git};

#[test]
fn git_clones_fetches_and_pushes() {
    let world = World::with_shop();
    git(&world.work(), &["tag", "-a", "v1", "-m", "one"]);
    git(&world.work(), &["push", "-q", "origin", "v1"]);
    git(&world.path(""), &["clone", "-q", &world.url(), "clone"]);
    let clone = world.path("clone");
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), git(&world.work(), &["rev-parse", "HEAD"]));
    assert_eq!(git(&clone, &["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(git(&clone, &["tag"]), "v1");
    git(&clone, &["fsck", "--strict"]);

    std::fs::write(world.work().join("new.txt"), "news\n").unwrap();
    let new = world.commit("third");
    git(&world.work(), &["push", "-q", "origin", "main"]);
    git(&clone, &["pull", "-q", "--ff-only"]);
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), new);

    std::fs::write(clone.join("back.txt"), "back\n").unwrap();
    git(&clone, &["checkout", "-q", "-b", "topic"]);
    git(&clone, &["add", "-A"]);
    git(&clone, &["commit", "-q", "-m", "back"]);
    git(&clone, &["push", "-q", "origin", "topic", "topic:refs/heads/again"]);
    let bare = world.forge("acme/shop.git");
    assert_eq!(git(&bare, &["rev-parse", "topic"]), git(&clone, &["rev-parse", "HEAD"]));
    git(&clone, &["push", "-q", "origin", ":again"]);
    assert_eq!(git(&bare, &["branch", "--format=%(refname:short)"]), "main\ntopic");
    git(&bare, &["fsck", "--strict"]);
    let updates = world.server.updates.lock().unwrap();
    assert_eq!(updates.len(), 3);
    assert!(updates[2].new.is_none() && !updates[2].fast_forward);
}

#[test]
fn a_fetch_of_one_commit_is_small_after_many() {
    let world = World::with_shop();
    for n in 0..300 {
        git(&world.work(), &["commit", "-q", "--allow-empty", "-m", &format!("empty {n}")]);
    }
    git(&world.work(), &["push", "-q", "origin", "main"]);
    git(&world.path(""), &["clone", "-q", &world.url(), "clone"]);
    // The clone goes its own way, so that its newest commits are unknown to the server and the talk takes some rounds.
    let clone = world.path("clone");
    for n in 0..100 {
        git(&clone, &["commit", "-q", "--allow-empty", "-m", &format!("own {n}")]);
    }
    std::fs::write(world.work().join("one.txt"), "one\n").unwrap();
    world.commit("one more");
    git(&world.work(), &["push", "-q", "origin", "main"]);
    let (ok, out) = try_git(&clone, &["-c", "fetch.unpackLimit=1000", "fetch", "origin"]);
    assert!(ok, "{out}");
    let counted = git(&clone, &["count-objects"]);
    // 100 commits of its own, and 3 objects fetched: commit, tree, blob.
    assert!(counted.starts_with("103 objects"), "{counted}");
}

#[test]
fn an_empty_repository_is_cloned_and_filled() {
    let world = World::new();
    let bare = world.forge("empty.git");
    std::fs::create_dir_all(&bare).unwrap();
    git(&bare, &["init", "--bare", "-q"]);
    let url = format!("{}/empty.git", world.server.url);
    git(&world.path(""), &["clone", "-q", &url, "clone"]);
    let clone = world.path("clone");
    git(&clone, &["commit", "-q", "--allow-empty", "-m", "first"]);
    git(&clone, &["push", "-q", "origin", "HEAD:refs/heads/main"]);
    assert_eq!(git(&bare, &["rev-parse", "main"]), git(&clone, &["rev-parse", "HEAD"]));
}

#[test]
fn credentials_are_asked_for_and_a_refused_reference_says_why() {
    let world = World::with_shop();
    world.server.set(|b| {
        b.basic = Some("x-access-token:s3cret".into());
        b.protected = vec!["refs/heads/main".into()];
        b.fast_forward_only = true;
    });
    let (ok, _) = try_git(&world.path(""), &["ls-remote", &world.url()]);
    assert!(!ok);
    let url = world.url().replace("http://", "http://x-access-token:s3cret@");
    git(&world.path(""), &["clone", "-q", &url, "clone"]);
    let clone = world.path("clone");
    git(&clone, &["commit", "-q", "--allow-empty", "-m", "mine"]);
    let (ok, out) = try_git(&clone, &["push", "origin", "main"]);
    assert!(!ok && out.contains("protected branch hook declined"), "{out}");
    git(&clone, &["push", "-q", "origin", "main:topic"]);
    git(&clone, &["commit", "-q", "--amend", "--allow-empty", "-m", "mine, anew"]);
    let (ok, out) = try_git(&clone, &["push", "-f", "origin", "main:topic"]);
    assert!(!ok && out.contains("non-fast-forward"), "{out}");
}

#[test]
fn malformed_requests_are_refused_and_nothing_panics() {
    let world = World::with_shop();
    let bare = world.forge("acme/shop.git");
    let zero = "0".repeat(40);
    let unknown = "1".repeat(40);
    let command = |line: &str| format!("{:04x}{line}0000", line.len() + 4);
    for body in [
        "zzzz".to_owned(),
        "0001".into(),
        command("want 123\n"),
        command(&format!("want {unknown}\n")),
        command("shallow 1\n"),
        "ffff".into(),
        "00".into(),
    ] {
        assert!(server::upload_pack(&bare, body.as_bytes()).is_err(), "{body}");
    }
    let everything = |_: &_| Ok(());
    for body in [command("x"), command(&format!("{zero} {zero}")), "0004".into(), format!("0032{zero}")] {
        assert!(server::receive_pack(&bare, body.as_bytes(), &everything).is_err(), "{body}");
    }
    let report = |refname: &str, new: &str, pack: &str| {
        let body = format!("{}{pack}", command(&format!("{zero} {new} {refname}\0report-status")));
        String::from_utf8(server::receive_pack(&bare, body.as_bytes(), &everything).unwrap().body).unwrap()
    };
    let none = "PACK\0\0\0\x02\0\0\0\0";
    assert!(report("refs/heads/x", &unknown, "").contains("no pack follows"));
    assert!(report("refs/heads/x", &unknown, "PACK\0\0\0\x02\0\0\0\x09garbage").contains("unpacker error"));
    assert!(report("refs/heads/x", &unknown, none).contains("missing necessary objects"));
    let head = git(&bare, &["rev-parse", "main"]);
    for bad in ["HEAD", "refs/heads/../../config", "refs/heads/a b", "refs/heads/x.lock"] {
        assert!(report(bad, &head, none).contains("funny refname"), "{bad}");
    }
    assert!(report("refs/heads/main", &head, none).contains("already exists"));
    assert!(report("refs/heads/fine", &head, none).contains("ok refs/heads/fine"));
    assert!(matches!(
        server::info_refs(&world.path("nowhere"), Service::UploadPack),
        Err(server::ServeError::NotFound)
    ));
}
