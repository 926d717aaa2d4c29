//! What a container reaches when its network is restricted, tried from inside of it, with this machine as the outside.
//! Needs the image cloud-code-agent-script and `CLOUD_CODE_TEST_DOCKER=1`.

use super::containers::{docker_world, wanted};
use super::world::{PATIENCE, REPOSITORY, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server on this machine that says hello to everybody; its port.
async fn hello() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
                let _ = stream.write_all(answer).await;
            });
        }
    });
    port
}

/// Runs the world's one issue to its end: what its pull request changes, and its log.
async fn seen(world: &mut World) -> (String, String) {
    world.set("DOCKER_EXTRA_HOSTS", "host.docker.internal:host-gateway");
    world.start().await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:done").await;
    let run = world.exactly_one_pull(number).await;
    let pull = &world.forge.pulls(REPOSITORY).unwrap()[0];
    let diff = world.forge.pull_diff(REPOSITORY, pull.number).unwrap();
    let (_, log) = world.api("GET", &format!("/api/v1/runs/{}/logs?job=implement&attempt=1", run.id)).await;
    world.terminate(PATIENCE).await;
    (diff, log)
}

const TRY: &str = r#"try() { name=$1; shift; if out=$(timeout 10 "$@" 2>&1); then echo "$name: yes $out"; else echo "$name: no"; fi >> seen.txt; }"#;

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_allowed_is_reached() {
    if !wanted() {
        return;
    }
    let (allowed, other) = (hello().await, hello().await);
    let gateway = "host.docker.internal";
    let script = format!(
        r#"{TRY}
        try allowed curl -sf http://{gateway}:{allowed}/
        try tunnel curl -sfp http://{gateway}:{allowed}/
        try port curl -sf http://{gateway}:{other}/
        try name curl -sf https://example.com/
        try address curl -sf http://1.1.1.1/
        try metadata curl -sf http://169.254.169.254/latest/meta-data/
        try direct curl -sf --noproxy '*' http://{gateway}:{allowed}/
        try raw bash -c ': </dev/tcp/172.17.0.1/{other}'
        try resolver bash -c ': </dev/tcp/127.0.0.11/53'
        try dns getent hosts example.com
        try interfaces sh -c 'ls /sys/class/net | grep -v lo'
        "#
    );
    let mut world = docker_world(&script).await;
    world.set("NETWORK_ALLOW", &format!("@packages,{gateway}:{allowed}"));
    let (diff, log) = seen(&mut world).await;
    for line in [
        "+allowed: yes hello",
        "+tunnel: yes hello",
        "+port: no",
        "+name: no",
        "+address: no",
        "+metadata: no",
        "+direct: no",
        "+raw: no",
        "+resolver: no",
        "+dns: no",
        "+interfaces: no",
    ] {
        assert!(diff.contains(line), "{line}:\n{diff}");
    }
    // What was refused is told once each.
    let refused = format!("1.1.1.1:80, 169.254.169.254:80, example.com:443, {gateway}:{other}");
    assert_eq!(log.matches(&refused).count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_nothing_is_reached() {
    if !wanted() {
        return;
    }
    let port = hello().await;
    let script = format!(
        "{TRY}\n        try proxy curl -sf http://host.docker.internal:{port}/\n        try variables sh -c 'env | grep -i _proxy'"
    );
    let mut world = docker_world(&script).await;
    world.set("NETWORK", "none");
    let (diff, _) = seen(&mut world).await;
    assert!(diff.contains("+proxy: no") && diff.contains("+variables: no"), "{diff}");
}
