//! What goes wrong on AWS: doubles of every event, a wrong order, throttling, poison.

use super::flow::workflow;
use super::stack::{SHOP, Stack};
use cloud_code::entry::lambda::QueueEvent;
use cloud_code::ports::Lane;
use serde_json::{Value, json};
use std::sync::Arc;

const GREETING: &str = "echo hello > greeting.txt";

async fn done(stack: &Stack, issue: u64) -> String {
    let look = async |stack: &Stack| {
        stack.our_comment(issue).filter(|body| body.contains("✅ **Done.**") || body.contains("❌"))
    };
    stack.until("the run's end", look).await
}

fn ask(stack: &Stack) -> u64 {
    let issue = stack.forge.open_issue(SHOP, "ann", "Add a greeting", "Say hello.").unwrap();
    stack.forge.label_issue(SHOP, "ann", issue, "cloud-code").unwrap();
    issue
}

/// Each event comes twice, and each batch in the wrong order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn doubles_and_a_wrong_order_change_nothing() {
    let text = workflow(GREETING);
    let Some(stack) = Stack::deploy(&[(".cloud-code/implement.yml", &text)]).await else { return };
    let (lanes, reporter) = (stack.another_dispatcher().await, stack.another_reporter().await);
    let issue = ask(&stack);
    stack.forge.await_deliveries().await.unwrap();
    for delivery in stack.forge.deliveries() {
        stack.forge.redeliver(&delivery.guid).await.unwrap();
    }
    let twice = |event: &QueueEvent| {
        let mut records = event.records.clone();
        records.extend(event.records.clone());
        records.reverse();
        QueueEvent { records }
    };
    let look = async |stack: &Stack| {
        // Another process has some of the work, at the same time and twice.
        for queue in ["deliveries", "launches"] {
            stack.poll(queue, async |event| lanes.handle(twice(&event)).await).await;
        }
        for queue in ["reports", "runs"] {
            stack.poll(queue, async |event| reporter.handle(twice(&event)).await).await;
        }
        stack.our_comment(issue).filter(|body| body.contains("✅ **Done.**") || body.contains("❌"))
    };
    let comment = stack.until("the run's end", look).await;
    assert!(comment.contains("✅ **Done.**"), "{comment}");
    assert_eq!(stack.forge.pulls(SHOP).unwrap().len(), 1);
    assert_eq!(stack.started(), 1, "one task");
    let ours = stack.forge.comments(SHOP, issue).unwrap();
    assert_eq!(ours.len(), 1, "{ours:?}");
    // A late event about it all is nothing new.
    stack.tell_stopped("r-00000000000000000000/implement/1").await;
    stack.tell_stopped("somebody").await;
    stack.pump().await;
}

/// Calls to AWS that are refused for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn throttled_calls_are_waited_out() {
    let text = workflow(GREETING);
    let Some(stack) = Stack::deploy(&[(".cloud-code/implement.yml", &text)]).await else { return };
    for (service, action, code) in [
        ("ecs", "RunTask", "ThrottlingException"),
        ("dynamodb", "PutItem", "ProvisionedThroughputExceededException"),
        ("dynamodb", "UpdateItem", "ThrottlingException"),
        ("sqs", "SendMessage", "RequestThrottled"),
        ("s3", "PutObject", "SlowDown"),
        ("sts", "AssumeRole", "Throttling"),
        ("secretsmanager", "GetSecretValue", "ThrottlingException"),
    ] {
        let status = if service == "s3" { 503 } else { 400 };
        let fault = json!({ "service": service, "action": action, "code": code, "times": 2, "status": status, "prefix": stack.aws.name });
        stack.aws.test("fault", fault).await;
    }
    let issue = ask(&stack);
    let comment = done(&stack, issue).await;
    assert!(comment.contains("✅ **Done.**"), "{comment}");
    assert_eq!(stack.started(), 1, "one task");
}

/// A message that nobody can handle ends among the dead letters, with its reason, and can be put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn poison_ends_among_the_dead_letters() {
    let Some(stack) = Stack::deploy(&[]).await else { return };
    let sqs = aws_sdk_sqs::Client::new(&stack.aws.config);
    let url = |queue: &str| format!("{}/123456789012/{}-{queue}", stack.aws.endpoint, stack.aws.name);
    // One that is none of ours, and one whose content makes no sense.
    sqs.send_message().queue_url(url("deliveries")).message_body("nonsense").send().await.unwrap();
    let queue = cloud_code::adapters::aws::sqs::SqsQueue::new(
        &stack.aws.clients(),
        stack.aws.queue(),
        Arc::new(cloud_code::ports::SystemClock),
    );
    use cloud_code::ports::Queue;
    queue.push(Lane::Runs, "poison", b"no run".to_vec(), std::time::Duration::ZERO).await.unwrap();
    let look = async |_: &Stack| {
        let dead = queue.dead(Lane::Runs, 10).await.unwrap();
        (!dead.is_empty()).then_some(dead)
    };
    let dead = stack.until("a dead letter", look).await;
    assert_eq!((dead[0].key.as_str(), dead[0].reason.as_str()), ("poison", "not the id of a run"));
    let mut reasons = Vec::new();
    for _ in 0..2 {
        let answer =
            sqs.receive_message().queue_url(url("dead")).message_attribute_names("All").send().await.unwrap();
        for message in answer.messages() {
            let reason = message.message_attributes().unwrap()["reason"].string_value().unwrap().to_owned();
            reasons.push(reason);
        }
    }
    reasons.sort();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].starts_with("not a message of ours"), "{reasons:?}");
    assert_eq!(reasons[1], "not the id of a run");
    // What an operator does, from the command line.
    let cli = |args: &[&str]| {
        let mut command = crate::harness::program(stack.dir.path());
        command
            .args(args)
            .env("DATABASE_URL", format!("dynamodb://{}", stack.aws.name))
            .env("QUEUE_URL", format!("{}/123456789012/{}?bucket=b", stack.aws.endpoint, stack.aws.name))
            .env("AWS_ENDPOINT_URL", &stack.aws.endpoint)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "operator")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let listed: Value = serde_json::from_str(&cli(&["dlq", "list", "--json"])).unwrap();
    assert_eq!(
        (listed[0]["key"].as_str(), listed[0]["lane"].as_str()),
        (Some("poison"), Some("runs")),
        "{listed}"
    );
    assert_eq!(cli(&["dlq", "replay", "runs", "poison"]), "poison is in line again\n");
    assert_eq!(cli(&["dlq", "list"]), "No message was given up.\n");
    assert_eq!(queue.depth(Lane::Runs).await.unwrap().waiting, 1);
}

/// A cancel stops the task, which ends as it is told to, and nothing is published.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_reaches_the_task() {
    let text = workflow("echo half > greeting.txt\necho waiting\nsleep 600");
    let Some(stack) = Stack::deploy(&[(".cloud-code/implement.yml", &text)]).await else { return };
    let issue = ask(&stack);
    let waits = async |stack: &Stack| {
        let reports: Vec<String> = stack.aws.objects().await;
        let report = reports.into_iter().find(|key| key.ends_with("/reporting.yaml"))?;
        let report = String::from_utf8(stack.aws.object(&report).await?).unwrap();
        report.contains("in_progress").then_some(())
    };
    stack.until("the task's first report", waits).await;
    stack.forge.comment(SHOP, "ann", issue, "/cloud-code cancel").unwrap();
    // One of ours answers the command, the other is the run's.
    let told = async |stack: &Stack| {
        let comments = stack.forge.comments(SHOP, issue).unwrap().into_iter().map(|comment| comment.body);
        comments.into_iter().find(|body| body.contains("🛑 **Cancelled**"))
    };
    let comment = stack.until("the run's end", told).await;
    assert!(comment.contains("ann"), "{comment}");
    assert!(stack.forge.pulls(SHOP).unwrap().is_empty());
    let ended = async |stack: &Stack| stack.all_tasks_ended().then_some(());
    stack.until("the task's end", ended).await;
    assert_eq!(stack.started(), 1, "one task");
}

/// Jobs for which there is no room wait in line and ask nothing, and each end of a task sends the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jobs_wait_for_room_in_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    let text = workflow(&format!("while [ ! -e {path}/go ]; do sleep 0.05; done\n{GREETING}"));
    let Some(stack) = Stack::deploy(&[(".cloud-code/implement.yml", &text)]).await else { return };
    let issues: Vec<u64> = (0..5).map(|_| ask(&stack)).collect();
    let db = aws_sdk_dynamodb::Client::new(&stack.aws.config);
    let parked = async || {
        let value = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
        let query = db.query().table_name(&stack.aws.name).index_name("list");
        let query =
            query.key_condition_expression("#list = :list").expression_attribute_names("#list", "list");
        let found =
            query.expression_attribute_values(":list", value("parked#launches")).send().await.unwrap();
        found.items().iter().map(|item| item["key"].as_s().unwrap().clone()).collect::<Vec<String>>()
    };
    let three = async |_: &Stack| (parked().await.len() == 3).then_some(());
    stack.until("three in line", three).await;
    assert_eq!(stack.started(), 2);
    let line = parked().await;
    // Whatever asks again: they keep their places, and no message goes round.
    stack.sweep().await;
    let asked = async || {
        let calls = stack.aws.test("calls", json!({})).await;
        calls.as_array().unwrap().iter().filter(|call| call["key"] == json!(stack.key("Dispatcher"))).count()
    };
    // Once what GitHub tells of our own comments has been decided, nothing is left to ask.
    let mut quiet = 0;
    for _ in 0..200 {
        let before = asked().await;
        stack.pump().await;
        quiet = if asked().await == before { quiet + 1 } else { 0 };
        if quiet == 5 {
            break;
        }
    }
    assert_eq!(quiet, 5, "what waits asks nothing");
    let queue = cloud_code::adapters::aws::sqs::SqsQueue::new(
        &stack.aws.clients(),
        stack.aws.queue(),
        Arc::new(cloud_code::ports::SystemClock),
    );
    assert_eq!(queue.unpark(Lane::Launches, 1).await.unwrap(), 1);
    assert_eq!(parked().await, line[1..], "the first in line was sent");
    stack.until("its way back", async |_| (parked().await.len() == 3).then_some(())).await;
    assert_eq!(parked().await, line, "it has its old place");

    std::fs::write(dir.path().join("go"), "").unwrap();
    for issue in issues {
        assert!(done(&stack, issue).await.contains("✅ **Done.**"));
    }
    assert_eq!(stack.started(), 5);
    assert_eq!(parked().await, [""; 0]);
    assert_eq!(super::flow::not_allowed(&stack).await, [""; 0]);
}
