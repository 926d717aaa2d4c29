//! GitHub's own description as the judge: every operation that the forge has is used once, and nothing may be amiss.

use std::path::PathBuf;

use cloud_code_forge::{OpenApi, Webhook};
use serde_json::json;

use crate::receiver::Receiver;
use crate::{SHOP, World};

/// The description, or None where the test must be skipped.
fn description() -> Option<OpenApi> {
    let Some(path) = std::env::var_os("CLOUD_CODE_OPENAPI").map(PathBuf::from) else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CLOUD_CODE_OPENAPI is not set: run forge/tests/openapi.sh and give its output"
        );
        crate::skipped(
            "CLOUD_CODE_OPENAPI is not set; forge/tests/openapi.sh fetches the file and prints its path",
        );
        return None;
    };
    Some(OpenApi::read(&path).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_github_describes_it() {
    let Some(description) = description() else { return };
    let world = World::new().await;
    let receiver = Receiver::start();
    world.forge.set_webhook(Some(Webhook { url: receiver.url.clone(), secret: "s".into() }));
    let (jwt, token) = (world.jwt(), world.token(json!({ "repositories": ["shop"] })));
    let issue = world.forge.open_issue(SHOP, "alice", "It breaks", "Please").unwrap();
    world.forge.label_issue(SHOP, "alice", issue, "cloud-code").unwrap();
    world.forge.commit_file(SHOP, "fix", "src/main.rs", "fn main() { todo!() }\n").unwrap();
    world.forge.commit_file(SHOP, "fix", "NEWS", "mended\n").unwrap();
    let fork = world.forge.fork_pull(SHOP, "eve", "Nice", "body", "x", "y\n").unwrap();
    let sha = world.forge.branch_tip(SHOP, "fix").unwrap().unwrap();
    world.forge.await_deliveries().await.unwrap();

    let get = |path: &str| world.call("GET", path, Some(&token), None);
    let app = |path: &str| world.call("GET", path, Some(&jwt), None);
    let send = |method: &str, path: &str, body| world.call(method, path, Some(&token), Some(body));
    let repo = "/repos/acme/shop";

    app("/app").expect(200);
    app("/app/installations?per_page=10").expect(200);
    app(&format!("/app/installations/{}", world.installation())).expect(200);
    let listed = app("/app/hook/deliveries?per_page=5").expect(200);
    app(&format!("/app/hook/deliveries/{}", listed[0]["id"])).expect(200);
    world
        .call("POST", &format!("/app/hook/deliveries/{}/attempts", listed[0]["id"]), Some(&jwt), None)
        .expect(202);
    get("/installation/repositories").expect(200);
    get("/rate_limit").expect(200);
    get("/users/alice").expect(200);
    for path in [
        "",
        "/branches",
        "/branches/main",
        "/git/ref/heads/main",
        "/git/matching-refs/heads/f",
        "/commits/fix",
        "/labels",
        "/collaborators/alice/permission",
        "/contents/README.md",
        "/contents/src?ref=fix",
        "/issues?state=all",
        "/labels/cloud-code",
    ] {
        get(&format!("{repo}{path}")).expect(200);
    }
    get(&format!("{repo}/git/trees/{sha}?recursive=1")).expect(200);

    let at = format!("{repo}/issues/{issue}");
    get(&at).expect(200);
    let comment = send("POST", &format!("{at}/comments"), json!({ "body": "hi" })).expect(201);
    let one = format!("{repo}/issues/comments/{}", comment["id"]);
    send("PATCH", &one, json!({ "body": "ho" })).expect(200);
    send("POST", &format!("{one}/reactions"), json!({ "content": "rocket" })).expect(201);
    get(&format!("{one}/reactions")).expect(200);
    get(&one).expect(200);
    get(&format!("{at}/comments?per_page=1&since=2020-01-01T00:00:00Z")).expect(200);
    world.call("DELETE", &one, Some(&token), None).expect(204);
    send("POST", &format!("{at}/labels"), json!({ "labels": ["a", "b"] })).expect(200);
    send("PUT", &format!("{at}/labels"), json!({ "labels": ["b"] })).expect(200);
    get(&format!("{at}/labels")).expect(200);
    world.call("DELETE", &format!("{at}/labels/b"), Some(&token), None).expect(200);
    world.call("DELETE", &format!("{at}/labels"), Some(&token), None).expect(204);
    send("POST", &format!("{repo}/labels"), json!({ "name": "n", "color": "00ff00" })).expect(201);
    send("POST", &format!("{repo}/issues"), json!({ "title": "t", "labels": ["n"] })).expect(201);
    send("PATCH", &at, json!({ "state": "closed", "state_reason": "completed" })).expect(200);

    let body = json!({ "title": "Mend", "head": "fix", "base": "main", "body": "Fixes #1", "draft": false });
    let pull = send("POST", &format!("{repo}/pulls"), body).expect(201);
    let at = format!("{repo}/pulls/{}", pull["number"]);
    send("POST", &format!("{repo}/issues/{}/labels", pull["number"]), json!({ "labels": ["n"] })).expect(200);
    send("PATCH", &at, json!({ "title": "Mend it" })).expect(200);
    send("POST", &format!("{at}/requested_reviewers"), json!({ "reviewers": ["alice"] })).expect(201);
    for path in ["", "/files", "/commits", "/reviews", "/comments", "/requested_reviewers"] {
        get(&format!("{at}{path}")).expect(200);
    }
    get(&format!("{repo}/pulls/{fork}")).expect(200);
    get(&format!("{repo}/pulls?head=acme:fix&state=all")).expect(200);
    get(&format!("{repo}/issues/{}", pull["number"])).expect(200);

    let output = json!({ "title": "t", "summary": "s", "text": "x", "annotations": [
        { "path": "NEWS", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m" }] });
    let run = json!({ "name": "cloud-code", "head_sha": sha, "status": "in_progress", "external_id": "r", "output": output });
    let run = send("POST", &format!("{repo}/check-runs"), run).expect(201);
    let done = json!({ "conclusion": "success", "completed_at": "2026-11-23T00:00:00Z" });
    send("PATCH", &format!("{repo}/check-runs/{}", run["id"]), done).expect(200);
    get(&format!("{repo}/check-runs/{}", run["id"])).expect(200);
    get(&format!("{repo}/check-runs/{}/annotations", run["id"])).expect(200);
    get(&format!("{repo}/commits/{sha}/check-runs?check_name=cloud-code")).expect(200);

    world.forge.merge_pull(SHOP, "alice", pull["number"].as_u64().unwrap()).unwrap();
    get(&at).expect(200);
    get(&format!("{at}/files")).expect(200);
    world.call("DELETE", &format!("{repo}/git/refs/heads/fix"), Some(&token), None).expect(204);
    // Errors are described too.
    assert_eq!(get("/repos/acme/nothing").status, 404);
    assert_eq!(get(&format!("{repo}/branches/none")).status, 404);
    let body = json!({ "title": "t", "head": "none", "base": "main" });
    assert_eq!(send("POST", &format!("{repo}/pulls"), body).status, 422);

    let wrong = world.forge.openapi_violations(&description);
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
    assert!(world.forge.requests().len() > 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_does_not_have_is_found() {
    let Some(description) = description() else { return };
    let world = World::new().await;
    let token = world.token(json!({}));
    let number = world.forge.open_issue(SHOP, "alice", "t", "").unwrap();
    let check = |method: &str, path: &str, body, why: &str| {
        let before = world.forge.openapi_violations(&description).len();
        world.call(method, path, Some(&token), body);
        let found = world.forge.openapi_violations(&description);
        assert!(
            found.len() > before && found[before..].iter().any(|one| one.contains(why)),
            "{path}: {found:?}"
        );
    };
    let at = format!("/repos/acme/shop/issues/{number}");
    check("GET", "/repos/acme/shop/nothing", None, "no such operation");
    check("GET", &format!("{at}/comments?pages=2"), None, "query pages");
    check(
        "POST",
        &format!("{at}/comments"),
        Some(json!({ "body": "x", "text": "y" })),
        "no such field: text",
    );
    check("POST", &format!("{at}/comments"), Some(json!({ "body": 3 })), "request body");
    check("POST", &format!("{at}/comments"), None, "the body is missing");
}
