//! Once a minute: what time alone brings about, and what an event missed.

use cloud_code::entry::lambda::Sweeper;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let sweeper = Sweeper::load().await?;
    let sweeper = &sweeper;
    run(service_fn(|_: LambdaEvent<Value>| async move { Ok::<_, Error>(sweeper.sweep().await?) })).await
}
