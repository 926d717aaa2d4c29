//! API Gateway, before the webhook and the console.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::Response;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, LambdaEvent, Service};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What API Gateway does: makes an event of each request, and a response of the function's answer.
pub(super) async fn gateway(webhook: axum::Router, console: axum::Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let functions = Arc::new((webhook, console));
    let app = axum::Router::new().fallback(move |request: Request| {
        let functions = Arc::clone(&functions);
        async move {
            let path = request.uri().path().to_owned();
            let router = if path.starts_with("/webhooks/github") { &functions.0 } else { &functions.1 };
            // The adapter's future stays on one thread.
            let (router, runtime) = (router.clone(), tokio::runtime::Handle::current());
            let answered = tokio::task::spawn_blocking(move || runtime.block_on(answer(router, request)));
            answered.await.unwrap()
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn answer(router: axum::Router, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 32 << 20).await.unwrap();
    let headers: BTreeMap<&str, &str> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    // https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.uri.path(),
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "http": {
                "method": parts.method.as_str(),
                "path": parts.uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "test",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "23/Nov/2026:00:00:00 +0000",
            "timeEpoch": 0,
        },
        "body": String::from_utf8(body.to_vec()).unwrap(),
        "isBase64Encoded": false,
    });
    let event: LambdaRequest = serde_json::from_value(event).unwrap();
    let mut adapter = Adapter::from(router);
    let answered = adapter.call(LambdaEvent::new(event, lambda_http::Context::default())).await.unwrap();
    let answered = serde_json::to_value(answered).unwrap();
    let mut response =
        Response::builder().status(u16::try_from(answered["statusCode"].as_u64().unwrap()).unwrap());
    for (name, value) in answered["headers"].as_object().into_iter().flatten() {
        response = response.header(name, value.as_str().unwrap());
    }
    response.body(answered["body"].as_str().unwrap_or_default().to_owned().into()).unwrap()
}
