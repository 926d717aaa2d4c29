//! The Docker runner, against a real daemon: the contract, and what makes a container a sandbox. `tests/run` sets
//! CLOUD_CODE_TEST_DOCKER=1 once a daemon answers and the image debian:bookworm-slim is there.

mod network;

use super::desk::{Desk, OBEDIENT};
use super::{PATIENCE, World, check, ended, exited};
use async_trait::async_trait;
use cloud_code::adapters::vps::docker::{DockerConfig, DockerRunner, Pull};
use cloud_code::ports::{ContainerStatus, Launch, Runner, RunnerError, SecretText};
use cloud_code_model::ids::AttemptId;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::Duration;

const IMAGE: &str = "cloud-code-test-agent:latest";
const BROKEN: &str = "cloud-code-test-broken:latest";

struct Containers {
    desk: Desk,
    config: DockerConfig,
    runner: DockerRunner,
}

/// `None`, and a line that says so, where there is no Docker to test with. CI may not skip.
fn containers() -> Option<Containers> {
    if std::env::var_os("CLOUD_CODE_TEST_DOCKER").is_none_or(|value| value != "1") {
        assert!(
            std::env::var_os("CI").is_none_or(|value| value != "true"),
            "CI has to run the Docker tests: set CLOUD_CODE_TEST_DOCKER=1"
        );
        println!("skipped: needs Docker; set CLOUD_CODE_TEST_DOCKER=1");
        return None;
    }
    static IMAGES: Once = Once::new();
    IMAGES.call_once(|| {
        build(IMAGE, r#"ENTRYPOINT ["sh", "/workspace/agent.sh"]"#);
        build(BROKEN, r#"ENTRYPOINT ["/no/such/program"]"#);
    });
    let desk = Desk::new();
    let instance = format!("test-{}", uuid::Uuid::new_v4());
    let config = DockerConfig { pull: Pull::Never, ..DockerConfig::new(instance) };
    Some(Containers { desk, runner: DockerRunner::connect(config.clone()), config })
}

fn build(image: &str, entrypoint: &str) {
    let mut docker = Command::new("docker")
        .args(["build", "--quiet", "-t", image, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let file = format!("FROM debian:bookworm-slim\n{entrypoint}\n");
    docker.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
    assert!(docker.wait().unwrap().success(), "{image} was not built");
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Containers {
    fn script(&self, number: u32, script: &str) -> Launch {
        Launch { image: IMAGE.to_owned(), ..self.desk.launch(number, script) }
    }

    /// Runs the script to its end, and returns what it printed.
    async fn run(&self, launch: &Launch) -> (ContainerStatus, String) {
        self.runner.launch(launch).await.unwrap();
        let status = ended(&self.runner, &launch.attempt).await;
        let log = self.runner.logs(&launch.attempt, 100_000).await.unwrap();
        (status, String::from_utf8(log).unwrap())
    }
}

/// Leaves no container behind, also when the test failed.
impl Drop for Containers {
    fn drop(&mut self) {
        let filter = format!("label=cloud-code.instance={}", self.config.instance);
        let Ok(found) = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output() else {
            return;
        };
        let ids = String::from_utf8_lossy(&found.stdout).into_owned();
        for id in ids.split_whitespace() {
            let _ = Command::new("docker").args(["rm", "-fv", id]).stdout(Stdio::null()).status();
        }
        let Ok(found) = Command::new("docker").args(["network", "ls", "-q", "--filter", &filter]).output()
        else {
            return;
        };
        for id in String::from_utf8_lossy(&found.stdout).split_whitespace() {
            let _ = Command::new("docker").args(["network", "rm", id]).stdout(Stdio::null()).status();
        }
    }
}

#[async_trait]
impl World for Containers {
    fn runner(&self) -> &dyn Runner {
        &self.runner
    }

    fn to_launch(&self, number: u32) -> Launch {
        self.script(number, OBEDIENT)
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
async fn docker_keeps_the_contract() {
    let Some(world) = containers() else { return };
    check(&world).await;
}

#[tokio::test]
async fn a_container_is_a_sandbox() {
    let Some(world) = containers() else { return };
    let objects = world.desk.path().join("objects");
    fs::create_dir(&objects).unwrap();
    fs::write(objects.join("pack"), "").unwrap();
    let mut launch = world.script(
        1,
        r#"
        try() { if "$@" 2>/dev/null; then echo "$1 $2: yes"; else echo "$1 $2: no"; fi; }
        echo "uid $(id -u)"
        grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status
        try touch /a; try touch /usr/a; try touch /workspace/a; try touch /objects/a; try touch /tmp/a; try touch "$HOME/a"
        try test -f /objects/pack
        printf '#!/bin/sh\n' >/tmp/run; chmod +x /tmp/run; try /tmp/run ''
        try test -e /var/run/docker.sock
        echo "pids $(cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null)"
        echo "home $HOME, in $PWD, files $(ulimit -n), core $(ulimit -c)"
        echo "secrets $CLOUD_CODE_SECRETS, $KEY"
        "#,
    );
    launch.objects = Some((objects, "/objects".into()));
    launch.secrets =
        vec![("KEY".to_owned(), SecretText::new("s3cret")), ("OTHER".to_owned(), SecretText::new("t"))];
    let (status, log) = world.run(&launch).await;
    assert_eq!(status, exited(0), "{log}");
    let uid = world.config.user.0;
    assert_ne!(uid, 0);
    let expected = [
        &format!("uid {uid}"),
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "touch /a: no",
        "touch /usr/a: no",
        "touch /workspace/a: yes",
        "touch /objects/a: no",
        "touch /tmp/a: yes",
        "touch /home/agent/a: yes",
        "test -f: yes",
        "/tmp/run : yes",
        "test -e: no",
        "pids 100",
        "home /home/agent, in /workspace, files 4096, core 0",
        "secrets KEY,OTHER, s3cret",
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);

    let format = "{{json .Config.Labels}} {{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Args}} {{json .Name}}";
    let shown = docker(&["inspect", "--format", format, &launch.attempt.name()]);
    assert!(!shown.contains("s3cret") && shown.contains(launch.attempt.run.as_str()), "{shown}");
    let format = "{{.HostConfig.Privileged}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} \
                  {{.HostConfig.RestartPolicy.Name}} {{.Config.StopSignal}}";
    let shown = docker(&["inspect", "--format", format, &launch.attempt.name()]);
    assert_eq!(shown, "false 268435456 268435456 1000000000 no SIGINT");
}

#[tokio::test]
async fn too_much_memory_is_said_so() {
    let Some(world) = containers() else { return };
    let mut launch = world.script(1, r#"x=aaaaaaaaaaaaaaaa; while :; do x="$x$x"; done"#);
    launch.limits.memory_bytes = 64 << 20;
    let (status, _) = world.run(&launch).await;
    assert!(
        matches!(status, ContainerStatus::Exited { code: Some(137), out_of_memory: true, .. }),
        "{status:?}"
    );
}

#[tokio::test]
async fn one_that_ignores_signals_is_killed() {
    let Some(world) = containers() else { return };
    let launch = world.script(1, "trap '' INT TERM; exec 3<>go; echo x >ready; while :; do read x <&3; done");
    world.runner.launch(&launch).await.unwrap();
    world.desk.ready(&launch.attempt).await;
    world.runner.stop(&launch.attempt, Duration::from_millis(50)).await.unwrap();
    assert_eq!(world.runner.status(&launch.attempt).await.unwrap(), exited(137));
}

#[tokio::test]
async fn signals_come_in_their_order() {
    let Some(world) = containers() else { return };
    // Says on SIGINT that it got it, and ends at SIGTERM.
    let script = "trap 'echo int' INT; trap 'echo term; exit 5' TERM; exec 3<>go; echo x >ready; while :; do read x <&3; done";
    let launch = world.script(1, script);
    world.runner.launch(&launch).await.unwrap();
    world.desk.ready(&launch.attempt).await;
    world.runner.stop(&launch.attempt, Duration::from_millis(300)).await.unwrap();
    assert_eq!(world.runner.status(&launch.attempt).await.unwrap(), exited(5));
    assert_eq!(world.runner.logs(&launch.attempt, 100).await.unwrap(), b"int\nterm\n");
}

#[tokio::test]
async fn a_paused_one_can_be_stopped() {
    let Some(world) = containers() else { return };
    let launch = world.script(1, "trap '' INT TERM; exec 3<>go; echo x >ready; read x <&3");
    world.runner.launch(&launch).await.unwrap();
    world.desk.ready(&launch.attempt).await;
    docker(&["pause", &launch.attempt.name()]);
    assert_eq!(world.runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Running);
    world.runner.stop(&launch.attempt, Duration::from_millis(50)).await.unwrap();
    assert_eq!(world.runner.status(&launch.attempt).await.unwrap(), exited(137));
}

#[tokio::test]
async fn one_that_was_made_but_not_started_is_started_or_goes() {
    let Some(world) = containers() else { return };
    // As a server leaves it that dies between the two.
    let make = |launch: &Launch| {
        let label = format!("cloud-code.instance={}", world.config.instance);
        let mount = format!("{}:/workspace", launch.workspace.display());
        let name = launch.attempt.name();
        docker(&[
            "create",
            "--name",
            &name,
            "--label",
            &label,
            "-v",
            &mount,
            "-w",
            "/workspace",
            "-e",
            "CLOUD_CODE_WORKSPACE=/workspace",
            IMAGE,
        ]);
    };
    let launch = world.to_launch(1);
    make(&launch);
    world.runner.launch(&launch).await.unwrap();
    world.ready(&launch.attempt).await;
    world.finish(&launch.attempt, 3).await;
    assert_eq!(ended(&world.runner, &launch.attempt).await, exited(3));

    let launch = world.to_launch(2);
    make(&launch);
    world.runner.stop(&launch.attempt, PATIENCE).await.unwrap();
    assert_eq!(world.runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Missing);
}

#[tokio::test]
async fn another_installations_container_is_left_alone() {
    let Some(world) = containers() else { return };
    let launch = world.to_launch(1);
    world.runner.launch(&launch).await.unwrap();
    world.ready(&launch.attempt).await;
    let other =
        DockerRunner::connect(DockerConfig { instance: "another".to_owned(), ..world.config.clone() });
    let refused = other.launch(&launch).await.unwrap_err();
    assert!(
        matches!(&refused, RunnerError::Refused(text) if text.contains(&world.config.instance)),
        "{refused}"
    );
    assert_eq!(other.status(&launch.attempt).await.unwrap(), ContainerStatus::Missing);
    other.stop(&launch.attempt, Duration::ZERO).await.unwrap();
    other.remove(&launch.attempt).await.unwrap();
    assert!(other.list().await.unwrap().iter().all(|listed| listed.attempt != launch.attempt));
    assert_eq!(world.runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Running);
}

#[tokio::test]
async fn images_that_cannot_work_are_said_so() {
    let Some(world) = containers() else { return };
    let mut launch = world.to_launch(1);
    launch.image = "cloud-code-agent-no-such-cli:latest".to_owned();
    assert!(!world.runner.has_image(&launch.image).await.unwrap());
    match world.runner.launch(&launch).await {
        Err(RunnerError::ImageMissing { hint, .. }) => {
            assert!(hint.contains("`scripts/build-agents.sh no-such-cli`"), "{hint}");
        }
        other => panic!("{other:?}"),
    }
    // A registry at which nobody answers.
    let pulling = DockerRunner::connect(DockerConfig { pull: Pull::IfMissing, ..world.config.clone() });
    launch.image = "127.0.0.1:9/none".to_owned();
    match pulling.launch(&launch).await {
        Err(RunnerError::ImageMissing { hint, .. }) => assert!(hint.contains("pulling it failed"), "{hint}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Missing);

    launch.image = BROKEN.to_owned();
    let refused = world.runner.launch(&launch).await.unwrap_err();
    assert!(
        !refused.may_heal() && refused.to_string().contains("again with scripts/build-agents.sh"),
        "{refused}"
    );
    match ended(&world.runner, &launch.attempt).await {
        ContainerStatus::Exited { code: Some(127), out_of_memory: false, detail: Some(detail) } => {
            assert!(detail.contains("/no/such/program"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_network_of_its_own_is_made() {
    let Some(world) = containers() else { return };
    let network = format!("cloud-code-test-{}", std::process::id());
    let config = DockerConfig { network: Some(network.clone()), ..world.config.clone() };
    let launch = world.to_launch(1);
    let (runner, again) = (DockerRunner::connect(config.clone()), DockerRunner::connect(config));
    runner.launch(&launch).await.unwrap();
    world.ready(&launch.attempt).await;
    again.launch(&world.to_launch(2)).await.unwrap();
    let shown = docker(&["network", "inspect", "--format", "{{.Driver}} {{json .Options}}", &network]);
    assert!(shown.starts_with("bridge") && shown.contains("enable_icc\":\"false"), "{shown}");
    for number in [1, 2] {
        runner.remove(&world.to_launch(number).attempt).await.unwrap();
    }
    docker(&["network", "rm", &network]);

    let host = DockerConfig { network: Some("host".to_owned()), ..world.config.clone() };
    let refused = DockerRunner::connect(host).launch(&world.to_launch(3)).await;
    assert!(matches!(refused, Err(RunnerError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_stopped_daemon_is_unreachable() {
    let desk = Desk::new();
    let (none, dead) = (desk.path().join("none.sock"), desk.path().join("dead.sock"));
    // A daemon that was killed leaves its socket behind.
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    for socket in [none, dead] {
        let host = Some(format!("unix://{}", socket.display()));
        let runner = DockerRunner::connect(DockerConfig { host, ..DockerConfig::new("test") });
        let launch = desk.launch(1, "exit 0");
        let errors = [
            runner.launch(&launch).await.map(drop),
            runner.status(&launch.attempt).await.map(drop),
            runner.stop(&launch.attempt, PATIENCE).await,
            runner.list().await.map(drop),
            runner.check().await.map(drop),
        ];
        for error in errors {
            match error {
                Err(RunnerError::Unreachable(text)) => {
                    assert!(text.contains("is the Docker daemon running?"), "{text}")
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
