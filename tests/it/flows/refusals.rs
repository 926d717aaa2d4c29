//! What starts nothing, each with its reason on record, and told where a person waits for an answer.

use crate::harness::{Options, SHOP, World};

const IMPLEMENT: &str = ".cloud-code/implement.yml";

#[tokio::test(flavor = "multi_thread")]
async fn people_and_events() {
    let world = World::start(Options::script("echo x > x.txt")).await;
    let forge = &world.forge;

    let number = world.open_issue("Nobody may start this", "");
    world.label_as("tri", number, "cloud-code");
    world.expect_decision("refused", "only people with write access").await;
    for who in ["ron", "tri"] {
        world.comment(who, number, "/cloud-code run");
        world
            .expect_comment(number, &[&format!("@{who}, nothing was started: only people with write access")])
            .await;
    }
    world.comment("ron", number, "/cloud-code cancel");
    world
        .until("the third refusal", async || {
            let told = world.decisions().await;
            (told.iter().filter(|told| told.reason.contains("people with write access")).count() == 4)
                .then_some(())
        })
        .await;
    // Told once: nobody can make us fill an issue with answers.
    let answers = forge.comments(SHOP, number).unwrap();
    assert_eq!(answers.iter().filter(|comment| comment.body.contains("@ron, nothing")).count(), 1);

    let bots = world.open_issue("Bots talk here", "");
    forge.create_bot("friendly-human");
    world.comment("friendly-human", bots, "/cloud-code run");
    world.expect_decision("refused", "bots may not start runs").await;
    world.comment("cloud-code[bot]", bots, "/cloud-code run");
    world.expect_decision("ignored", "our own doing").await;
    world.expect_comment(bots, &["/cloud-code run"]).await;
    world.label_as("ann", bots, "bug");
    world.expect_decision("ignored", "the label `bug` starts nothing").await;
    let talk = world.comment("ann", bots, "I would write /cloud-code run here.");
    world.expect_decision("ignored", "does not begin with /cloud-code").await;
    forge.edit_comment(SHOP, "ann", talk, "/cloud-code run").unwrap();
    world.expect_decision("ignored", "`issue_comment` `edited`").await;
    forge.delete_comment(SHOP, "ann", talk).unwrap();
    world.expect_decision("ignored", "`issue_comment` `deleted`").await;
    world.comment("ann", bots, "/cloud-code rnu <!-- cloud-code:reply:x -->");
    world
        .expect_comment(
            bots,
            &["`rnu` is no command", "known are `/cloud-code run`, `/cloud-code also`, `/cloud-code cancel`"],
        )
        .await;
    world.comment("ann", bots, "/cloud-code");
    world.expect_comment(bots, &["there is no command"]).await;

    let closed = world.open_issue("Over", "");
    forge.close_issue(SHOP, "ann", closed).unwrap();
    world.label(closed);
    world.expect_decision("refused", "the issue is closed").await;
    world.comment("ann", closed, "/cloud-code run");
    world.expect_comment(closed, &["@ann, nothing was started: the issue is closed."]).await;

    let fork = forge.fork_pull(SHOP, "eve", "Take this", "", "evil.sh", "rm -rf /\n").unwrap();
    world.comment("ann", fork, "/cloud-code run");
    world.expect_comment(fork, &["comes from a fork"]).await;
    world.expect_decision("refused", "comes from a fork").await;

    let archived = world.open_issue("Too late", "");
    forge.set_archived(SHOP, true).unwrap();
    world.label(archived);
    world.expect_decision("refused", "the repository is archived").await;

    assert_eq!(world.runs().await.len(), 0);
    assert_eq!(world.our_branches(), Vec::<String>::new());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_that_cannot_run() {
    let world = World::start(Options::default()).await;
    let forge = &world.forge;
    let write = |text: &str| forge.commit_file(SHOP, "main", IMPLEMENT, text).unwrap();

    write("name: implement\non: [issues\njobs: {}\n");
    let number = world.ask("No YAML", "");
    world.expect_comment(number, &["These workflows could not be started", IMPLEMENT, ":3:5: error"]).await;
    world.expect_decision("refused", IMPLEMENT).await;

    write("on: issues\njobs:\n  fix:\n    stepz: []\n");
    let number = world.ask("An unknown key", "");
    world
        .expect_comment(number, &[IMPLEMENT, ":4:5: error: `stepz` is not known", "did you mean `steps`?"])
        .await;

    write("on: issues\njobs:\n  fix:\n    steps: [{ uses: agent, with: { cli: hal-9000 } }]\n");
    let number = world.ask("An unknown CLI", "");
    world
        .expect_comment(
            number,
            &[IMPLEMENT, "jobs.fix: there is no CLI `hal-9000`; known are claude-code, codex, gemini, aider, opencode, script"],
        )
        .await;

    write("on: issues\njobs:\n  fix:\n    runs-on: docker\n    steps: [{ run: 'true' }]\n");
    let number = world.ask("Another runner", "");
    world.expect_comment(number, &["this server runs jobs on `process`, not on `docker`"]).await;

    write("on: issues\nconcurrency: \"${{ github.nope( }}\"\njobs:\n  fix:\n    steps: [{ run: 'true' }]\n");
    let number = world.ask("A bad expression", "");
    world.expect_comment(number, &[IMPLEMENT, ":2:14: error", "github.nope("]).await;

    write("on: release\njobs:\n  fix:\n    steps: [{ run: 'true' }]\n");
    let number = world.ask("Not on this event", "");
    world.expect_decision("ignored", "no workflow of the repository starts on this event").await;
    world.comment("ann", number, "/cloud-code run");
    world
        .expect_comment(
            number,
            &["no workflow under `.cloud-code/` on the default branch starts on this event"],
        )
        .await;

    assert_eq!(world.runs().await.len(), 0);
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_workflow_beside_a_good_one() {
    let world =
        World::start(Options::script("echo x > x.txt").file(".cloud-code/other.yml", "on: issues\n")).await;
    let number = world.ask("Do the good one", "");
    world.expect_comment(number, &["✅ **Done.**"]).await;
    world.expect_comment(number, &[".cloud-code/other.yml:1:1: error: a workflow needs `jobs`"]).await;
    world.expect_pull(number).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_the_operator_allows() {
    let world =
        World::start(Options::script("echo x > x.txt").env("ALLOWED_BOTS", "renovate[bot], other[bot]"))
            .await;
    world.forge.create_bot("renovate[bot]");
    let number = world.open_issue("Update x", "");
    world.label_as("renovate[bot]", number, "cloud-code");
    world.expect_comment(number, &["✅ **Done.**"]).await;
    world.expect_pull(number).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_nobody_signed() {
    let world = World::start(Options::default()).await;
    let number = world.open_issue("Forged", "");
    world.expect_decision("ignored", "`issues` `opened`").await;
    let forged = cloud_code_forge::Webhook { secret: "another".to_owned(), ..world.webhook() };
    world.forge.set_webhook(Some(forged));
    world.label(number);
    world.forge.await_deliveries().await.unwrap();
    let last = world.forge.deliveries().pop().unwrap();
    assert_eq!(last.outcome.unwrap().status_code, 401);
    world.forge.set_webhook(Some(world.webhook()));
    world.forge.await_deliveries().await.unwrap();
    assert_eq!(world.runs().await.len(), 0);
    assert_eq!(world.decisions().await.len(), 1, "only the issue's opening was signed");
    world.finish().await;
}
