//! The API, health and metrics.

use super::world::{FullQueue, TOKEN, World, done, failed, queued, running};
use axum::body::Body;
use axum::http::Request;
use cloud_code::http::PartHealth;
use cloud_code::ports::{Artifact, Decision, SecretText, Store};
use cloud_code_model::run::{Input, step};
use serde_json::json;
use std::sync::Arc;

async fn with_authorization(world: &World, path: &str, value: Option<&str>) -> super::world::Answer {
    let mut request = Request::get(path);
    if let Some(value) = value {
        request = request.header("authorization", value);
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn only_a_token_opens_the_api() {
    let world = World::new();
    let run = queued("d-1", "t");
    world.keep(&run).await;
    let paths = [
        "/api/v1/runs".to_owned(),
        format!("/api/v1/runs/{}", run.id),
        format!("/api/v1/runs/{}/logs", run.id),
        format!("/api/v1/runs/{}/transcript", run.id),
        "/api/v1/decisions".to_owned(),
    ];
    let right = format!("Bearer {TOKEN}");
    let lower = format!("bearer {TOKEN}");
    let longer = format!("Bearer {TOKEN}x");
    let basic = "Basic bWU6dG9rZW4tb2Ytc2l4dGVlbi1sZXR0ZXJz";
    for path in &paths {
        for (value, open) in [
            (None, false),
            (Some("Bearer"), false),
            (Some("Bearer "), false),
            (Some("Bearer wrong"), false),
            (Some(longer.as_str()), false),
            (Some(basic), false),
            (Some(TOKEN), false),
            (Some(right.as_str()), true),
            (Some(lower.as_str()), true),
            (Some("Bearer another-token-of-ours"), true),
        ] {
            let answer = with_authorization(&world, path, value).await;
            assert_eq!(answer.status != 401, open, "{path} {value:?}: {}", answer.body);
            assert_eq!(answer.header("www-authenticate").starts_with("Bearer"), !open, "{path} {value:?}");
        }
    }
    let cancel = Request::post(format!("/api/v1/runs/{}/cancel", run.id)).header("authorization", basic);
    assert_eq!(world.send(cancel.body(Body::empty()).unwrap()).await.status, 401);
    assert!(world.store.load(&run.id).await.unwrap().unwrap().run.cancel.is_none());
}

#[tokio::test]
async fn without_a_token_the_api_says_which_variable_opens_it() {
    let world = World::with(Vec::new(), None);
    for path in ["/api/v1/runs", "/"] {
        let answer = with_authorization(&world, path, Some("Bearer ")).await;
        assert_eq!(answer.error(), (403, "no_token_configured".to_owned()));
        assert!(answer.body.contains("API_TOKENS"), "{}", answer.body);
    }
    for path in ["/healthz", "/metrics", "/readyz", "/api/v1/openapi.json", "/assets/style.css"] {
        assert_eq!(with_authorization(&world, path, None).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn empty_secrets_are_refused() {
    use cloud_code::http::{HttpParts, HttpState, StateError};
    let make = |secret: &str, token: &str| {
        let world = World::new();
        let parts = HttpParts {
            queue: world.queue.clone(),
            store: world.store.clone(),
            artifacts: world.artifacts.clone(),
            clock: Arc::new(cloud_code::ports::SystemClock),
            webhook_secret: SecretText::new(secret),
            api_tokens: vec![SecretText::new(token)],
            health: world.health.clone(),
            metrics: cloud_code::metrics::detached().unwrap(),
            canceller: Arc::new(Nobody),
            shutdown: Default::default(),
        };
        HttpState::new(parts).err()
    };
    assert_eq!(make("", "t"), Some(StateError::EmptyWebhookSecret));
    assert_eq!(make("s", ""), Some(StateError::EmptyToken));
    assert_eq!(make("s", "t"), None);
}

struct Nobody;

#[async_trait::async_trait]
impl cloud_code::http::Cancel for Nobody {
    async fn cancel(
        &self,
        _: &cloud_code_model::ids::RunId,
        _: &str,
        _: bool,
    ) -> Result<cloud_code::http::CancelOutcome, cloud_code::ports::StoreError> {
        Ok(cloud_code::http::CancelOutcome::NotFound)
    }

    async fn dispatch(
        &self,
        _: cloud_code::http::WorkflowDispatch,
    ) -> Result<cloud_code::http::DispatchOutcome, cloud_code::http::DispatchError> {
        Ok(cloud_code::http::DispatchOutcome::NotFound(String::new()))
    }

    async fn act(
        &self,
        _: &cloud_code_model::ids::RunId,
        _: cloud_code::http::Action,
        _: &str,
    ) -> Result<cloud_code::http::ActOutcome, cloud_code::ports::StoreError> {
        Ok(cloud_code::http::ActOutcome::NotFound)
    }
}

#[tokio::test]
async fn a_run_is_shown_without_what_is_inside() {
    let world = World::new();
    let run = done("d-1", "Totals are wrong");
    world.keep(&run).await;
    let answer = world.get(&format!("/api/v1/runs/{}", run.id)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let shown = answer.json();
    for (pointer, expected) in [
        ("/id", json!(run.id.as_str())),
        ("/repository", json!("acme/shop")),
        ("/status", json!("completed")),
        ("/conclusion", json!("success")),
        ("/usage/cost_usd", json!(0.42)),
        ("/publication/pull_request/number", json!(43)),
        ("/publication/insertions", json!(40)),
        ("/jobs/0/key", json!("implement")),
        ("/jobs/0/attempts/0/state", json!("done")),
        (
            "/jobs/0/attempts/0/steps/1",
            json!({ "name": "cargo test", "status": "completed", "conclusion": "success" }),
        ),
        ("/history/0/what", json!("queued by ada (issues labeled)")),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&expected), "{pointer} in {shown:#}");
    }
    let pending = shown["pending"].as_array().unwrap();
    let tell = pending.iter().find(|pending| pending["effect"] == "tell").unwrap();
    assert_eq!(
        (&tell["tries"], &tell["error"]),
        (&json!(1), &json!("the forge did not answer: <connection refused>"))
    );
    assert!(!answer.body.contains("secret-ish") && !answer.body.contains("installation"), "{}", answer.body);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let world = World::new();
    for number in 0..5 {
        world.keep(&queued(&format!("q-{number}"), "waiting")).await;
    }
    world.keep(&done("d-1", "over")).await;
    let list = async |query: &str| world.get(&format!("/api/v1/runs{query}")).await;
    assert_eq!(list("").await.json()["runs"].as_array().unwrap().len(), 6);
    assert_eq!(list("?status=completed").await.json()["runs"][0]["title"], "over");
    assert_eq!(list("?repository=acme/other").await.json()["runs"], json!([]));
    let mut seen = std::collections::BTreeSet::new();
    let mut query = "?limit=4".to_owned();
    loop {
        let page = list(&query).await.json();
        seen.extend(
            page["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        query = format!(
            "?limit=4&cursor={}",
            form_urlencoded::byte_serialize(next.as_bytes()).collect::<String>()
        );
    }
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn wrong_questions_are_answered_with_what_and_where() {
    let world = World::new();
    let run = queued("d-1", "t");
    world.keep(&run).await;
    for (path, status, part) in [
        ("/api/v1/runs?limit=0".to_owned(), 400, "limit must be 1 to 200"),
        ("/api/v1/runs?limit=201".to_owned(), 400, "limit must be 1 to 200"),
        ("/api/v1/runs?limit=x".to_owned(), 400, "limit: invalid digit"),
        ("/api/v1/runs?status=done".to_owned(), 400, "unknown variant `done`"),
        ("/api/v1/runs?repository=acme".to_owned(), 400, "owner/name"),
        ("/api/v1/runs?cursor=".to_owned(), 400, "cursor must be"),
        ("/api/v1/runs?statsu=queued".to_owned(), 400, "unknown field `statsu`"),
        ("/api/v1/decisions?limit=1000".to_owned(), 400, "limit must be 1 to 200"),
        ("/api/v1/runs/r-1".to_owned(), 404, "no such run"),
        ("/api/v1/runs/r-00000000000000000000".to_owned(), 404, "no run r-0"),
        ("/api/v1/runs/..%2f..%2fetc".to_owned(), 404, "no such run"),
        (format!("/api/v1/runs/{}/logs?job=x", run.id), 404, "its jobs: implement"),
        (format!("/api/v1/runs/{}/logs?attempt=2", run.id), 404, "attempts 1 to 1"),
        (format!("/api/v1/runs/{}/logs?offset=-1", run.id), 400, "offset: invalid digit"),
        (format!("/api/v1/runs/{}/transcript", run.id), 404, "no transcript"),
        ("/api/v2/runs".to_owned(), 404, "nothing at this path"),
        ("/webhooks/gitlab".to_owned(), 404, "nothing at this path"),
    ] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(
            answer.json()["error"]["message"].as_str().unwrap().contains(part),
            "{path}: {}",
            answer.body
        );
    }
    let answer = world.get("/webhooks/github").await;
    assert_eq!((answer.error(), answer.header("allow")), ((405, "method_not_allowed".to_owned()), "POST"));
    let large = Request::post("/api/v1/runs").header("content-length", "70000").body(Body::empty()).unwrap();
    assert_eq!(world.send(large).await.error(), (413, "too_large".to_owned()));
}

#[tokio::test]
async fn logs_are_paged_and_fall_back_to_the_containers() {
    let world = World::new();
    let at_work = running("d-1", "at work");
    world.keep(&at_work).await;
    let path = format!("/api/v1/runs/{}/logs", at_work.id);
    let empty = world.get(&path).await;
    assert_eq!((empty.status.as_u16(), empty.body.as_str(), empty.header("x-next-offset")), (200, "", "0"));
    world.write(&at_work, Artifact::Log, "<b>one</b>\ntwo\n".as_bytes()).await;
    let page = world.get(&path).await;
    assert_eq!((page.body.as_str(), page.header("x-next-offset")), ("<b>one</b>\ntwo\n", "15"));
    assert_eq!(
        (page.header("content-type"), page.header("x-log-complete")),
        ("text/plain; charset=utf-8", "false")
    );
    let rest = world.get(&format!("{path}?offset=11&job=implement&attempt=1")).await;
    assert_eq!((rest.body.as_str(), rest.header("x-next-offset")), ("two\n", "15"));

    let over = failed("d-2", "over", "the container ended");
    world.keep(&over).await;
    world.write(&over, Artifact::ContainerLog, b"exec format error\n").await;
    let page = world.get(&format!("/api/v1/runs/{}/logs", over.id)).await;
    assert_eq!((page.body.as_str(), page.header("x-log-complete")), ("exec format error\n", "true"));

    let large: Vec<u8> = (0..2_500_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    world.write(&over, Artifact::Transcript, &large).await;
    let transcript = world.get(&format!("/api/v1/runs/{}/transcript", over.id)).await;
    assert!(transcript.body.as_bytes() == large, "{} bytes", transcript.body.len());
    assert_eq!(transcript.header("content-type"), "application/x-ndjson");
}

#[tokio::test]
async fn a_followed_log_ends_with_the_attempt() {
    let world = Arc::new(World::new());
    let run = running("d-1", "at work");
    world.keep(&run).await;
    world.write(&run, Artifact::Log, b"one\n").await;
    let path = format!("/api/v1/runs/{}/logs?follow=true", run.id);
    let following = tokio::spawn({
        let world = world.clone();
        async move { world.get(&path).await.body }
    });
    world.write(&run, Artifact::Log, b"one\ntwo\n").await;
    let mut stored = world.store.load(&run.id).await.unwrap().unwrap();
    let refused = Input::ReportRefused { job: "implement".to_owned(), attempt: 1, reason: "bad".to_owned() };
    step(&mut stored.run, refused, super::world::noon());
    world.store.save(&stored.run, stored.version).await.unwrap();
    assert_eq!(following.await.unwrap(), "one\ntwo\n");
}

#[tokio::test]
async fn a_followed_log_ends_when_the_server_stops() {
    let world = World::new();
    let run = running("d-1", "at work");
    world.keep(&run).await;
    world.write(&run, Artifact::Log, b"one\n").await;
    world.shutdown.cancel();
    assert_eq!(world.get(&format!("/api/v1/runs/{}/logs?follow=true", run.id)).await.body, "one\n");
}

#[tokio::test]
async fn cancelling() {
    let world = World::new();
    let run = running("d-1", "at work");
    world.keep(&run).await;
    let over = done("d-2", "over");
    world.keep(&over).await;
    let cancel = async |id: &str| {
        let request = Request::post(format!("/api/v1/runs/{id}/cancel"))
            .header("authorization", format!("Bearer {TOKEN}"));
        world.send(request.body(Body::empty()).unwrap()).await
    };
    let answer = cancel(run.id.as_str()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["outcome"]), (202, &json!("accepted")));
    assert_eq!(world.store.load(&run.id).await.unwrap().unwrap().run.cancel.unwrap().by, "an API client");
    let answer = cancel(over.id.as_str()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["outcome"]), (200, &json!("already_over")));
    assert_eq!(cancel("r-00000000000000000000").await.error(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn decisions_are_listed() {
    let world = World::new();
    let decision = Decision {
        delivery: "d-1".to_owned(),
        at: super::world::noon(),
        event: "issues".to_owned(),
        repository: Some("acme/shop".to_owned()),
        subject: Some(42),
        actor: Some("mallory".to_owned()),
        outcome: "refused".to_owned(),
        reason: "mallory may not write here".to_owned(),
        runs: Vec::new(),
    };
    world.store.record(&decision).await.unwrap();
    insta::assert_snapshot!(world.get("/api/v1/decisions").await.body, @r#"{"decisions":[{"delivery":"d-1","at":"2026-11-23T12:00:00Z","event":"issues","repository":"acme/shop","subject":42,"actor":"mallory","outcome":"refused","reason":"mallory may not write here","runs":[]}]}"#);
}

#[tokio::test]
async fn health_names_the_part_that_is_down() {
    let world = World::new();
    assert_eq!(world.get("/healthz").await.body, "ok\n");
    let part = |name: &str, ok: bool, detail: &str| PartHealth {
        name: name.to_owned(),
        ok,
        detail: detail.to_owned(),
    };
    *world.health.0.lock().unwrap() =
        vec![part("store", true, "sqlite"), part("runner", true, "docker 20.10")];
    assert_eq!(world.get("/readyz").await.status, 200);
    *world.health.0.lock().unwrap() =
        vec![part("store", true, "sqlite"), part("runner", false, "docker is stopped")];
    let answer = world.get("/readyz").await;
    assert_eq!(answer.status, 503);
    insta::assert_snapshot!(answer.body, @r#"{"ready":false,"parts":[{"name":"store","ok":true,"detail":"sqlite"},{"name":"runner","ok":false,"detail":"docker is stopped"}]}"#);
}

#[tokio::test]
async fn metrics_are_there_also_when_the_queue_is_down() {
    let world = World::with(Vec::new(), Some(Arc::new(FullQueue)));
    let answer = world.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("# TYPE cloud_code_queue_depth gauge"), "{}", answer.body);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_an_id() {
    let world = World::new();
    for path in ["/", "/healthz", "/nowhere", "/api/v1/runs", "/webhooks/github"] {
        let answer = world.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(
            answer.header("content-security-policy").starts_with("default-src 'none'; style-src 'self'"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-request-id").len(), 32, "{path}");
    }
    let id = async |given: &str| {
        let request = Request::get("/healthz").header("x-request-id", given).body(Body::empty()).unwrap();
        world.send(request).await.header("x-request-id").to_owned()
    };
    assert_eq!(id("abc-1.2_3").await, "abc-1.2_3");
    for insane in ["", "a b", "<script>", &"a".repeat(65)] {
        assert_eq!(id(insane).await.len(), 32, "{insane}");
    }
}

/// `docs/openapi.json` is what people read; this keeps it true.
#[tokio::test]
async fn openapi_is_the_one_in_docs() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let now = cloud_code::http::openapi().unwrap();
    assert_eq!(World::new().get("/api/v1/openapi.json").await.body, now);
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "docs/openapi.json is not what the code says; renew it with UPDATE_OPENAPI=1 cargo test --test it openapi, \
         and look at its diff: a removed or renamed field breaks callers"
    );
}

#[tokio::test]
async fn workflows_are_started() {
    let world = World::new();
    let path = "/api/v1/repositories/acme/shop/dispatches";
    let ask = async |token: &str, kind: &str, body: &str| {
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", kind).body(Body::from(body.to_owned())).unwrap();
        world.send(request).await
    };
    let json = "application/json";
    for (token, kind, body, status, said) in [
        ("wrong", json, r#"{"workflow":"release.yml"}"#, 401, "none of the tokens"),
        (TOKEN, "text/plain", r#"{"workflow":"release.yml"}"#, 400, "Content-Type"),
        (TOKEN, json, "{", 400, "the body"),
        (TOKEN, json, r#"{"workflow":"release.yml","input":{}}"#, 400, "unknown field `input`"),
        (TOKEN, json, r#"{"workflow":"release.yml","inputs":[]}"#, 400, "inputs"),
        (TOKEN, json, r#"{"workflow":"release.yml"}"#, 409, "the input `version` is required"),
        (TOKEN, json, r#"{"workflow":"none.yml"}"#, 404, "there is no workflow `none.yml`"),
        (TOKEN, json, r#"{"workflow":"broken.yml"}"#, 503, "see the server's log"),
        (TOKEN, json, r#"{"workflow":"release.yml","inputs":{"version":1},"by":"ann"}"#, 201, "\"run\":\"r-"),
    ] {
        let answer = ask(token, kind, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(
            answer.body.contains(said) && !answer.body.contains("/secret/path"),
            "{body}: {}",
            answer.body
        );
    }
}
