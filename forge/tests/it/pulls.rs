use serde_json::json;

use crate::{SHOP, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_lives_and_is_merged() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let issue = world.forge.open_issue(SHOP, "alice", "It breaks", "").unwrap();
    world.forge.commit_file(SHOP, "fix", "src/main.rs", "fn main() { println!(); }\n").unwrap();
    let body = json!({ "title": "Mend it", "head": "fix", "base": "main", "body": format!("Fixes #{issue}"), "draft": true });
    let made = world.call("POST", "/repos/acme/shop/pulls", Some(&token), Some(body.clone())).expect(201);
    assert_eq!(
        (&made["draft"], &made["mergeable"], &made["changed_files"]),
        (&json!(true), &json!(true), &json!(1))
    );
    assert_eq!(made["head"]["label"], "acme:fix");

    let again = world.call("POST", "/repos/acme/shop/pulls", Some(&token), Some(body));
    assert_eq!(again.status, 422);
    assert!(again.text.contains("A pull request already exists for acme:fix."), "{}", again.text);

    let number = made["number"].as_u64().unwrap();
    let found =
        world.call("GET", "/repos/acme/shop/pulls?head=acme:fix&state=open", Some(&token), None).expect(200);
    assert_eq!(found[0]["number"], number);
    let none = world.call("GET", "/repos/acme/shop/pulls?head=acme:other", Some(&token), None).expect(200);
    assert_eq!(none, json!([]));
    let files =
        world.call("GET", &format!("/repos/acme/shop/pulls/{number}/files"), Some(&token), None).expect(200);
    assert_eq!(files[0]["filename"], "src/main.rs");
    assert!(files[0]["patch"].as_str().unwrap().starts_with("@@ -1 +1 @@"), "{}", files[0]["patch"]);
    let path = format!("/repos/acme/shop/pulls/{number}");
    let diff = world.try_call("GET", &path, Some(&token), None, "application/vnd.github.diff").unwrap();
    assert_eq!(diff.text, world.forge.pull_diff(SHOP, number).unwrap());
    assert!(diff.text.contains("+fn main() { println!(); }"), "{}", diff.text);

    let before = world.forge.pulls(SHOP).unwrap()[0].head_sha.clone();
    world.forge.commit_file(SHOP, "fix", "NEWS", "mended\n").unwrap();
    assert_ne!(world.forge.pulls(SHOP).unwrap()[0].head_sha, before);

    assert!(world.forge.issue(SHOP, issue).unwrap().open);
    world.forge.merge_pull(SHOP, "alice", number).unwrap();
    assert!(!world.forge.issue(SHOP, issue).unwrap().open);
    let merged = world.call("GET", &path, Some(&token), None).expect(200);
    assert_eq!((&merged["merged"], &merged["state"]), (&json!(true), &json!("closed")));
    assert_eq!(world.forge.read_file(SHOP, "main", "NEWS").unwrap().unwrap(), b"mended\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_pull_requests() {
    let world = World::new().await;
    let token = world.token(json!({}));
    world.forge.commit_file(SHOP, "fix", "a", "b").unwrap();
    let check = |head: &str, base: &str, why: &str| {
        let body = json!({ "title": "t", "head": head, "base": base });
        let answer = world.call("POST", "/repos/acme/shop/pulls", Some(&token), Some(body));
        assert_eq!(answer.status, 422, "{head}");
        assert!(answer.text.contains(why), "{}", answer.text);
    };
    check("nowhere", "main", "\"field\":\"head\"");
    check("fix", "nowhere", "\"field\":\"base\"");
    check("main", "main", "No commits between main and main");
    check("stranger:fix", "main", "\"field\":\"head\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_from_a_fork() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let number = world.forge.fork_pull(SHOP, "eve", "Nice change", "", "evil.sh", "rm -rf /\n").unwrap();
    let pull = world.call("GET", &format!("/repos/acme/shop/pulls/{number}"), Some(&token), None).expect(200);
    assert_eq!(pull["head"]["repo"]["full_name"], "eve/shop");
    assert_eq!(pull["head"]["repo"]["fork"], true);
    assert_eq!(pull["base"]["repo"]["full_name"], SHOP);
    assert!(world.forge.pull_diff(SHOP, number).unwrap().contains("evil.sh"));
    assert_eq!(world.forge.branches(SHOP).unwrap(), ["main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_come_and_go() {
    let world = World::new().await;
    let token = world.token(json!({}));
    world.forge.commit_file(SHOP, "fix", "a", "b").unwrap();
    let number = world.forge.open_pull(SHOP, "alice", "t", "", "fix").unwrap();
    world.forge.rename_default_branch(SHOP, "trunk").unwrap();
    let repo = world.call("GET", "/repos/acme/shop", Some(&token), None).expect(200);
    assert_eq!(repo["default_branch"], "trunk");
    assert_eq!(world.forge.branches(SHOP).unwrap(), ["fix", "trunk"]);
    assert_eq!(world.forge.pulls(SHOP).unwrap()[0].base_branch, "trunk");
    world.forge.force_push(SHOP, "trunk", &[("new", "start")]).unwrap();
    let pull = world.call("GET", &format!("/repos/acme/shop/pulls/{number}"), Some(&token), None).expect(200);
    assert_eq!(pull["mergeable"], false);
    world.forge.delete_branch(SHOP, "fix").unwrap();
    assert!(!world.forge.pulls(SHOP).unwrap()[0].open);
    assert_eq!(world.call("GET", "/repos/acme/shop/branches/fix", Some(&token), None).status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_trees_and_commits() {
    let world = World::new().await;
    let token = world.token(json!({ "permissions": { "contents": "read" } }));
    let get = |path: &str| world.call("GET", &format!("/repos/acme/shop{path}"), Some(&token), None);
    let file = get("/contents/src/main.rs").expect(200);
    assert_eq!((&file["encoding"], &file["content"]), (&json!("base64"), &json!("Zm4gbWFpbigpIHt9Cg==\n")));
    let listed = get("/contents/?ref=main").expect(200);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(get("/contents/.cloud-code").status, 404);
    assert_eq!(get("/contents/README.md?ref=nowhere").status, 404);
    let raw = world.try_call(
        "GET",
        "/repos/acme/shop/contents/README.md",
        Some(&token),
        None,
        "application/vnd.github.raw+json",
    );
    assert_eq!(raw.unwrap().text, "# Shop\n");
    let tip = world.forge.branch_tip(SHOP, "main").unwrap().unwrap();
    assert_eq!(get("/git/ref/heads/main").expect(200)["object"]["sha"], tip.as_str());
    assert_eq!(get("/git/ref/heads/ma").status, 404);
    let tree = get(&format!("/git/trees/{tip}?recursive=1")).expect(200);
    let paths: Vec<_> =
        tree["tree"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["README.md", "src", "src/main.rs"]);
    assert_eq!(get("/commits/main").expect(200)["sha"], tip.as_str());
    assert_eq!(get("/branches/main").expect(200)["commit"]["sha"], tip.as_str());
    assert_eq!(get("/issues").status, 403);
}
