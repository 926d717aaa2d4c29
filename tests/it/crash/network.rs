//! The network of jobs, from their workflow to what people are told. The container tests need the image
//! cloud-code-agent-script (scripts/build-agents.sh) and `CLOUD_CODE_TEST_DOCKER=1`.

use super::containers::{docker_world, wanted};
use super::world::{PATIENCE, REPOSITORY, World, workflow};

fn with_network(network: &str, command: &str) -> String {
    workflow(command).replacen("    steps:\n", &format!("    network: {network}\n    steps:\n"), 1)
}

fn comment(world: &World, number: u64) -> String {
    let comments = world.forge.comments(REPOSITORY, number).unwrap();
    assert_eq!(comments.len(), 1, "{comments:#?}");
    comments[0].body.clone()
}

/// Runs it to its end in a container; the comment, and the file `facts.txt` of the pull request.
async fn told(text: &str, settings: &[(&str, &str)]) -> (String, String) {
    let mut world = docker_world("true").await;
    world.forge.commit_file(REPOSITORY, "main", ".cloud-code/implement.yml", text).unwrap();
    for (name, value) in settings {
        world.set(name, value);
    }
    world.start().await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:done").await;
    let run = world.exactly_one_pull(number).await;
    let branch = format!("cloud-code/issue-{number}");
    let facts = world.forge.read_file(REPOSITORY, &branch, "facts.txt").unwrap().expect("the facts");
    let said = comment(&world, number);
    let (status, page) = world.api("GET", &format!("/api/v1/runs/{}", run.id)).await;
    assert_eq!(status, 200, "{page}");
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let blocked: Vec<&str> = page["jobs"][0]["attempts"][0]["blocked_hosts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect();
    assert_eq!(said.contains("Blocked network access"), !blocked.is_empty(), "{blocked:?}\n{said}");
    world.terminate(PATIENCE).await;
    (said, String::from_utf8(facts).unwrap())
}

/// What a request to a host comes to: the proxy's answer, or curl's exit code where there is none.
const ASK: &str = "exec > facts.txt\nask() { curl -sS -m 20 -o /dev/null -w '%{http_connect}' \"$1\" 2>/dev/null; echo \" $1 $?\"; }\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restricted_job_was_refused_is_told_once() {
    if !wanted() {
        return;
    }
    let script = format!(
        "{ASK}ask https://evil.example/\nask https://evil.example/\nask https://worse.example:8443/\n"
    );
    let (said, facts) = told(&workflow(&script), &[]).await;
    assert_eq!(facts.matches("403 https://").count(), 3, "{facts}");
    let line = "Blocked network access: evil.example, worse.example:8443; allow hosts with NETWORK_ALLOW or the job's `network`.";
    assert_eq!(said.matches(line).count(), 1, "{said}");
    // Nobody refuses what is allowed: that this host does not exist is another matter.
    let text = with_network(
        "{ allow: [no-such-host.invalid] }",
        &format!("{ASK}ask https://no-such-host.invalid/\n"),
    );
    let (_, facts) = told(&text, &[]).await;
    assert!(facts.starts_with("502 "), "{facts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_goes_before_the_settings() {
    if !wanted() {
        return;
    }
    let script = format!("{ASK}echo \"proxy=$HTTPS_PROXY\"\nask https://evil.example/\n");
    for (network, settings, words) in [
        ("none", [("NETWORK", "open")], "proxy=\n000 https"),
        ("restricted", [("NETWORK", "none")], "proxy=http://cloud-code-proxy:3128\n403 https"),
    ] {
        let (_, facts) = told(&with_network(network, &script), &settings).await;
        assert!(facts.starts_with(words), "{network}: {facts}");
    }
    let (_, facts) = told(&workflow(&script), &[("NETWORK", "none")]).await;
    assert!(facts.starts_with("proxy=\n000"), "{facts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_can_not_be_restricted() {
    for network in ["none", "restricted", "{ allow: [pypi] }"] {
        let mut world = World::with_workflow(&with_network(network, "echo x > began")).await;
        world.start().await;
        let number = world.labelled_issue();
        world.labelled(number, "cloud-code:failed").await;
        world.quiet().await;
        let said = comment(&world, number);
        assert!(said.contains("the process runner can't keep it from the network"), "{said}");
        assert!(world.workspaces().is_empty(), "something was made for it");
        world.terminate(PATIENCE).await;
    }
    // What the settings say is for runners that can.
    let mut world = World::new("echo hi > greet.sh").await;
    world.set("NETWORK", "none");
    world.start().await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:done").await;
    world.exactly_one_pull(number).await;
    world.terminate(PATIENCE).await;
}
