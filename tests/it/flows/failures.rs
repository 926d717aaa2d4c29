//! Steps and agents that fail, run out of time or money, or die.

use crate::harness::{Options, Workflow, World, signal};
use rustix::process::Signal;

async fn world(workflow: Workflow) -> World {
    World::start(Options::default().workflow(&workflow.text())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_fails() {
    let workflow = Workflow::script("echo x > x.txt")
        .step("      - id: tests\n        name: Tests\n        run: |\n          echo '2 of 7 failed'\n          exit 3")
        .step("      - name: Clean up\n        if: failure()\n        run: touch $RUNNER_TEMP/cleaned && echo \"cleaned after ${{ steps.tests.outcome }}\"")
        .step("      - name: Not any more\n        run: 'true'");
    let world = world(workflow).await;
    let number = world.ask("Break", "");
    let comment = world
        .expect_comment(
            number,
            &[
                "❌ **Failed.** Nothing was pushed.",
                "Step `tests`",
                "3",
                "- ✅ Agent",
                "- ❌ Tests",
                "- ✅ Clean up",
                "- ⏭️ Not any more",
            ],
        )
        .await;
    assert!(!comment.body.contains("pull request"), "{}", comment.body);
    let run = world.expect_conclusion(number, "failure").await;
    let log = world.http("GET", &format!("/api/v1/runs/{}/logs", run.id)).await.body;
    assert!(log.contains("2 of 7 failed") && log.contains("cleaned after failure"), "{log}");
    world.expect_labels(number, &["cloud-code:failed"]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_fails() {
    let world = world(Workflow::script("echo x > x.txt; echo 'no such model' >&2; exit 1")).await;
    let number = world.ask("Break", "");
    world
        .expect_comment(number, &["❌ **Failed.** Nothing was pushed.", "exit code 1", "no such model"])
        .await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_is_allowed() {
    let workflow = Workflow::script("echo x > x.txt")
        .step("      - name: Lint\n        continue-on-error: true\n        run: exit 1")
        .step("      - name: After\n        run: 'true'");
    let world = world(workflow).await;
    let number = world.ask("Go on", "");
    world.expect_comment(number, &["✅ **Done.**", "- ❌ Lint", "- ✅ After"]).await;
    world.expect_pull(number).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_time_with_work_to_save() {
    let world = world(Workflow::script("echo half > x.txt; sleep 600").job("timeout-minutes: 0.05")).await;
    let number = world.ask("Take your time", "");
    world.expect_comment(number, &["⌛ **Timed out.**", "draft pull request #2"]).await;
    let pull = world.expect_pull(number).await;
    assert!(pull.draft);
    assert!(
        pull.body.contains("This is partial work, saved when the run ended with `timed_out`"),
        "{}",
        pull.body
    );
    assert_eq!(world.file(&pull.head_branch, "x.txt").as_deref(), Some("half\n"));
    world.expect_labels(number, &["cloud-code:failed"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_time_with_nothing_done() {
    let world = world(Workflow::script("sleep 600").job("timeout-minutes: 0.03")).await;
    let number = world.ask("Take your time", "");
    world.expect_comment(number, &["⌛ **Timed out.**"]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_agent() {
    let options = Options::script("echo half > x.txt; sleep 600").env("SILENCE_MINUTES", 0.04);
    let world = World::start(options).await;
    let number = world.ask("Say something", "");
    world
        .expect_comment(
            number,
            &["⌛ **Timed out.**", "it said nothing for 0.04 minutes", "draft pull request"],
        )
        .await;
    let pull = world.expect_pull(number).await;
    assert!(pull.draft);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_is_spent() {
    let script = r#"
        echo half > x.txt
        echo '{"type":"usage","input_tokens":1000,"output_tokens":10,"cost_usd":0.25}'
        sleep 600
    "#;
    let world = world(Workflow::script(script).job("budget-usd: 0.1")).await;
    let number = world.ask("Be cheap", "");
    world.expect_comment(number, &["💸 **The budget is spent.**", "$0.25", "draft pull request"]).await;
    let pull = world.expect_pull(number).await;
    assert!(pull.draft && pull.body.contains("`budget_exceeded`"), "{}", pull.body);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_has_a_question() {
    let world = world(Workflow::script(r#"echo '{"type":"question","text":"Which colour, @ann?"}'"#)).await;
    let number = world.ask("Paint it", "");
    let comment = world.expect_comment(number, &["❓ **The agent has a question.**", "Which colour"]).await;
    assert!(!comment.body.contains("@ann"), "{}", comment.body);
    world.expect_labels(number, &["cloud-code:done"]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_is_killed() {
    let world = world(Workflow::script("echo x > x.txt; sleep 600")).await;
    let number = world.ask("Die", "");
    world
        .expect_run(number, "a first report", |run| {
            run.jobs[0].attempts.first().is_some_and(|attempt| attempt.started_at.is_some())
        })
        .await;
    signal(world.agent_process().pid, Signal::KILL);
    world
        .expect_comment(
            number,
            &["❌ **Failed.** Nothing was pushed.", "the container ended with exit code 137"],
        )
        .await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_an_agent_leaves_running_is_ended() {
    let world =
        world(Workflow::script("echo x > x.txt; setsid sleep 600 & nohup sleep 601 & sleep 0.1")).await;
    let number = world.ask("Leave something", "");
    world.expect_comment(number, &["✅ **Done.**"]).await;
    world.expect_pull(number).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_an_agent_prints_is_masked() {
    let workflow = Workflow::new()
        .step("      - name: Agent\n        uses: agent\n        env: { KEY: \"${{ secrets.ANTHROPIC_API_KEY }}\" }\n        with:\n          cli: script\n          command: |\n            echo \"the key is $KEY\"\n            printf %s \"$KEY\" | base64\n            echo \"{\\\"type\\\":\\\"summary\\\",\\\"text\\\":\\\"I used $KEY\\\"}\"\n            echo x > x.txt")
        .step("      - if: false\n        uses: agent\n        with: { cli: claude-code }")
        .step("      - name: \"Show ${{ secrets.ANTHROPIC_API_KEY }}\"\n        run: echo '${{ secrets.ANTHROPIC_API_KEY }}'");
    let world = world(workflow).await;
    let number = world.ask("Keep it", "");
    world.expect_comment(number, &["✅ **Done.**", "I used ***"]).await;
    world.expect_pull(number).await;
    let run = world.expect_conclusion(number, "success").await;
    let log = world.http("GET", &format!("/api/v1/runs/{}/logs", run.id)).await.body;
    assert!(log.contains("the key is ***"), "{log}");
    world.finish().await;
}
