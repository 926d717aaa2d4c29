//! A router over memory adapters, and how tests talk to it.

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use cloud_code::adapters::memory::{ManualClock, MemoryArtifacts, MemoryQueue, MemoryStore};
use cloud_code::http::{
    ActOutcome, Action, Cancel, CancelOutcome, DispatchError, DispatchOutcome, Health, HttpParts, HttpState,
    PartHealth, WorkflowDispatch, router,
};
use cloud_code::ports::{
    Artifact, Artifacts, Clock, DeadLetter, Delivery, Depth, Lane, Leased, Pushed, Queue, QueueError,
    Receipt, Saved, SecretText, Store, StoreError,
};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{
    Conclusion, Input, NewRun, Origin, Publication, PullRequest, ReportSummary, Repository, Rerun, Run,
    StepSummary, Subject, Timing, Trigger, Usage, WorkflowRef, step,
};
use cloud_code_model::workflow::implement;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(super) const SECRET: &str = "It's a Secret to Everybody";
pub(super) const TOKEN: &str = "token-of-sixteen-letters";

pub(super) fn noon() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// The process's one metrics recorder.
pub(crate) fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| cloud_code::metrics::install().unwrap()).clone()
}

pub(super) struct World {
    pub(super) router: Router,
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) artifacts: Arc<MemoryArtifacts>,
    pub(super) health: Arc<Parts>,
    pub(super) shutdown: CancellationToken,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(vec![SecretText::new("another-token-of-ours"), SecretText::new(TOKEN)], None)
    }

    pub(super) fn with(api_tokens: Vec<SecretText>, queue: Option<Arc<dyn Queue>>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(noon()));
        let memory = Arc::new(MemoryQueue::new(clock.clone()));
        let store = Arc::new(MemoryStore::new());
        let artifacts = Arc::new(MemoryArtifacts::new());
        let health = Arc::new(Parts::default());
        let shutdown = CancellationToken::new();
        let parts = HttpParts {
            queue: queue.unwrap_or_else(|| memory.clone()),
            store: store.clone(),
            artifacts: artifacts.clone(),
            clock,
            webhook_secret: SecretText::new(SECRET),
            api_tokens,
            health: health.clone(),
            metrics: metrics(),
            canceller: Arc::new(Canceller(store.clone())),
            shutdown: shutdown.clone(),
        };
        let router = router(HttpState::new(parts).unwrap());
        Self { router, queue: memory, store, artifacts, health, shutdown }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// GETs with the Bearer token.
    pub(super) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header("authorization", format!("Bearer {TOKEN}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// GETs a page as a browser does.
    pub(super) async fn browse(&self, path: &str) -> Answer {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("me:{TOKEN}"));
        let request = Request::get(path).header("authorization", format!("Basic {encoded}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// All queued deliveries, taken out.
    pub(super) async fn deliveries(&self) -> Vec<Delivery> {
        let minute = Duration::from_secs(60);
        let leased = self.queue.lease(Lane::Deliveries, 1000, minute, Duration::ZERO).await.unwrap();
        leased.iter().map(|message| Delivery::from_bytes(&message.body).unwrap()).collect()
    }

    /// Serves on loopback until the test ends; its address.
    pub(super) async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    }

    pub(super) async fn keep(&self, run: &Run) {
        assert_eq!(self.store.create(run, run.id.as_str()).await.unwrap(), Saved::At(1));
    }

    pub(super) async fn write(&self, run: &Run, artifact: Artifact, bytes: &[u8]) {
        self.artifacts.write(&run.attempt_id("implement", 1), artifact, bytes).await.unwrap();
    }
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["error"]["code"].as_str().unwrap().to_owned())
    }
}

pub(super) fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A webhook call as GitHub makes it.
pub(super) fn call(id: &str, event: &str, body: impl Into<Vec<u8>>) -> Request<Body> {
    let body = body.into();
    Request::post("/webhooks/github")
        .header("content-type", "application/json")
        .header("x-github-delivery", id)
        .header("x-github-event", event)
        .header("x-hub-signature-256", sign(&body))
        .body(Body::from(body))
        .unwrap()
}

/// A run that was just queued.
pub(super) fn queued(delivery: &str, title: &str) -> Run {
    let new = NewRun {
        repository: Repository {
            owner: "acme".to_owned(),
            name: "shop".to_owned(),
            installation: 7,
            default_branch: "main".to_owned(),
        },
        subject: Subject {
            number: 42,
            title: title.to_owned(),
            url: "https://github.example/acme/shop/issues/42".to_owned(),
        },
        workflow: WorkflowRef { path: "built-in:implement".to_owned(), name: "implement".to_owned() },
        trigger: Trigger {
            delivery: delivery.to_owned(),
            event: "issues".to_owned(),
            action: "labeled".to_owned(),
            actor: "ada".to_owned(),
        },
        concurrency: None,
        branch: "cloud-code/issue-42".to_owned(),
        context: serde_json::json!({ "event": { "secret-ish": "never shown" } }),
        vars: serde_json::Value::Null,
        timing: Timing::default(),
        inputs: serde_json::Value::Null,
        plan: implement().plan,
    };
    let mut run = Run::new(new, noon() - SignedDuration::from_mins(10));
    run.group = Some("issue-42".to_owned());
    run
}

fn report(sequence: u64) -> ReportSummary {
    let step = |name: &str, status: &str, conclusion: Option<&str>| StepSummary {
        name: name.to_owned(),
        status: status.to_owned(),
        conclusion: conclusion.map(str::to_owned),
    };
    ReportSummary {
        sequence,
        usage: Usage {
            input_tokens: 12_345,
            cached_input_tokens: 800,
            output_tokens: 950,
            cost_usd: Some(0.42),
        },
        steps: vec![step("agent", "completed", Some("success")), step("cargo test", "in_progress", None)],
        ..ReportSummary::default()
    }
}

/// A run whose agent is at work.
pub(super) fn running(delivery: &str, title: &str) -> Run {
    let mut run = queued(delivery, title);
    let job = || "implement".to_owned();
    let at = |minutes_ago: i64| noon() - SignedDuration::from_mins(minutes_ago);
    let origin = Origin {
        base: "9f2c0c11d2e3f4a5b6c7d8e9f00112233445566a".to_owned(),
        branch: "cloud-code/issue-42".to_owned(),
        continues: false,
        target: "main".to_owned(),
    };
    step(&mut run, Input::Prepared { job: job(), attempt: 1, origin }, at(9));
    step(&mut run, Input::Launched { job: job(), attempt: 1, handle: "c1".to_owned() }, at(9));
    step(&mut run, Input::Reported { job: job(), attempt: 1, report: report(1) }, at(8));
    run
}

/// A run that ended well, whose comment could not be renewed yet.
pub(super) fn done(delivery: &str, title: &str) -> Run {
    let mut run = running(delivery, title);
    let job = || "implement".to_owned();
    let at = |minutes_ago: i64| noon() - SignedDuration::from_mins(minutes_ago);
    let mut last = report(2);
    last.conclusion = Some(Conclusion::Success);
    last.has_changes = true;
    last.summary = Some("I fixed the <b>total</b>.".to_owned());
    last.steps[1].status = "completed".to_owned();
    last.steps[1].conclusion = Some("success".to_owned());
    step(&mut run, Input::Reported { job: job(), attempt: 1, report: last }, at(3));
    let publication = Publication {
        branch: "cloud-code/issue-42".to_owned(),
        sha: "77ab0c11d2e3f4a5b6c7d8e9f00112233445566a".to_owned(),
        base: "9f2c0c11d2e3f4a5b6c7d8e9f00112233445566a".to_owned(),
        pull: Some(PullRequest {
            number: 43,
            url: "https://github.example/acme/shop/pull/43".to_owned(),
            draft: true,
        }),
        diffstat: (3, 40, 2),
        commits: 1,
    };
    step(&mut run, Input::Published { job: job(), attempt: 1, publication }, at(2));
    let tell = run.outbox.iter().find(|outgoing| outgoing.effect.key() == "tell").unwrap().id;
    let error = "the forge did not answer: <connection refused>".to_owned();
    step(
        &mut run,
        Input::EffectFailed { id: tell, error, retry_after: Some(SignedDuration::from_mins(5)) },
        at(1),
    );
    run
}

/// A run that failed.
pub(super) fn failed(delivery: &str, title: &str, reason: &str) -> Run {
    let mut run = running(delivery, title);
    let input = Input::ReportRefused { job: "implement".to_owned(), attempt: 1, reason: reason.to_owned() };
    step(&mut run, input, noon() - SignedDuration::from_mins(1));
    run
}

/// Health by decree.
#[derive(Default)]
pub(super) struct Parts(pub(super) Mutex<Vec<PartHealth>>);

#[async_trait]
impl Health for Parts {
    async fn parts(&self) -> Vec<PartHealth> {
        self.0.lock().unwrap().clone()
    }
}

struct Canceller(Arc<MemoryStore>);

#[async_trait]
impl Cancel for Canceller {
    async fn cancel(&self, id: &RunId, by: &str, force: bool) -> Result<CancelOutcome, StoreError> {
        let Some(mut stored) = self.0.load(id).await? else { return Ok(CancelOutcome::NotFound) };
        if stored.run.is_over() {
            return Ok(CancelOutcome::AlreadyOver);
        }
        step(&mut stored.run, Input::Cancel { by: by.to_owned(), replaced_by: None, force }, noon());
        self.0.save(&stored.run, stored.version).await?;
        Ok(CancelOutcome::Accepted)
    }

    async fn dispatch(&self, wish: WorkflowDispatch) -> Result<DispatchOutcome, DispatchError> {
        match (wish.workflow.as_str(), wish.inputs.len()) {
            ("release.yml", 0) => Ok(DispatchOutcome::Refused("the input `version` is required".to_owned())),
            ("release.yml", _) => Ok(DispatchOutcome::Started(RunId::derive(&wish.name, &wish.workflow))),
            ("broken.yml", _) => Err(DispatchError::Other("at /secret/path".to_owned())),
            (other, _) => Ok(DispatchOutcome::NotFound(format!("there is no workflow `{other}`"))),
        }
    }

    async fn act(&self, id: &RunId, action: Action, by: &str) -> Result<ActOutcome, StoreError> {
        let Some(mut stored) = self.0.load(id).await? else { return Ok(ActOutcome::NotFound) };
        let (job, by) = (|job: &str| job.to_owned(), by.to_owned());
        let input = match &action {
            Action::CancelJob { job: key } => Input::CancelJob { job: job(key), by },
            Action::Approve { job: key } => Input::Approve { job: job(key), by },
            Action::Reject { job: key } => Input::Reject { job: job(key), by },
            Action::Rerun { all } => Input::Rerun { what: if *all { Rerun::All } else { Rerun::Failed }, by },
        };
        let before = stored.run.clone();
        step(&mut stored.run, input, noon());
        if stored.run == before {
            return Ok(ActOutcome::Refused("nothing would change".to_owned()));
        }
        self.0.save(&stored.run, stored.version).await?;
        Ok(ActOutcome::Done)
    }
}

/// A queue whose disk is full.
pub(super) struct FullQueue;

fn full<T>() -> Result<T, QueueError> {
    Err(QueueError::Unavailable("/secret/path: no space left on device".to_owned()))
}

#[async_trait]
impl Queue for FullQueue {
    async fn push(&self, _: Lane, _: &str, _: Vec<u8>, _: Duration) -> Result<Pushed, QueueError> {
        full()
    }
    async fn lease(&self, _: Lane, _: usize, _: Duration, _: Duration) -> Result<Vec<Leased>, QueueError> {
        full()
    }
    async fn extend(&self, _: &Receipt, _: Duration) -> Result<(), QueueError> {
        full()
    }
    async fn ack(&self, _: &Receipt) -> Result<(), QueueError> {
        full()
    }
    async fn nack(&self, _: &Receipt, _: Duration, _: &str) -> Result<(), QueueError> {
        full()
    }
    async fn bury(&self, _: &Receipt, _: &str) -> Result<(), QueueError> {
        full()
    }
    async fn depth(&self, _: Lane) -> Result<Depth, QueueError> {
        full()
    }
    async fn prune(&self) -> Result<u64, QueueError> {
        full()
    }

    async fn dead(&self, _lane: Lane, _limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        full()
    }

    async fn replay(&self, _lane: Lane, _key: &str) -> Result<bool, QueueError> {
        full()
    }
}
