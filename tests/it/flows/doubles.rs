//! The same wish several times, and many wishes at once.

use crate::harness::{Options, SHOP, World};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn ten_copies_of_one_delivery_make_one_run() {
    let world = World::start(Options::script("echo x > x.txt")).await;
    world.forge.await_deliveries().await.unwrap();
    world.forge.set_webhook(None);
    let number = world.ask("Once", "");
    let delivery = world.forge.deliveries().pop().unwrap();
    assert_eq!((delivery.event.as_str(), delivery.waiting), ("issues", false));
    world.forge.set_webhook(Some(world.webhook()));
    let copies = (0..10).map(|_| world.forge.redeliver(&delivery.guid));
    for copy in futures::future::join_all(copies).await {
        assert_eq!(copy.unwrap().outcome.unwrap().status_code, 202);
    }
    world.expect_comment(number, &["✅ **Done.**"]).await;
    world.expect_pull(number).await;
    // Again, when all is over; and the same event under another id.
    world.forge.redeliver(&delivery.guid).await.unwrap();
    let guid = world.forge.deliver("issues", &delivery.json());
    world
        .until("the decision about it", async || {
            world.decisions().await.into_iter().find(|made| made.delivery == guid)
        })
        .await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), 1);
    let made = world.decisions().await;
    let started: Vec<_> = made.iter().filter(|made| made.outcome == "started").collect();
    assert_eq!(started.len(), 2, "{made:?}");
    assert!(started.iter().all(|made| made.runs == [runs[0].id.clone()]));
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_and_a_comment_at_the_same_moment() {
    let world = World::start(Options::script("sleep 0.5; echo x > x.txt")).await;
    let number = world.open_issue("Once", "");
    world.label(number);
    world.comment("ann", number, "/cloud-code run quickly");
    let survivor = world.expect_comment(number, &["✅ **Done.**"]).await;
    let cancelled = world.expect_comment(number, &["🛑 **Cancelled** by run r-"]).await;
    assert_ne!(survivor.id, cancelled.id);
    world.expect_pull(number).await;
    world.expect_labels(number, &["cloud-code:done"]).await;
    let mut ends: Vec<_> = world.runs().await.into_iter().filter_map(|run| run.conclusion).collect();
    ends.sort();
    assert_eq!(ends, ["cancelled", "success"]);
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    world.settle().await;
    world.expect_labels(number, &["cloud-code:done"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_issues_at_once() {
    let command = "echo \"answer to ${{ github.event.issue.number }}\" > answer.txt";
    let world = World::start(Options::script(command)).await;
    let numbers: Vec<u64> = (0..20).map(|n| world.open_issue(&format!("Wish {n}"), "")).collect();
    world.forge.await_deliveries().await.unwrap();
    let began = Instant::now();
    for number in &numbers {
        world.label(*number);
    }
    for number in &numbers {
        world.expect_pull(*number).await;
    }
    let pulls_after = began.elapsed();
    for number in &numbers {
        world.expect_comment(*number, &["✅ **Done.**", "pull request #"]).await;
        world.expect_labels(*number, &["cloud-code:done"]).await;
    }
    println!(
        "twenty issues, two at once: 20 pull requests after {:.1} s, all told after {:.1} s",
        pulls_after.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    let pulls = world.forge.pulls(SHOP).unwrap();
    assert_eq!(pulls.len(), 20);
    for (n, number) in numbers.iter().enumerate() {
        let pull = world.expect_pull(*number).await;
        assert_eq!(pull.title, format!("Wish {n}"));
        assert_eq!(pull.head_branch, format!("cloud-code/issue-{number}"));
        let answer = world.file(&pull.head_branch, "answer.txt");
        assert_eq!(answer.as_deref(), Some(format!("answer to {number}\n").as_str()));
    }
    world.finish().await;
}
