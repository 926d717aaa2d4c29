//! Process 1 of a job's container, in real ones: it has the job's secrets, and is the parent of all that steps leave behind.
//! Needs the image cloud-code-agent-script (scripts/build-agents.sh) and `CLOUD_CODE_TEST_DOCKER=1`.

use super::containers::{docker_world, wanted};
use super::world::{PATIENCE, REPOSITORY, World};
use std::io::Write as _;
use std::process::Stdio;

/// No script may have it in one piece: the shell's own arguments would be found.
const SECRET: &str = "swordfish-of-the-job-4711";

/// Runs a job with these steps to its pull request; the file of this name in it, by lines.
async fn told(mut world: World, steps: &str, file: &str) -> Vec<String> {
    let text = format!(
        "on: {{ issues: {{ types: [labeled] }} }}\njobs:\n  implement:\n    timeout-minutes: 5\n    steps:\n{steps}"
    );
    world.forge.commit_file(REPOSITORY, "main", ".cloud-code/implement.yml", &text).unwrap();
    world.start().await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:done").await;
    world.quiet().await;
    let branch = format!("cloud-code/issue-{number}");
    let told = world.forge.read_file(REPOSITORY, &branch, file).unwrap().expect("the file");
    world.terminate(PATIENCE).await;
    String::from_utf8(told).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_finds_no_secret_that_it_was_not_given() {
    if !wanted() {
        return;
    }
    let world = docker_world("true").await;
    let mut set = world.program(&["secrets", "set", REPOSITORY, "THE_KEY"]);
    let mut set = set.stdin(Stdio::piped()).spawn().unwrap();
    set.stdin.take().unwrap().write_all(SECRET.as_bytes()).unwrap();
    assert!(set.wait().unwrap().success());
    // The first step is given the secret, and shows that this finds it; the second is not.
    let look = r#"
          needle=$(echo 1174-boj-eht-fo-hsifdrows | rev)
          for file in /proc/[0-9]*/environ; do
            if tr '\0' '\n' < "$file" 2>/dev/null | grep -q "$needle"; then echo "$1: a secret in an environment"; fi
          done >> told.txt"#;
    let steps = format!(
        r#"      - env: {{ GIVEN: "${{{{ secrets.THE_KEY }}}}" }}
        run: |
          set -- given{look}
      - run: |
          set -- other{look}
          for process in 1 $(pidof -o 1 cloud-code-agent); do
            echo "$(cat /proc/$process/comm)"
            for file in environ mem maps; do
              if ( : < "/proc/$process/$file" ) 2>/dev/null; then echo "$file of $process is open"; fi
            done
          done >> told.txt
"#
    );
    let mut told = told(world, &steps, "told.txt").await;
    told.dedup();
    // Process 1, and the agent that it started.
    assert_eq!(told, ["given: a secret in an environment", "cloud-code-agen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_steps_leave_behind_is_reaped() {
    if !wanted() {
        return;
    }
    let steps = r#"      - run: |
          for n in $(seq 200); do ( setsid true & ); done
          # They end by themselves, and nothing says when the last one has.
          for n in $(seq 100); do
            zombies=$(cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | grep -c '^Z' || true)
            [ "$zombies" = 0 ] && break
            sleep 0.1
          done
          echo "zombies: $zombies" > told.txt
          [ $(ls -d /proc/[0-9]* | wc -l) -lt 12 ] && echo "few processes" >> told.txt
"#;
    let told = told(docker_world("true").await, steps, "told.txt").await;
    assert_eq!(told, ["zombies: 0", "few processes"]);
}
