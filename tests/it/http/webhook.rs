//! The webhook: what is taken, what is refused, and that nothing is taken twice or lost.

use super::world::{FullQueue, World, call, sign};
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const LIMIT: usize = 25 * 1024 * 1024;

/// What is refused leaves nothing in the queue.
async fn refused(what: &str, request: Request<Body>, expected: (u16, &str)) {
    let world = World::new();
    let answer = world.send(request).await;
    assert_eq!(answer.error(), (expected.0, expected.1.to_owned()), "{what}: {}", answer.body);
    assert!(world.deliveries().await.is_empty(), "{what}");
}

fn changed(change: impl FnOnce(&mut axum::http::HeaderMap)) -> Request<Body> {
    let mut request = call("d-1", "issues", "{}");
    change(request.headers_mut());
    request
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_calls() {
    let unauthorized = (401, "signature");
    let with = |value: &str| {
        let value = value.parse().unwrap();
        changed(move |headers| drop(headers.insert("x-hub-signature-256", value)))
    };
    let right = sign(b"{}");
    refused("none", changed(|headers| drop(headers.remove("x-hub-signature-256"))), unauthorized).await;
    refused("of another body", with(&sign(b"{ }")), unauthorized).await;
    refused(
        "last digit",
        with(&format!("{}{}", &right[..70], if right.ends_with('0') { '1' } else { '0' })),
        unauthorized,
    )
    .await;
    refused("of zeros", with(&format!("sha256={}", "0".repeat(64))), unauthorized).await;
    refused("without its name", with(&right[7..]), unauthorized).await;
    refused("sha1", with(&format!("sha1={}", "0".repeat(40))), unauthorized).await;
    refused("cut", with(&right[..69]), unauthorized).await;
    refused("empty", with(""), unauthorized).await;
    let old = changed(|headers| {
        headers.remove("x-hub-signature-256");
        headers.insert("x-hub-signature", "sha1=aaaa".parse().unwrap());
    });
    refused("the old header alone", old, unauthorized).await;
    let twice = changed(|headers| {
        headers.append("x-hub-signature-256", sign(b"{}").parse().unwrap());
    });
    refused("twice", twice, unauthorized).await;
    let latin = axum::http::HeaderValue::from_bytes(b"sha256=\xe4\xf6").unwrap();
    refused("no ASCII", changed(|headers| drop(headers.insert("x-hub-signature-256", latin))), unauthorized)
        .await;
}

#[tokio::test]
async fn signed_calls_that_make_no_sense() {
    let invalid = (400, "invalid_delivery");
    let without = |name: &'static str| changed(move |headers| drop(headers.remove(name)));
    refused("no event", without("x-github-event"), invalid).await;
    refused("no delivery", without("x-github-delivery"), invalid).await;
    refused("long delivery", call(&"d".repeat(129), "issues", "{}"), invalid).await;
    refused("empty delivery", call("", "issues", "{}"), invalid).await;
    refused("delivery with a space", call("d 1", "issues", "{}"), invalid).await;
    let bodies: [(&str, &[u8]); 12] = [
        ("empty", b""),
        ("text", b"hello"),
        ("cut", b"{\"action\": \"lab"),
        ("two", b"{}{}"),
        ("no UTF-8", b"{\"a\": \"\xff\xfe\"}"),
        ("lone surrogate", br#"{"a": "\ud800"}"#),
        ("beyond a number", b"{\"a\": 1e999}"),
        ("zero bytes", b"\0\0\0\0"),
        ("byte order mark", b"\xef\xbb\xbf{}"),
        ("array", b"[{}]"),
        ("null", b"null"),
        ("string", b"\"{}\""),
    ];
    for (what, body) in bodies {
        refused(what, call("d-1", "issues", body), invalid).await;
    }
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1");
    refused("nested without end", call("d-1", "issues", deep), invalid).await;
    let text = changed(|headers| drop(headers.insert("content-type", "text/plain".parse().unwrap())));
    refused("another content type", text, (415, "invalid_delivery")).await;
}

#[tokio::test]
async fn the_error_says_what_is_wrong_and_where() {
    let answer = World::new().send(call("d-1", "issues", "{\"a\": }")).await;
    insta::assert_snapshot!(answer.body, @r#"{"error":{"code":"invalid_delivery","message":"the payload is not valid JSON: expected value at line 1 column 7"}}"#);
}

#[tokio::test]
async fn a_delivery_is_queued_as_it_came() {
    let world = World::new();
    let body = "{ \"action\": \"labeled\",\n \"emoji\": \"\\ud83d\\ude00 ü 🦀\", \"big\": 12345678901234567890, \"a\": 1, \"a\": 2 }";
    let mut request = call("d-\"quoted\\", "issues", body);
    *request.uri_mut() = "/webhooks/github/".parse().unwrap();
    let answer = world.send(request).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (202, serde_json::json!({ "delivery": "d-\"quoted\\", "duplicate": false }))
    );
    let deliveries = world.deliveries().await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].id, "d-\"quoted\\");
    assert_eq!(deliveries[0].event, "issues");
    assert_eq!(deliveries[0].received_at, super::world::noon());
    assert_eq!(deliveries[0].payload.get(), body);
}

/// Unsigned callers who send much, and slowly, neither fill the memory nor keep ordinary deliveries waiting.
#[tokio::test]
async fn large_bodies_take_turns_and_small_ones_pass() {
    use futures::StreamExt;
    let world = World::new();
    let started = Arc::new(AtomicUsize::new(0));
    let (end, ended) = tokio::sync::watch::channel(false);
    let endless = || {
        let (started, mut ended) = (Arc::clone(&started), ended.clone());
        let pieces = futures::stream::iter((0..3).map(|_| Bytes::from(vec![b' '; 200 * 1024])))
            .inspect(move |_| {
                started.fetch_add(1, Ordering::SeqCst);
            })
            .chain(futures::stream::once(async move {
                ended.wait_for(|over| *over).await.unwrap();
                Bytes::from_static(b"{}")
            }));
        let body = Body::from_stream(pieces.map(Ok::<_, std::io::Error>));
        let mut request = call("d-large", "issues", "");
        *request.body_mut() = body;
        request.headers_mut().remove("content-length");
        request
    };
    let large: Vec<_> = (0..10).map(|_| world.send(endless())).collect();
    let large = futures::future::join_all(large);
    let small = async {
        let answer = world.send(call("d-small", "issues", "{}")).await;
        // Four are in their third piece; the others wait for a turn after their second.
        let read = started.load(Ordering::SeqCst);
        end.send(true).unwrap();
        (answer.status.as_u16(), read)
    };
    let (large, (small, read)) = futures::future::join(large, small).await;
    assert_eq!((small, read), (202, 4 * 3 + 6 * 2));
    assert!(large.iter().all(|answer| answer.status.as_u16() == 401));
}

#[tokio::test]
async fn a_form_is_signed_as_a_whole() {
    let world = World::new();
    let form = "payload=%7B%22title%22%3A+%22a%2Bb+%26+%C3%BC%22%7D";
    let request = |form: &'static str| {
        let mut request = call("d-1", "issues", form);
        request
            .headers_mut()
            .insert("content-type", "application/x-www-form-urlencoded; charset=utf-8".parse().unwrap());
        request
    };
    assert_eq!(world.send(request(form)).await.status, 202);
    assert_eq!(world.deliveries().await[0].payload.get(), "{\"title\": \"a+b & ü\"}");
    refused("no field", request("paylod=%7B%7D"), (400, "invalid_delivery")).await;
    refused("no JSON", request("payload=%7B"), (400, "invalid_delivery")).await;
}

#[tokio::test]
async fn a_ping_is_answered_and_not_queued() {
    let world = World::new();
    let answer = world.send(call("d-1", "ping", r#"{"zen": "…"}"#)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["pong"]), (200, &serde_json::Value::Bool(true)));
    assert!(world.deliveries().await.is_empty());
    refused(
        "an unsigned ping",
        {
            let mut request = call("d-1", "ping", "{}");
            request.headers_mut().remove("x-hub-signature-256");
            request
        },
        (401, "signature"),
    )
    .await;
}

#[tokio::test]
async fn sixty_four_copies_at_once_are_one() {
    let world = Arc::new(World::new());
    let copies = (0..64).map(|_| {
        let world = world.clone();
        tokio::spawn(async move { world.send(call("d-1", "issues", "{}")).await })
    });
    let mut fresh = 0;
    for answer in futures::future::join_all(copies).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 202);
        fresh += usize::from(answer.json()["duplicate"] == false);
    }
    assert_eq!((fresh, world.deliveries().await.len()), (1, 1));
}

#[tokio::test]
async fn a_full_disk_is_said_and_never_a_202() {
    let world = World::with(Vec::new(), Some(Arc::new(FullQueue)));
    let answer = world.send(call("d-1", "issues", "{}")).await;
    assert_eq!(answer.error(), (503, "unavailable".to_owned()));
    assert_eq!(answer.header("retry-after"), "10");
    assert!(!answer.body.contains("/secret/path"), "{}", answer.body);
}

#[tokio::test]
async fn the_largest_body_is_taken_and_one_byte_more_is_not() {
    let world = World::new();
    let sized = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
    assert_eq!(world.send(call("d-1", "issues", sized(LIMIT))).await.status, 202);
    assert_eq!(world.deliveries().await[0].payload.get().len(), LIMIT);
    refused("over the limit", call("d-2", "issues", sized(LIMIT + 1)), (413, "too_large")).await;
}

#[tokio::test]
async fn an_announced_length_is_refused_before_anything_is_read() {
    let read = Arc::new(AtomicUsize::new(0));
    let request = streaming(read.clone(), |headers| {
        headers.insert("content-length", (LIMIT + 1).to_string().parse().unwrap());
    });
    refused("announced", request, (413, "too_large")).await;
    assert_eq!(read.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_endless_body_is_cut_off_at_the_limit() {
    let read = Arc::new(AtomicUsize::new(0));
    refused("endless", streaming(read.clone(), |_| {}), (413, "too_large")).await;
    assert!(
        read.load(Ordering::SeqCst) <= LIMIT + 2 * PIECE,
        "{} bytes were read",
        read.load(Ordering::SeqCst)
    );
}

#[tokio::test]
async fn a_body_without_a_signature_is_not_read() {
    let read = Arc::new(AtomicUsize::new(0));
    refused(
        "unsigned",
        streaming(read.clone(), |headers| drop(headers.remove("x-hub-signature-256"))),
        (401, "signature"),
    )
    .await;
    assert_eq!(read.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off() {
    let pieces = [Ok(Bytes::from_static(b"{\"a\":")), Err(std::io::Error::other("reset"))];
    let mut request = call("d-1", "issues", "{}");
    *request.body_mut() = Body::from_stream(futures::stream::iter(pieces));
    refused("broken", request, (400, "invalid_request")).await;
}

const PIECE: usize = 64 * 1024;

/// A call whose body never ends, and the count of what was read of it.
fn streaming(read: Arc<AtomicUsize>, change: impl FnOnce(&mut axum::http::HeaderMap)) -> Request<Body> {
    let pieces = futures::stream::repeat_with(move || {
        read.fetch_add(PIECE, Ordering::SeqCst);
        Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; PIECE]))
    });
    let mut request = call("d-1", "issues", "{}");
    *request.body_mut() = Body::from_stream(pieces);
    change(request.headers_mut());
    request
}

#[tokio::test]
async fn outcomes_are_counted() {
    let world = World::new();
    let count = async |outcome: &str| {
        let text = world.get("/metrics").await.body;
        let name = format!("cloud_code_deliveries_total{{outcome=\"{outcome}\"}} ");
        text.lines()
            .find_map(|line| line.strip_prefix(&name))
            .map_or(0, |count| count.parse::<u64>().unwrap())
    };
    // Other tests count too: the recorder is the process's.
    let before = (count("duplicate").await, count("too_large").await);
    world.send(call("d-1", "issues", "{}")).await;
    world.send(call("d-1", "issues", "{}")).await;
    let mut large = call("d-1", "issues", "{}");
    large.headers_mut().insert("content-length", "99999999".parse().unwrap());
    world.send(large).await;
    assert!(count("duplicate").await > before.0);
    assert!(count("too_large").await > before.1);
}
