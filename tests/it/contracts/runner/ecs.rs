//! The ECS runner, against moto: the contract, and what only it does. Tasks run nothing there; the tests say how they end.

use super::{World, attempt, check, exited};
use crate::aws::{Aws, REGION};
use async_trait::async_trait;
use cloud_code::adapters::aws::ecs::{Capacity, EcsConfig, EcsRunner};
use cloud_code::adapters::aws::keys;
use cloud_code::adapters::memory::ManualClock;
use cloud_code::ports::{
    Artifact, Clock, ContainerStatus, Fetch, Launch, Limits, Network, Remote, Runner, RunnerError,
    SecretText, SystemClock,
};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::task::Grant;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

const FAMILY: &str = "agent-script";

struct Fargate {
    aws: Aws,
    config: EcsConfig,
    runner: EcsRunner,
    clock: Arc<ManualClock>,
    run: String,
}

async fn fargate(capacity: Capacity) -> Option<Fargate> {
    let aws = Aws::with_storage().await?;
    let config = aws.make_cluster(FAMILY, capacity).await;
    let clock = Arc::new(ManualClock::new(Timestamp::now()));
    let runner = EcsRunner::new(&aws.clients(), config.clone(), Arc::clone(&clock) as Arc<dyn Clock>);
    Some(Fargate { aws, config, runner, clock, run: uuid::Uuid::new_v4().to_string() })
}

impl Fargate {
    async fn arn(&self, id: &AttemptId) -> String {
        let client = aws_sdk_ecs::Client::new(&self.aws.config);
        let listed =
            client.list_tasks().cluster(&self.aws.name).started_by(id.to_string()).send().await.unwrap();
        let [arn] = listed.task_arns() else { panic!("{:?}", listed.task_arns()) };
        arn.clone()
    }

    async fn task(&self, id: &AttemptId) -> aws_sdk_ecs::types::Task {
        let client = aws_sdk_ecs::Client::new(&self.aws.config);
        let described = client.describe_tasks().cluster(&self.aws.name).tasks(self.arn(id).await);
        described.send().await.unwrap().tasks().first().cloned().unwrap()
    }

    /// The variables that the task's container was given by RunTask.
    async fn environment(&self, id: &AttemptId) -> Vec<(String, String)> {
        let task = self.task(id).await;
        let overrides = task.overrides().unwrap().container_overrides();
        let variables = overrides.iter().flat_map(|container| container.environment());
        variables.map(|v| (v.name().unwrap().to_owned(), v.value().unwrap().to_owned())).collect()
    }

    async fn first_grant(&self, id: &AttemptId) -> (String, Grant) {
        let environment = self.environment(id).await;
        let (_, address) = environment.iter().find(|(name, _)| name == "CLOUD_CODE_GRANT").unwrap();
        let key = address.split_once(&format!("/{}/", self.aws.name)).unwrap().1.to_owned();
        let bytes = self.aws.object(&key).await.unwrap();
        (key, Grant::parse(&bytes).unwrap())
    }
}

#[async_trait]
impl World for Fargate {
    fn runner(&self) -> &dyn Runner {
        &self.runner
    }

    fn to_launch(&self, number: u32) -> Launch {
        Launch {
            attempt: attempt(&self.run, number),
            image: format!("{FAMILY}:latest"),
            workspace: PathBuf::new(),
            objects: None,
            fetch: Some(Fetch {
                remote: Remote {
                    url: "https://github.com/acme/shop.git".to_owned(),
                    key: "github.com/acme/shop".to_owned(),
                    token: Some(SecretText::new("ghs_read_only")),
                },
                base: "9f2c".repeat(10),
                branch: "cloud-code/issue-42".to_owned(),
            }),
            env: vec![("CI".to_owned(), "true".to_owned())],
            secrets: vec![("API_KEY".to_owned(), SecretText::new("sk-very-secret"))],
            network: Network::Open,
            limits: Limits::default(),
        }
    }

    /// Prints the agent's lines where the log driver would.
    async fn ready(&self, attempt: &AttemptId) {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.aws.config);
        let arn = self.arn(attempt).await;
        let stream = format!("agent/agent/{}", arn.rsplit('/').next().unwrap());
        logs.create_log_stream()
            .log_group_name(&self.aws.name)
            .log_stream_name(&stream)
            .send()
            .await
            .unwrap();
        let mut put = logs.put_log_events().log_group_name(&self.aws.name).log_stream_name(&stream);
        for line in ["out", "err"] {
            let event = aws_sdk_cloudwatchlogs::types::InputLogEvent::builder()
                .timestamp(Timestamp::now().as_millisecond())
                .message(line)
                .build();
            put = put.log_events(event.unwrap());
        }
        put.send().await.unwrap();
    }

    async fn finish(&self, attempt: &AttemptId, code: i64) {
        let task = self.arn(attempt).await;
        self.aws.test("task", json!({ "task": task, "exit_code": code })).await;
    }

    /// Each RunTask that was not the same call again made a task.
    fn starts(&self, attempt: &AttemptId) -> usize {
        let arns = futures::executor::block_on(self.arn(attempt));
        usize::from(!arns.is_empty())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ecs_keeps_the_contract() {
    let Some(mut world) = fargate(Capacity::SpotOrOnDemand).await else { return };
    world.runner = EcsRunner::new(&world.aws.clients(), world.config.clone(), Arc::new(SystemClock));
    check(&world).await;
}

#[tokio::test]
async fn a_task_is_given_what_is_its_own() {
    let Some(world) = fargate(Capacity::SpotOrOnDemand).await else { return };
    let launch = world.to_launch(1);
    let id = &launch.attempt;
    world.runner.launch(&launch).await.unwrap();

    let task = world.task(id).await;
    assert_eq!(task.capacity_provider_name(), Some("FARGATE_SPOT"));
    assert_eq!(task.started_by(), Some(id.to_string().as_str()));
    let overrides = task.overrides().unwrap();
    assert_eq!((overrides.cpu(), overrides.memory()), (Some("2048"), Some("4096")));
    let environment = world.environment(id).await;
    let text = format!("{task:?} {environment:?}");
    for secret in ["sk-very-secret", "ghs_read_only", "X-Amz-Signature"] {
        assert!(!text.contains(secret), "a reader of the console sees {secret}");
    }
    assert!(environment.contains(&("CI".to_owned(), "true".to_owned())), "{environment:?}");
    assert!(
        environment.contains(&("CLOUD_CODE_GRANT_REGION".to_owned(), REGION.to_owned())),
        "{environment:?}"
    );

    let (key, grant) = world.first_grant(id).await;
    assert_eq!(grant.attempt, id.name());
    assert_eq!(grant.secrets.get("API_KEY").map(String::as_str), Some("sk-very-secret"));
    assert_eq!(grant.checkout.as_ref().unwrap().token.as_deref(), Some("ghs_read_only"));
    assert_eq!(
        grant.get.keys().collect::<Vec<_>>(),
        ["earlier-session.tar.gz", "grant.json", "tasking.yaml"]
    );
    let written: Vec<_> = grant.put.keys().map(String::as_str).collect();
    assert_eq!(
        written,
        ["changes.bundle", "log.txt", "reporting.yaml", "session.tar.gz", "transcript.jsonl"]
    );

    // The links work, and what they name can be touched by them alone.
    world.aws.put_object(&keys::live(id, Artifact::Tasking), b"version: 1").await;
    assert_eq!(http_get(&grant.get["tasking.yaml"]).await, (200, b"version: 1".to_vec()));
    assert_eq!(http_put(&grant.put["reporting.yaml"], b"report").await, 200);
    assert_eq!(world.aws.object(&keys::live(id, Artifact::Report)).await.unwrap(), b"report");
    let other = attempt("somebody else's", 1);
    for (name, url) in &grant.put {
        let elsewhere = url.replace(&keys::attempt(id), &keys::attempt(&other));
        assert_ne!(&elsewhere, url);
        assert_eq!(http_put(&elsewhere, b"x").await, 403, "{name} of another attempt was written");
    }
    let tasking = grant.put["reporting.yaml"].replace("out/reporting.yaml", "in/tasking.yaml");
    assert_eq!(http_put(&tasking, b"x").await, 403, "its own task was written");

    world.runner.remove(id).await.unwrap();
    assert_eq!(world.aws.object(&key).await, None, "secrets lie there no longer than they must");
}

#[tokio::test]
async fn a_grant_is_renewed_before_it_ends() {
    let Some(world) = fargate(Capacity::OnDemand).await else { return };
    let launch = world.to_launch(1);
    let id = &launch.attempt;
    world.runner.launch(&launch).await.unwrap();
    let (_, first) = world.first_grant(id).await;
    world.runner.renew(id).await.unwrap();
    assert_eq!(http_get(&first.get["grant.json"]).await.0, 404, "not before half of its time is over");

    world.clock.advance(SignedDuration::from_mins(31));
    world.runner.renew(id).await.unwrap();
    let (status, bytes) = http_get(&first.get["grant.json"]).await;
    assert_eq!(status, 200, "the first grant leads to the second");
    let second = Grant::parse(&bytes).unwrap();
    let longer = second.expires_at.duration_since(first.expires_at);
    assert!(longer >= SignedDuration::from_mins(31), "{longer}");
    assert!(second.secrets.is_empty() && second.checkout.is_none(), "what is needed once is told once");
    assert_ne!(second.put["log.txt"], first.put["log.txt"]);
    assert_eq!(http_put(&second.put["log.txt"], b"later").await, 200);

    // Nothing is written again until that one is half over too.
    let before = bytes;
    world.runner.renew(id).await.unwrap();
    assert_eq!(http_get(&second.get["grant.json"]).await.1, before);
    world.clock.advance(SignedDuration::from_mins(31));
    world.runner.renew(id).await.unwrap();
    assert_ne!(http_get(&second.get["grant.json"]).await.1, before);
}

impl Fargate {
    /// Forgets that RunTask answered, as a process that died just before it noted that.
    async fn tear_off(&self, id: &AttemptId) {
        let table = aws_sdk_dynamodb::Client::new(&self.aws.config);
        let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
        let update = table.update_item().table_name(&self.aws.name).key(keys::PK, text("tasks"));
        let update = update.key(keys::SK, text(&id.to_string())).update_expression("REMOVE arn");
        update.send().await.unwrap();
    }

    async fn has_room(&self, provider: &str, room: bool) {
        let lack = json!({ "cluster": self.aws.name, "provider": provider, "lack": !room });
        self.aws.test("lack", lack).await;
    }

    async fn grants(&self) -> Vec<String> {
        let objects = self.aws.objects().await;
        objects.into_iter().filter(|key| key.starts_with("launch/")).collect()
    }
}

#[tokio::test]
async fn a_launch_that_was_torn_off_finds_its_task() {
    let Some(world) = fargate(Capacity::SpotOrOnDemand).await else { return };
    let launch = world.to_launch(1);
    let id = &launch.attempt;
    // The other provider has to be asked, and the first one has room again when the launch is repeated.
    world.has_room("FARGATE_SPOT", false).await;
    let first = world.runner.launch(&launch).await.unwrap();
    assert_eq!(world.task(id).await.capacity_provider_name(), Some("FARGATE"));
    world.has_room("FARGATE_SPOT", true).await;
    world.tear_off(id).await;
    assert_eq!(world.runner.status(id).await.unwrap(), ContainerStatus::Missing);
    assert_eq!(world.runner.launch(&launch).await.unwrap(), first, "and no second task: `arn` looks");
    world.arn(id).await;
    assert_eq!(world.runner.status(id).await.unwrap(), ContainerStatus::Running);
    assert_eq!(world.grants().await.len(), 1);
}

#[tokio::test]
async fn one_that_was_torn_off_and_is_not_wanted_any_more_is_stopped() {
    let Some(world) = fargate(Capacity::OnDemand).await else { return };
    let launch = world.to_launch(1);
    let id = &launch.attempt;
    let arn = world.runner.launch(&launch).await.unwrap();
    world.tear_off(id).await;
    world.clock.advance(SignedDuration::from_mins(2));
    let listed = world.runner.list().await.unwrap();
    assert!(listed.len() == 1 && listed[0].running, "{listed:?}");
    world.runner.remove(id).await.unwrap();
    let client = aws_sdk_ecs::Client::new(&world.aws.config);
    let described = client.describe_tasks().cluster(&world.aws.name).tasks(&arn).send().await.unwrap();
    assert_eq!(described.tasks()[0].last_status(), Some("STOPPED"));
    assert_eq!(world.grants().await, [""; 0], "secrets lie there no longer than they must");
    assert!(world.runner.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_that_is_removed_while_it_starts_is_stopped() {
    let Some(world) = fargate(Capacity::OnDemand).await else { return };
    let launch = world.to_launch(1);
    let id = &launch.attempt;
    // The removal falls somewhere into the launch, wherever that is.
    for _ in 0..10 {
        let (_, gone) = tokio::join!(world.runner.launch(&launch), async {
            while world.grants().await.is_empty() {}
            world.runner.remove(id).await
        });
        gone.unwrap();
        // Where the launch came to its end after all.
        world.runner.remove(id).await.unwrap();
        let client = aws_sdk_ecs::Client::new(&world.aws.config);
        let running = aws_sdk_ecs::types::DesiredStatus::Running;
        let listed = client.list_tasks().cluster(&world.aws.name).desired_status(running);
        let listed = listed.send().await.unwrap();
        assert_eq!(listed.task_arns(), [""; 0], "a task runs that nobody knows");
        assert_eq!(world.grants().await, [""; 0]);
    }
}

#[tokio::test]
async fn no_room_is_no_failure() {
    let Some(world) = fargate(Capacity::SpotOrOnDemand).await else { return };
    let launch = world.to_launch(1);
    for provider in ["FARGATE_SPOT", "FARGATE"] {
        world.has_room(provider, false).await;
    }
    for _ in 0..2 {
        let error = world.runner.launch(&launch).await.unwrap_err();
        assert!(matches!(&error, RunnerError::NoRoom(why) if why.contains("CAPACITY")), "{error}");
        assert!(error.may_heal());
        assert_eq!(world.grants().await, [""; 0], "nobody took it");
        assert!(world.runner.list().await.unwrap().is_empty(), "it takes no room from others");
    }
    world.has_room("FARGATE_SPOT", true).await;
    world.runner.launch(&launch).await.unwrap();
    assert_eq!(world.task(&launch.attempt).await.capacity_provider_name(), Some("FARGATE_SPOT"));
}

#[tokio::test]
async fn refusals_and_lack_are_told_apart() {
    let Some(world) = fargate(Capacity::SpotOrOnDemand).await else { return };
    let fault = |action: &str, code: &str, times: u32| json!({ "service": "ecs", "action": action, "code": code, "times": times });
    let mut missing = world.to_launch(1);
    missing.image = "no-such-agent:latest".to_owned();
    let error = world.runner.launch(&missing).await.unwrap_err();
    assert!(matches!(&error, RunnerError::ImageMissing { image, .. } if image == "no-such-agent"), "{error}");
    assert!(!world.runner.has_image("no-such-agent:latest").await.unwrap());
    let mut huge = world.to_launch(2);
    huge.limits.cpus = 32.0;
    assert!(matches!(world.runner.launch(&huge).await, Err(RunnerError::Refused(_))));

    // Throttling is waited out.
    world.aws.test("fault", fault("DescribeTasks", "ThrottlingException", 2)).await;
    let launch = world.to_launch(3);
    world.runner.launch(&launch).await.unwrap();
    assert_eq!(world.runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Running);
}

#[tokio::test]
async fn what_is_still_being_set_up_is_told_from_what_runs() {
    let Some(world) = fargate(Capacity::OnDemand).await else { return };
    let launch = world.to_launch(1);
    let id = &launch.attempt;
    world.runner.launch(&launch).await.unwrap();
    let task = world.arn(id).await;
    for (status, expected) in [
        ("PROVISIONING", ContainerStatus::Starting),
        ("PENDING", ContainerStatus::Starting),
        ("RUNNING", ContainerStatus::Running),
    ] {
        world.aws.test("task", json!({ "task": task, "status": status })).await;
        assert_eq!(world.runner.status(id).await.unwrap(), expected, "{status}");
        assert!(world.runner.list().await.unwrap().iter().any(|l| l.attempt == *id && l.running), "{status}");
    }
}

#[tokio::test]
async fn a_stop_is_asked_for_and_not_waited_for() {
    let Some(world) = fargate(Capacity::OnDemand).await else { return };
    let launch = world.to_launch(1);
    let id = &launch.attempt;
    world.runner.launch(&launch).await.unwrap();
    for status in ["PENDING", "RUNNING"] {
        world.aws.test("task", json!({ "task": world.arn(id).await, "status": status })).await;
        let before = calls(&world).await;
        world.runner.stop(id, world.runner.stop_patience()).await.unwrap();
        let since = calls(&world).await.split_off(before.len());
        assert_eq!(since, ["DescribeTasks", "StopTask"], "{status}");
        assert_eq!(world.runner.status(id).await.unwrap(), ContainerStatus::Running, "it is stopping");
    }
}

/// What was asked of ECS about the world's cluster so far.
async fn calls(world: &Fargate) -> Vec<String> {
    let calls = world.aws.test("calls", json!({})).await;
    let of_ours = |resource: &Value| resource.as_str().is_some_and(|name| name.contains(&world.aws.name));
    let ours = |call: &&Value| call["service"] == "ecs" && of_ours(&call["resource"]);
    let action = |call: &Value| call["action"].as_str().unwrap().to_owned();
    calls.as_array().unwrap().iter().filter(ours).map(action).collect()
}

#[tokio::test]
async fn ends_have_reasons() {
    let Some(world) = fargate(Capacity::OnDemand).await else { return };
    let mut number = 10;
    let mut check = async |how: Value, code: Option<i64>, oom: bool, words: &str| {
        number += 1;
        let launch = world.to_launch(number);
        world.runner.launch(&launch).await.unwrap();
        let mut how = how;
        how["task"] = json!(world.arn(&launch.attempt).await);
        world.aws.test("task", how).await;
        match world.runner.status(&launch.attempt).await.unwrap() {
            ContainerStatus::Exited { code: seen, out_of_memory, detail } => {
                assert_eq!((seen, out_of_memory), (code, oom), "{detail:?}");
                assert!(detail.as_deref().unwrap_or_default().contains(words), "{detail:?}");
            }
            other => panic!("{other:?}"),
        }
    };
    check(
        json!({ "exit_code": 137, "reason": "OutOfMemoryError: Container killed due to memory usage" }),
        Some(137),
        true,
        "AGENT_MEMORY_MB",
    )
    .await;
    check(
        json!({ "stopped_reason": "Your Spot Task was interrupted.", "stop_code": "SpotInterruption", "exit_code": 130 }),
        Some(130),
        false,
        "Spot capacity",
    )
    .await;
    check(json!({ "exit_code": 0 }), Some(0), false, "").await;
    assert_eq!(exited(0), ContainerStatus::Exited { code: Some(0), out_of_memory: false, detail: None });
}

async fn http_get(url: &str) -> (u16, Vec<u8>) {
    let url = url.to_owned();
    let call = move || {
        let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
        let mut answer = agent.get(&url).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_vec().unwrap())
    };
    tokio::task::spawn_blocking(call).await.unwrap()
}

async fn http_put(url: &str, body: &'static [u8]) -> u16 {
    let url = url.to_owned();
    let call = move || {
        let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
        agent.put(&url).send(body).unwrap().status().as_u16()
    };
    tokio::task::spawn_blocking(call).await.unwrap()
}
