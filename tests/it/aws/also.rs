//! `/cloud-code also` on AWS: the words reach the task that runs, by the link to its tasking.

use super::flow::{not_allowed, workflow};
use super::stack::{SHOP, Stack};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn words_reach_the_task_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let text = workflow(&format!(
        r#"
        echo '{{"type":"session","id":"'$CLOUD_CODE_SESSION'"}}'
        echo $CLOUD_CODE_SESSION >> sessions.txt
        if grep -q "say goodbye, too" "$CLOUD_CODE_PROMPT_FILE"; then
          echo goodbye > goodbye.txt
        else
          echo hello > hello.txt
          until [ -f {} ]; do sleep 0.05; done
        fi
        "#,
        go.display()
    ));
    let Some(stack) = Stack::deploy(&[(".cloud-code/implement.yml", &text)]).await else { return };
    let issue = stack.forge.open_issue(SHOP, "ann", "Greet", "Say hello.").unwrap();
    stack.forge.label_issue(SHOP, "ann", issue, "cloud-code").unwrap();
    let object = async |stack: &Stack, name: &str, words: &str| {
        let key = stack.aws.objects().await.into_iter().find(|key| key.ends_with(name))?;
        let text = String::from_utf8(stack.aws.object(&key).await?).unwrap();
        text.contains(words).then_some(())
    };
    stack
        .until("the task's first report", async |stack| {
            object(stack, "/out/reporting.yaml", "in_progress").await
        })
        .await;
    let comment = stack.forge.comment(SHOP, "ann", issue, "/cloud-code also say goodbye, too").unwrap();
    let task = format!("id: t-{comment}\n");
    stack.until("the appended task", async |stack| object(stack, "/in/tasking.yaml", &task).await).await;
    std::fs::write(&go, "").unwrap();
    let done = async |stack: &Stack| {
        let comments = stack.forge.comments(SHOP, issue).unwrap().into_iter().map(|comment| comment.body);
        comments.into_iter().find(|body| body.contains("✅ **Done.**") || body.contains("❌"))
    };
    let told = stack.until("the run's end", done).await;
    assert!(told.contains("ann added: say goodbye, too (the agent was told)"), "{told}");
    assert_eq!(stack.started(), 1, "one task");
    let pull = stack.forge.pulls(SHOP).unwrap().remove(0);
    let file = |path: &str| {
        let bytes = stack.forge.read_file(SHOP, &pull.head_branch, path).unwrap().unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!((file("hello.txt").as_str(), file("goodbye.txt").as_str()), ("hello\n", "goodbye\n"));
    let sessions = file("sessions.txt");
    let sessions: Vec<&str> = sessions.lines().collect();
    assert!(sessions.len() == 2 && sessions[0] == sessions[1], "one conversation: {sessions:?}");
    let lacking = not_allowed(&stack).await;
    assert!(lacking.is_empty(), "{lacking:#?}");
}
