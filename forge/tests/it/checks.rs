use serde_json::json;

use crate::{SHOP, World};

#[tokio::test(flavor = "multi_thread")]
async fn check_runs_within_githubs_limits() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let sha = world.forge.branch_tip(SHOP, "main").unwrap().unwrap();
    let post = |body| world.call("POST", "/repos/acme/shop/check-runs", Some(&token), Some(body));
    let annotation =
        json!({ "path": "a", "start_line": 1, "end_line": 1, "annotation_level": "warning", "message": "m" });
    let made =
        post(json!({ "name": "cloud-code", "head_sha": sha, "external_id": "r-1", "status": "in_progress" }));
    let made = made.expect(201);
    assert_eq!((&made["status"], &made["conclusion"]), (&json!("in_progress"), &json!(null)));

    let path = format!("/repos/acme/shop/check-runs/{}", made["id"]);
    let patch = |body| world.call("PATCH", &path, Some(&token), Some(body));
    let output = |count: usize| json!({ "title": "t", "summary": "s", "annotations": vec![annotation.clone(); count] });
    patch(json!({ "output": output(50) })).expect(200);
    let done = patch(json!({ "conclusion": "success", "output": output(2) })).expect(200);
    assert_eq!((&done["status"], &done["output"]["annotations_count"]), (&json!("completed"), &json!(52)));

    let check = |body, why: &str| {
        let answer = post(body);
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains(why), "{}", answer.text);
    };
    check(json!({ "name": "x", "head_sha": "0".repeat(40) }), "No commit found for SHA");
    check(json!({ "name": "x", "head_sha": sha, "status": "completed" }), "conclusion");
    check(json!({ "name": "x", "head_sha": sha, "output": output(51) }), "No more than 50");
    let long = json!({ "title": "t", "summary": "x".repeat(65_536) });
    check(json!({ "name": "x", "head_sha": sha, "output": long }), "Only 65535 characters");
    check(json!({ "name": "x", "head_sha": sha, "conclusion": "fine" }), "not a member");

    let listed = world
        .call("GET", &format!("/repos/acme/shop/commits/{sha}/check-runs"), Some(&token), None)
        .expect(200);
    assert_eq!((&listed["total_count"], &listed["check_runs"][0]["external_id"]), (&json!(1), &json!("r-1")));
    assert_eq!(world.forge.check_runs(SHOP, &sha).unwrap()[0].conclusion.as_deref(), Some("success"));
}
