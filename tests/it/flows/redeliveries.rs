//! Deliveries that nobody was there to take.

use crate::harness::{Options, SHOP, World};
use std::collections::BTreeMap;

/// How often the forge was asked to make each call again.
fn asked_again(world: &World) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for request in world.forge.requests() {
        if request.method == "POST" && request.path.ends_with("/attempts") {
            *asked.entry(request.path).or_default() += 1;
        }
    }
    asked
}

/// Looks for failed deliveries so far.
fn looks(world: &World) -> usize {
    let look = |query: &str| query.contains("status=failure");
    world.forge.requests().iter().filter(|request| look(&request.query)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_the_server_was_down_is_made_up_for_once() {
    let mut world = World::start(Options::script("echo x > x.txt")).await;
    world.forge.await_deliveries().await.unwrap();
    world.stop_server().await;
    let number = world.ask("While nobody listened", "");
    world.forge.await_deliveries().await.unwrap();
    let failed: Vec<_> = world.forge.deliveries().into_iter().filter(|made| made.event == "issues").collect();
    assert_eq!(failed.len(), 2, "opened and labeled");
    assert!(failed.iter().all(|made| made.outcome.as_ref().unwrap().status_code == 502), "{failed:?}");

    world.start_server().await;
    world.expect_comment(number, &["✅ **Done.**"]).await;
    world.expect_pull(number).await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
    let asked = asked_again(&world);
    assert_eq!(asked.len(), 2, "{asked:?}");

    // Who looks again finds nothing to be done.
    let before = looks(&world);
    world.stop_server().await;
    world.start_server().await;
    world.until("another look", async || (looks(&world) > before).then_some(())).await;
    world.settle().await;
    assert_eq!(asked_again(&world), asked);
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
    assert_eq!((world.runs().await.len(), world.forge.pulls(SHOP).unwrap().len()), (1, 1));
    world.finish().await;
}
