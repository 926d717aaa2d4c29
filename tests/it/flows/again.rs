//! A second run on the same issue: it goes on from what is open, and never overwrites what people did.

use crate::harness::{Options, SHOP, WAIT_FOR_GO, World};

/// Adds a line to `x.txt`.
const ADD: &str = "echo \"$(wc -l < x.txt 2>/dev/null || echo none)\" >> x.txt";

async fn first(world: &World) -> (u64, cloud_code_forge::PullView) {
    let number = world.ask("Count", "");
    world.expect_comment(number, &["✅ **Done.**"]).await;
    let pull = world.expect_pull(number).await;
    world.settle().await;
    (number, pull)
}

async fn again(world: &World, number: u64) {
    world.comment("ann", number, "/cloud-code run once more");
    world
        .expect_run(number, "a second start", |run| {
            run.trigger.event == "issue_comment" && run.conclusion.is_some()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_from_the_open_pull_request() {
    let world = World::start(Options::script(ADD)).await;
    let (number, pull) = first(&world).await;
    again(&world, number).await;
    world.expect_conclusion(number, "success").await;
    world.expect_all_comments(number, "✅ **Done.**");
    let after = world.expect_pull(number).await;
    assert_eq!((after.number, &after.head_branch), (pull.number, &pull.head_branch));
    assert_eq!(world.file(&pull.head_branch, "x.txt").as_deref(), Some("none\n1\n"));
    let repo = git2::Repository::open(world.forge.look(|w| w.repository(SHOP)).unwrap().dir).unwrap();
    let head = repo.find_commit(after.head_sha.parse().unwrap()).unwrap();
    assert_eq!(head.parent_id(0).unwrap().to_string(), pull.head_sha, "it is a fast-forward");
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    world.settle().await;
    world.expect_all_comments(number, "✅ **Done.**");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_merge_it_begins_anew_beside_the_old_branch() {
    let world = World::start(Options::script(ADD)).await;
    let (number, pull) = first(&world).await;
    world.forge.merge_pull(SHOP, "ann", pull.number).unwrap();
    world.forge.reopen_issue(SHOP, "ann", number).unwrap();
    again(&world, number).await;
    world.expect_conclusion(number, "success").await;
    let second = world.expect_pull(number).await;
    assert_ne!(second.number, pull.number);
    assert!(second.head_branch.starts_with("cloud-code/issue-1-"), "{}", second.head_branch);
    assert_eq!(
        world.forge.branch_tip(SHOP, &pull.head_branch).unwrap().as_deref(),
        Some(pull.head_sha.as_str())
    );
    assert_eq!(world.file(&second.head_branch, "x.txt").as_deref(), Some("none\n1\n"));
    world.settle().await;
    world.expect_all_comments(number, "✅ **Done.**");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_close_the_old_branch_is_left_alone() {
    let world = World::start(Options::script(ADD)).await;
    let (number, pull) = first(&world).await;
    world.forge.close_issue(SHOP, "ann", pull.number).unwrap();
    again(&world, number).await;
    world.expect_conclusion(number, "success").await;
    let second = world.expect_pull(number).await;
    assert_ne!(second.head_branch, pull.head_branch);
    assert_eq!(world.file(&second.head_branch, "x.txt").as_deref(), Some("none\n"));
    assert_eq!(
        world.forge.branch_tip(SHOP, &pull.head_branch).unwrap().as_deref(),
        Some(pull.head_sha.as_str())
    );
    world.settle().await;
    world.expect_all_comments(number, "✅ **Done.**");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_commit_between_runs_is_built_upon() {
    let world = World::start(Options::script(ADD)).await;
    let (number, pull) = first(&world).await;
    world.forge.commit_file(SHOP, &pull.head_branch, "y.txt", "by a person\n").unwrap();
    again(&world, number).await;
    world.expect_conclusion(number, "success").await;
    assert_eq!(world.file(&pull.head_branch, "y.txt").as_deref(), Some("by a person\n"));
    assert_eq!(world.file(&pull.head_branch, "x.txt").as_deref(), Some("none\n1\n"));
    world.settle().await;
    world.expect_all_comments(number, "✅ **Done.**");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_commit_in_the_middle_is_not_overwritten() {
    let wait = format!("[ ! -f x.txt ] || {WAIT_FOR_GO}");
    let world = World::start(Options::script(&format!("{wait}\n{ADD}"))).await;
    let (number, pull) = first(&world).await;
    world.comment("ann", number, "/cloud-code run once more");
    world.expect_comment(number, &["⏳ **Working on it.**"]).await;
    let theirs = world.forge.commit_file(SHOP, &pull.head_branch, "y.txt", "by a person\n").unwrap();
    world.go();
    world
        .expect_comment(
            number,
            &["❌ **Failed.**", "the branch cloud-code/issue-1 has commits that are not ours"],
        )
        .await;
    assert_eq!(world.forge.branch_tip(SHOP, &pull.head_branch).unwrap(), Some(theirs));
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_that_name_by_a_person_is_left_alone() {
    let world = World::start(Options::script(ADD)).await;
    let theirs = world.forge.commit_file(SHOP, "cloud-code/issue-1", "mine.txt", "by a person\n").unwrap();
    let (_, pull) = first(&world).await;
    assert!(pull.head_branch.starts_with("cloud-code/issue-1-"), "{}", pull.head_branch);
    assert_eq!(world.forge.branch_tip(SHOP, "cloud-code/issue-1").unwrap(), Some(theirs));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_pull_request_of_ours_it_goes_on_from_its_branch() {
    let world = World::start(Options::script(ADD)).await;
    let (_, pull) = first(&world).await;
    world.comment("ann", pull.number, "/cloud-code run address the review");
    world.expect_comment(pull.number, &["✅ **Done.**"]).await;
    assert_eq!(world.file(&pull.head_branch, "x.txt").as_deref(), Some("none\n1\n"));
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_persons_pull_request_it_opens_one_into_their_branch() {
    let world = World::start(Options::script(ADD)).await;
    let theirs = world.forge.commit_file(SHOP, "feature", "x.txt", "none\n").unwrap();
    let number = world.forge.open_pull(SHOP, "wes", "My feature", "", "feature").unwrap();
    world.comment("ann", number, "/cloud-code run help");
    world.expect_comment(number, &["✅ **Done.**"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(pull.base_branch, "feature");
    assert_eq!(world.file(&pull.head_branch, "x.txt").as_deref(), Some("none\n1\n"));
    assert_eq!(world.forge.branch_tip(SHOP, "feature").unwrap(), Some(theirs));
    world.finish().await;
}
