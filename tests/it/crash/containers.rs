//! Runs in Docker containers: from label to pull request, what a container can and can't do, and what goes wrong with Docker.
//! Needs the image cloud-code-agent-script (scripts/build-agents.sh) and `CLOUD_CODE_TEST_DOCKER=1`.

use super::world::{PATIENCE, REPOSITORY, World};
use cloud_code_model::ids::{AttemptId, RunId, digest};
use cloud_code_model::run::Run;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Whether Docker tests are wanted. CI must want them.
pub(super) fn wanted() -> bool {
    let wanted = std::env::var("CLOUD_CODE_TEST_DOCKER").as_deref() == Ok("1");
    assert!(
        wanted || std::env::var("CI").as_deref() != Ok("true"),
        "CI has to test with Docker: set CLOUD_CODE_TEST_DOCKER=1 (tests/run does, and builds the images)"
    );
    if !wanted {
        eprintln!("skipped: CLOUD_CODE_TEST_DOCKER is not 1; tests/run builds the images and sets it");
    }
    wanted
}

/// A world whose server runs jobs in containers.
pub(super) async fn docker_world(command: &str) -> World {
    let mut world = World::new(command).await;
    world.set("RUNNER", "docker");
    if let Ok(prefix) = std::env::var("CLOUD_CODE_TEST_IMAGES") {
        world.set("AGENT_IMAGE_PREFIX", &prefix);
    }
    world
}

/// Runs `docker`; what it prints.
fn docker(arguments: &[&str]) -> String {
    let ran = Command::new("docker").args(arguments).output().unwrap();
    assert!(ran.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

/// The installation's label on its containers: by its data folder.
fn instance(world: &World) -> String {
    let folder = fs::canonicalize(world.data_dir()).unwrap();
    format!("cloud-code.instance={}", digest(&["instance", &folder.to_string_lossy()]))
}

/// The world's containers, running or not.
fn containers(world: &World) -> Vec<String> {
    let label = format!("label={}", instance(world));
    docker(&["ps", "--all", "--quiet", "--filter", &label]).lines().map(str::to_owned).collect()
}

fn comment(world: &World, number: u64) -> String {
    let comments = world.forge.comments(REPOSITORY, number).unwrap();
    assert_eq!(comments.len(), 1, "{comments:#?}");
    comments[0].body.clone()
}

/// A run that has to fail, and say so in these words.
async fn fails_with(mut world: World, words: &[&str]) {
    world.start().await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:failed").await;
    failed(world, number, words).await;
}

async fn failed(mut world: World, number: u64, words: &[&str]) {
    let (runs, _) = world.quiet().await;
    assert_eq!(runs.len(), 1);
    let said = comment(&world, number);
    for word in words {
        assert!(said.contains(word), "the comment does not say `{word}`:\n{said}");
    }
    assert!(world.forge.pulls(REPOSITORY).unwrap().is_empty());
    assert_eq!(world.forge.branches(REPOSITORY).unwrap(), ["main"]);
    world.terminate(PATIENCE).await;
}

async fn succeeds(world: &World, number: u64) -> Run {
    world.labelled(number, "cloud-code:done").await;
    let run = world.exactly_one_pull(number).await;
    assert!(containers(world).is_empty(), "containers are left");
    run
}

/// What the container finds out about itself ends up in the pull request.
const LOOK_AROUND: &str = r#"
exec > facts.txt 2>&1
echo "uid=$(id -u)"
sed -n 's/^\(Cap[A-Za-z]*\|NoNewPrivs\):\s*/\1=/p' /proc/self/status
touch /root-is-writable 2>/dev/null && echo "root=writable" || echo "root=read-only"
objects=$(cat .git/objects/info/alternates)
echo "objects=$objects"
touch "$objects/planted" 2>/dev/null && echo "objects=writable"
find "$objects" -type f | while read -r file; do
    rm -f "$file" 2>/dev/null && echo "removed $file"
    sh -c 'echo x >> "$1"' sh "$file" && echo "altered $file"
done 2>/dev/null
git gc --prune=now >/dev/null 2>&1
git repack -a -d -l >/dev/null 2>&1
mount -o remount,rw "$objects" 2>/dev/null && echo "objects=remounted"
echo "env=$(env | cut -d= -f1 | sort | tr '\n' ' ')"
for name in OUTSIDE; do ls "$name" 2>/dev/null && echo "$name is visible"; done
for socket in /var/run/docker.sock /run/docker.sock; do [ -e "$socket" ] && echo "socket $socket"; done
find / -name tasking.yaml -not -path '/proc/*' 2>/dev/null
find / \( -name '*.db' -o -name 'secrets.*' -o -name server.lock \) -not -path '/proc/*' -not -path '/usr/*' 2>/dev/null
cat /proc/*/environ 2>/dev/null | tr '\0' '\n' | grep -E '^(GITHUB_(APP|PRIV|WEBHOOK|CLIENT)|API_TOKENS|DATABASE_URL)' | cut -d= -f1
echo end=yes
"#;

#[tokio::test(flavor = "multi_thread")]
async fn from_label_to_pull_request_in_a_container_that_can_do_no_harm() {
    if !wanted() {
        return;
    }
    let mut world = docker_world("true").await;
    let script = LOOK_AROUND.replace("OUTSIDE", &world.dir.path().display().to_string());
    let text = super::world::workflow(&script);
    world.forge.commit_file(REPOSITORY, "main", ".cloud-code/implement.yml", &text).unwrap();
    world.start().await;
    let number = world.labelled_issue();
    // Another attempt of the same repository is under way at the same time.
    let other = world.labelled_issue();
    for number in [number, other] {
        world.labelled(number, "cloud-code:done").await;
    }
    let (runs, _) = world.quiet().await;
    assert_eq!(runs.len(), 2);
    for number in [number, other] {
        let branch = format!("cloud-code/issue-{number}");
        let facts = world.forge.read_file(REPOSITORY, &branch, "facts.txt").unwrap().expect("the facts");
        let facts = String::from_utf8(facts).unwrap();
        let lines: Vec<&str> = facts.lines().collect();
        let none = "=0000000000000000";
        let expected = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| format!("{name}{none}"));
        for line in expected.iter().map(String::as_str).chain([
            "uid=1000",
            "NoNewPrivs=1",
            "root=read-only",
            "objects=/cloud-code/objects",
            "end=yes",
        ]) {
            assert!(lines.contains(&line), "no line `{line}`:\n{facts}");
        }
        // Its own tasking and nobody else's.
        let taskings: Vec<_> = lines.iter().filter(|line| line.ends_with("tasking.yaml")).collect();
        assert_eq!(taskings, [&"/workspace/.cloud-code/tasking.yaml"], "{facts}");
        for bad in [
            "writable",
            "removed ",
            "altered ",
            "remounted",
            " is visible",
            "socket ",
            ".db",
            "secrets.",
            ".lock",
        ] {
            assert!(!facts.contains(bad), "`{bad}`:\n{facts}");
        }
        for name in
            ["GITHUB_APP", "PRIVATE_KEY", "WEBHOOK", "API_TOKENS", "DATABASE_URL", "DATA_DIR", "DOCKER"]
        {
            assert!(!facts.contains(name), "{name} is in the container's environment:\n{facts}");
        }
    }
    // The mirror, after two hostile guests, serves a third.
    let third = world.labelled_issue();
    world.labelled(third, "cloud-code:done").await;
    world.quiet().await;
    world.nothing_left();
    assert!(containers(&world).is_empty());
    world.terminate(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_says_how_to_build_it() {
    if !wanted() {
        return;
    }
    let mut world = docker_world("true").await;
    world.set("AGENT_IMAGE_PREFIX", "cloud-code-agent-");
    world.set("AGENT_IMAGE_TAG", "never-built");
    fails_with(world, &["cloud-code-agent-script:never-built", "scripts/build-agents.sh script"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_daemon_is_named_after_a_few_tries() {
    if !wanted() {
        return;
    }
    let mut world = docker_world("true").await;
    let socket = world.path("docker.sock");
    let name = socket.display().to_string();
    world.set("DOCKER_HOST", &format!("unix://{name}"));
    world.set("LAUNCH_TRIES", "2");
    world.start().await;
    let (ready, body) = world.api("GET", "/readyz").await;
    assert!(ready == 503 && body.contains("runner") && body.contains(&name), "{ready} {body}");
    let begun = Instant::now();
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:failed").await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    // What could not be looked at is cleaned up as soon as the daemon is back, with no restart of the server.
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).unwrap();
    failed(world, number, &[&name, "is the Docker daemon running?", "tried 2 times"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory_is_named() {
    if !wanted() {
        return;
    }
    // tail has to keep the one line, which has no end. First the kernel kills that, then the agent itself.
    let eats = "head -c 300000000 /dev/zero | tail -n 1 > big";
    let agent = format!("echo 1000 > /proc/$(pidof -o 1 cloud-code-agent)/oom_score_adj\n{eats}");
    for (command, words) in [
        (eats, "killed by signal 9 (out of memory"),
        (&agent, "out of memory: the container reached its memory limit and was killed"),
    ] {
        let mut world = docker_world(command).await;
        world.set("AGENT_MEMORY_MB", "64");
        fails_with(world, &[words]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_kills_a_container_that_ignores_every_signal() {
    if !wanted() {
        return;
    }
    // The agent itself is frozen: nobody in the container passes a signal on.
    let script = "trap '' INT TERM HUP\necho begun > begun\nkill -STOP $(pidof cloud-code-agent)\nwhile :; do sleep 1; done";
    let mut world = docker_world(script).await;
    world.start().await;
    let number = world.labelled_issue();
    let begun = || world.workspaces().first()?.join("begun").exists().then_some(());
    world.until("the agent's start", begun).await;
    let (runs, id) = world.api("GET", "/api/v1/runs").await;
    assert_eq!(runs, 200);
    let id: serde_json::Value = serde_json::from_str(&id).unwrap();
    let id = id["runs"][0]["id"].as_str().unwrap();
    let asked = Instant::now();
    let (status, body) = world.api("POST", &format!("/api/v1/runs/{id}/cancel")).await;
    assert_eq!(status, 202, "{body}");
    let (runs, _) = world.quiet().await;
    assert!(asked.elapsed() < Duration::from_secs(60), "{:?}", asked.elapsed());
    assert_eq!(runs[0].conclusion.unwrap().as_str(), "cancelled");
    assert!(comment(&world, number).contains("**Cancelled**"), "{}", comment(&world, number));
    assert!(containers(&world).is_empty());
    assert!(world.forge.pulls(REPOSITORY).unwrap().is_empty());
    world.nothing_left();
    world.terminate(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_removed_and_a_strangers_container_is_not() {
    if !wanted() {
        return;
    }
    let mut world = docker_world("true").await;
    world.set("SWEEP_SECONDS", "1");
    world.start().await;
    let start = |instance: &str| {
        let attempt =
            AttemptId { run: RunId::derive(instance, "orphan"), job: "implement".to_owned(), number: 1 };
        let mut arguments =
            vec!["run".to_owned(), "--detach".to_owned(), "--name".to_owned(), attempt.name()];
        let run = format!("cloud-code.run={}", attempt.run);
        for label in [instance, &run, "cloud-code.job=implement", "cloud-code.attempt=1"] {
            arguments.extend(["--label".to_owned(), label.to_owned()]);
        }
        let rest = ["--entrypoint", "sleep", "cloud-code-agent-script:latest", "600"];
        arguments.extend(rest.map(str::to_owned));
        docker(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let orphan = start(&instance(&world));
    let stranger = start(&format!("cloud-code.instance={}", digest(&["of", &orphan])));
    let there = |id: &str| docker(&["ps", "--all", "--quiet", "--no-trunc"]).lines().any(|line| line == id);
    assert!(there(&orphan));
    world.until("the orphan's end", || (!there(&orphan)).then_some(())).await;
    assert!(world.log().contains("removing an orphan"));
    let kept = there(&stranger);
    docker(&["rm", "--force", "--volumes", &stranger]);
    assert!(kept, "another installation's container was removed");
    world.terminate(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_outlives_its_server_and_is_found_again() {
    if !wanted() {
        return;
    }
    for graceful in [true, false] {
        let script =
            "echo begun > begun\nwhile [ ! -e .git/go ]; do sleep 0.1; done\nrm begun\necho hi > greet.sh";
        let mut world = docker_world(script).await;
        world.start().await;
        let number = world.labelled_issue();
        let workspace = || world.workspaces().into_iter().find(|path| path.join("begun").exists());
        let workspace = world.until("the agent's start", workspace).await;
        // It begins before its launch is over.
        world.labelled(number, "cloud-code:running").await;
        let before = containers(&world);
        if graceful {
            world.terminate(Duration::from_secs(8)).await;
        } else {
            world.kill().await;
        }
        world.start().await;
        world
            .until("the container to be found again", || world.log().contains("found again").then_some(()))
            .await;
        assert_eq!(containers(&world), before, "the container that ran is the one that runs");
        fs::write(workspace.join(".git/go"), "").unwrap();
        let run = succeeds(&world, number).await;
        assert_eq!(run.jobs[0].attempts.len(), 1);
        world.terminate(PATIENCE).await;
    }
}
