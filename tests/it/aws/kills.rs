//! Functions that are killed: just before and just after each call that they make, to AWS or to GitHub.

use super::stack::{SHOP, Stack, WEBHOOK_SECRET};
use super::world::Aws;
use crate::harness::Workflow;
use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use axum::body::Body;
use axum::extract::Request;
use cloud_code::adapters::aws::sqs::SqsQueue;
use cloud_code::adapters::memory::ManualClock;
use cloud_code::entry::lambda::{BatchResponse, Failure, Lanes, QueueEvent, Reporter, Sweeper};
use cloud_code::ports::{Clock, Lane, Queue};
use cloud_code_forge::{Forge, Matcher, When, signature};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tower::ServiceExt;

/// Counts a function's calls to AWS, and holds one of them for ever.
#[derive(Debug, Clone)]
struct Hold {
    inner: SharedHttpClient,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    made: Mutex<usize>,
    at: Mutex<Option<(usize, When)>>,
    reached: Notify,
}

impl Hold {
    /// Between a function and these connections; nothing is held yet.
    fn on(aws: &Aws) -> (Self, Aws) {
        let inner = aws.config.http_client().expect("all clients share their connections");
        let hold = Self { inner, state: Arc::default() };
        (hold.clone(), aws.by(SharedHttpClient::new(hold)))
    }

    /// Holds the call that comes after so many from now on, before or after its effect.
    fn at(&self, at: Option<(usize, When)>) {
        *self.state.made.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        *self.state.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    async fn reached(&self) {
        self.state.reached.notified().await;
    }
}

impl HttpClient for Hold {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Held { inner, state: Arc::clone(&self.state) })
    }
}

#[derive(Debug)]
struct Held {
    inner: SharedHttpConnector,
    state: Arc<State>,
}

impl HttpConnector for Held {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let number = {
            let mut made = self.state.made.lock().unwrap_or_else(PoisonError::into_inner);
            *made += 1;
            *made - 1
        };
        let at = *self.state.at.lock().unwrap_or_else(PoisonError::into_inner);
        let (inner, state) = (self.inner.clone(), Arc::clone(&self.state));
        HttpConnectorFuture::new(async move {
            if at == Some((number, When::Before)) {
                state.reached.notify_one();
                pending::<()>().await;
            }
            let answer = inner.call(request).await;
            if at == Some((number, When::After)) {
                state.reached.notify_one();
                pending::<()>().await;
            }
            answer
        })
    }
}

/// Where a life ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Aws(usize, When),
    GitHub(usize, When),
}

/// The lives of one function, each of which ends a little later than the one before, until one lives to the end of its work. Before a
/// life may make another call to AWS, lives have ended at all that it asked of GitHub by then.
#[derive(Debug)]
struct Lives {
    end: End,
    aws: usize,
    github: usize,
    /// Requests to GitHub until the latest end at a call to AWS.
    asked: usize,
    kills: Kills,
}

#[derive(Debug, Default, Clone, Copy)]
struct Kills {
    aws: usize,
    github: usize,
}

impl Default for Lives {
    fn default() -> Self {
        Self { end: End::Aws(0, When::Before), aws: 0, github: 0, asked: 0, kills: Kills::default() }
    }
}

impl Lives {
    /// Lives once; `None` where that ended before the work did.
    async fn live<T>(&mut self, forge: &Forge, hold: &Hold, work: impl Future<Output = T>) -> Option<T> {
        let before = forge.requests().len();
        let mut pause = None;
        match self.end {
            End::Aws(number, when) => hold.at(Some((number, when))),
            End::GitHub(number, when) => {
                hold.at(None);
                pause = Some(forge.pause_at(Matcher::any("*"), number, when));
            }
        }
        let at_github = async {
            match &mut pause {
                Some(pause) => pause.reached().await,
                None => pending().await,
            }
        };
        let done = tokio::select! {
            done = work => Some(done),
            () = hold.reached() => None,
            () = at_github => None,
        };
        drop(pause);
        self.goes_on(done.is_none(), forge.requests().len() - before);
        done
    }

    /// The next life's end, after one with so many requests to GitHub.
    fn goes_on(&mut self, killed: bool, asked: usize) {
        if !killed {
            *self = Self { kills: self.kills, ..Self::default() };
            return;
        }
        match self.end {
            End::Aws(..) => self.kills.aws += 1,
            End::GitHub(..) => self.kills.github += 1,
        }
        match self.end {
            End::Aws(number, When::Before) => return self.end = End::Aws(number, When::After),
            End::GitHub(number, When::Before) => return self.end = End::GitHub(number, When::After),
            End::Aws(_, When::After) => self.asked = asked,
            End::GitHub(_, When::After) => self.github += 1,
        }
        self.end = if self.github < self.asked {
            End::GitHub(self.github, When::Before)
        } else {
            self.aws += 1;
            End::Aws(self.aws, When::Before)
        };
    }
}

/// What Lambda makes of a function that died: all of its batch stays.
fn all_stay(event: &QueueEvent) -> BatchResponse {
    let failure = |name: &String| Failure { item_identifier: name.clone() };
    BatchResponse {
        batch_item_failures: event.records.iter().map(|record| failure(&record.message_id)).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn functions_that_are_killed_at_every_call_lose_nothing() {
    let text = Workflow::script("echo hello > greeting.txt").job("timeout-minutes: 600").text();
    let clock = Arc::new(ManualClock::new(Timestamp::now()));
    let files = [(".cloud-code/implement.yml", text.as_str())];
    let patient = [("LEASE_SECONDS", "86400")];
    let time = Arc::clone(&clock) as Arc<dyn Clock>;
    let Some(stack) = Stack::deploy_with(&files, &patient, time).await else { return };
    let issue = stack.forge.open_issue(SHOP, "ann", "Add a greeting", "Say hello.").unwrap();
    stack.forge.label_issue(SHOP, "ann", issue, "cloud-code").unwrap();

    let lives = tokio::sync::Mutex::new(<[Lives; 5]>::default());
    let look = async |stack: &Stack| {
        let [deliveries, launches, reports, runs, sweeps] = &mut *lives.lock().await;
        let (hold, aws) = Hold::on(&stack.aws);
        for (queue, lives) in [("deliveries", deliveries), ("launches", launches)] {
            let lanes = Lanes::new(stack.another("Dispatcher", &aws).await);
            stack
                .poll(queue, async |event| {
                    let stay = all_stay(&event);
                    lives.live(&stack.forge, &hold, lanes.handle(event)).await.unwrap_or(stay)
                })
                .await;
        }
        for (queue, lives) in [("reports", reports), ("runs", runs)] {
            let reporter = Reporter::new(stack.another("Reporter", &aws).await);
            stack
                .poll(queue, async |event| {
                    let stay = all_stay(&event);
                    lives.live(&stack.forge, &hold, reporter.handle(event)).await.unwrap_or(stay)
                })
                .await;
        }
        let sweeper = Sweeper::new(stack.another("Sweeper", &aws).await);
        if let Some(swept) = sweeps.live(&stack.forge, &hold, sweeper.sweep()).await {
            swept.unwrap();
        }
        // Their leases and claims run out.
        clock.advance(SignedDuration::from_secs(301));
        stack.aws.advance(301).await;
        stack.our_comment(issue).filter(|body| body.contains("✅ **Done.**") || body.contains("❌"))
    };
    let comment = stack.until_alone("the run's end", look).await;
    assert!(comment.contains("✅ **Done.**"), "{comment}");
    let all = lives.into_inner().map(|lives| lives.kills);
    println!("kills of deliveries, launches, reports, runs, sweeps: {all:?}");
    assert!(all.iter().all(|kills| kills.aws >= 6), "{all:?}");
    assert!(all.iter().map(|kills| kills.github).sum::<usize>() >= 20, "{all:?}");
    assert_eq!(stack.forge.pulls(SHOP).unwrap().len(), 1);
    assert_eq!(stack.started(), 1, "one task");
    assert_eq!(stack.forge.comments(SHOP, issue).unwrap().len(), 1);
}

/// GitHub sends a delivery again, under its old id, where the function died before it answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_webhook_that_is_killed_at_any_call_takes_the_delivery_once() {
    let Some(stack) = Stack::deploy(&[]).await else { return };
    let (hold, aws) = Hold::on(&stack.aws);
    let request = |id: &str| {
        // Packed it is still too large for a message: it goes by the bucket.
        let noise: Vec<String> =
            (0..20_000).map(|n| cloud_code_model::ids::digest(&[id, &n.to_string()])).collect();
        let body = serde_json::json!({ "zen": "once", "noise": noise }).to_string();
        Request::post("/webhooks/github/")
            .header("x-github-event", "issues")
            .header("x-github-delivery", id)
            .header("x-hub-signature-256", signature(WEBHOOK_SECRET, body.as_bytes()))
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap()
    };
    let mut sent = BTreeSet::new();
    let mut killed = 0;
    for (number, when) in (0..).flat_map(|number| [(number, When::Before), (number, When::After)]) {
        let router = stack.another_webhook(&aws).await;
        let id = uuid::Uuid::new_v4().to_string();
        hold.at(Some((number, when)));
        let answer = tokio::select! {
            answer = router.clone().oneshot(request(&id)) => Some(answer.unwrap().status()),
            () = hold.reached() => None,
        };
        hold.at(None);
        sent.insert(id.clone());
        if let Some(status) = answer {
            assert_eq!(status, 202);
            break;
        }
        killed += 1;
        let again = stack.another_webhook(&aws).await.oneshot(request(&id)).await.unwrap();
        assert_eq!(again.status(), 202, "{number} {when:?}");
    }
    // Remembered, put into the bucket, sent, noted as sent.
    assert_eq!(killed, 8);
    // What the sweeper does with what is not known to be sent.
    let later = Timestamp::now() + SignedDuration::from_mins(10);
    let queue = SqsQueue::new(&stack.aws.clients(), stack.aws.queue(), Arc::new(ManualClock::new(later)));
    queue.prune().await.unwrap();
    let mut taken = Vec::new();
    while let Some(message) =
        queue.lease(Lane::Deliveries, 1, Duration::from_secs(60), Duration::ZERO).await.unwrap().pop()
    {
        queue.ack(&message.receipt).await.unwrap();
        taken.push(message.key);
    }
    assert_eq!(taken.len(), sent.len());
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), sent);
}
