//! A forge that fails, in the middle of everything. Whatever it does: one branch, one pull request, one comment, or an
//! honest failure.

use crate::harness::{Options, SHOP, WAIT_FOR_GO, World};
use cloud_code_forge::{Fault, Matcher};
use std::time::Duration;

/// Lets the forge fail so, asks for a change, and expects all to be well in the end.
async fn survive(faults: Vec<(Matcher, Fault, usize)>) {
    let world = World::start(Options::script("echo x > x.txt")).await;
    for (matcher, fault, times) in &faults {
        world.forge.fail_next(matcher.clone(), fault.clone(), *times);
    }
    let number = world.ask("Do it all the same", "");
    let comment = world.expect_comment(number, &["✅ **Done.**", "pull request #2"]).await;
    let pull = world.expect_pull(number).await;
    world.settle().await;
    assert_eq!(world.forge.clear_faults(), 0, "the fault was not met: {faults:?}");
    assert_eq!(world.our_branches(), std::slice::from_ref(&pull.head_branch));
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    assert_eq!(world.forge.comments(SHOP, number).unwrap().len(), 1, "{comment:?}");
    assert_eq!(world.forge.check_runs(SHOP, &pull.head_sha).unwrap().len(), 1);
    world.expect_labels(number, &["cloud-code:done"]).await;
    assert_eq!(world.runs().await.len(), 1);
    world.finish().await;
}

fn writes() -> [Matcher; 8] {
    [
        Matcher::new("POST", "/repos/*/issues/*/comments"),
        Matcher::new("PATCH", "/repos/*/issues/comments/*"),
        Matcher::new("POST", "/repos/*/issues/*/labels"),
        Matcher::new("DELETE", "/repos/*/issues/*/labels/*"),
        Matcher::new("POST", "/repos/*/pulls"),
        Matcher::new("POST", "/repos/*/check-runs"),
        Matcher::new("POST", "/app/installations/*/access_tokens"),
        Matcher::new("POST", "*/git-receive-pack"),
    ]
}

/// Each write took effect, but the answer was lost on the way.
#[tokio::test(flavor = "multi_thread")]
async fn writes_whose_answers_are_lost() {
    survive(writes().into_iter().map(|write| (write, Fault::AfterEffect(502), 1)).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_close_the_connection_when_done() {
    survive(writes().into_iter().map(|write| (write, Fault::DropAfterEffect, 1)).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_for_a_while() {
    survive(writes().into_iter().map(|write| (write, Fault::Status(502, "<html>".to_owned()), 2)).collect())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_fail_for_a_while() {
    let reads = [
        Matcher::new("GET", "/repos/*/collaborators/*/permission"),
        Matcher::new("GET", "/repos/*/issues/1"),
        Matcher::new("GET", "/repos/*/contents/*"),
        Matcher::new("GET", "/repos/*/issues/*/comments"),
        Matcher::new("GET", "/repos/*/pulls"),
        Matcher::new("GET", "*/info/refs"),
        Matcher::new("POST", "*/git-upload-pack"),
    ];
    survive(reads.into_iter().map(|read| (read, Fault::DropConnection, 1)).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits() {
    let wait = Duration::from_secs(2);
    survive(vec![
        (Matcher::new("POST", "/repos/*/pulls"), Fault::RateLimited { retry_after: wait }, 1),
        (
            Matcher::new("PATCH", "/repos/*/issues/comments/*"),
            Fault::SecondaryLimit { retry_after: Some(wait) },
            1,
        ),
        (
            Matcher::new("GET", "/repos/*/collaborators/*/permission"),
            Fault::RateLimited { retry_after: wait },
            1,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs() {
    survive(vec![(Matcher::new("POST", "/repos/*/pulls"), Fault::Hang(Duration::from_secs(35)), 1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_comment_is_deleted_by_a_person() {
    let world = World::start(Options::script(&format!("{WAIT_FOR_GO}; echo x > x.txt"))).await;
    let number = world.ask("Do it quietly", "");
    let comment = world.expect_comment(number, &["⏳ **Working on it.**"]).await;
    world.forge.delete_comment(SHOP, "ann", comment.id).unwrap();
    world.go();
    world.expect_pull(number).await;
    world.expect_conclusion(number, "success").await;
    world.settle().await;
    // People deleted it, and meant it.
    assert_eq!(world.forge.comments(SHOP, number).unwrap().len(), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_may_not_be_pushed() {
    let world = World::start(Options::script("echo x > x.txt")).await;
    world.forge.protect_branch(SHOP, "cloud-code/issue-1").unwrap();
    let number = world.ask("Push", "");
    world
        .expect_comment(number, &["❌ **Failed.** Nothing was pushed.", "protected branch hook declined"])
        .await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_branch_moves_on_meanwhile() {
    let world = World::start(Options::script(&format!("{WAIT_FOR_GO}; echo x > x.txt"))).await;
    let number = world.ask("Do it", "");
    world.expect_comment(number, &["⏳ **Working on it.**"]).await;
    world.forge.commit_file(SHOP, "main", "other.txt", "by a person\n").unwrap();
    world.go();
    world.expect_comment(number, &["✅ **Done.**"]).await;
    let pull = world.expect_pull(number).await;
    let diff = world.forge.pull_diff(SHOP, pull.number).unwrap();
    assert!(diff.contains("+x") && !diff.contains("by a person"), "{diff}");
    world.forge.merge_pull(SHOP, "ann", pull.number).unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_branch_is_renamed_or_rewritten_between_runs() {
    let world = World::start(Options::script("echo \"$(cat README.md)\" > x.txt")).await;
    let first = world.ask("First", "");
    world.expect_comment(first, &["✅ **Done.**"]).await;
    assert_eq!(world.expect_pull(first).await.base_branch, "main");
    world.forge.rename_default_branch(SHOP, "trunk").unwrap();
    let second = world.ask("Second", "");
    world.expect_comment(second, &["✅ **Done.**"]).await;
    let pull = world.expect_pull(second).await;
    assert_eq!(
        (pull.base_branch.as_str(), world.file(&pull.head_branch, "x.txt").as_deref()),
        ("trunk", Some("# shop\n"))
    );
    let workflow = world.file("trunk", ".cloud-code/implement.yml").unwrap();
    let anew = [("README.md", "# anew\n"), (".cloud-code/implement.yml", workflow.as_str())];
    world.forge.force_push(SHOP, "trunk", &anew).unwrap();
    let third = world.ask("Third", "");
    world.expect_comment(third, &["✅ **Done.**"]).await;
    let pull = world.expect_pull(third).await;
    assert_eq!(world.file(&pull.head_branch, "x.txt").as_deref(), Some("# anew\n"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository() {
    let world = World::start(Options::default().empty().env("DEFAULT_CLI", "script")).await;
    let number = world.ask("Begin", "");
    world.expect_comment(number, &["❌ **Failed.**", "is empty: push a first commit, then run again"]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issue_is_deleted_meanwhile() {
    let world = World::start(Options::script(&format!("{WAIT_FOR_GO}; echo x > x.txt"))).await;
    let number = world.ask("Do it", "");
    world.expect_comment(number, &["⏳ **Working on it.**"]).await;
    world.forge.delete_issue(SHOP, number).unwrap();
    world.go();
    world.expect_conclusion(number, "success").await;
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_is_uninstalled_meanwhile() {
    let world = World::start(Options::script(&format!("{WAIT_FOR_GO}; echo x > x.txt"))).await;
    let number = world.ask("Do it", "");
    world.expect_comment(number, &["⏳ **Working on it.**"]).await;
    world.forge.uninstall_app(SHOP).unwrap();
    world.go();
    let run = world.expect_conclusion(number, "failure").await;
    assert!(
        run.reason.as_deref().unwrap_or_default().contains("the App's installation must cover acme/shop"),
        "{run:?}"
    );
    world.assert_nothing_published();
    world.forge.install_app(SHOP).unwrap();
    world.finish().await;
}
