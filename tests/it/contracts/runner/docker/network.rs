//! The way out of a container: seen from inside one, with the real proxy beside it. Needs the image cloud-code-agent-script
//! (scripts/build-agents.sh) and `CLOUD_CODE_TEST_DOCKER=1`.

use super::super::desk::{Desk, OBEDIENT};
use super::super::{PATIENCE, ended, exited};
use super::{Containers, containers, docker};
use cloud_code::adapters::vps::docker::{DockerConfig, DockerRunner};
use cloud_code::ports::{ContainerStatus, Launch, Network, Runner, RunnerError};
use cloud_code_model::network::AllowList;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Once;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The image of the `script` agent, whose entry point is the workspace's script.
const IMAGE: &str = "cloud-code-test-network:latest";

/// A server on all of this machine's addresses that answers this word.
async fn server(word: &'static str) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0)
                {}
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", word.len());
                let _ = stream.write_all(format!("{head}{word}").as_bytes()).await;
            });
        }
    });
    port
}

fn world() -> Option<Containers> {
    let mut world = containers()?;
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let prefix = std::env::var("CLOUD_CODE_TEST_IMAGES");
        let prefix = prefix.unwrap_or_else(|_| "cloud-code-agent-".to_owned());
        let file = format!("FROM {prefix}script:latest\nENTRYPOINT [\"sh\", \"/workspace/agent.sh\"]\n");
        let mut build = Command::new("docker")
            .args(["build", "--quiet", "-t", IMAGE, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        build.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
        assert!(build.wait().unwrap().success(), "build {prefix}script with scripts/build-agents.sh first");
    });
    world.config.extra_hosts = vec!["host.docker.internal:host-gateway".to_owned()];
    world.runner = DockerRunner::connect(world.config.clone());
    Some(world)
}

fn launch(desk: &Desk, number: u32, script: &str, network: Network) -> Launch {
    Launch { image: IMAGE.to_owned(), network, ..desk.launch(number, script) }
}

fn allowing(named: &[String], hosts: &[&str]) -> Network {
    let mut allow = AllowList::default();
    allow.add_operators(named).unwrap();
    allow.add_workflows(hosts).unwrap();
    Network::Restricted(allow)
}

/// This machine's address on the bridge, at which all of its services can be reached from an open container.
fn gateway() -> String {
    docker(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"])
}

/// Each try prints a line that says what became of it. The entry point here is none that opens the way out.
const TRIES: &str = r#"
[ -z "$CLOUD_CODE_PROXY" ] || cloud-code-agent relay "$CLOUD_CODE_PROXY" &
for n in $(seq 300); do python3 -c 'import socket; socket.create_connection(("cloud-code-proxy", 3128), 1)' 2>/dev/null && break; sleep 0.1; done
proxied() { curl -sS -m 15 -o /tmp/body -w "proxied $1: %{http_code} %{http_connect} " "$@" 2>/dev/null; head -n 1 /tmp/body 2>/dev/null; echo; rm -f /tmp/body; }
direct() { if curl -sS -m 5 --noproxy '*' -o /dev/null "$1" 2>/dev/null; then echo "direct $1: yes"; else echo "direct $1: no"; fi; }
name() { if timeout 20 getent hosts "$1" >/dev/null; then echo "name $1: yes"; else echo "name $1: no"; fi; }
# The question of a DNS tunnel, sent to a server itself.
query() { python3 -c '
import socket, sys
question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06secret\x06tunnel\x07example\x00\x00\x10\x00\x01"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(4)
try:
    s.sendto(question, (sys.argv[1], 53)); answer = s.recv(512)
    print(f"query {sys.argv[1]}: " + ("none" if answer[3] & 15 == 2 else "an answer"))
except OSError:
    print(f"query {sys.argv[1]}: none")
' "$1"; }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_container_reaches_what_is_allowed_and_nothing_else() {
    let Some(world) = world() else { return };
    let (good, bad) = (server("allowed").await, server("forbidden").await);
    let gateway = gateway();
    let script = format!(
        r#"{TRIES}
        proxied http://host.docker.internal:{good}/x
        proxied http://host.docker.internal:{good}/tunnel --proxytunnel
        proxied https://host.docker.internal:{good}/tls
        proxied http://host.docker.internal:{good}/header -H 'Host: evil.example'
        proxied http://host.docker.internal:{bad}/x
        proxied http://{gateway}:{good}/x
        proxied http://169.254.169.254/latest/meta-data/
        proxied http://evil.example/
        proxied https://evil.example/
        for host in {gateway} 169.254.169.254 8.8.8.8; do direct "http://$host:{good}/"; done
        direct "http://127.0.0.1:{good}/"
        for host in example.com host.docker.internal secret.tunnel.example cloud-code-proxy; do name $host; done
        for server in 127.0.0.11 127.0.0.53 8.8.8.8 {gateway}; do query $server; done
        echo "interfaces: $(ls /sys/class/net | tr '\n' ' ')"
        rm -f /run/cloud-code/proxy 2>/dev/null; touch /run/cloud-code/x 2>/dev/null; ls /run/cloud-code
        echo "six: $(grep -cv ' lo$' /proc/net/if_inet6 2>/dev/null || true)"
        echo blocked:
        curl -sS --noproxy '*' http://cloud-code-proxy:3128/cloud-code/blocked
        "#
    );
    let launch = launch(&world.desk, 1, &script, allowing(&[format!("host.docker.internal:{good}")], &[]));
    let (status, log) = world.run(&launch).await;
    assert_eq!(status, exited(0), "{log}");
    let starts = |begin: &str, rest: &str| {
        let found = log.split_once(begin).map(|(_, found)| found);
        assert!(
            found.is_some_and(|found| found.starts_with(rest)),
            "`{begin}` is not followed by `{rest}`:\n{log}"
        );
    };
    let allowed = format!("proxied http://host.docker.internal:{good}");
    starts(&format!("{allowed}/x: "), "200 000 allowed");
    starts(&format!("{allowed}/tunnel: "), "200 200 allowed");
    starts(&format!("{allowed}/header: "), "200 000 allowed");
    // The tunnel is there; that no TLS is spoken at its other end is not the proxy's business.
    starts(&format!("proxied https://host.docker.internal:{good}/tls: "), "000 200");
    starts(&format!("proxied http://host.docker.internal:{bad}/x: "), "403");
    starts(&format!("proxied http://{gateway}:{good}/x: "), "403");
    starts("proxied http://169.254.169.254/latest/meta-data/: ", "403");
    starts("proxied http://evil.example/: ", "403");
    starts("proxied https://evil.example/: ", "000 403");
    // Of all that was tried without the proxy, only its own name is known.
    starts("name cloud-code-proxy: ", "yes");
    assert_eq!((log.matches(": yes").count(), log.matches(": no").count()), (1, 11), "{log}");
    assert!(!log.contains("an answer") && !log.contains("forbidden"), "{log}");
    starts("six: ", "0");
    starts("interfaces: ", "lo \nproxy\nsix");
    let (_, blocked) = log.split_once("blocked:\n").unwrap();
    let expected = [
        format!("host.docker.internal:{bad}"),
        format!("{gateway}:{good}"),
        "169.254.169.254".to_owned(),
        "evil.example".to_owned(),
    ];
    assert_eq!(blocked.lines().collect::<Vec<_>>(), expected);

    let proxy = format!("{}-proxy", launch.attempt.name());
    let format = "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.Memory}} \
                  {{.HostConfig.Privileged}}{{range .Mounts}} {{.Type}} {{.Name}} {{.Destination}}{{end}}";
    let (uid, gid) = world.config.user;
    let shown = docker(&["inspect", "--format", format, &proxy]);
    let expected = format!("{uid}:{gid} true [ALL] 100663296 false volume {proxy} /run/cloud-code");
    assert_eq!(shown, expected);
    world.runner.remove(&launch.attempt).await.unwrap();
    assert!(world.nothing_left().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_none_and_open_is_open() {
    let Some(world) = world() else { return };
    let (port, gateway) = (server("open").await, gateway());
    let script = format!(
        "curl -sS -m 5 http://{gateway}:{port}/ 2>/dev/null || printf nothing\necho\nenv | grep -ci _proxy=\ntrue"
    );
    for (number, network, word) in [(1, Network::None, "nothing"), (2, Network::Open, "open")] {
        let launch = launch(&world.desk, number, &script, network);
        let (status, log) = world.run(&launch).await;
        assert_eq!((status, log.lines().collect::<Vec<_>>()), (exited(0), vec![word, "0"]));
        world.runner.remove(&launch.attempt).await.unwrap();
    }
    assert!(world.nothing_left().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_attempt_is_one_thing() {
    let Some(world) = world() else { return };
    let (runner, launch) = (&world.runner, launch(&world.desk, 1, OBEDIENT, allowing(&[], &[])));
    let id = &launch.attempt;
    // Several launches at once find the same volume, proxy and container; one that came in between may have to try again.
    let launches = futures::future::join_all((0..4).map(|_| runner.launch(&launch))).await;
    for error in launches.into_iter().filter_map(Result::err) {
        assert!(error.may_heal(), "{error}");
    }
    runner.launch(&launch).await.unwrap();
    world.desk.ready(id).await;
    assert_eq!((world.desk.starts(id), world.parts()), (1, (2, 1)));
    let listed = runner.list().await.unwrap();
    let listed: Vec<_> = listed.iter().map(|listed| (&listed.attempt, listed.running)).collect();
    assert_eq!(listed, [(id, true)]);

    // Another installation removes nothing of it, and stopping leaves nothing that runs.
    let other =
        DockerRunner::connect(DockerConfig { instance: "another".to_owned(), ..world.config.clone() });
    other.remove(id).await.unwrap();
    assert_eq!(world.parts(), (2, 1));
    runner.stop(id, PATIENCE).await.unwrap();
    assert_eq!(runner.status(id).await.unwrap(), exited(130));
    assert_eq!(world.parts(), (1, 1), "the proxy outlived the attempt");
    runner.remove(id).await.unwrap();
    assert!(world.nothing_left().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_is_found_or_gone_on_with() {
    let Some(world) = world() else { return };
    let runner = &world.runner;
    // Proxy and volume are left, or the volume alone: the attempt is listed, and removed as a whole.
    for (number, with_proxy) in [(1, true), (2, false)] {
        let launch = launch(&world.desk, number, OBEDIENT, allowing(&[], &[]));
        runner.launch(&launch).await.unwrap();
        world.desk.ready(&launch.attempt).await;
        let name = launch.attempt.name();
        docker(&["rm", "-fv", &name]);
        if !with_proxy {
            docker(&["rm", "-fv", &format!("{name}-proxy")]);
        }
        assert_eq!(runner.status(&launch.attempt).await.unwrap(), ContainerStatus::Missing);
        let listed = runner.list().await.unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!((&listed[0].attempt, listed[0].running), (&launch.attempt, false));
        assert!(listed[0].created_at.as_second() > 1_600_000_000, "{listed:?}");
        runner.remove(&launch.attempt).await.unwrap();
        assert!(world.nothing_left().await);
    }
    // A launch that was torn off after the volume, or after the proxy was made, is gone on with.
    for (number, with_proxy) in [(3, false), (4, true)] {
        let launch = launch(&world.desk, number, OBEDIENT, allowing(&[], &[]));
        let name = launch.attempt.name();
        let instance = format!("cloud-code.instance={}", world.config.instance);
        let proxy = format!("{name}-proxy");
        docker(&["volume", "create", "--label", &instance, &proxy]);
        if with_proxy {
            let program = ["--entrypoint", "sleep", IMAGE, "600"];
            let labels = ["--label", &instance, "--label", "cloud-code.part=proxy"];
            docker(&[["create", "--name", &proxy].as_slice(), &labels, &program].concat());
        }
        runner.launch(&launch).await.unwrap();
        world.desk.ready(&launch.attempt).await;
        assert_eq!(world.parts(), (2, 1));
        runner.remove(&launch.attempt).await.unwrap();
        assert!(world.nothing_left().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_volume_is_left_alone() {
    let Some(world) = world() else { return };
    let launch = launch(&world.desk, 1, OBEDIENT, allowing(&[], &[]));
    let name = format!("{}-proxy", launch.attempt.name());
    docker(&["volume", "create", &name]);
    let refused = world.runner.launch(&launch).await;
    world.runner.remove(&launch.attempt).await.unwrap();
    docker(&["volume", "rm", &name]);
    match refused {
        Err(RunnerError::Refused(text)) => {
            assert!(text.contains(&format!("docker volume rm {name}")), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_dies_comes_back() {
    let Some(world) = world() else { return };
    let port = server("allowed").await;
    let url = format!("http://host.docker.internal:{port}/");
    let script = format!(
        "cloud-code-agent relay \"$CLOUD_CODE_PROXY\" &\nexec 3<>go; echo up >ready; read x <&3\nfor n in $(seq 200); do curl -sS -m 5 {url} && exit 0; sleep 0.1; done\nexit 1"
    );
    let allow = allowing(&[format!("host.docker.internal:{port}")], &[]);
    let launch = launch(&world.desk, 1, &script, allow);
    world.runner.launch(&launch).await.unwrap();
    world.desk.ready(&launch.attempt).await;
    let proxy = format!("{}-proxy", launch.attempt.name());
    let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &proxy]).parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    world.desk.go(&launch.attempt, "go").await;
    assert_eq!(ended(&world.runner, &launch.attempt).await, exited(0));
    assert_ne!(docker(&["inspect", "--format", "{{.RestartCount}}", &proxy]), "0");
    world.runner.remove(&launch.attempt).await.unwrap();
    assert!(world.nothing_left().await);
}

impl Containers {
    /// How many containers and volumes of this world there are.
    fn parts(&self) -> (usize, usize) {
        let filter = format!("label=cloud-code.instance={}", self.config.instance);
        let count =
            |list: &[&str]| docker(&[list, &["--quiet", "--filter", &filter]].concat()).lines().count();
        (count(&["ps", "--all"]), count(&["volume", "ls"]))
    }

    async fn nothing_left(&self) -> bool {
        self.parts() == (0, 0) && self.runner.list().await.unwrap().is_empty()
    }
}
