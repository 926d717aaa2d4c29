//! A server of one's own whose jobs run on Fargate: `serve` with the stack's table, queues, bucket and cluster, and no function.

use super::flow::workflow;
use super::stack::{API_TOKEN, SHOP, Stack, WEBHOOK_SECRET};
use super::world::REGION;
use cloud_code_forge::Webhook;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use tokio::process::{Child, Command};

struct Server {
    address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts one; the address is that of its settings.
    fn start(stack: &Stack, address: SocketAddr) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log(stack)).unwrap();
        let mut command = Command::from(crate::harness::program(&stack.dir.path().join("server")));
        // What the stack's dispatcher is told of where things are; what is secret comes from the environment here.
        command.envs(stack.environment("Dispatcher")).env_remove("CONFIG_SECRET");
        let child = command
            .arg("serve")
            .env("LISTEN_ADDR", address.to_string())
            .env("PUBLIC_URL", format!("http://{address}"))
            .env("DATA_DIR", stack.dir.path().join("server"))
            .env(
                "QUEUE_URL",
                stack.deployed["outputs"]["QueueUrl"]
                    .as_str()
                    .unwrap()
                    .replace(&format!("https://sqs.{REGION}.amazonaws.com"), &stack.aws.endpoint),
            )
            .env("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("GITHUB_PRIVATE_KEY", stack.forge.app_private_key().unwrap())
            .env("API_TOKENS", API_TOKEN)
            .env("AWS_ENDPOINT_URL", &stack.aws.endpoint)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "server")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { address, child }
    }

    async fn answers(&self, stack: &Stack) {
        let up = async |_: &Stack| tokio::net::TcpStream::connect(self.address).await.ok().map(drop);
        stack.until_alone("the server", up).await;
    }
}

fn log(stack: &Stack) -> std::path::PathBuf {
    stack.dir.path().join("server.log")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_of_ones_own_runs_its_jobs_on_fargate() {
    let signals = tempfile::tempdir().unwrap();
    let go = signals.path().join("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
    let text = workflow(&format!("echo hello > greeting.txt\n{wait}"));
    let Some(stack) = Stack::deploy(&[(".cloud-code/implement.yml", &text)]).await else { return };
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    stack.forge.set_webhook(None);
    let mut server = Server::start(&stack, address);
    server.answers(&stack).await;
    let url = format!("http://{address}/webhooks/github/");
    stack.forge.set_webhook(Some(Webhook { url, secret: WEBHOOK_SECRET.to_owned() }));

    let issue = stack.forge.open_issue(SHOP, "ann", "Add a greeting", "Say hello.").unwrap();
    stack.forge.label_issue(SHOP, "ann", issue, "cloud-code").unwrap();
    stack.until_alone("its task", async |stack| (stack.started() == 1).then_some(())).await;
    // The task goes on without its server, and is found again by the next.
    server.child.kill().await.unwrap();
    std::fs::write(&go, "").unwrap();
    stack.until_alone("its end", async |stack| stack.all_tasks_ended().then_some(())).await;
    server = Server::start(&stack, address);
    let done = async |stack: &Stack| {
        stack.our_comment(issue).filter(|body| body.contains("✅ **Done.**") || body.contains("❌"))
    };
    let comment = stack.until_alone("the run's end", done).await;
    let log = std::fs::read_to_string(log(&stack)).unwrap();
    assert!(comment.contains("✅ **Done.**"), "{comment}\n{log}");
    let pull = stack.forge.pulls(SHOP).unwrap().remove(0);
    let file = stack.forge.read_file(SHOP, &pull.head_branch, "greeting.txt").unwrap();
    assert_eq!(file.as_deref(), Some(&b"hello\n"[..]));
    assert_eq!(stack.started(), 1, "one task");
    let objects = stack.aws.objects().await;
    assert!(!objects.iter().any(|key| key.starts_with("launch/")), "{objects:?}");
    assert!(!log.contains("panicked"), "{log}");
    drop(server);
}
