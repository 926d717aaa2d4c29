//! Starting a task, once.

use super::super::error::{code, may_heal, why};
use super::record::Record;
use super::{CONTAINER, Capacity, EcsRunner, failed, fargate_size, grant};
use crate::ports::{Launch, RunnerError};
use aws_sdk_ecs::operation::run_task::RunTaskError;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, DesiredStatus,
    KeyValuePair, NetworkConfiguration, PropagateTags, Tag, TaskOverride,
};
use cloud_code_model::ids::{AttemptId, digest};

/// What ECS lets a task be started by.
const MAX_STARTED_BY: usize = 128;

/// The task definition of an image: its name without registry and tag.
pub(super) fn family(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split([':', '@']).next().unwrap_or(name)
}

enum Started {
    Task(String),
    NoRoom(String),
}

impl EcsRunner {
    /// Starts the attempt's task, or finds the one that was started under the same record.
    pub(super) async fn start(&self, launch: &Launch, begun: Option<Record>) -> Result<String, RunnerError> {
        let id = &launch.attempt;
        let providers: &[&str] = match self.config.capacity {
            Capacity::OnDemand => &["FARGATE"],
            Capacity::Spot => &["FARGATE_SPOT"],
            Capacity::SpotOrOnDemand => &["FARGATE_SPOT", "FARGATE"],
        };
        let mut record = match begun {
            Some(record) => record,
            None => self.records.begin(id, &grant::name(), providers[0]).await?,
        };
        let granted_until = self.grants.first(launch, &record.launch).await?;
        loop {
            let reason = match self.run(launch, &record).await? {
                Started::Task(arn) => {
                    if self.records.started(id, &arn, granted_until).await? {
                        return Ok(arn);
                    }
                    // Nobody would find it.
                    self.ask_to_stop(&arn, "Removed by Cloud Code").await?;
                    self.grants.withdraw(id, &record.launch).await?;
                    return Err(RunnerError::Failed(format!("{id} was removed while it was started")));
                }
                Started::NoRoom(reason) => reason,
            };
            tracing::info!(attempt = %id, provider = record.provider, reason, "no room");
            let asked = providers.iter().position(|provider| *provider == record.provider);
            let Some(next) = providers.get(asked.map_or(providers.len(), |asked| asked + 1)) else {
                // Nobody took the grant, and secrets lie there no longer than they must.
                self.grants.withdraw(id, &record.launch).await?;
                self.records.forget(id, &record).await?;
                return Err(RunnerError::NoRoom(reason));
            };
            record = self.records.goes_to(id, &record, next).await?;
        }
    }

    async fn run(&self, launch: &Launch, record: &Record) -> Result<Started, RunnerError> {
        let built = |error: aws_sdk_ecs::error::BuildError| RunnerError::Refused(error.to_string());
        let network = AwsVpcConfiguration::builder()
            .set_subnets(Some(self.config.subnets.clone()))
            .set_security_groups(Some(self.config.security_groups.clone()))
            .assign_public_ip(if self.config.public_ip {
                AssignPublicIp::Enabled
            } else {
                AssignPublicIp::Disabled
            })
            .build()
            .map_err(built)?;
        let strategy = CapacityProviderStrategyItem::builder()
            .capacity_provider(&record.provider)
            .weight(1)
            .build()
            .map_err(built)?;
        let mut request = self
            .ecs
            .run_task()
            .cluster(&self.config.cluster)
            .task_definition(family(&launch.image))
            .count(1)
            .client_token(digest(&[&record.launch, &record.provider]))
            .started_by(started_by(&launch.attempt))
            .capacity_provider_strategy(strategy)
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .overrides(self.overrides(launch, &record.launch)?)
            .propagate_tags(PropagateTags::TaskDefinition);
        let id = &launch.attempt;
        let tags = [("run", id.run.to_string()), ("job", id.job.clone()), ("attempt", id.number.to_string())];
        for (name, value) in tags {
            request = request.tags(Tag::builder().key(format!("cloud-code:{name}")).value(value).build());
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return self.refused(launch, error).await,
        };
        if let Some(arn) = answer.tasks().first().and_then(|task| task.task_arn()) {
            return Ok(Started::Task(arn.to_owned()));
        }
        let reasons: Vec<String> = answer
            .failures()
            .iter()
            .map(|failure| {
                let (reason, detail) =
                    (failure.reason().unwrap_or("no reason"), failure.detail().unwrap_or_default());
                format!("{reason} {detail}").trim().to_owned()
            })
            .collect();
        Ok(Started::NoRoom(reasons.join("; ")))
    }

    async fn refused<R: std::fmt::Debug>(
        &self,
        launch: &Launch,
        error: aws_sdk_ecs::error::SdkError<RunTaskError, R>,
    ) -> Result<Started, RunnerError> {
        let text = why(&error);
        match error.as_service_error() {
            // The same token with other settings of ours: an earlier call came through, and its answer did not.
            Some(RunTaskError::ConflictException(conflict)) => {
                let arn = match conflict.resource_ids().first() {
                    Some(arn) => Some(arn.clone()),
                    None => self.started_for(&launch.attempt).await?.pop(),
                };
                arn.map(Started::Task).ok_or(RunnerError::Failed(text))
            }
            // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
            _ if text.contains("apacity is unavailable") || text.contains("reached the limit on the number of") => {
                Ok(Started::NoRoom(text))
            }
            Some(RunTaskError::ClientException(_))
                if text.contains("TaskDefinition") || text.to_lowercase().contains("task definition") =>
            {
                Err(RunnerError::ImageMissing {
                    image: family(&launch.image).to_owned(),
                    hint: "there is no task definition of this name; add the CLI to infra/template.yaml and deploy, or set \
                           AGENT_IMAGE_PREFIX to the stack's"
                        .to_owned(),
                })
            }
            Some(
                RunTaskError::InvalidParameterException(_)
                | RunTaskError::BlockedException(_)
                | RunTaskError::UnsupportedFeatureException(_)
                | RunTaskError::PlatformUnknownException(_)
                | RunTaskError::PlatformTaskDefinitionIncompatibilityException(_),
            ) => Err(RunnerError::Refused(text)),
            Some(_) if code(&error).is_some() && !may_heal(&error) => Err(failed(&error)),
            _ => Err(RunnerError::Unreachable(text)),
        }
    }

    /// The task's size, and its environment: in clear, and nothing that is worth hiding.
    fn overrides(&self, launch: &Launch, object: &str) -> Result<TaskOverride, RunnerError> {
        let size = fargate_size(&launch.limits)?;
        let (address, region) = self.grants.address(object)?;
        let own = [("CLOUD_CODE_GRANT", address.as_str()), ("CLOUD_CODE_GRANT_REGION", region.as_str())];
        let clear = launch.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut container = ContainerOverride::builder().name(CONTAINER);
        for (name, value) in clear.chain(own) {
            container = container.environment(KeyValuePair::builder().name(name).value(value).build());
        }
        Ok(TaskOverride::builder()
            .cpu(size.cpu.to_string())
            .memory(size.memory_mib.to_string())
            .container_overrides(container.build())
            .build())
    }

    /// The tasks that were started for the attempt and are to run, whether we have noted them or not.
    pub(super) async fn started_for(&self, attempt: &AttemptId) -> Result<Vec<String>, RunnerError> {
        let listed = self.ecs.list_tasks().cluster(&self.config.cluster).started_by(started_by(attempt));
        let listed = listed.desired_status(DesiredStatus::Running);
        Ok(listed.send().await.map_err(|error| failed(&error))?.task_arns.unwrap_or_default())
    }
}

/// By this an event about the task names its attempt. One whose job has a very long name is found by the sweeper alone.
/// AWS takes letters, digits, `-`, `_` and `/` there; keys of a matrix's jobs and of called workflows' have dots, see [`attempt_of`].
fn started_by(attempt: &AttemptId) -> String {
    let text = attempt.to_string().replace('.', "//");
    if text.len() <= MAX_STARTED_BY { text } else { digest(&[&text]) }
}

/// The attempt that a task was started by; `None` for a task that is not ours, or whose job has a very long name.
pub fn attempt_of(started_by: &str) -> Option<AttemptId> {
    AttemptId::parse(&started_by.replace("//", "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_started_a_task_names_its_attempt() {
        for job in ["fix", "build.12", "call.build.3"] {
            let run = cloud_code_model::ids::RunId::derive("d", "w");
            let attempt = AttemptId { run, job: job.to_owned(), number: 4 };
            let text = started_by(&attempt);
            assert!(
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte)),
                "{text}"
            );
            assert_eq!(attempt_of(&text), Some(attempt));
        }
    }

    #[test]
    fn an_image_names_its_task_definition() {
        for (image, expected) in [
            ("cloud-code-agent-codex:latest", "cloud-code-agent-codex"),
            ("123.dkr.ecr.eu-west-1.amazonaws.com/cc/agent-codex:v1", "agent-codex"),
            ("agent@sha256:00", "agent"),
            ("agent", "agent"),
        ] {
            assert_eq!(family(image), expected);
        }
    }
}
