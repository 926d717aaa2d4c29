use serde_json::{Value, json};

use crate::{SHOP, World};

#[tokio::test(flavor = "multi_thread")]
async fn comments_are_written_found_and_edited() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let number = world.forge.open_issue(SHOP, "alice", "It breaks", "Please mend it").unwrap();
    let path = format!("/repos/{SHOP}/issues/{number}/comments");
    let made = world.call("POST", &path, Some(&token), Some(json!({ "body": "queued" }))).expect(201);
    assert_eq!(made["user"]["login"], "cloud-code[bot]");
    assert_eq!(made["user"]["type"], "Bot");
    assert_eq!(made["performed_via_github_app"]["slug"], "cloud-code");
    let one = format!("/repos/{SHOP}/issues/comments/{}", made["id"]);
    world.call("PATCH", &one, Some(&token), Some(json!({ "body": "done" }))).expect(200);
    let comments = world.forge.comments(SHOP, number).unwrap();
    assert_eq!(comments.iter().map(|comment| comment.body.as_str()).collect::<Vec<_>>(), ["done"]);

    let long = "x".repeat(65_537);
    let answer = world.call("POST", &path, Some(&token), Some(json!({ "body": long })));
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("maximum is 65536"), "{}", answer.text);
    let most = "é".repeat(65_536);
    world.call("POST", &path, Some(&token), Some(json!({ "body": most }))).expect(201);

    world.call("DELETE", &one, Some(&token), None).expect(204);
    assert_eq!(world.call("GET", &one, Some(&token), None).status, 404);
    assert_eq!(world.call("GET", "/repos/acme/shop/issues/99", Some(&token), None).status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let number = world.forge.open_issue(SHOP, "alice", "Talk", "").unwrap();
    for index in 0..25 {
        world.forge.comment(SHOP, "alice", number, &format!("comment {index}")).unwrap();
    }
    let mut next = Some(format!("/repos/{SHOP}/issues/{number}/comments?per_page=10"));
    let mut seen = Vec::new();
    while let Some(path) = next {
        let answer = world.call("GET", &path, Some(&token), None);
        let link = answer.header("link").unwrap_or_default().to_owned();
        seen.extend(answer.expect(200).as_array().unwrap().iter().map(|comment| comment["body"].to_string()));
        let part = link.split(", ").find(|part| part.ends_with("rel=\"next\"")).map(str::to_owned);
        next = part.map(|part| {
            let url = part.trim_start_matches('<').split('>').next().unwrap().to_owned();
            url.strip_prefix(&world.forge.api_url()).unwrap().to_owned()
        });
    }
    assert_eq!(seen.len(), 25);
    assert_eq!(seen[24], "\"comment 24\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_come_into_being() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let number = world.forge.open_issue(SHOP, "alice", "It breaks", "").unwrap();
    let path = format!("/repos/{SHOP}/issues/{number}/labels");
    let names = |value: Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|label| label["name"].as_str().unwrap().to_owned()).collect()
    };
    let body = json!({ "labels": ["cloud-code:queued", "bug"] });
    assert_eq!(
        names(world.call("POST", &path, Some(&token), Some(body)).expect(200)),
        ["cloud-code:queued", "bug"]
    );
    world.call("GET", "/repos/acme/shop/labels/cloud-code:queued", Some(&token), None).expect(200);
    let removed =
        world.call("DELETE", &format!("{path}/cloud-code%3Aqueued"), Some(&token), None).expect(200);
    assert_eq!(names(removed), ["bug"]);
    assert_eq!(world.call("DELETE", &format!("{path}/cloud-code%3Aqueued"), Some(&token), None).status, 404);
    let body = json!({ "labels": ["Bug", "done"] });
    assert_eq!(names(world.call("PUT", &path, Some(&token), Some(body)).expect(200)), ["bug", "done"]);
    let body = json!({ "name": "colour", "color": "ff0000", "description": "A colour" });
    world.call("POST", "/repos/acme/shop/labels", Some(&token), Some(body.clone())).expect(201);
    assert_eq!(world.call("POST", "/repos/acme/shop/labels", Some(&token), Some(body)).status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn issues_are_made_and_changed() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let body = json!({ "title": "From the app", "body": "text", "labels": ["x"] });
    let made = world.call("POST", "/repos/acme/shop/issues", Some(&token), Some(body)).expect(201);
    let path = format!("/repos/acme/shop/issues/{}", made["number"]);
    let closed = json!({ "state": "closed", "state_reason": "not_planned", "title": "Other" });
    let closed = world.call("PATCH", &path, Some(&token), Some(closed)).expect(200);
    assert_eq!((&closed["state"], &closed["state_reason"]), (&json!("closed"), &json!("not_planned")));
    assert_eq!(closed["title"], "Other");
    let open = world.call("GET", "/repos/acme/shop/issues?state=open", Some(&token), None).expect(200);
    assert_eq!(open, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_is_there_once() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let number = world.forge.open_issue(SHOP, "alice", "Talk", "").unwrap();
    let id = world.forge.comment(SHOP, "alice", number, "/cloud-code run").unwrap();
    let path = format!("/repos/{SHOP}/issues/comments/{id}/reactions");
    world.call("POST", &path, Some(&token), Some(json!({ "content": "eyes" }))).expect(201);
    world.call("POST", &path, Some(&token), Some(json!({ "content": "eyes" }))).expect(200);
    assert_eq!(world.call("POST", &path, Some(&token), Some(json!({ "content": "smile" }))).status, 422);
    let comment =
        world.call("GET", &format!("/repos/{SHOP}/issues/comments/{id}"), Some(&token), None).expect(200);
    assert_eq!(comment["reactions"]["eyes"], 1);
    assert_eq!(comment["author_association"], "COLLABORATOR");
}
