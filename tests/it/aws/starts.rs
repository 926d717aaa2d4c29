//! What starts a run on AWS besides issues: the clock, and somebody's wish at the console.

use super::flow::not_allowed;
use super::stack::{API_TOKEN, SHOP, Stack};
use cloud_code::adapters::aws::dynamodb::DynamoStore;
use cloud_code::http::api::dispatch::ApiDispatched;
use cloud_code::ports::{Store, SystemClock};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::Run;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::sync::Arc;

const WORKFLOW: &str = "name: both
on: { schedule: [{ cron: '30 3 1 1 *' }], workflow_dispatch: { inputs: { to: { required: true } } } }
jobs: { a: { if: inputs.to == 'prod' || github.event.schedule, steps: [{ run: 'true' }] } }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_clock_and_somebodys_wish() {
    let Some(stack) = Stack::deploy(&[(".cloud-code/both.yml", WORKFLOW)]).await else { return };
    let store = DynamoStore::new(&stack.aws.clients(), &stack.aws.name, Arc::new(SystemClock));
    // The repository is told of by the event of its installation.
    stack.forge.uninstall_app(SHOP).unwrap();
    stack.forge.install_app(SHOP).unwrap();
    let lines = async |_: &Stack| {
        let (known, version) = store.schedules(SHOP).await.unwrap()?;
        (!known.lines.is_empty()).then_some((known, version))
    };
    let (mut known, version) = stack.until("the schedule", lines).await;
    let regular = known.lines[0].next;
    known.lines[0].next = Timestamp::now() - SignedDuration::from_hours(48);
    assert!(store.save_schedules(&known, version).await.unwrap());
    let over = async |event: &str| {
        let mut found = Vec::new();
        for row in store.list(&Default::default()).await.unwrap().items {
            let run = store.load(&row.id).await.unwrap().unwrap().run;
            if run.trigger.event == event && run.is_over() {
                found.push(run);
            }
        }
        found
    };
    let scheduled = stack.until("the run by the clock", async |_| over("schedule").await.pop()).await;
    let worked = |run: &Run| run.conclusion.map(|conclusion| conclusion.as_str().to_owned());
    assert_eq!(worked(&scheduled).as_deref(), Some("no_changes"), "{:?}", scheduled.reason);
    assert_eq!(scheduled.context["event"]["schedule"], "30 3 1 1 *");
    assert_eq!(store.schedules(SHOP).await.unwrap().unwrap().0.lines[0].next, regular);

    let (status, body) = ask(&stack, json!({ "workflow": "both.yml" })).await;
    assert!(status == 409 && body.contains("the input `to` is required"), "{status} {body}");
    let (status, body) = ask(&stack, json!({ "workflow": "both.yml", "inputs": { "to": "prod" } })).await;
    assert_eq!(status, 201, "{body}");
    let dispatched: ApiDispatched = serde_json::from_str(&body).unwrap();
    let run = stack.until("the run that was wished", async |_| over("workflow_dispatch").await.pop()).await;
    assert_eq!(Some(run.id.clone()), RunId::parse(&dispatched.run));
    assert_eq!(worked(&run).as_deref(), Some("no_changes"), "{:?}", run.reason);
    assert_eq!(over("schedule").await.len(), 1);
    assert_eq!(not_allowed(&stack).await, Vec::<String>::new());
}

async fn ask(stack: &Stack, body: serde_json::Value) -> (u16, String) {
    let url = format!("http://{}/api/v1/repositories/{SHOP}/dispatches", stack.gateway());
    let call = move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = ureq::Agent::from(config.build());
        let request = agent.post(&url).header("authorization", format!("Bearer {API_TOKEN}"));
        let answer = request.header("content-type", "application/json").send(body.to_string());
        let mut answer = answer.unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    tokio::task::spawn_blocking(call).await.unwrap()
}
