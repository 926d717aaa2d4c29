//! The API and the pages.

use lambda_http::{Error, run};

#[tokio::main]
async fn main() -> Result<(), Error> {
    run(cloud_code::entry::lambda::console().await?).await
}
