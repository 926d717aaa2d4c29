//! An agent of which nothing is heard any more: looked for, then stopped, and told.

use crate::harness::{Options, WAIT_FOR_GO, Workflow, World, signal};
use rustix::process::Signal;

const SCRIPT: &str =
    "[ \"$GITHUB_RUN_ATTEMPT\" = 2 ] || sleep 600; echo \"by attempt $GITHUB_RUN_ATTEMPT\" > x.txt";

async fn stopped(world: &World) -> u64 {
    let number = world.ask("Fall silent", "");
    world
        .expect_run(number, "a first report", |run| {
            run.jobs[0].attempts.first().is_some_and(|attempt| attempt.started_at.is_some())
        })
        .await;
    signal(world.agent_process().pid, Signal::STOP);
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_is_a_failure() {
    let workflow = Workflow::script(SCRIPT).text();
    let world = World::start(Options::default().workflow(&workflow).env("LEASE_SECONDS", 10)).await;
    let number = stopped(&world).await;
    world
        .expect_comment(
            number,
            &["❌ **Failed.**", "nothing was heard of the agent any more; it was stopped"],
        )
        .await;
    let run = world.expect_conclusion(number, "failure").await;
    assert_eq!(run.jobs[0].attempts.len(), 1);
    let silent =
        run.history.iter().find(|entry| entry.what.contains("attempt 1 is silent")).expect("it is told");
    // A probe found its process alive, which gave it a second lease.
    let started = run.jobs[0].attempts[0].started_at.expect("it started");
    assert!(silent.at.duration_since(started).as_secs() >= 19, "{run:?}");
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_may_be_retried_is() {
    let workflow = Workflow::script(SCRIPT).job("retries: 1").text();
    let world = World::start(Options::default().workflow(&workflow).env("LEASE_SECONDS", 10)).await;
    let number = stopped(&world).await;
    world.expect_comment(number, &["✅ **Done.**"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(world.file(&pull.head_branch, "x.txt").as_deref(), Some("by attempt 2\n"));
    let run = world.expect_conclusion(number, "success").await;
    let ends: Vec<_> = run.jobs[0].attempts.iter().map(|attempt| attempt.conclusion.as_deref()).collect();
    assert_eq!(ends, [Some("failure"), Some("success")]);
    assert!(run.history.iter().any(|entry| entry.what.contains("attempt 1 was lost")), "{run:?}");
    world.finish().await;
}

/// The first attempt's agent is killed while something it started goes on, and reports success when it is too late.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_report_of_an_older_attempt_counts_for_nothing() {
    let script = r#"
        if [ "$GITHUB_RUN_ATTEMPT" = 1 ]; then
            cp .cloud-code/reporting.yaml "$TMPDIR/../../../../late.yaml"
            kill -KILL $PPID
            sleep 600
        fi
        # The report of attempt 1 stands where that of attempt 2 should be, and says that all is well.
        agent=$PPID
        kill -STOP $agent
        sed 's/^sequence: .*/sequence: 999/; s/^status: .*/status: completed/; s/^conclusion: .*/conclusion: success/' \
            "$TMPDIR/../../../../late.yaml" > late.tmp
        mv late.tmp .cloud-code/reporting.yaml
        rm "$TMPDIR/../../../../late.yaml"
        GO
        kill -CONT $agent
        echo "by attempt 2" > x.txt
    "#;
    let workflow = Workflow::script(&script.replace("GO", WAIT_FOR_GO)).job("retries: 1").text();
    let world = World::start(Options::default().workflow(&workflow)).await;
    let number = world.ask("Be late", "");
    let ignored = "a report of another attempt was ignored";
    world.until("the report to be ignored", async || world.log.text().contains(ignored).then_some(())).await;
    world.go();
    world.expect_comment(number, &["✅ **Done.**"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(world.file(&pull.head_branch, "x.txt").as_deref(), Some("by attempt 2\n"));
    let run = world.expect_conclusion(number, "success").await;
    assert_eq!(run.jobs[0].attempts[0].conclusion.as_deref(), Some("failure"));
    world.finish().await;
}
