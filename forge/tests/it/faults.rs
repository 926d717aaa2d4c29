use std::time::{Duration, Instant};

use cloud_code_forge::{Fault, Matcher};
use serde_json::json;

use crate::{SHOP, World};

#[tokio::test(flavor = "multi_thread")]
async fn faults_come_as_planned_and_then_pass() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let number = world.forge.open_issue(SHOP, "alice", "t", "").unwrap();
    let path = format!("/repos/{SHOP}/issues/{number}/comments");
    let comment = || world.try_call("POST", &path, Some(&token), Some(json!({ "body": "hi" })), "*/*");
    let count = || world.forge.comments(SHOP, number).unwrap().len();
    let plan = |fault| world.forge.fail_next(Matcher::new("POST", "/repos/*/comments"), fault, 1);

    plan(Fault::Status(502, "<html>".into()));
    assert_eq!((comment().unwrap().status, count()), (502, 0));
    plan(Fault::DropConnection);
    assert!(comment().is_err());
    assert_eq!(count(), 0);
    plan(Fault::AfterEffect(502));
    assert_eq!((comment().unwrap().status, count()), (502, 1));
    plan(Fault::DropAfterEffect);
    assert!(comment().is_err());
    assert_eq!(count(), 2);
    plan(Fault::SecondaryLimit { retry_after: Some(Duration::from_secs(7)) });
    assert_eq!(comment().unwrap().header("retry-after"), Some("7"));
    plan(Fault::RateLimited { retry_after: Duration::from_secs(60) });
    assert_eq!(comment().unwrap().header("x-ratelimit-remaining"), Some("0"));
    plan(Fault::Hang(Duration::from_millis(200)));
    let started = Instant::now();
    assert_eq!(comment().unwrap().status, 201);
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!((comment().unwrap().status, count()), (201, 4));
    assert_eq!(world.forge.clear_faults(), 0);
    let asked = world.forge.requests();
    let asked: Vec<_> = asked.iter().filter(|request| request.path == path).collect();
    assert_eq!(
        asked.iter().map(|request| request.status).collect::<Vec<_>>(),
        [502, 0, 502, 0, 403, 403, 201, 201]
    );
    assert!(asked.last().unwrap().caller.contains("issues=write"), "{}", asked.last().unwrap().caller);
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_for_sees_a_change_at_once() {
    let world = World::new().await;
    let look = |world: &cloud_code_forge::World| world.issues(SHOP).ok()?.into_iter().next();
    assert!(world.forge.wait_for(look, Duration::from_millis(20)).await.is_err());
    let (found, opened) = tokio::join!(world.forge.wait_for(look, Duration::from_secs(10)), async {
        world.forge.open_issue(SHOP, "alice", "t", "").unwrap()
    });
    assert_eq!(found.unwrap().number, opened);
}
