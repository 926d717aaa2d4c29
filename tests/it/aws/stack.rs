//! A deployed stack: infra/template.yaml in moto, the functions with the environment that it gives them, and what AWS does around
//! them, which a test stands in for: the gateway before the webhook, the pollers of the queues, Fargate.

use super::gateway::gateway;
use super::iam::Policies;
use super::world::Aws;
use cloud_code::config::{Config, Environment};
use cloud_code::entry::lambda::{
    BatchResponse, Function, Lanes, QueueEvent, Reporter, Sweeper, complete, console_with, webhook_with,
};
use cloud_code::ports::{Clock, SystemClock};
use cloud_code_forge::{Forge, ForgeConfig, Role, Webhook};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) const SHOP: &str = "acme/shop";
pub(crate) const WEBHOOK_SECRET: &str = "webhook-secret-of-the-tests-4711";
pub(crate) const API_TOKEN: &str = "api-token-of-the-tests-4711";
pub(crate) const LLM_KEY: &str = "sk-ant-key-of-the-tests-4711";
const PATIENCE: Duration = Duration::from_secs(90);
/// Each function has keys of its own, so that its calls can be told from others'.
const FUNCTIONS: [&str; 5] = ["Webhook", "Dispatcher", "Reporter", "Sweeper", "Console"];

/// The stack, and a GitHub.
pub(crate) struct Stack {
    pub(crate) forge: Forge,
    pub(crate) aws: Aws,
    pub(crate) deployed: Value,
    environments: BTreeMap<String, BTreeMap<String, String>>,
    clock: Arc<dyn Clock>,
    lanes: Lanes,
    reporter: Reporter,
    sweeper: Sweeper,
    gateway: SocketAddr,
    tasks: Mutex<BTreeMap<String, Task>>,
    pub(crate) dir: tempfile::TempDir,
}

/// A task that runs, or has run.
struct Task {
    child: tokio::process::Child,
    started_by: String,
    ended: bool,
}

impl Stack {
    /// Deploys; `None` where there is no moto.
    pub(crate) async fn deploy(files: &[(&str, &str)]) -> Option<Self> {
        Self::deploy_with(files, &[], Arc::new(SystemClock)).await
    }

    /// With further variables for the functions, and this time for leases and deadlines.
    pub(crate) async fn deploy_with(
        files: &[(&str, &str)],
        more: &[(&str, &str)],
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        let mut aws = Aws::new().await?;
        let dir = tempfile::tempdir().unwrap();
        let forge = ForgeConfig { data_dir: Some(dir.path().join("forge")), ..ForgeConfig::default() };
        let forge = Forge::start(forge).await.unwrap();
        let mut all = vec![("README.md", "# shop\n")];
        all.extend(files);
        forge.create_repo(SHOP, &all, "main", true).unwrap();
        forge.set_permission(SHOP, "ann", Some(Role::Write)).unwrap();
        forge.install_app(SHOP).unwrap();

        let app = forge.app();
        let secrets = aws_sdk_secretsmanager::Client::new(&aws.config);
        let webhook = json!({ "GITHUB_WEBHOOK_SECRET": WEBHOOK_SECRET });
        let config = json!({
            "GITHUB_PRIVATE_KEY": forge.app_private_key().unwrap(),
            "API_TOKENS": API_TOKEN,
            "ANTHROPIC_API_KEY": LLM_KEY,
        });
        for (name, value) in [("webhook", webhook), ("config", config)] {
            let create = secrets.create_secret().name(format!("{}/{name}", aws.name));
            create.secret_string(value.to_string()).send().await.unwrap();
        }
        let deployed = aws
            .test(
                "deploy",
                json!({
                    "template": concat!(env!("CARGO_MANIFEST_DIR"), "/infra/template.yaml"),
                    "stack": aws.name,
                    "parameters": {
                        "GitHubAppId": app.id.to_string(),
                        "GitHubAppName": app.slug,
                        "GitHubUrl": forge.url(),
                        "GitHubApiUrl": forge.api_url(),
                        "WebhookSecret": format!("{}/webhook", aws.name),
                        "ConfigSecret": format!("{}/config", aws.name),
                        "SecretsPrefix": format!("{}/secrets", aws.name),
                        "Concurrency": "2",
                    },
                }),
            )
            .await;
        aws.bucket = deployed["outputs"]["Bucket"].as_str().unwrap().to_owned();
        let mut environments = BTreeMap::new();
        for name in FUNCTIONS {
            let given = deployed["functions"][name]["environment"].as_object().unwrap();
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mut given: BTreeMap<String, String> =
                given.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            // Each function has a disk of its own.
            given.insert("DATA_DIR".to_owned(), dir.path().join(name).display().to_string());
            given.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            environments.insert(name.to_owned(), given);
        }
        let mut stack = Self {
            lanes: Lanes::new(function(&aws, &environments, "Dispatcher", &clock).await),
            reporter: Reporter::new(function(&aws, &environments, "Reporter", &clock).await),
            sweeper: Sweeper::new(function(&aws, &environments, "Sweeper", &clock).await),
            gateway: SocketAddr::from(([127, 0, 0, 1], 0)),
            tasks: Mutex::default(),
            forge,
            aws,
            deployed,
            environments,
            clock,
            dir,
        };
        let webhook = stack.another_webhook(&stack.aws).await;
        let console = console_with(
            &function(&stack.aws, &stack.environments, "Console", &stack.clock).await,
            crate::http::metrics(),
        )
        .unwrap();
        stack.gateway = gateway(webhook, console).await;
        let url = format!("http://{}/webhooks/github/", stack.gateway);
        stack.forge.set_webhook(Some(Webhook { url, secret: WEBHOOK_SECRET.to_owned() }));
        Some(stack)
    }

    /// A function's access key.
    pub(crate) fn key(&self, name: &str) -> String {
        key(&self.aws, name)
    }

    pub(crate) fn policies(&self) -> Policies {
        Policies::of(&self.deployed)
    }

    /// The variables that the template gives a function.
    pub(crate) fn environment(&self, name: &str) -> &BTreeMap<String, String> {
        &self.environments[name]
    }

    /// Where the gateway listens.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// The functions of another process: what a cold start, or one after a crash, has.
    pub(crate) async fn another_reporter(&self) -> Reporter {
        Reporter::new(self.another("Reporter", &self.aws).await)
    }

    pub(crate) async fn another_dispatcher(&self) -> Lanes {
        Lanes::new(self.another("Dispatcher", &self.aws).await)
    }

    /// What is below a function of another process, which reaches AWS in this way.
    pub(crate) async fn another(&self, name: &str, aws: &Aws) -> Function {
        function(aws, &self.environments, name, &self.clock).await
    }

    /// The webhook's router of another process, which reaches AWS in this way.
    pub(crate) async fn another_webhook(&self, aws: &Aws) -> axum::Router {
        let env = self.environments["Webhook"].clone().into_iter().collect();
        webhook_with(env, &aws.named(&self.key("Webhook")).clients()).await.unwrap()
    }

    /// Goes on until the look finds something, with all of AWS at work.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFn(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        let mut swept = Instant::now();
        loop {
            if let Some(found) = look(self).await {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}:\n{}", self.state().await);
            self.pump().await;
            if swept.elapsed() > Duration::from_secs(2) {
                self.sweep().await;
                swept = Instant::now();
            }
        }
    }

    /// As [`Self::until`], where the look itself is all that handles events, and sweeps.
    pub(crate) async fn until_alone<T>(&self, what: &str, look: impl AsyncFn(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self).await {
                return found;
            }
            assert!(began.elapsed() < PATIENCE * 2, "waited in vain for {what}:\n{}", self.state().await);
            self.fargate().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// One round of all that AWS does by itself.
    pub(crate) async fn pump(&self) {
        self.poll("deliveries", async |event| self.lanes.handle(event).await).await;
        while self.poll("launches", async |event| self.lanes.handle(event).await).await > 0 {}
        self.poll("reports", async |event| self.reporter.handle(event).await).await;
        while self.poll("runs", async |event| self.reporter.handle(event).await).await > 0 {}
        self.fargate().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    pub(crate) async fn sweep(&self) {
        self.sweeper.sweep().await.unwrap();
    }

    /// What Lambda's poller does: takes a batch, hands it to the function, and deletes what did not fail.
    pub(crate) async fn poll(
        &self,
        queue: &str,
        handle: impl AsyncFnOnce(QueueEvent) -> BatchResponse,
    ) -> usize {
        let url = format!("{}/{}/{}-{queue}", self.aws.endpoint, super::world::ACCOUNT, self.aws.name);
        let sqs = aws_sdk_sqs::Client::new(&self.aws.config);
        // As the template has it.
        let batch = if ["launches", "runs"].contains(&queue) { 1 } else { 5 };
        let taken =
            sqs.receive_message().queue_url(&url).max_number_of_messages(batch).visibility_timeout(300);
        let messages = taken.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            return 0;
        }
        let records: Vec<Value> = messages
            .iter()
            .map(|message| {
                json!({
                    "messageId": message.message_id(),
                    "receiptHandle": message.receipt_handle(),
                    "body": message.body(),
                    "attributes": { "ApproximateReceiveCount": "1" },
                    "eventSource": "aws:sqs",
                    "eventSourceARN": format!("arn:aws:sqs:eu-west-1:123456789012:{}-{queue}", self.aws.name),
                })
            })
            .collect();
        let event: QueueEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
        let response = serde_json::to_value(handle(event).await).unwrap();
        let failed: BTreeSet<&str> = response["batchItemFailures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|failure| failure["itemIdentifier"].as_str().unwrap())
            .collect();
        for message in &messages {
            if !failed.contains(message.message_id().unwrap()) {
                let delete = sqs.delete_message().queue_url(&url);
                // What the function has deleted already is gone.
                let _ = delete.receipt_handle(message.receipt_handle().unwrap()).send().await;
            }
        }
        messages.len()
    }

    /// What Fargate does: starts what RunTask asked for, tells of its end, stops it when asked.
    async fn fargate(&self) {
        let ecs = aws_sdk_ecs::Client::new(&self.aws.config);
        let mut tasks = self.tasks.lock().unwrap().keys().cloned().collect::<Vec<_>>();
        let listed = ecs.list_tasks().cluster(&self.aws.name).send().await.unwrap();
        tasks.extend(listed.task_arns().iter().cloned());
        tasks.sort();
        tasks.dedup();
        if tasks.is_empty() {
            return;
        }
        let described =
            ecs.describe_tasks().cluster(&self.aws.name).set_tasks(Some(tasks)).send().await.unwrap();
        for task in described.tasks() {
            let arn = task.task_arn().unwrap().to_owned();
            let stopped = task.last_status() == Some("STOPPED");
            let known = self.tasks.lock().unwrap().contains_key(&arn);
            if !known && !stopped {
                let started = self.start_task(task).await;
                self.tasks.lock().unwrap().insert(arn, started);
                continue;
            }
            let ended = {
                let mut tasks = self.tasks.lock().unwrap();
                let Some(running) = tasks.get_mut(&arn) else { continue };
                if running.ended {
                    continue;
                }
                if stopped && let Some(id) = running.child.id() {
                    crate::harness::signal(id.cast_signed(), rustix::process::Signal::TERM);
                }
                let Some(status) = running.child.try_wait().unwrap() else { continue };
                running.ended = true;
                (status, running.started_by.clone())
            };
            let (status, started_by) = ended;
            if !stopped {
                self.aws.test("task", json!({ "task": arn, "exit_code": status.code() })).await;
            }
            self.tell_stopped(&started_by).await;
        }
    }

    /// What EventBridge does when a task stopped.
    pub(crate) async fn tell_stopped(&self, started_by: &str) {
        let event = json!({
            "version": "0",
            "detail-type": "ECS Task State Change",
            "source": "aws.ecs",
            "detail": { "lastStatus": "STOPPED", "startedBy": started_by, "clusterArn": self.aws.name },
        });
        let sqs = aws_sdk_sqs::Client::new(&self.aws.config);
        let url = format!("{}/{}/{}-reports", self.aws.endpoint, super::world::ACCOUNT, self.aws.name);
        sqs.send_message().queue_url(url).message_body(event.to_string()).send().await.unwrap();
    }

    /// The task's agent as a process of its own, with exactly the environment that RunTask was given, and what Fargate itself adds.
    async fn start_task(&self, task: &aws_sdk_ecs::types::Task) -> Task {
        let id = task.task_arn().unwrap().rsplit('/').next().unwrap().to_owned();
        let home: PathBuf = self.dir.path().join("tasks").join(&id);
        for folder in ["tmp", "home"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        // The task role: what it may do in S3 holds.
        let key = format!("task-{id}");
        let role = self.deployed["roles"]["TaskRole"].as_str().unwrap();
        let policy = json!({ "Statement": self.deployed["policies"][role] });
        self.aws.test("keys", json!({ "access_key": key, "policy": policy })).await;
        let mut command = tokio::process::Command::from(crate::harness::program(&home.join("home")));
        command.arg("agent");
        for container in task.overrides().unwrap().container_overrides() {
            assert_eq!(container.name(), Some("agent"));
            for variable in container.environment() {
                command.env(variable.name().unwrap(), variable.value().unwrap());
            }
        }
        let child = command
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/_test/role/{key}", self.aws.endpoint))
            .env("AWS_REGION", "eu-west-1")
            .env("TMPDIR", home.join("tmp"))
            // A container has a folder of its own at this path; a process needs to be told.
            .env("CLOUD_CODE_WORKSPACE", home.join("workspace"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(home.join("stderr")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Task { child, started_by: task.started_by().unwrap().to_owned(), ended: false }
    }

    /// Whether no task runs any more.
    pub(crate) fn all_tasks_ended(&self) -> bool {
        self.tasks.lock().unwrap().values().all(|task| task.ended)
    }

    /// Tasks that were started so far.
    pub(crate) fn started(&self) -> usize {
        self.tasks.lock().unwrap().len()
    }

    /// The last comment of ours on an issue.
    pub(crate) fn our_comment(&self, issue: u64) -> Option<String> {
        let login = format!("{}[bot]", self.forge.app().slug);
        let comments = self.forge.comments(SHOP, issue).unwrap();
        comments.into_iter().rfind(|comment| comment.author == login).map(|comment| comment.body)
    }

    /// For a message about what did not come.
    async fn state(&self) -> String {
        let mut text = String::new();
        let issues = self.forge.look(|world| world.repository(SHOP).map(|_| ())).is_ok();
        text.push_str(&format!("forge {issues}, comment {:?}\n", self.our_comment(1)));
        for queue in ["deliveries", "runs", "launches", "reports", "dead"] {
            let url = format!("{}/{}/{}-{queue}", self.aws.endpoint, super::world::ACCOUNT, self.aws.name);
            let attributes = aws_sdk_sqs::Client::new(&self.aws.config)
                .get_queue_attributes()
                .queue_url(url)
                .attribute_names(aws_sdk_sqs::types::QueueAttributeName::All)
                .send()
                .await
                .unwrap();
            let count = |name: &str| {
                attributes
                    .attributes()
                    .unwrap()
                    .iter()
                    .find(|(key, _)| key.as_str() == name)
                    .map(|(_, n)| n.clone())
            };
            text.push_str(&format!(
                "{queue}: {:?} waiting, {:?} hidden\n",
                count("ApproximateNumberOfMessages"),
                count("ApproximateNumberOfMessagesNotVisible")
            ));
        }
        for entry in std::fs::read_dir(self.dir.path().join("tasks")).into_iter().flatten().flatten() {
            let stderr = std::fs::read_to_string(entry.path().join("stderr")).unwrap_or_default();
            text.push_str(&format!("task {}: {stderr}\n", entry.file_name().to_string_lossy()));
            let log = entry.path().join("workspace/.cloud-code/log.txt");
            text.push_str(&std::fs::read_to_string(log).unwrap_or_default());
        }
        text
    }
}

fn key(aws: &Aws, name: &str) -> String {
    format!("{}-{name}", aws.name)
}

/// A function's environment, as its process has it.
async fn environment(
    aws: &Aws,
    environments: &BTreeMap<String, BTreeMap<String, String>>,
    name: &str,
) -> Environment {
    complete(environments[name].clone().into_iter().collect(), &aws.clients()).await.unwrap()
}

async fn function(
    aws: &Aws,
    environments: &BTreeMap<String, BTreeMap<String, String>>,
    name: &str,
    clock: &Arc<dyn Clock>,
) -> Function {
    let aws = aws.named(&key(aws, name));
    let env = environment(&aws, environments, name).await;
    Function::with(&Config::read(&env).unwrap(), &aws.clients(), Arc::clone(clock)).unwrap()
}
