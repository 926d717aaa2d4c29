//! The store on DynamoDB: the contract, and what only it does.

use super::*;
use cloud_code::adapters::aws::dynamodb::DynamoStore;

async fn dynamo() -> Fixture {
    let aws = crate::aws::Aws::new().await.unwrap();
    aws.make_table().await;
    let store = DynamoStore::new(&aws.clients(), &aws.name, Arc::new(SystemClock));
    Fixture { store: Arc::new(store), _folder: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    if crate::aws::Aws::new().await.is_some() {
        suite(dynamo).await;
    }
}

/// A run that is too large for one item lies in several, and old ones go.
#[tokio::test]
async fn large_runs_are_kept_in_parts() {
    let Some(aws) = crate::aws::Aws::new().await else { return };
    aws.make_table().await;
    let store = DynamoStore::new(&aws.clients(), &aws.name, Arc::new(SystemClock));
    let mut large = run("d1", "acme/shop", None, 0);
    large.context = serde_json::json!({ "noise": crate::contracts::queue::sqlite::noise(500_000) });
    assert_eq!(store.create(&large, "key").await.unwrap(), Saved::At(1));
    assert_eq!(store.load(&large.id).await.unwrap().unwrap().run, large);
    large.comment = Some(7);
    assert_eq!(store.save(&large, 1).await.unwrap(), Saved::At(2));
    assert_eq!(store.save(&large, 1).await.unwrap(), Saved::Conflict(large.id.clone()));
    assert_eq!(store.load(&large.id).await.unwrap().unwrap().run, large);
    let items = || async {
        let client = aws_sdk_dynamodb::Client::new(&aws.config);
        client.scan().table_name(&aws.name).send().await.unwrap().count
    };
    let with_parts = items().await;
    assert!(with_parts > 2, "{with_parts}");
    large.context = serde_json::json!({});
    assert_eq!(store.save(&large, 2).await.unwrap(), Saved::At(3));
    assert_eq!(store.load(&large.id).await.unwrap().unwrap().run, large);
    assert_eq!(items().await, 3, "the run, its semantic key, and its place on the issue");
}

/// AWS did it and the answer was lost: the SDK asks again, and hears that the version is another.
#[tokio::test]
async fn a_save_whose_answer_is_lost_is_saved() {
    let Some(aws) = crate::aws::Aws::new().await else { return };
    aws.make_table().await;
    let aws = aws.named(&aws.name);
    let store = DynamoStore::new(&aws.clients(), &aws.name, Arc::new(SystemClock));
    for (delivery, bytes) in [("small", 10), ("large", 500_000)] {
        let mut run = run(delivery, "acme/shop", None, 0);
        run.context = serde_json::json!({ "noise": crate::contracts::queue::sqlite::noise(bytes) });
        let lose = async |action: &str| {
            let fault = serde_json::json!({
                "service": "dynamodb", "action": action, "code": "InternalServerError", "status": 500,
                "times": 1, "after": true, "prefix": aws.name,
            });
            aws.test("fault", fault).await;
        };
        lose("TransactWriteItems").await;
        assert_eq!(store.create(&run, delivery).await.unwrap(), Saved::At(1), "{delivery}");
        run.comment = Some(7);
        lose("UpdateItem").await;
        assert_eq!(store.save(&run, 1).await.unwrap(), Saved::At(2), "{delivery}");
        assert_eq!(store.load(&run.id).await.unwrap().unwrap().run, run, "{delivery}");
        assert_eq!(store.save(&run, 1).await.unwrap(), Saved::Conflict(run.id.clone()), "{delivery}");
        assert_eq!(store.load(&run.id).await.unwrap().unwrap().run, run, "{delivery}");
    }
}
