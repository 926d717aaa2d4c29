use cloud_code_forge::{Webhook, signature};
use serde_json::json;

use crate::receiver::Receiver;
use crate::{SHOP, World};

const SECRET: &str = "It's a Secret to Everybody";

async fn world_with_receiver() -> (World, Receiver) {
    let (world, receiver) = (World::new().await, Receiver::start());
    world.forge.set_webhook(Some(Webhook { url: receiver.url.clone(), secret: SECRET.into() }));
    (world, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_is_told_in_order() {
    let (world, receiver) = world_with_receiver().await;
    let token = world.token(json!({}));
    let number = world.forge.open_issue(SHOP, "alice", "It breaks", "Please").unwrap();
    world.forge.label_issue(SHOP, "alice", number, "cloud-code").unwrap();
    let comment = world.forge.comment(SHOP, "alice", number, "/cloud-code run").unwrap();
    world.forge.edit_comment(SHOP, "alice", comment, "never mind").unwrap();
    world.forge.commit_file(SHOP, "fix", "a", "b").unwrap();
    let pull = world.forge.open_pull(SHOP, "alice", "Mend", &format!("Fixes #{number}"), "fix").unwrap();
    world.forge.commit_file(SHOP, "fix", "a", "c").unwrap();
    let path = format!("/repos/{SHOP}/issues/{number}/comments");
    world.call("POST", &path, Some(&token), Some(json!({ "body": "I am a bot" }))).expect(201);
    world.forge.merge_pull(SHOP, "alice", pull).unwrap();
    world.forge.await_deliveries().await.unwrap();

    let received = receiver.received();
    let told: Vec<_> = received.iter().map(crate::receiver::Received::what).collect();
    let want = [
        "ping",
        "issues.opened",
        "issues.labeled",
        "issue_comment.created",
        "issue_comment.edited",
        "push",
        "pull_request.opened",
        "push",
        "pull_request.synchronize",
        "issue_comment.created",
        "pull_request.closed",
        "issues.closed",
        "push",
    ];
    assert_eq!(told, want);
    for delivery in &received {
        assert_eq!(delivery.header("x-hub-signature-256"), signature(SECRET, &delivery.body));
        assert!(delivery.header("user-agent").starts_with("GitHub-Hookshot/"));
        assert_eq!(delivery.header("content-type"), "application/json");
        assert_eq!(delivery.header("x-github-delivery").len(), 36);
    }
    let labeled = received[2].json();
    assert_eq!(
        (&labeled["label"]["name"], &labeled["sender"]["type"]),
        (&json!("cloud-code"), &json!("User"))
    );
    assert_eq!(labeled["installation"]["id"], world.installation());
    assert_eq!(received[4].json()["changes"]["body"]["from"], "/cloud-code run");
    assert_eq!(received[5].json()["created"], true);
    assert_eq!(received[5].json()["commits"].as_array().unwrap().len(), 1);
    assert_eq!(received[8].json()["before"], received[6].json()["pull_request"]["head"]["sha"]);
    assert_eq!(received[9].json()["sender"]["type"], "Bot");
    assert_eq!(received[10].json()["pull_request"]["merged"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_deliveries_are_kept_and_sent_again_on_request() {
    let (world, receiver) = world_with_receiver().await;
    receiver.answer(503);
    let number = world.forge.open_issue(SHOP, "alice", "It breaks", "").unwrap();
    world.forge.await_deliveries().await.unwrap();
    let failed = world.forge.deliveries().pop().unwrap();
    assert_eq!(failed.outcome.as_ref().unwrap().status_code, 503);
    assert_eq!(receiver.received().len(), 2, "GitHub does not send again by itself");

    receiver.answer(202);
    let jwt = world.jwt();
    let listed =
        world.call("GET", "/app/hook/deliveries?status=failure&per_page=1", Some(&jwt), None).expect(200);
    assert_eq!((&listed[0]["guid"], &listed[0]["status_code"]), (&json!(failed.guid), &json!(503)));
    let path = format!("/app/hook/deliveries/{}", listed[0]["id"]);
    let whole = world.call("GET", &path, Some(&jwt), None).expect(200);
    assert_eq!(whole["request"]["payload"]["issue"]["number"], number);
    world.call("POST", &format!("{path}/attempts"), Some(&jwt), None).expect(202);
    world.forge.await_deliveries().await.unwrap();
    let last = receiver.received().pop().unwrap();
    assert_eq!(last.header("x-github-delivery"), failed.guid);
    assert_eq!(last.body, failed.payload);

    let copies = futures::future::join_all((0..10).map(|_| world.forge.redeliver(&failed.guid))).await;
    assert!(copies.into_iter().all(|copy| copy.unwrap().outcome.unwrap().status_code == 202));
    assert_eq!(receiver.received().len(), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_webhook_without_the_permission_or_the_app() {
    let (world, receiver) = world_with_receiver().await;
    world.forge.create_repo("bob/lonely", &[("a", "b")], "main", false).unwrap();
    world.forge.open_issue("bob/lonely", "bob", "t", "").unwrap();
    let only = [("contents".to_owned(), cloud_code_forge::Access::Read)].into_iter().collect();
    world.forge.install_app_with(SHOP, &only).unwrap();
    world.forge.open_issue(SHOP, "alice", "t", "").unwrap();
    world.forge.await_deliveries().await.unwrap();
    let told: Vec<_> = receiver.received().iter().map(crate::receiver::Received::what).collect();
    assert_eq!(told, ["ping", "installation_repositories.added"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_receiver_is_a_failed_delivery() {
    let world = World::new().await;
    world.forge.set_webhook(Some(Webhook { url: "http://127.0.0.1:1/".into(), secret: SECRET.into() }));
    world.forge.await_deliveries().await.unwrap();
    let outcome = world.forge.deliveries().pop().unwrap().outcome.unwrap();
    assert_eq!(outcome.status_code, 502);
    assert!(outcome.status.contains("failed to connect"), "{}", outcome.status);
}
