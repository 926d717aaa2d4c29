//! SIGTERM, and two servers on one folder.

use super::world::{PATIENCE, World, address, tail};
use cloud_code_forge::{Matcher, When};
use std::fs;
use std::time::Duration;

/// Well below what Docker and systemd wait before they kill.
const PROMPT: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_running_agent_outlives_the_server_and_its_change_is_published_by_the_next() {
    let signals = tempfile::tempdir().unwrap();
    let path = signals.path().display();
    let command =
        format!(": > {path}/begun\nwhile [ ! -e {path}/go ]; do sleep 0.02; done\necho hi > greet.sh");
    let mut world = World::new(&command).await;
    world.start().await;
    let number = world.labelled_issue();
    world.until("the agent's start", || signals.path().join("begun").exists().then_some(())).await;
    world.terminate(PROMPT).await;
    fs::write(signals.path().join("go"), "").unwrap();
    world.start().await;
    world.labelled(number, "cloud-code:done").await;
    world.exactly_one_pull(number).await;
    world.terminate(PROMPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_publishing_nothing_is_done_twice() {
    for path in ["*/git-receive-pack", "/repos/*/pulls", "/repos/*/check-runs"] {
        let mut world = World::new("echo hi > greet.sh").await;
        world.start().await;
        let mut pause = world.forge.pause_at(Matcher::new("POST", path), 0, When::After);
        let number = world.labelled_issue();
        tokio::time::timeout(PATIENCE, pause.reached()).await.expect("the request");
        world.signal(rustix::process::Signal::TERM);
        world
            .until("the server to say so", || world.log().contains("taking no more work").then_some(()))
            .await;
        // The answer is lost while the server ends.
        drop(pause);
        let status = world.ended(Duration::from_secs(25)).await;
        assert!(status.success(), "{path}: {status}\n{}", tail(&world.log()));
        world.start().await;
        world.labelled(number, "cloud-code:done").await;
        world.exactly_one_pull(number).await;
        world.terminate(PROMPT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_or_database_is_refused() {
    let mut world = World::new("true").await;
    world.start().await;
    let other = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", world.data_dir().join("cloud-code.db").display());
    let (folder, other) =
        (world.data_dir().display().to_string(), other.path().join("data").display().to_string());
    for (variable, settings) in [
        ("DATA_DIR", vec![("DATA_DIR", folder)]),
        ("DATABASE_URL", vec![("DATA_DIR", other), ("DATABASE_URL", database)]),
    ] {
        let mut command = world.command();
        command.envs(settings).env("LISTEN_ADDR", address().to_string());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let ended = tokio::time::timeout(PATIENCE, command.output()).await.expect("an end").unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        let wanted = format!("{variable}: another cloud-code server works on ");
        assert!(said.contains(&wanted) && said.contains("stop that one"), "{said}");
    }
    // The first one was not disturbed, and after its death, however it came, the folder is free.
    assert_eq!(world.api("GET", "/api/v1/runs").await.0, 200);
    world.kill().await;
    world.start().await;
    world.terminate(PROMPT).await;
}
