//! Pushing: leases, refusals, and folders.

use std::fs;

use cloud_code_git::push::{PushOutcome, push};
use cloud_code_git::{GitError, Oid, Remote};

use crate::harness::{World, git, oid};

/// A world, two commits on top of `main` side by side, and the folder they are in.
fn two_heads(world: &World) -> (std::path::PathBuf, Oid, Oid) {
    let source = world.path("source");
    git(&world.path(""), &["clone", "-q", world.work().to_str().unwrap(), "source"]);
    git(&source, &["commit", "-q", "--allow-empty", "-m", "one"]);
    let one = oid(&git(&source, &["rev-parse", "HEAD"]));
    git(&source, &["commit", "-q", "--amend", "--allow-empty", "-m", "two"]);
    let two = oid(&git(&source, &["rev-parse", "HEAD"]));
    (source, one, two)
}

#[test]
fn leases_hold_over_http_and_in_folders() {
    for over_http in [true, false] {
        let world = World::with_shop();
        let (source, one, two) = two_heads(&world);
        let bare = world.forge("acme/shop.git");
        let remote = if over_http { world.remote() } else { Remote::new(bare.to_str().unwrap()).unwrap() };
        let go = |head, lease| push(&source, head, &remote, "topic", lease);
        let at = || oid(&git(&bare, &["rev-parse", "refs/heads/topic"]));

        assert_eq!(go(one, Some(None)).unwrap(), PushOutcome::Pushed);
        assert_eq!(at(), one);
        assert_eq!(go(one, None).unwrap(), PushOutcome::UpToDate);
        for lease in [None, Some(None), Some(Some(two))] {
            let error = go(two, lease).unwrap_err();
            assert!(matches!(error, GitError::Stale { .. }), "http {over_http}, {lease:?}: {error:?}");
            assert_eq!(at(), one);
        }
        assert_eq!(go(two, Some(Some(one))).unwrap(), PushOutcome::Pushed);
        assert_eq!(at(), two);
        assert_eq!(push(&source, two, &remote, "main", None).unwrap(), PushOutcome::Pushed);
        git(&bare, &["fsck", "--strict"]);
        for branch in ["", "a..b", "-x", "a b"] {
            assert!(
                matches!(push(&source, one, &remote, branch, None), Err(GitError::Invalid(_))),
                "{branch}"
            );
        }
    }
}

#[test]
fn a_refusal_carries_the_remotes_reason() {
    let world = World::with_shop();
    let (source, one, _) = two_heads(&world);
    world.server.set(|b| b.protected = vec!["refs/heads/main".into()]);
    let error = push(&source, one, &world.remote(), "main", None).unwrap_err();
    assert!(
        matches!(&error, GitError::Rejected { reason, .. } if reason == "protected branch hook declined"),
        "{error:?}"
    );
    world.server.set(|b| b.basic = Some("a:b".into()));
    let error = push(&source, one, &world.remote(), "main", None).unwrap_err();
    assert!(matches!(error, GitError::Authentication { .. }), "{error:?}");
    world.server.set(|b| b.status = Some(502));
    assert!(push(&source, one, &world.remote(), "main", None).unwrap_err().is_transient());
    let nowhere = Remote::new(world.path("nowhere").to_str().unwrap()).unwrap();
    assert!(matches!(push(&source, one, &nowhere, "main", None), Err(GitError::NotFound { .. })));
}

#[test]
fn a_push_of_many_megabytes_is_spooled() {
    let world = World::with_shop();
    let (source, ..) = two_heads(&world);
    // Not compressible: a simple generator of noise.
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    })
    .take(5 << 20)
    .collect();
    fs::write(source.join("noise.bin"), noise).unwrap();
    git(&source, &["add", "-A"]);
    git(&source, &["commit", "-q", "-m", "noise"]);
    let head = oid(&git(&source, &["rev-parse", "HEAD"]));
    assert_eq!(push(&source, head, &world.remote(), "noise", Some(None)).unwrap(), PushOutcome::Pushed);
    assert_eq!(world.fetch().resolve("noise").unwrap(), Some(head));
}

#[test]
fn a_branch_that_a_person_has_checked_out_is_left_alone() {
    let world = World::with_shop();
    let (source, one, _) = two_heads(&world);
    let folder = Remote::new(format!("file://{}", world.work().display())).unwrap();
    git(&world.work(), &["worktree", "add", "-q", "-b", "elsewhere", "../worktree"]);
    for branch in ["main", "elsewhere"] {
        let error = push(&source, one, &folder, branch, None).unwrap_err();
        assert!(
            matches!(&error, GitError::Rejected { reason, .. } if reason.contains("checked out")),
            "{branch}: {error:?}"
        );
    }
    assert_eq!(push(&source, one, &folder, "cloud-code/issue-1", Some(None)).unwrap(), PushOutcome::Pushed);
    assert_eq!(git(&world.work(), &["rev-parse", "cloud-code/issue-1"]), one.to_string());
    assert_eq!(git(&world.work(), &["status", "--porcelain"]), "");
}
