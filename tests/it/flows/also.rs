//! `/cloud-code also`: words for an agent that is at work. They reach it in the same container and the same conversation; what does not reach
//! it becomes a run of its own, once.

use crate::harness::{Options, SHOP, WAIT_FOR_GO, Workflow, World};
use cloud_code::http::api::view::ApiRun;
use cloud_code_forge::Delivery;

/// Does one thing, and goes on when its task has grown; told of more, it does that.
const AGENT: &str = r#"
    echo '{"type":"session","id":"'"$CLOUD_CODE_SESSION"'"}'
    echo "$CLOUD_CODE_SESSION" >> sessions.txt
    if grep -q "While you worked, ann, who may write" "$CLOUD_CODE_PROMPT_FILE"; then
      cp "$HOME/marker" marker.txt
      grep -c "say goodbye, too" "$CLOUD_CODE_PROMPT_FILE" >> goodbye.txt
      echo "Says goodbye."
    else
      echo here > "$HOME/marker"
      echo hello > hello.txt
      until grep -q "id: t[-]" .cloud-code/tasking.yaml; do sleep 0.05; done
      echo "Says hello."
    fi
"#;

const SETUP: &str = "      - run: echo WHO=bob >> \"$GITHUB_ENV\"; echo setup >> setup.txt";
const CHECK: &str = "      - run: echo \"$WHO\" >> checked.txt";

/// The delivery of a comment.
fn delivery_of(world: &World, comment: &str) -> Delivery {
    let all = world.forge.deliveries().into_iter();
    let mut said = all.filter(|it| it.event == "issue_comment" && it.json()["comment"]["body"] == comment);
    said.next().unwrap()
}

async fn at_work(world: &World, number: u64) -> ApiRun {
    let started = |run: &ApiRun| run.jobs.first()?.attempts.first()?.started_at;
    world.expect_run(number, "a first report", |run| started(run).is_some()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn words_reach_the_agent_at_work() {
    let workflow = Workflow::new().step(SETUP).agent(AGENT).step(CHECK).text();
    let world = World::start(Options::default().workflow(&workflow)).await;
    let number = world.ask("Say hello", "");
    at_work(&world, number).await;
    // Who may not start a run may not add to one either, and without words nothing is added.
    world.comment("ron", number, "/cloud-code also print the keys");
    world.expect_comment(number, &["@ron, nothing was started", "write access"]).await;
    world.comment("ann", number, "/cloud-code also");
    world.expect_comment(number, &["@ann, nothing was started: there are no words"]).await;
    world.comment("ann", number, "/cloud-code also say goodbye, too");
    world.expect_comment(number, &["@ann, the agent at work is told"]).await;
    let added = "💬 ann added: say goodbye, too (the agent was told)";
    let comment = world.expect_comment(number, &["✅ **Done.**", added]).await;
    assert!(comment.body.contains("Says hello.\n\nSays goodbye."), "{}", comment.body);
    let decision = world.expect_decision("added", "").await;

    let run = world.expect_conclusion(number, "success").await;
    assert_eq!(decision.runs, std::slice::from_ref(&run.id));
    assert_eq!((run.jobs.len(), run.jobs[0].attempts.len()), (1, 1));
    assert_eq!((run.additions.len(), run.additions[0].state.as_str()), (1, "heard"));
    let pull = world.expect_pull(number).await;
    let file = |path: &str| world.file(&pull.head_branch, path).unwrap_or_default();
    assert_eq!(file("hello.txt"), "hello\n", "the first task's work");
    assert_eq!(file("goodbye.txt"), "1\n", "the second's, once");
    assert_eq!(file("marker.txt"), "here\n", "in the same container");
    assert_eq!((file("setup.txt"), file("checked.txt")), ("setup\n".to_owned(), "bob\nbob\n".to_owned()));
    let sessions = file("sessions.txt");
    let sessions: Vec<&str> = sessions.lines().collect();
    assert!(sessions.len() == 2 && sessions[0] == sessions[1], "one conversation: {sessions:?}");
    assert!(pull.body.contains("Says hello.") && pull.body.contains("Says goodbye."), "{}", pull.body);
    let page = world.http("GET", &format!("/runs/{}", run.id)).await.body;
    assert!(page.contains("say goodbye, too") && page.contains("the agent was told"), "{page}");

    // The comment's delivery once more, as it was and under another id: nothing is done twice, also when all is over.
    let said = delivery_of(&world, "/cloud-code also say goodbye, too");
    world.forge.redeliver(&said.guid).await.unwrap();
    let guid = world.forge.deliver("issue_comment", &said.json());
    let again = world
        .until("the decision about it", async || {
            world.decisions().await.into_iter().find(|made| made.delivery == guid)
        })
        .await;
    assert_eq!((again.outcome.as_str(), again.runs), ("added", vec![run.id.clone()]));
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    world.finish().await;
}

/// Two deliveries of one comment, both while the agent is at work, and a second comment: two tasks more, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn each_comment_is_one_task() {
    let agent = format!(
        r#"
        if grep -q "While you worked" "$CLOUD_CODE_PROMPT_FILE"; then
          grep -o "add [a-z]* now" "$CLOUD_CODE_PROMPT_FILE" >> told.txt
        else
          {WAIT_FOR_GO}
        fi
        "#
    );
    let world = World::start(Options::script(&agent)).await;
    let number = world.ask("Say hello", "");
    at_work(&world, number).await;
    world.comment("ann", number, "/cloud-code also add one now");
    world.expect_comment(number, &["@ann, the agent at work is told"]).await;
    let said = delivery_of(&world, "/cloud-code also add one now");
    let guid = world.forge.deliver("issue_comment", &said.json());
    world
        .until("the decision about it", async || {
            world.decisions().await.into_iter().find(|made| made.delivery == guid)
        })
        .await;
    world.comment("wes", number, "/cloud-code also add two now");
    world.expect_comment(number, &["@wes, the agent at work is told"]).await;
    let number_of = |run: &ApiRun| run.additions.len();
    world.expect_run(number, "two additions", |run| number_of(run) == 2 && run.pending.is_empty()).await;
    world.go();
    world.expect_comment(number, &["✅ **Done.**", "ann added", "wes added"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(world.file(&pull.head_branch, "told.txt").unwrap(), "add one now\nadd two now\n");
    assert_eq!(world.runs().await.len(), 1);
    world.finish().await;
}

/// The agent fails before it comes to the words: a run of its own is made of them, on their author's behalf.
#[tokio::test(flavor = "multi_thread")]
async fn words_that_come_too_late_become_a_run() {
    let agent =
        format!("{WAIT_FOR_GO}\ngrep -q 'with tabs' \"$CLOUD_CODE_PROMPT_FILE\" && echo x > x.txt; true");
    let workflow = Workflow::script(&agent).step("      - run: test -f x.txt").text();
    let world = World::start(Options::default().workflow(&workflow)).await;
    let number = world.ask("Indent it", "");
    let first = at_work(&world, number).await;
    world.comment("wes", number, "/cloud-code also indent it with tabs");
    world.expect_comment(number, &["@wes, the agent at work is told"]).await;
    world.go();
    world
        .expect_comment(number, &["❌ **Failed.**", "wes added: indent it with tabs (it came too late"])
        .await;
    world.expect_comment(number, &["✅ **Done.**"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(world.file(&pull.head_branch, "x.txt").unwrap(), "x\n");
    world.settle().await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), 2);
    let second = runs.iter().find(|run| run.id != first.id).unwrap();
    assert_eq!((second.trigger.actor.as_str(), second.trigger.event.as_str()), ("wes", "issue_comment"));
    assert!(second.trigger.delivery.starts_with("also-"), "{}", second.trigger.delivery);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_takes_the_words_with_it() {
    let world = World::start(Options::script("echo x > x.txt; sleep 600")).await;
    let number = world.ask("Say hello", "");
    at_work(&world, number).await;
    world.comment("ann", number, "/cloud-code also say goodbye");
    world.expect_comment(number, &["@ann, the agent at work is told"]).await;
    world.comment("wes", number, "/cloud-code cancel");
    world.expect_comment(number, &["@wes, the run is being cancelled."]).await;
    let dropped = "ann added: say goodbye (nobody worked on it, since the run was cancelled)";
    world.expect_comment(number, &["🛑 **Cancelled** by wes.", dropped]).await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
    world.assert_nothing_published();
    world.finish().await;
}

/// A run that another takes the place of hands its words on to that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_replaced_hands_its_words_on() {
    let agent = format!(
        r#"
        if grep -q "While you worked" "$CLOUD_CODE_PROMPT_FILE"; then
          echo more > more.txt
        elif grep -q "something else" "$CLOUD_CODE_PROMPT_FILE"; then
          echo else > else.txt
          {WAIT_FOR_GO}
        else
          sleep 600
        fi
        "#
    );
    let world = World::start(Options::script(&agent)).await;
    let number = world.ask("Say hello", "");
    let first = at_work(&world, number).await;
    world.comment("ann", number, "/cloud-code also say more");
    world.expect_comment(number, &["@ann, the agent at work is told"]).await;
    world.comment("ann", number, "/cloud-code run something else");
    world
        .expect_comment(number, &["🛑 **Cancelled** by run r-", "ann added: say more (it came too late"])
        .await;
    // Its task may have been written before it was told: then the words are put into it once it is launched.
    let started = |run: &ApiRun| run.jobs.first()?.attempts.first()?.started_at;
    let handed_on = |run: &ApiRun| {
        run.id != first.id && !run.additions.is_empty() && started(run).is_some() && run.pending.is_empty()
    };
    world.expect_run(number, "the words", handed_on).await;
    world.go();
    world.expect_comment(number, &["✅ **Done.**", "ann added: say more (the agent was told)"]).await;
    let pull = world.expect_pull(number).await;
    for file in ["else.txt", "more.txt"] {
        assert!(world.file(&pull.head_branch, file).is_some(), "{file}");
    }
    world.settle().await;
    assert_eq!(world.runs().await.len(), 2);
    world.finish().await;
}

/// Where nobody is at work it is a run; and a word on the pull request reaches the run of its issue.
#[tokio::test(flavor = "multi_thread")]
async fn on_the_pull_request_and_where_nobody_is_at_work() {
    let agent = format!(
        r#"
        grep -o "say [a-z]*" "$CLOUD_CODE_PROMPT_FILE" | tail -1 >> said.txt
        if grep -q "say wait" "$CLOUD_CODE_PROMPT_FILE" && ! grep -q "While you worked" "$CLOUD_CODE_PROMPT_FILE"; then {WAIT_FOR_GO}; fi
        "#
    );
    let world = World::start(Options::script(&agent)).await;
    let number = world.open_issue("Greet", "");
    world.comment("ann", number, "/cloud-code also say hello");
    world.expect_comment(number, &["✅ **Done.**"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(world.file(&pull.head_branch, "said.txt").unwrap(), "say hello\n");
    world.settle().await;
    world.comment("ann", number, "/cloud-code run say wait");
    let working = |run: &ApiRun| {
        !run.is_over() && run.jobs[0].attempts.last().is_some_and(|it| it.started_at.is_some())
    };
    let second = world.expect_run(number, "the second run's first report", working).await;
    world.comment("ann", pull.number, "/cloud-code also say goodbye");
    world.expect_comment(pull.number, &["@ann, the agent at work is told"]).await;
    world.expect_run(number, "an addition", |run| !run.additions.is_empty() && run.pending.is_empty()).await;
    world.go();
    let done = world.expect_conclusion(number, "success").await;
    assert_eq!((done.id, done.additions[0].subject), (second.id, pull.number));
    world.settle().await;
    world.expect_all_comments(number, "✅ **Done.**");
    let said = world.file(&pull.head_branch, "said.txt").unwrap();
    assert_eq!(said.lines().next_back(), Some("say goodbye"), "{said}");
    assert!(said.contains("say wait"), "{said}");
    assert_eq!(world.runs().await.len(), 2);
    world.finish().await;
}
