//! Takes GitHub's webhook calls: verify, queue, answer.

use lambda_http::{Error, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(cloud_code::entry::lambda::webhook().await?).await
}
