//! Calls that GitHub made in vain.

use super::{Hub, kind};
use axum::http::StatusCode;
use cloud_code::ports::{FailedDelivery, Forge as _};
use cloud_code_forge::{Fault, Matcher, Webhook};
use jiff::Timestamp;
use std::time::Duration;

const NOBODY: &str = "http://127.0.0.1:1/";

impl Hub {
    fn call(&self, url: &str) {
        self.forge.set_webhook(Some(Webhook { url: url.to_owned(), secret: "s".to_owned() }));
    }

    async fn failed(&self) -> Vec<FailedDelivery> {
        self.forge.await_deliveries().await.unwrap();
        let mut failed = self.adapter.failed_deliveries(Timestamp::MIN).await.unwrap();
        failed.retain(|failed| failed.event != "ping");
        failed
    }
}

/// Takes every call.
async fn receiver() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(async || StatusCode::ACCEPTED);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test]
async fn deliveries_that_failed_are_listed_until_one_call_arrives() {
    let hub = Hub::start().await;
    assert!(hub.adapter.remembers_deliveries());
    assert_eq!(hub.failed().await, []);
    hub.call(NOBODY);
    hub.issue();
    let [first] = hub.failed().await.try_into().unwrap();
    assert_eq!((first.event.as_str(), first.tries), ("issues", 1));
    assert!(hub.adapter.failed_deliveries(first.last_at + Duration::from_secs(5)).await.unwrap().is_empty());

    hub.adapter.redeliver(first.call).await.unwrap();
    let [second] = hub.failed().await.try_into().unwrap();
    assert_eq!((&second.id, second.tries), (&first.id, 2));
    assert!(second.call > first.call && second.last_at >= first.last_at, "{second:?}");

    hub.call(&receiver().await);
    hub.adapter.redeliver(second.call).await.unwrap();
    assert_eq!(hub.failed().await, [], "it has arrived, whatever failed before");
    let error = hub.adapter.redeliver(1).await.unwrap_err();
    assert_eq!(kind(&error), "not found", "{error}");
}

#[tokio::test]
async fn failed_deliveries_are_read_over_pages() {
    let hub = Hub::start().await;
    hub.call(NOBODY);
    for _ in 0..130 {
        hub.issue();
    }
    assert_eq!(hub.failed().await.len(), 130);
    let asked = hub.requests("GET", "/app/hook/deliveries");
    assert_eq!(asked.len(), 3, "two pages of failures, none that arrived");
    assert!(asked[1].query.contains("status=failure&cursor="), "{}", asked[1].query);
}

#[tokio::test]
async fn a_forge_that_is_asked_too_much_is_left_alone() {
    let hub = Hub::start().await;
    let hour = Fault::RateLimited { retry_after: Duration::from_secs(3600) };
    hub.forge.fail_next(Matcher::new("GET", "/app/hook/deliveries"), hour, 1);
    for _ in 0..3 {
        let error = hub.adapter.failed_deliveries(Timestamp::MIN).await.unwrap_err();
        assert_eq!(kind(&error), "rate limited", "{error}");
    }
    assert_eq!(hub.requests("GET", "/app/hook/deliveries").len(), 1);
    hub.forge.advance(Duration::from_secs(3601));
    assert_eq!(hub.failed().await, []);
}
