//! A proxy on loopback, asked as a job would ask it.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::net::SocketAddr;
use tokio::net::TcpListener;

const PLENTY: Limits =
    Limits { connections: 10, head: Duration::from_secs(20), idle: Duration::from_secs(20) };

/// A host that answers each connection with what it got, up to the end of a head.
async fn host() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut got = Vec::new();
                while !got.ends_with(b"\r\n\r\n") && stream.read_buf(&mut got).await.unwrap() > 0 {}
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", got.len());
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&got).await.unwrap();
            });
        }
    });
    address
}

/// What the proxy answers to these requests, one after the other, each on a connection of its own.
async fn ask(allow: AllowList, requests: Vec<String>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let proxy = dir.path().join("proxy");
    let listener = UnixListener::bind(&proxy).unwrap();
    let asking = async {
        let mut answers = Vec::new();
        for request in requests {
            let mut stream = UnixStream::connect(&proxy).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
            answers.push(String::from_utf8(answer).unwrap());
        }
        answers
    };
    tokio::select! {
        answers = asking => answers,
        never = serve(listener, allow, PLENTY) => match never {},
    }
}

fn named(host: SocketAddr) -> AllowList {
    AllowList { named: vec![host.to_string().parse().unwrap()], ..AllowList::default() }
}

#[tokio::test]
async fn what_is_allowed_goes_through_and_nothing_else() {
    let host = host().await;
    let mut allow = named(host);
    // Its address is loopback, which a name never reaches.
    allow.add_operators([format!("localhost:{}", host.port())]).unwrap();
    let answers = ask(
        allow,
        vec![
            format!("CONNECT {host} HTTP/1.1\r\n\r\nping\r\n\r\n"),
            format!("GET http://{host}/x HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            "CONNECT evil.example:443 HTTP/1.1\r\n\r\n".to_owned(),
            "GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\n\r\n".to_owned(),
            format!("CONNECT localhost:{} HTTP/1.1\r\n\r\n", host.port()),
            "CONNECT evil.example:443 HTTP/1.1\r\n\r\n".to_owned(),
            "GET /else HTTP/1.1\r\n\r\n".to_owned(),
            format!("GET {BLOCKED_PATH} HTTP/1.1\r\n\r\n"),
        ],
    )
    .await;
    assert!(
        answers[0].starts_with("HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK"),
        "{}",
        answers[0]
    );
    assert!(answers[0].ends_with("ping\r\n\r\n"), "{}", answers[0]);
    assert!(answers[1].contains("GET /x HTTP/1.1\r\n") && !answers[1].contains("evil"), "{}", answers[1]);
    for (answer, words) in
        answers[2..6].iter().zip(["not among the hosts", "not among", "private address", "not among"])
    {
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains(words), "{answer}");
    }
    assert!(answers[6].starts_with("HTTP/1.1 404 "), "{}", answers[6]);
    let expected = format!("\r\n\r\nevil.example\n169.254.169.254\nlocalhost:{}\n", host.port());
    assert!(answers[7].ends_with(&expected), "{}", answers[7]);
}

#[tokio::test]
async fn heads_have_an_end() {
    let long = format!("GET http://a/ HTTP/1.1\r\nA: {}", "x".repeat(MAX_HEAD + 1));
    let answers = ask(AllowList::default(), vec![long, "\u{16}\u{3}\u{1}\r\n\r\n".to_owned()]).await;
    assert!(answers[0].starts_with("HTTP/1.1 431 "), "{}", answers[0]);
    assert!(answers[1].starts_with("HTTP/1.1 400 "), "{}", answers[1]);
}

#[tokio::test]
async fn a_host_that_is_gone_is_told() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answers = ask(named(gone), vec![format!("CONNECT {gone} HTTP/1.1\r\n\r\n")]).await;
    assert!(
        answers[0].starts_with("HTTP/1.1 502 ") && answers[0].contains("does not answer"),
        "{}",
        answers[0]
    );
}

#[tokio::test]
async fn one_connection_too_many_waits_and_a_silent_one_ends() {
    let host = host().await;
    let dir = tempfile::tempdir().unwrap();
    let proxy = dir.path().join("proxy");
    let listener = UnixListener::bind(&proxy).unwrap();
    let short = Duration::from_millis(300);
    let asking = async {
        // It says nothing, and holds the only place until its time is over.
        let mut silent = UnixStream::connect(&proxy).await.unwrap();
        let mut second = UnixStream::connect(&proxy).await.unwrap();
        second.write_all(format!("CONNECT {host} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        let begun = Instant::now();
        let mut answer = [0; 12];
        second.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert!(begun.elapsed() >= short, "{:?}", begun.elapsed());
        assert_eq!(silent.read(&mut answer).await.unwrap(), 0);
        // A tunnel through which nothing goes.
        let mut rest = Vec::new();
        second.read_to_end(&mut rest).await.unwrap();
        assert!(begun.elapsed() >= short * 2, "{:?}", begun.elapsed());
    };
    tokio::select! {
        () = asking => {}
        never = serve(listener, named(host), Limits { connections: 1, head: short, idle: short }) => match never {},
    }
}

#[tokio::test]
async fn what_goes_through_takes_no_memory() {
    // A hundred megabytes each way, byte for byte; the proxy holds two buffers.
    const SIZE: usize = 100 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut from, mut to) = stream.into_split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
    });
    let dir = tempfile::tempdir().unwrap();
    let proxy = dir.path().join("proxy");
    let listener = UnixListener::bind(&proxy).unwrap();
    let asking = async {
        let mut stream = UnixStream::connect(&proxy).await.unwrap();
        stream.write_all(format!("CONNECT {host} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 39];
        stream.read_exact(&mut answer).await.unwrap();
        let (mut from, mut to) = stream.into_split();
        let sent = async {
            let chunk: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
            for _ in 0..SIZE / chunk.len() {
                to.write_all(&chunk).await.unwrap();
            }
            to.shutdown().await.unwrap();
        };
        let received = async {
            let (mut total, mut buffer) = (0, vec![0; 64 * 1024]);
            loop {
                let read = from.read(&mut buffer).await.unwrap();
                if read == 0 {
                    return total;
                }
                assert!(buffer[..read].iter().enumerate().all(|(at, byte)| *byte == (total + at) as u8));
                total += read;
            }
        };
        let ((), total) = tokio::join!(sent, received);
        assert_eq!(total, SIZE);
    };
    tokio::select! {
        () = asking => {}
        never = serve(listener, named(host), PLENTY) => match never {},
    }
}
