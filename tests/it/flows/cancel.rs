//! Ending a run that somebody no longer wants, at every moment of its life.

use crate::harness::{API_TOKEN, Options, WAIT_FOR_GO, Workflow, World, program, signal};
use rustix::process::Signal;

const SLOW: &str = "echo x > x.txt; sleep 600";

async fn running(world: &World, number: u64) -> String {
    world
        .expect_run(number, "a first report", |run| {
            run.jobs[0].attempts.first().is_some_and(|attempt| attempt.started_at.is_some())
        })
        .await
        .id
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_comment() {
    let world = World::start(Options::script(SLOW)).await;
    let number = world.ask("Never mind", "");
    running(&world, number).await;
    world.comment("ron", number, "/cloud-code cancel");
    world.expect_comment(number, &["@ron, nothing was started"]).await;
    world.comment("wes", number, "/cloud-code cancel");
    world.expect_comment(number, &["@wes, the run is being cancelled."]).await;
    world.expect_comment(number, &["🛑 **Cancelled** by wes."]).await;
    world.expect_labels(number, &[]).await;
    world.expect_decision("cancelled", "1 run(s) cancelled").await;
    // After the end there is nothing to cancel.
    world.comment("wes", number, "/cloud-code cancel again");
    world.expect_comment(number, &["@wes, there is no run to cancel on this issue."]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_api() {
    let world = World::start(Options::script(SLOW)).await;
    let number = world.ask("Never mind", "");
    let id = running(&world, number).await;
    let path = format!("/api/v1/runs/{id}/cancel");
    let answer = world.http("POST", &path).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    world.expect_comment(number, &["🛑 **Cancelled** by an API client."]).await;
    let again = world.http("POST", &path).await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert!(again.body.contains("already_over"), "{}", again.body);
    let unknown = world.http("POST", "/api/v1/runs/r-00000000000000000000/cancel").await;
    assert_eq!(unknown.status, 404);
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_was_launched() {
    let world = World::start(Options::script(WAIT_FOR_GO).env("CONCURRENCY", 1)).await;
    let first = world.ask("Take the slot", "");
    running(&world, first).await;
    let second = world.ask("Wait", "");
    world.expect_comment(second, &["🕓 **Queued.**"]).await;
    world.comment("ann", second, "/cloud-code cancel");
    world.expect_comment(second, &["the run is being cancelled"]).await;
    world.expect_comment(second, &["🛑 **Cancelled** by ann."]).await;
    let run = world.expect_conclusion(second, "cancelled").await;
    assert_eq!(run.started_at, None);
    world.go();
    world.expect_comment(first, &["➖ **No changes.**"]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_listen() {
    let script = "trap '' INT TERM HUP; echo x > x.txt; while :; do sleep 1; done";
    let world = World::start(Options::script(script)).await;
    let number = world.ask("Never mind", "");
    running(&world, number).await;
    world.comment("ann", number, "/cloud-code cancel");
    world.expect_comment(number, &["the run is being cancelled"]).await;
    world.expect_comment(number, &["🛑 **Cancelled** by ann."]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_program_that_is_stopped() {
    let world = World::start(Options::script(SLOW)).await;
    let number = world.ask("Never mind", "");
    running(&world, number).await;
    signal(world.agent_process().pid, Signal::STOP);
    world.comment("ann", number, "/cloud-code cancel");
    world.expect_comment(number, &["the run is being cancelled"]).await;
    world.expect_comment(number, &["🛑 **Cancelled** by ann."]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_it_is_gone() {
    let world = World::start(Options::script(SLOW)).await;
    let number = world.ask("Never mind", "");
    running(&world, number).await;
    for process in world.processes() {
        signal(process.pid, Signal::KILL);
    }
    world
        .expect_comment(number, &["❌ **Failed.**", "the process was killed, or the machine was restarted"])
        .await;
    world.comment("ann", number, "/cloud-code cancel");
    world.expect_comment(number, &["there is no run to cancel"]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_wish_replaces_the_older() {
    let world = World::start(Options::script(
        "[ -n \"$(grep quickly \"$CLOUD_CODE_PROMPT_FILE\")\" ] || sleep 600; echo x > x.txt",
    ))
    .await;
    let number = world.ask("Do it", "");
    let first = running(&world, number).await;
    world.comment("ann", number, "/cloud-code run quickly");
    world.expect_comment(number, &["🛑 **Cancelled** by run r-", &first]).await;
    world.expect_comment(number, &["✅ **Done.**"]).await;
    world.expect_pull(number).await;
    world.settle().await;
    world.expect_labels(number, &["cloud-code:done"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_publishes() {
    let workflow = Workflow::script("echo x > x.txt");
    let world = World::start(Options::default().workflow(&workflow.text())).await;
    let hang = cloud_code_forge::Fault::Hang(std::time::Duration::from_secs(3));
    world.forge.fail_next(cloud_code_forge::Matcher::new("POST", "/repos/*/pulls"), hang, 1);
    let number = world.ask("Too late", "");
    world
        .expect_run(number, "publishing", |run| {
            run.jobs[0].attempts.first().is_some_and(|attempt| attempt.state == "publishing")
        })
        .await;
    world.comment("ann", number, "/cloud-code cancel");
    world.expect_comment(number, &["the run is being cancelled"]).await;
    // A push that is under way is not torn apart: what was published is told.
    world.expect_comment(number, &["✅ **Done.**", "pull request #2"]).await;
    world.expect_pull(number).await;
    world.finish().await;
}

const CLEANING: &str = "name: cleaning
on: { issues: { types: [labeled] } }
jobs:
  work: { steps: [{ run: 'sleep 600' }] }
  clean: { needs: work, if: always(), steps: [{ run: 'sleep 600' }] }
  tell: { needs: clean, if: always(), steps: [{ run: 'true' }] }
";

/// A job that says `always()` goes on when its run is cancelled; by force it ends too.
#[tokio::test(flavor = "multi_thread")]
async fn by_force() {
    let world = World::start(Options::default().workflow(CLEANING)).await;
    for way in ["comment", "api", "command line"] {
        let number = world.ask("Never mind", "");
        let id = running(&world, number).await;
        world.comment("ann", number, "/cloud-code cancel");
        world.expect_comment(number, &["@ann, the run is being cancelled."]).await;
        world
            .expect_run(number, "the cleaning at work", |run| {
                run.jobs[1].attempts.first().is_some_and(|attempt| attempt.started_at.is_some())
            })
            .await;
        match way {
            "comment" => {
                world.comment("ann", number, "/cloud-code cancel --force");
                world.expect_comment(number, &["@ann, the run is being cancelled, with all its jobs."]).await;
            }
            "api" => {
                let path = format!("/api/v1/runs/{id}/cancel");
                assert_eq!(world.http("POST", &format!("{path}?force=perhaps")).await.status, 400);
                assert_eq!(world.http("POST", &format!("{path}?force=true")).await.status, 202);
            }
            _ => {
                let mut command = program(world.dir());
                command.args(["runs", "cancel", &id, "--force"]).env("CLOUD_CODE_TOKEN", API_TOKEN);
                command.env("CLOUD_CODE_SERVER", format!("http://{}", world.setting("LISTEN_ADDR")));
                let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
                assert!(output.status.success(), "{output:?}");
            }
        }
        let run = world.expect_conclusion(number, "cancelled").await;
        let ends: Vec<_> = run.jobs.iter().map(|job| job.conclusion.as_deref().unwrap_or_default()).collect();
        assert_eq!(ends, ["cancelled"; 3], "{way}");
        world.settle().await;
        world.expect_all_comments(number, "🛑 **Cancelled**");
    }
    world.assert_nothing_published();
    world.finish().await;
}
