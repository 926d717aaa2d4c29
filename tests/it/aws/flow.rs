//! The main road on AWS: from a signed event at the gateway to a pull request.

use super::iam::needs;
use super::stack::{API_TOKEN, LLM_KEY, SHOP, Stack};
use crate::harness::Workflow;
use cloud_code::adapters::aws::keys;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn workflow(command: &str) -> String {
    Workflow::script(command).text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_label_becomes_a_pull_request_on_aws() {
    let text = workflow(
        "echo hello > greeting.txt\necho '{\"type\":\"summary\",\"text\":\"I added a greeting.\"}'\n\
                  echo said >> $CLOUD_CODE_SESSION_DIR/talk; grep -c said $CLOUD_CODE_SESSION_DIR/talk >> spoken.txt\n\
                  echo '{\"type\":\"session\",\"id\":\"'$CLOUD_CODE_SESSION'\"}'",
    );
    let Some(stack) = Stack::deploy(&[(".cloud-code/implement.yml", &text)]).await else { return };
    let issue = stack.forge.open_issue(SHOP, "ann", "Add a greeting", "Say hello.").unwrap();
    stack.forge.label_issue(SHOP, "ann", issue, "cloud-code").unwrap();
    let comment = stack
        .until("the run's end", async |stack| {
            stack.our_comment(issue).filter(|body| body.contains("✅ **Done.**") || body.contains("❌"))
        })
        .await;
    assert!(comment.contains("pull request #2") && comment.contains("I added a greeting."), "{comment}");
    let pull = stack.forge.pulls(SHOP).unwrap().remove(0);
    assert_eq!((pull.head_branch.as_str(), pull.base_branch.as_str()), ("cloud-code/issue-1", "main"));
    let file = stack.forge.read_file(SHOP, &pull.head_branch, "greeting.txt").unwrap();
    assert_eq!(file.as_deref(), Some(&b"hello\n"[..]));
    assert_eq!(stack.started(), 1, "one task was started");

    // What is left when all is over: no grant, no task, and what is worth keeping out of the attempt's reach.
    stack
        .until("the end of the attempt's cleaning", async |stack| {
            let objects = stack.aws.objects().await;
            objects.iter().any(|key| key.ends_with("kept/log.txt")).then_some(objects)
        })
        .await;
    let objects = stack.aws.objects().await;
    assert!(!objects.iter().any(|key| key.starts_with("launch/")), "{objects:?}");
    for kept in ["reporting.yaml", "changes.bundle", "log.txt", "session.tar.gz"] {
        assert!(objects.iter().any(|key| key.ends_with(&format!("kept/{kept}"))), "{kept}: {objects:?}");
    }
    // A secret was in the grant, and is nowhere now.
    for key in &objects {
        let bytes = stack.aws.object(key).await.unwrap_or_default();
        assert!(!bytes.windows(LLM_KEY.len()).any(|window| window == LLM_KEY.as_bytes()), "{key}");
    }

    a_run_asks_for_little(&stack).await;
    // A comment goes on with the conversation, which comes to the next task by a link of its grant.
    stack.forge.comment(SHOP, "ann", pull.number, "/cloud-code run once more").unwrap();
    let comment = stack
        .until("the second run's end", async |stack| {
            stack.our_comment(pull.number).filter(|body| body.contains("✅ **Done.**") || body.contains("❌"))
        })
        .await;
    assert!(comment.contains("went on with its conversation"), "{comment}");
    let spoken = stack.forge.read_file(SHOP, &pull.head_branch, "spoken.txt").unwrap();
    assert_eq!(spoken.as_deref(), Some(&b"1\n2\n"[..]));
    the_console_shows_it(&stack).await;
    every_call_is_allowed(&stack).await;
    stack.forge.await_deliveries().await.unwrap();
    for delivery in stack.forge.deliveries() {
        // Those from before the webhook was set went nowhere.
        let Some(outcome) = delivery.outcome else { continue };
        let expected = if delivery.event == "ping" { 200 } else { 202 };
        assert_eq!(outcome.status_code, expected, "{}: {}", delivery.event, outcome.response);
    }
}

async fn the_console_shows_it(stack: &Stack) {
    let address = stack.gateway();
    let ask = |path: &str| {
        let url = format!("http://{address}{path}");
        async move {
            let call = move || {
                let agent =
                    ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
                let answer = agent.get(&url).header("authorization", format!("Bearer {API_TOKEN}")).call();
                let mut answer = answer.unwrap();
                (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
            };
            tokio::task::spawn_blocking(call).await.unwrap()
        }
    };
    let (status, body) = ask("/api/v1/runs").await;
    let runs: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(runs["runs"][0]["conclusion"], json!("success"), "{body}");
    let (status, body) = ask("/readyz").await;
    assert_eq!(status, 200, "{body}");
    let (status, _) = ask("/no/such/page").await;
    assert_eq!(status, 404);
}

/// What a run of one job asks of AWS and of GitHub. It is paid by the call: docs/aws.md has the sums.
async fn a_run_asks_for_little(stack: &Stack) {
    let calls = stack.aws.test("calls", json!({})).await;
    let text = |call: &Value, name: &str| call[name].as_str().unwrap_or_default().to_owned();
    let functions = ["Webhook", "Dispatcher", "Reporter"].map(|function| stack.key(function));
    let mut counts = BTreeMap::<String, usize>::new();
    for call in calls.as_array().unwrap() {
        // The sweeper and the console are asked by the clock and by people. The task's own are by links, to its bucket.
        let by_link = text(call, "service") == "s3" && text(call, "resource").starts_with(&stack.aws.bucket);
        let ours = functions.contains(&text(call, "key"));
        let others = ["Sweeper", "Console"].map(|function| stack.key(function)).contains(&text(call, "key"));
        if ours || by_link && !others && text(call, "key") != "test" {
            *counts.entry(format!("{} {}", text(call, "service"), text(call, "action"))).or_default() += 1;
        }
    }
    let github = stack.forge.requests().len();
    println!("a run's calls: {counts:#?}, GitHub {github}");
    let sum = |service: &str| -> usize {
        counts.iter().filter(|(name, _)| name.starts_with(service)).map(|(_, count)| count).sum()
    };
    // Twice what was counted, since reports and events come together or one by one.
    for (service, most) in
        [("dynamodb ", 350), ("sqs ", 120), ("s3 ", 60), ("ecs ", 12), ("secretsmanager ", 12)]
    {
        assert!((1..=most).contains(&sum(service)), "{service}: {counts:#?}");
    }
    assert!(github <= 80, "{github} requests to GitHub");
}

/// Every call that a function made is allowed by its role, and nothing that it may do without is in its policy.
/// What functions did so far that their roles do not allow.
pub(crate) async fn not_allowed(stack: &Stack) -> Vec<String> {
    let calls = stack.aws.test("calls", json!({})).await;
    let policies = stack.policies();
    let mut lacking = Vec::new();
    for function in ["Webhook", "Dispatcher", "Reporter", "Sweeper", "Console"] {
        let key = json!(stack.key(function));
        for call in calls.as_array().unwrap().iter().filter(|call| call["key"] == key) {
            let denied = |(action, arn): &(String, String)| !policies.allow(function, action, arn);
            lacking
                .extend(needs(call).into_iter().filter(denied).map(|lack| format!("{function}: {lack:?}")));
        }
    }
    lacking
}

async fn every_call_is_allowed(stack: &Stack) {
    let calls = stack.aws.test("calls", json!({})).await;
    let policies = stack.policies();
    for function in ["Webhook", "Dispatcher", "Reporter", "Sweeper", "Console"] {
        let key = stack.key(function);
        let needed: BTreeSet<(String, String)> = calls
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| call["key"] == json!(key))
            .flat_map(needs)
            .collect();
        assert!(!needed.is_empty(), "{function} made no call");
        let lacking: Vec<_> =
            needed.iter().filter(|(action, arn)| !policies.allow(function, action, arn)).collect();
        assert!(lacking.is_empty(), "{function} lacks {lacking:?}");
        // Each of these is needed on another road than this test's.
        let elsewhere = [
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            // Asked for by S3 on GetObject of what is missing; by ECS on RunTask; by event sources on our behalf.
            "s3:ListBucket",
            "iam:PassRole",
            "sqs:ReceiveMessage",
            "sqs:GetQueueAttributes",
            "secretsmanager:ListSecrets",
        ];
        let needed: Vec<_> = needed.into_iter().collect();
        let idle = policies.idle(function, &needed);
        let idle: Vec<_> = idle.iter().filter(|action| !elsewhere.contains(&action.as_str())).collect();
        let roads: &[&str] = match function {
            "Webhook" => &["s3:PutObject"],
            "Dispatcher" => &[
                "ecs:DescribeTasks",
                "ecs:ListTasks",
                "ecs:StopTask",
                "s3:DeleteObject",
                "s3:GetObject",
                "dynamodb:DeleteItem",
            ],
            "Reporter" => &["ecs:ListTasks", "ecs:StopTask"],
            "Sweeper" => &[
                "ecs:DescribeTasks",
                "ecs:ListTasks",
                "s3:GetObject",
                "ecs:StopTask",
                "s3:DeleteObject",
                "s3:PutObject",
                "sts:AssumeRole",
                "sqs:SendMessage",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:DeleteItem",
                "dynamodb:UpdateItem",
            ],
            _ => &[
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:UpdateItem",
                "dynamodb:DeleteItem",
                "sqs:SendMessage",
                "s3:GetObject",
            ],
        };
        let idle: Vec<_> = idle.iter().filter(|action| !roads.contains(&action.as_str())).collect();
        assert!(idle.is_empty(), "{function} may do what it never does: {idle:?}");
    }
    let role = |name: &str| stack.deployed["roles"][name].as_str().unwrap().to_owned();
    for passed in ["TaskRole", "ExecutionRole"] {
        let arn = format!("arn:aws:iam::123456789012:role/{}", role(passed));
        assert!(policies.allow("Dispatcher", "iam:PassRole", &arn), "{passed}");
        assert!(!policies.allow("Reporter", "iam:PassRole", &arn), "{passed}");
    }
    assert!(!policies.allow(
        "Webhook",
        "secretsmanager:GetSecretValue",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x"
    ));
}

/// The template makes what the code looks for.
#[tokio::test]
async fn the_template_has_the_codes_keys() {
    let Some(stack) = Stack::deploy(&[]).await else { return };
    let db = aws_sdk_dynamodb::Client::new(&stack.aws.config);
    let table = db.describe_table().table_name(&stack.aws.name).send().await.unwrap().table.unwrap();
    let name = |schema: &[aws_sdk_dynamodb::types::KeySchemaElement], at: usize| {
        schema[at].attribute_name().to_owned()
    };
    assert_eq!(
        (name(table.key_schema(), 0).as_str(), name(table.key_schema(), 1).as_str()),
        (keys::PK, keys::SK)
    );
    let mut found = Vec::new();
    for index in table.global_secondary_indexes() {
        let mut has = index.projection().unwrap().non_key_attributes().to_vec();
        has.sort();
        found.push((
            index.index_name().unwrap().to_owned(),
            name(index.key_schema(), 0),
            name(index.key_schema(), 1),
            has,
        ));
    }
    found.sort();
    let mut wanted: Vec<_> = keys::INDEXES
        .iter()
        .map(|index| {
            let mut has: Vec<String> = index.has.iter().map(ToString::to_string).collect();
            has.sort();
            (index.name.to_owned(), index.partition.to_owned(), index.order.to_owned(), has)
        })
        .collect();
    wanted.sort();
    assert_eq!(found, wanted);
    // moto's CloudFormation leaves the TTL out.
    let template =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/infra/template.yaml")).unwrap();
    let ttl = format!("TimeToLiveSpecification: {{ AttributeName: {}, Enabled: true }}", keys::EXPIRES);
    assert!(template.contains(&ttl), "{ttl}");
    // One task definition for each CLI that there is.
    let ecs = aws_sdk_ecs::Client::new(&stack.aws.config);
    for cli in cloud_code_model::cli::ALL {
        let family = format!("{}-agent-{}", stack.aws.name, cli.name);
        let definition = ecs.describe_task_definition().task_definition(&family).send().await;
        let definition =
            definition.unwrap_or_else(|error| panic!("{family}: {error:?}")).task_definition.unwrap();
        assert_eq!(definition.container_definitions()[0].name(), Some("agent"));
        assert!(definition.container_definitions()[0].environment().is_empty(), "nothing is in clear there");
    }
}
