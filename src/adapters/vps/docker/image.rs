//! Agent images: whether one is there, and getting it.

use super::Pull;
use super::client::{is_status, mapped};
use crate::ports::RunnerError;
use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt;
use std::time::Duration;

const PULL_TIME: Duration = Duration::from_secs(600);

pub(super) async fn is_there(docker: &Docker, image: &str) -> Result<bool, RunnerError> {
    match docker.inspect_image(image).await {
        Ok(_) => Ok(true),
        Err(error) if is_status(&error, 404) => Ok(false),
        Err(error) => Err(mapped(error)),
    }
}

/// Pulls it, where that is allowed. Registries that want a login are not supported: pull such an image by hand.
pub(super) async fn obtain(docker: &Docker, image: &str, pull: Pull) -> Result<(), RunnerError> {
    if pull == Pull::Never {
        return Err(missing(image, None));
    }
    tracing::info!(image, "pulling the image");
    let options = CreateImageOptionsBuilder::new().from_image(&tagged(image)).build();
    let mut progress = Box::pin(docker.create_image(Some(options), None, None));
    let pulled = tokio::time::timeout(PULL_TIME, async {
        while let Some(step) = progress.next().await {
            step?;
        }
        Ok::<_, bollard::errors::Error>(())
    });
    match pulled.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(missing(image, Some(&error.to_string()))),
        Err(_) => {
            Err(RunnerError::Failed(format!("pulling {image} took more than {} s", PULL_TIME.as_secs())))
        }
    }
}

/// The error for an image that can't be had, with what to do about it.
pub(super) fn missing(image: &str, why: Option<&str>) -> RunnerError {
    let repository = image.rsplit('/').next().unwrap_or(image);
    let name = repository.split([':', '@']).next().unwrap_or(repository);
    let mut hint = match name.strip_prefix("cloud-code-agent-") {
        Some(agent) => format!("build it with `scripts/build-agents.sh {agent}`"),
        None => format!("pull it with `docker pull {image}`, or correct its name"),
    };
    if let Some(why) = why {
        hint = format!("{hint} (pulling it failed: {why})");
    }
    RunnerError::ImageMissing { image: image.to_owned(), hint }
}

/// With the tag `latest` where there is none: the API would pull every tag otherwise.
fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_gets_one() {
        for (image, expected) in [
            ("a", "a:latest"),
            ("a:1", "a:1"),
            ("host:5000/a", "host:5000/a:latest"),
            ("a@sha256:00", "a@sha256:00"),
        ] {
            assert_eq!(tagged(image), expected);
        }
    }

    #[test]
    fn a_missing_image_names_the_command() {
        for (image, command) in [
            ("cloud-code-agent-claude-code:latest", "`scripts/build-agents.sh claude-code`"),
            ("registry.example/x/cloud-code-agent-script", "`scripts/build-agents.sh script`"),
            ("acme/agent:3", "`docker pull acme/agent:3`"),
        ] {
            let error = missing(image, Some("no route")).to_string();
            assert!(error.contains(command) && error.contains("no route"), "{error}");
        }
    }
}
