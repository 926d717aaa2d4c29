//! SIGKILL between a comment that adds to a run and the task that it becomes: it becomes one, once.

use super::world::{PATIENCE, REPOSITORY, World};
use cloud_code_forge::{Matcher, When};
use cloud_code_model::run::AdditionState;
use futures::{StreamExt, stream};
use std::fs;

/// Whether the attempt's task has this one more.
fn is_appended(world: &World, task: &str) -> Option<()> {
    let [workspace] = &world.workspaces()[..] else { return None };
    let text = fs::read_to_string(workspace.join(".cloud-code/tasking.yaml")).ok()?;
    text.contains(task).then_some(())
}

/// Kills the server at this request to the forge after the comment; says whether there was one.
async fn trial(request: usize) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    let mut world = World::new(&format!(
        r#"if grep -q "While you worked, ada" "$CLOUD_CODE_PROMPT_FILE"; then
  echo more >> more.txt
else
  : > {path}/begun
  while [ ! -e {path}/go ]; do sleep 0.02; done
  echo 'echo hi' > greet.sh
fi"#
    ))
    .await;
    world.start().await;
    let number = world.labelled_issue();
    world.until("the agent", || dir.path().join("begun").exists().then_some(())).await;
    world.labelled(number, "cloud-code:running").await;
    let mut pause = world.forge.pause_at(Matcher::any("*"), request, When::Before);
    let comment = world.forge.comment(REPOSITORY, "ada", number, "/cloud-code also do more").unwrap();
    let task = format!("id: t-{comment}\n");
    let reached = tokio::select! {
        () = pause.reached() => true,
        () = world.until("the task", || is_appended(&world, &task)) => false,
    };
    // The comment is accepted, also where the request was about something else.
    world.forge.await_deliveries().await.unwrap();
    world.kill().await;
    drop(pause);
    world.start().await;
    world.until("the task", || is_appended(&world, &task)).await;
    fs::write(dir.path().join("go"), "").unwrap();
    world.labelled(number, "cloud-code:done").await;
    let (runs, _) = world.quiet().await;
    assert_eq!(runs.len(), 1, "request {request}: {runs:#?}");
    let states: Vec<_> = runs[0].additions.iter().map(|added| runs[0].state_of(added)).collect();
    assert_eq!(states, [AdditionState::Heard], "request {request}");
    let pulls = world.forge.pulls(REPOSITORY).unwrap();
    assert_eq!(pulls.len(), 1, "request {request}: {pulls:#?}");
    let file = |path: &str| world.forge.read_file(REPOSITORY, &pulls[0].head_branch, path).unwrap().unwrap();
    assert_eq!((file("more.txt"), file("greet.sh")), (b"more\n".to_vec(), b"echo hi\n".to_vec()));
    // The run's own, and the answer.
    assert_eq!(world.forge.comments(REPOSITORY, number).unwrap().len(), 3, "request {request}");
    world.nothing_left();
    world.terminate(PATIENCE).await;
    reached
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_comment_becomes_one_task_whenever_the_server_is_killed() {
    let reached: Vec<bool> = stream::iter(0..6).map(trial).buffer_unordered(3).collect().await;
    let kills = reached.iter().filter(|reached| **reached).count();
    assert!(kills >= 4, "only {kills} kills came about");
}
