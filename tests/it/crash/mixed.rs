//! A server of one's own that uses parts of AWS: queue, artifacts and secrets there, jobs in Docker here. Needs moto, the image
//! cloud-code-agent-script and `CLOUD_CODE_TEST_DOCKER=1`.

use super::containers::{docker_world, wanted};
use super::world::{PATIENCE, REPOSITORY, World, workflow};
use crate::aws::{Aws, REGION};
use cloud_code_model::ids::digest;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::process::Stdio;

const KEY: &str = "the-key-that-lies-in-secrets-manager-4711";

/// A world whose server has its queue, artifacts and secrets on AWS, and a secret for the repository.
async fn mixed(command: &str) -> Option<(World, Aws)> {
    if !wanted() {
        return None;
    }
    let aws = Aws::with_storage().await?;
    let mut world = docker_world("true").await;
    let text = format!("{}        env: {{ THE_KEY: '${{{{ secrets.THE_KEY }}}}' }}\n", workflow(command));
    world.forge.commit_file(REPOSITORY, "main", ".cloud-code/implement.yml", &text).unwrap();
    let queue = format!("{}?table={}&bucket={}", aws.queue().url, aws.name, aws.bucket);
    for (name, value) in [
        ("QUEUE_URL", queue.as_str()),
        ("ARTIFACTS_URL", &format!("s3://{}", aws.bucket)),
        ("SECRETS_URL", &format!("secretsmanager://{}/secrets", aws.name)),
        ("AWS_ENDPOINT_URL", &aws.endpoint),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "mixed"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ] {
        world.set(name, value);
    }
    let mut set = world.program(&["secrets", "set", REPOSITORY, "THE_KEY"]);
    let mut set = set.stdin(Stdio::piped()).spawn().unwrap();
    set.stdin.take().unwrap().write_all(KEY.as_bytes()).unwrap();
    assert!(set.wait().unwrap().success());
    Some((world, aws))
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_artifacts_and_secrets_on_aws_and_jobs_in_docker() {
    let command = "printf %s \"$THE_KEY\" | sha256sum | cut -d' ' -f1 > greet.sh\necho \"key=$THE_KEY\"";
    let Some((mut world, aws)) = mixed(command).await else { return };
    world.start().await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:done").await;
    let run = world.exactly_one_pull(number).await;
    let branch = format!("cloud-code/issue-{number}");
    let file = world.forge.read_file(REPOSITORY, &branch, "greet.sh").unwrap().unwrap();
    let expected = hex::encode(Sha256::digest(KEY));
    assert_eq!(String::from_utf8_lossy(&file).trim(), expected, "the secret reached the step");

    // What is kept of the attempt is in the bucket, masked.
    let log = aws.objects().await.into_iter().find(|key| key.ends_with("kept/log.txt")).expect("the log");
    assert!(log.contains(run.id.as_str()), "{log}");
    let log = String::from_utf8(aws.object(&log).await.unwrap()).unwrap();
    assert!(log.contains("key=***") && !log.contains(KEY), "{log}");
    let (status, shown) = world.api("GET", &format!("/api/v1/runs/{}/logs?job=implement", run.id)).await;
    assert!(status == 200 && shown.contains("key=***"), "{status} {shown}");
    world.terminate(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_for_sqs_goes_by_the_bucket_and_is_not_lost_with_the_server() {
    let Some((mut world, aws)) = mixed("echo hi > greet.sh").await else { return };
    world.start().await;
    let number = world.issue();
    world.forge.await_deliveries().await.unwrap();
    world.forge.set_webhook(None);
    world.forge.label_issue(REPOSITORY, "ada", number, "cloud-code").unwrap();
    let unsent =
        world.forge.deliveries().into_iter().rev().find(|delivery| delivery.event == "issues").unwrap();
    let mut payload: serde_json::Value = serde_json::from_slice(&unsent.payload).unwrap();
    assert_eq!(payload["label"]["name"], "cloud-code");
    // SQS takes 256 KB; this does not pack well.
    let noise: String = (0..20_000).map(|n| digest(&["noise", &n.to_string()])).collect();
    payload["noise"] = noise.into();
    world.send_webhooks();
    let id = world.forge.deliver("issues", &payload);
    world.forge.await_deliveries().await.unwrap();
    world.forge.redeliver(&id).await.unwrap();
    let outcomes: Vec<_> =
        world.forge.deliveries().into_iter().filter(|delivery| delivery.guid == id).collect();
    assert!(
        outcomes.iter().all(|one| one.outcome.as_ref().is_some_and(|outcome| outcome.status_code == 202))
    );
    // It was accepted, so that it is in AWS's hands.
    world.kill().await;
    world.start().await;
    world.labelled(number, "cloud-code:done").await;
    world.exactly_one_pull(number).await;
    world.terminate(PATIENCE).await;
    let left = aws.objects().await;
    assert!(left.iter().any(|key| key.starts_with("bodies/")), "{left:?}");
}
