//! Our webhook payloads beside GitHub's own examples (the folder `payload-examples/api.github.com` of octokit/webhooks):
//! every field that an example has, ours has too.

use std::path::PathBuf;

use cloud_code_forge::Webhook;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::{SHOP, World};

/// Fields of the examples that GitHub has only in some repositories or for features that the forge lacks.
const LEFT_OUT: [&str; 5] = ["custom_properties", "organization", "check_suite", "permissions", "draft"];

fn missing(example: &Value, ours: &Value, at: &str, found: &mut Vec<String>) {
    match (example, ours) {
        (Value::Object(fields), Value::Object(have)) => {
            for (name, value) in fields.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str())) {
                match have.get(name) {
                    Some(mine) => missing(value, mine, &format!("{at}.{name}"), found),
                    None => found.push(format!("{at}.{name}")),
                }
            }
        }
        (Value::Array(items), Value::Array(have)) => {
            if let (Some(item), Some(mine)) = (items.first(), have.first()) {
                missing(item, mine, &format!("{at}[]"), found);
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_have_all_that_githubs_examples_have() {
    let Some(folder) = std::env::var_os("CLOUD_CODE_WEBHOOK_EXAMPLES").map(PathBuf::from) else {
        crate::skipped("CLOUD_CODE_WEBHOOK_EXAMPLES does not name a folder of example payloads");
        return;
    };
    let (world, receiver) = (World::new().await, Receiver::start());
    world.forge.set_webhook(Some(Webhook { url: receiver.url.clone(), secret: "s".into() }));
    let token = world.token(json!({}));
    let number = world.forge.open_issue(SHOP, "alice", "It breaks", "Please").unwrap();
    world.forge.label_issue(SHOP, "alice", number, "bug").unwrap();
    let comment = world.forge.comment(SHOP, "alice", number, "hi").unwrap();
    world.forge.edit_comment(SHOP, "alice", comment, "ho").unwrap();
    world.forge.close_issue(SHOP, "alice", number).unwrap();
    let sha = world.forge.commit_file(SHOP, "fix", "a", "b").unwrap();
    let pull = world.forge.open_pull(SHOP, "alice", "Mend", "", "fix").unwrap();
    world.forge.commit_file(SHOP, "fix", "a", "c").unwrap();
    world.forge.close_issue(SHOP, "alice", pull).unwrap();
    let run = json!({ "name": "x", "head_sha": sha });
    world.call("POST", "/repos/acme/shop/check-runs", Some(&token), Some(run)).expect(201);
    world.forge.create_repo("bob/new", &[], "main", false).unwrap();
    world.forge.install_app("bob/new").unwrap();
    world.forge.await_deliveries().await.unwrap();

    let mut found = Vec::new();
    for (what, file) in [
        ("ping", "ping/with-app_id"),
        ("issues.opened", "issues/opened"),
        ("issues.labeled", "issues/labeled"),
        ("issues.closed", "issues/closed"),
        ("issue_comment.created", "issue_comment/created.with-installation"),
        ("issue_comment.edited", "issue_comment/edited"),
        ("push", "push/with-new-branch"),
        ("pull_request.opened", "pull_request/opened"),
        ("pull_request.synchronize", "pull_request/synchronize"),
        ("pull_request.closed", "pull_request/closed"),
        ("check_run.created", "check_run/created"),
        ("installation.created", "installation/created"),
    ] {
        let Ok(text) = std::fs::read_to_string(folder.join(format!("{file}.payload.json"))) else { continue };
        let example: Value = serde_json::from_str(&text).unwrap();
        let received = receiver.received();
        let ours = received.iter().find(|delivery| delivery.what() == what);
        let ours = ours.unwrap_or_else(|| panic!("{what} was not sent")).json();
        missing(&example, &ours, what, &mut found);
    }
    // An app's ping names no repository; the example is of a repository's hook.
    found.retain(|path| !path.starts_with("ping."));
    assert!(found.is_empty(), "{}", found.join("\n"));
}
