//! The main road: from a label to a pull request.

use crate::harness::{Options, SHOP, WAIT_FOR_GO, Workflow, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_label_becomes_a_pull_request() {
    let command = r#"
        echo '{"type":"usage","input_tokens":1200,"output_tokens":34,"cost_usd":0.42,"turns":2}'
        echo "hello" > greeting.txt
        echo '{"type":"summary","text":"I added a greeting."}'
    "#;
    let command = format!("{WAIT_FOR_GO}\n{}", command.replace("        ", ""));
    let world = World::start(Options::script(&command).env("PUBLIC_URL", "https://cc.example")).await;
    let number = world.ask("Add a greeting", "Say hello.");
    world.expect_labels(number, &["cloud-code:running"]).await;
    world.go();
    let comment = world.expect_comment(number, &["✅ **Done.**", "pull request #2"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(pull.title, "Add a greeting");
    assert_eq!((pull.head_branch.as_str(), pull.base_branch.as_str()), ("cloud-code/issue-1", "main"));
    assert!(!pull.draft && pull.body.contains("I added a greeting."), "{}", pull.body);
    assert_eq!(world.file(&pull.head_branch, "greeting.txt").as_deref(), Some("hello\n"));

    // One comment, edited from state to state.
    world.settle().await;
    let texts = world.comment_texts(number, comment.id);
    let headlines: Vec<_> = texts.iter().map(|text| text.lines().nth(1).unwrap().to_owned()).collect();
    assert!(headlines.first().unwrap().starts_with("🕓 **Queued.**"), "{headlines:?}");
    assert!(headlines.last().unwrap().starts_with("✅ **Done.**"), "{headlines:?}");
    let order = |headline: &String| {
        ["🕓", "⏳", "⏫", "✅"].iter().position(|mark| headline.starts_with(mark)).expect("a known headline")
    };
    assert!(headlines.is_sorted_by_key(order), "{headlines:?}");
    let run = world.expect_conclusion(number, "success").await;
    for wanted in ["$0.42", "1,234 tokens", " s · ", &format!("[{0}](https://cc.example/runs/{0})", run.id)]
    {
        assert!(comment.body.contains(wanted), "{wanted:?} is not in {}", comment.body);
    }

    // Labels moved on, and a check run on the pushed commit.
    world.expect_labels(number, &["cloud-code:done"]).await;
    let labelled: Vec<_> = world
        .forge
        .deliveries()
        .iter()
        .filter(|delivery| delivery.event == "issues" && delivery.action.as_deref() == Some("labeled"))
        .map(|delivery| delivery.json()["label"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(labelled, ["cloud-code", "cloud-code:queued", "cloud-code:running", "cloud-code:done"]);
    let checks = world.until("the check run", async || {
        let checks = world.forge.check_runs(SHOP, &pull.head_sha).unwrap();
        (!checks.is_empty()).then_some(checks)
    });
    let checks = checks.await;
    assert_eq!(checks.len(), 1);
    assert_eq!(
        (checks[0].name.as_str(), checks[0].conclusion.as_deref()),
        ("cloud-code / implement", Some("success"))
    );

    // The commit is proper, and has only the change.
    let repo = git2::Repository::open(world.forge.look(|w| w.repository(SHOP)).unwrap().dir).unwrap();
    let commit = repo.find_commit(pull.head_sha.parse().unwrap()).unwrap();
    assert_eq!(commit.author().name().unwrap(), "cloud-code[bot]");
    assert_eq!(commit.author().email().unwrap(), "cloud-code[bot]@users.noreply.github.com");
    assert_eq!(commit.message().unwrap().trim(), format!("Add a greeting\n\nFixes #{number}"));
    let parent = commit.parent(0).unwrap();
    let diff =
        repo.diff_tree_to_tree(Some(&parent.tree().unwrap()), Some(&commit.tree().unwrap()), None).unwrap();
    let paths: Vec<_> = diff.deltas().map(|delta| delta.new_file().path().unwrap().to_owned()).collect();
    assert_eq!(paths, [std::path::Path::new("greeting.txt")]);
    drop(diff);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_workflow_the_built_in_one_serves() {
    let world = World::start(Options::default().env("DEFAULT_CLI", "script")).await;
    let number = world.ask("Add a greeting", "");
    // `script` has no command line there: the agent says so.
    world.expect_comment(number, &["❌ **Failed.**", "needs a command"]).await;
    world.expect_labels(number, &["cloud-code:failed"]).await;
    world.assert_nothing_published();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_steps_are_listed_in_the_comment() {
    let workflow = Workflow::script("echo x > x.txt")
        .step("      - name: Tests\n        run: test -f x.txt")
        .step("      - name: Never\n        if: failure()\n        run: exit 1");
    let world = World::start(Options::default().workflow(&workflow.text())).await;
    let number = world.ask("Add x", "");
    world.expect_comment(number, &["✅ **Done.**", "- ✅ Agent", "- ✅ Tests", "- ⏭️ Never"]).await;
    world.expect_pull(number).await;
    world.finish().await;
}
