//! The process runner: the contract, and what it has by itself.

use super::desk::{Desk, OBEDIENT};
use super::{PATIENCE, World, check, ended, exited};
use async_trait::async_trait;
use cloud_code::adapters::vps::process::ProcessRunner;
use cloud_code::ports::{ContainerStatus, Launch, Runner, RunnerError, SecretText};
use cloud_code_model::ids::AttemptId;
use std::path::Path;
use std::time::Duration;

struct Processes {
    desk: Desk,
    runner: ProcessRunner,
}

fn runner(state: &Path) -> ProcessRunner {
    let command = ["sh", "-c", "exec sh \"$CLOUD_CODE_WORKSPACE/agent.sh\""];
    ProcessRunner::new(command.map(Into::into).to_vec(), state)
}

impl Processes {
    fn new() -> Self {
        let desk = Desk::new();
        let runner = runner(&desk.path().join("state"));
        Self { desk, runner }
    }
}

#[async_trait]
impl World for Processes {
    fn runner(&self) -> &dyn Runner {
        &self.runner
    }

    fn to_launch(&self, number: u32) -> Launch {
        self.desk.launch(number, OBEDIENT)
    }

    async fn ready(&self, attempt: &AttemptId) {
        self.desk.ready(attempt).await;
    }

    async fn finish(&self, attempt: &AttemptId, code: i64) {
        self.desk.go(attempt, &code.to_string()).await;
    }

    fn starts(&self, attempt: &AttemptId) -> usize {
        self.desk.starts(attempt)
    }
}

#[tokio::test]
async fn process_keeps_the_contract() {
    check(&Processes::new()).await;
}

#[tokio::test]
async fn one_that_ignores_signals_is_killed_with_all_that_it_started() {
    let Processes { desk, runner } = Processes::new();
    let script = "trap '' INT TERM; setsid sleep 1000 & echo $! >ready; while :; do wait; read x <go; done";
    let launch = desk.launch(1, script);
    runner.launch(&launch).await.unwrap();
    let daemon = desk.ready(&launch.attempt).await;
    let daemon = Path::new("/proc").join(daemon);
    assert!(daemon.exists());
    runner.stop(&launch.attempt, Duration::from_millis(50)).await.unwrap();
    assert_eq!(runner.status(&launch.attempt).await.unwrap(), exited(137));
    let stat = std::fs::read_to_string(daemon.join("stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "a process of the attempt lives on: {stat}");
}

#[tokio::test]
async fn the_first_signal_reaches_the_agent() {
    let Processes { desk, runner } = Processes::new();
    let launch = desk.launch(1, "trap 'exit 42' INT; exec 3<>go; echo x >ready; read x <&3");
    runner.launch(&launch).await.unwrap();
    desk.ready(&launch.attempt).await;
    runner.stop(&launch.attempt, PATIENCE).await.unwrap();
    assert_eq!(runner.status(&launch.attempt).await.unwrap(), exited(42));
}

#[tokio::test]
async fn the_environment_is_clean() {
    let Processes { desk, runner } = Processes::new();
    let mut launch = desk.launch(1, "env | sort; touch \"$HOME/a\" \"$TMPDIR/b\"; echo x >ready");
    launch.env = vec![("CI".to_owned(), "true".to_owned())];
    launch.secrets = vec![("KEY".to_owned(), SecretText::new("s3cret"))];
    runner.launch(&launch).await.unwrap();
    desk.ready(&launch.attempt).await;
    assert_eq!(ended(&runner, &launch.attempt).await, exited(0));
    let log = String::from_utf8(runner.logs(&launch.attempt, 10_000).await.unwrap()).unwrap();
    let names: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let allowed = [
        "CI",
        "CLOUD_CODE_PROCESS",
        "CLOUD_CODE_SECRETS",
        "CLOUD_CODE_WORKSPACE",
        "HOME",
        "KEY",
        "LANG",
        "OLDPWD",
        "PATH",
        "PWD",
        "SHLVL",
        "TMPDIR",
        "_",
    ];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    for line in ["CI=true", "KEY=s3cret", "CLOUD_CODE_SECRETS=KEY"] {
        assert!(log.lines().any(|seen| seen == line), "{line} is not in {log}");
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused() {
    let desk = Desk::new();
    let refused = |result: Result<String, RunnerError>, what: &str| match result {
        Err(RunnerError::Refused(text)) => assert!(text.contains(what), "{text}"),
        other => panic!("{other:?}"),
    };
    let launch = desk.launch(1, "exit 0");
    let gone = ProcessRunner::new(vec!["/no/such/agent".into()], desk.path().join("state"));
    refused(gone.launch(&launch).await, "/no/such/agent");
    refused(gone.check().await, "/no/such/agent");

    let runner = runner(&desk.path().join("state"));
    let objects = Some(("/outside".into(), "/inside".into()));
    refused(runner.launch(&Launch { objects, ..launch.clone() }).await, "/outside");
    refused(
        runner.launch(&Launch { workspace: "/no/such/workspace".into(), ..launch.clone() }).await,
        "/no/such/workspace",
    );
    assert_eq!(runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Missing);
}

const STATE: &str = "CLOUD_CODE_TEST_STATE";
const WORKSPACE: &str = "CLOUD_CODE_TEST_WORKSPACE";
const ATTEMPT: &str = "CLOUD_CODE_TEST_ATTEMPT";

/// Not a test: the server of the test below, which is killed. It is this program once more.
#[tokio::test]
#[ignore = "run by a_server_that_is_killed_leaves_the_attempt_alone"]
async fn server_that_is_killed() {
    let Ok(state) = std::env::var(STATE) else { return };
    let desk = Desk::new();
    let launch = Launch {
        attempt: serde_json::from_str(&std::env::var(ATTEMPT).unwrap()).unwrap(),
        workspace: std::env::var(WORKSPACE).unwrap().into(),
        ..desk.launch(1, OBEDIENT)
    };
    runner(Path::new(&state)).launch(&launch).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_the_attempt_alone() {
    let desk = Desk::new();
    let state = desk.path().join("state");
    let launch = desk.launch(1, OBEDIENT);
    let mut server = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "contracts::runner::process::server_that_is_killed", "--ignored"])
        .env(STATE, &state)
        .env(WORKSPACE, &launch.workspace)
        .env(ATTEMPT, serde_json::to_string(&launch.attempt).unwrap())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    desk.ready(&launch.attempt).await;
    server.kill().await.unwrap();

    let runner = runner(&state);
    assert_eq!(runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Running);
    runner.launch(&launch).await.unwrap();
    assert_eq!(runner.list().await.unwrap().len(), 1);
    desk.go(&launch.attempt, "9").await;
    assert_eq!(ended(&runner, &launch.attempt).await, exited(9));
    assert_eq!(desk.starts(&launch.attempt), 1);
}

#[tokio::test]
async fn a_stranger_with_the_same_number_is_left_alone() {
    let desk = Desk::new();
    let state = desk.path().join("state");
    let launch = desk.launch(1, OBEDIENT);
    let folder = state.join(launch.attempt.name());
    std::fs::create_dir_all(&folder).unwrap();
    // This test's own number, with the start of a process of long ago.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let zeros = "0 ".repeat(18);
    std::fs::write(folder.join("process"), format!("{boot}{} (sh) S {zeros}1 0\n", std::process::id()))
        .unwrap();

    let runner = runner(&state);
    let status = runner.status(&launch.attempt).await.unwrap();
    assert!(matches!(&status, ContainerStatus::Exited { code: None, .. }), "{status:?}");
    runner.stop(&launch.attempt, Duration::ZERO).await.unwrap();
    runner.remove(&launch.attempt).await.unwrap();
    assert_eq!(runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Missing);
}
