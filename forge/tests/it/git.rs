//! The real git program against the forge.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::receiver::Receiver;
use crate::{SHOP, World};

fn git(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.current_dir(dir).args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "-c",
        "credential.helper=",
    ]);
    command.args(arguments).env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_GLOBAL", "/dev/null");
    tokio::task::block_in_place(|| command.output().unwrap())
}

#[track_caller]
fn works(output: Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn fails(output: &Output, why: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains(why), "{text}");
}

fn address(world: &World, token: &str, repo: &str) -> String {
    format!("{}/{repo}.git", world.forge.url().replace("://", &format!("://x-access-token:{token}@")))
}

fn commit(dir: &Path, path: &str, text: &str) {
    std::fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
    std::fs::write(dir.join(path), text).unwrap();
    works(git(dir, &["add", "-A"]));
    works(git(dir, &["commit", "-q", "-m", "change"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn clone_push_and_what_follows() {
    let world = World::new().await;
    let receiver = Receiver::start();
    world
        .forge
        .set_webhook(Some(cloud_code_forge::Webhook { url: receiver.url.clone(), secret: "s".into() }));
    let token = world.token(json!({ "repositories": ["shop"], "permissions": { "contents": "write" } }));
    let home = tempfile::tempdir().unwrap();
    works(git(home.path(), &["clone", "-q", &address(&world, &token, SHOP), "shop"]));
    let shop = home.path().join("shop");
    assert_eq!(std::fs::read_to_string(shop.join("README.md")).unwrap(), "# Shop\n");
    works(git(&shop, &["checkout", "-q", "-b", "cloud-code/issue-1"]));
    commit(&shop, "new.txt", &"line\n".repeat(5_000));
    works(git(&shop, &["push", "-q", "origin", "cloud-code/issue-1"]));
    assert_eq!(world.forge.branches(SHOP).unwrap(), ["cloud-code/issue-1", "main"]);

    let number = world.forge.open_pull(SHOP, "alice", "t", "", "cloud-code/issue-1").unwrap();
    commit(&shop, "new.txt", "other\n");
    works(git(&shop, &["push", "-q", "origin", "cloud-code/issue-1"]));
    let tip = world.forge.branch_tip(SHOP, "cloud-code/issue-1").unwrap();
    assert_eq!(Some(world.forge.pulls(SHOP).unwrap()[0].head_sha.clone()), tip);
    works(git(&shop, &["commit", "-q", "--amend", "-m", "again"]));
    fails(&git(&shop, &["push", "origin", "cloud-code/issue-1"]), "rejected");
    works(git(&shop, &["push", "-q", "-f", "origin", "cloud-code/issue-1"]));
    works(git(&shop, &["push", "-q", "origin", ":cloud-code/issue-1"]));
    assert!(!world.forge.issue(SHOP, number).unwrap().open);
    fails(&git(&shop, &["push", "origin", ":main"]), "refusing to delete the current branch");

    world.forge.await_deliveries().await.unwrap();
    let told = receiver.received();
    let pushes: Vec<_> =
        told.iter().filter(|delivery| delivery.what() == "push").map(|push| push.json()).collect();
    assert_eq!(pushes.len(), 4);
    assert_eq!((&pushes[0]["created"], &pushes[0]["sender"]["type"]), (&json!(true), &json!("Bot")));
    assert_eq!((&pushes[2]["forced"], &pushes[3]["deleted"]), (&json!(true), &json!(true)));
    assert_eq!(told.iter().filter(|delivery| delivery.what() == "pull_request.synchronize").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_fetch_and_push() {
    let world = World::new().await;
    world.forge.create_repo("acme/secret", &[("a", "b")], "main", true).unwrap();
    world.forge.install_app("acme/secret").unwrap();
    let home = tempfile::tempdir().unwrap();
    let public = format!("{}/{SHOP}.git", world.forge.url());
    works(git(home.path(), &["clone", "-q", &public, "public"]));
    fails(
        &git(home.path(), &["ls-remote", &format!("{}/acme/secret.git", world.forge.url())]),
        "could not read Username",
    );
    let shop = world.token(json!({ "repositories": ["shop"], "permissions": { "contents": "read" } }));
    fails(&git(home.path(), &["ls-remote", &address(&world, &shop, "acme/secret")]), "not found");
    fails(
        &git(home.path(), &["ls-remote", &address(&world, "ghs_wrong", "acme/secret")]),
        "Authentication failed",
    );
    let issues = world.token(json!({ "permissions": { "issues": "write" } }));
    fails(&git(home.path(), &["ls-remote", &address(&world, &issues, "acme/secret")]), "403");
    commit(&home.path().join("public"), "x", "y");
    fails(&git(&home.path().join("public"), &["push", &address(&world, &shop, SHOP), "HEAD:x"]), "403");
    assert_eq!(world.forge.branches(SHOP).unwrap(), ["main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_need_their_own_permission() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let home = tempfile::tempdir().unwrap();
    works(git(home.path(), &["clone", "-q", &address(&world, &token, SHOP), "shop"]));
    let shop = home.path().join("shop");
    commit(&shop, ".github/workflows/ci.yml", "on: push\n");
    fails(&git(&shop, &["push", "origin", "HEAD:fix"]), "without `workflows` permission");
    assert_eq!(world.forge.branches(SHOP).unwrap(), ["main"]);

    let more = ["contents", "workflows"].map(|name| (name.to_owned(), cloud_code_forge::Access::Write));
    world.forge.install_app_with(SHOP, &more.into_iter().collect()).unwrap();
    let token = world.token(json!({}));
    works(git(&shop, &["push", "-q", &address(&world, &token, SHOP), "HEAD:fix"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commits_are_negotiated_in_gzip() {
    let world = World::new().await;
    let home = tempfile::tempdir().unwrap();
    let public = format!("{}/{SHOP}.git", world.forge.url());
    works(git(home.path(), &["clone", "-q", &public, "shop"]));
    let shop = home.path().join("shop");
    // Enough lines of `have` that git compresses its request.
    for index in 0..300 {
        works(git(&shop, &["commit", "-q", "--allow-empty", "-m", &format!("local {index}")]));
    }
    world.forge.commit_file(SHOP, "main", "later", "on\n").unwrap();
    works(git(&shop, &["fetch", "-q"]));
    let gzip = |request: &cloud_code_forge::ApiRequest| {
        request.headers.iter().any(|(name, value)| name == "content-encoding" && value == "gzip")
    };
    assert!(world.forge.requests().iter().any(gzip), "git sent no compressed request, so this tests nothing");
    let shown = git(&shop, &["show", "origin/main:later"]);
    assert_eq!(shown.stdout, b"on\n");
}
