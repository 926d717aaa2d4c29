//! TLS against a server whose certificate only `SSL_CERT_FILE` vouches for. The openssl program plays the server; since a
//! process reads that variable once, this test runs itself again as a child.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cloud_code_git::server::{Service, info_refs};
use cloud_code_git::{Remote, remote_ref};

use crate::harness::{World, git};

struct Stop(Child);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Serves the advertisement of a repository as a file, headers and all.
fn serve(dir: &Path, port: u16) -> Stop {
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let made = openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ])
    .status()
    .unwrap();
    assert!(made.success(), "openssl made no certificate");
    let accept = format!("127.0.0.1:{port}");
    Stop(
        openssl(&["s_server", "-accept", &accept, "-cert", "cert.pem", "-key", "key.pem", "-HTTP", "-quiet"])
            .spawn()
            .unwrap(),
    )
}

fn wait_for(port: u16) {
    let started = std::time::Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed().as_secs() < 10, "the TLS server did not start");
        std::thread::yield_now();
    }
}

#[test]
fn ssl_cert_file_is_honoured_and_strangers_are_not_trusted() {
    let world = World::with_shop();
    let dir = world.path("tls");
    fs::create_dir_all(dir.join("acme/shop.git/info")).unwrap();
    let body = info_refs(&world.forge("acme/shop.git"), Service::UploadPack).unwrap();
    let head = "HTTP/1.0 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n";
    let file = dir.join("acme/shop.git/info/refs?service=git-upload-pack");
    fs::write(file, [head.as_bytes(), &body].concat()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _server = serve(&dir, port);
    wait_for(port);
    let url = format!("https://localhost:{port}/acme/shop.git");

    let error = remote_ref(&Remote::new(url.clone()).unwrap(), "refs/heads/main").unwrap_err();
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");

    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::child", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", dir.join("cert.pem"))
        .env("TLS_TEST_URL", &url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(text.contains(&git(&world.work(), &["rev-parse", "HEAD"])), "{text}");
}

#[test]
#[ignore = "the child of the test above"]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn child() {
    // Without its parent there is nothing to ask.
    if let Ok(url) = std::env::var("TLS_TEST_URL") {
        println!("{:?}", remote_ref(&Remote::new(url).unwrap(), "refs/heads/main"));
    }
}
