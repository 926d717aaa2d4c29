//! Looks at attempts that something happened to, and executes the effects of runs: stops, pushes, pull requests, comments.

use cloud_code::entry::lambda::{QueueEvent, Reporter};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let reporter = Reporter::load().await?;
    let reporter = &reporter;
    run(service_fn(|event: LambdaEvent<QueueEvent>| async move {
        Ok::<_, Error>(reporter.handle(event.payload).await)
    }))
    .await
}
