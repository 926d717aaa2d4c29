//! Decides deliveries, and starts attempts when there is room.

use cloud_code::entry::lambda::{Lanes, QueueEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let lanes = Lanes::load().await?;
    let lanes = &lanes;
    run(service_fn(|event: LambdaEvent<QueueEvent>| async move {
        Ok::<_, Error>(lanes.handle(event.payload).await)
    }))
    .await
}
