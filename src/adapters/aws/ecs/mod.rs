//! Attempts as Fargate tasks.
//!
//! An attempt's task is found again by an item in the table (`record.rs`), which is there before RunTask is called; a launch that was torn
//! off is repeated with the same client token, and ECS answers with the task that it made. How the agent in it gets at its files is
//! told in [`super`] and in [`grant`].

pub mod grant;
mod reasons;
mod record;
mod size;
mod start;

pub use size::{Size, fargate_size};
pub use start::attempt_of;

use super::Aws;
use super::error::{code, may_heal, why};
use crate::ports::{Clock, ContainerStatus, Launch, Listed, Runner, RunnerError};
use async_trait::async_trait;
use aws_sdk_ecs::types::Task;
use cloud_code_model::ids::AttemptId;
use jiff::SignedDuration;
use record::{Record, Records};
use std::sync::Arc;
use std::time::Duration;

/// The container in every agent's task definition.
pub const CONTAINER: &str = "agent";
/// ECS describes this many tasks at once.
const MAX_DESCRIBED: usize = 100;
/// ECS may not know a task that it has just made.
const SETTLING: SignedDuration = SignedDuration::from_secs(60);
/// What the task definitions in infra/template.yaml say: from a task's stop signal to its SIGKILL. Fargate allows no more.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);
/// Log events in one answer at most.
const MAX_EVENTS: i32 = 10_000;

/// Which capacity tasks run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// Fargate, which AWS does not take back.
    OnDemand,
    /// Fargate Spot: cheaper, and AWS may take it back with two minutes' notice. Jobs wait while there is none.
    Spot,
    /// Fargate Spot, and Fargate where there is no Spot.
    SpotOrOnDemand,
}

/// Where tasks run.
#[derive(Debug, Clone)]
pub struct EcsConfig {
    /// The cluster's name or ARN.
    pub cluster: String,
    /// Subnets for the tasks.
    pub subnets: Vec<String>,
    /// Security groups for the tasks.
    pub security_groups: Vec<String>,
    /// Whether tasks get a public address: needed in public subnets without NAT.
    pub public_ip: bool,
    /// Capacity.
    pub capacity: Capacity,
    /// The table that remembers tasks.
    pub table: String,
    /// The bucket of the attempts' files.
    pub bucket: String,
    /// The role whose sessions sign links.
    pub links_role: String,
    /// The tasks' log group.
    pub log_group: String,
}

/// The runner.
pub struct EcsRunner {
    ecs: aws_sdk_ecs::Client,
    records: Records,
    logs: aws_sdk_cloudwatchlogs::Client,
    grants: grant::Grants,
    config: EcsConfig,
    clock: Arc<dyn Clock>,
}

impl EcsRunner {
    /// A runner on these parts; nothing is asked of AWS yet.
    pub fn new(aws: &Aws, config: EcsConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            ecs: aws_sdk_ecs::Client::new(&aws.config),
            records: Records::new(
                aws_sdk_dynamodb::Client::new(&aws.config),
                config.table.clone(),
                Arc::clone(&clock),
            ),
            logs: aws_sdk_cloudwatchlogs::Client::new(&aws.config),
            grants: grant::Grants::new(aws, &config.bucket, &config.links_role, Arc::clone(&clock)),
            config,
            clock,
        }
    }

    /// The tasks of these ARNs that ECS knows.
    async fn describe(&self, arns: Vec<String>) -> Result<Vec<Task>, RunnerError> {
        let mut found = Vec::new();
        for some in arns.chunks(MAX_DESCRIBED) {
            let described = self
                .ecs
                .describe_tasks()
                .cluster(&self.config.cluster)
                .set_tasks(Some(some.to_vec()))
                .send()
                .await;
            found.extend(described.map_err(|error| failed(&error))?.tasks.unwrap_or_default());
        }
        Ok(found)
    }

    async fn status_of(&self, record: &Record) -> Result<ContainerStatus, RunnerError> {
        // Where RunTask has not answered, it is to be called again.
        let Some(arn) = record.arn.clone() else { return Ok(ContainerStatus::Missing) };
        Ok(match self.describe(vec![arn]).await?.first() {
            Some(task) => reasons::status(task),
            None if self.clock.now().duration_since(record.created_at) < SETTLING => {
                ContainerStatus::Starting
            }
            // ECS forgets a task about an hour after its end.
            None => ContainerStatus::Missing,
        })
    }

    /// Asks for the end of what was started for the attempt, noted or not.
    async fn end(&self, attempt: &AttemptId, record: &Record, reason: &str) -> Result<(), RunnerError> {
        let arns = match &record.arn {
            Some(arn) => vec![arn.clone()],
            None => self.started_for(attempt).await?,
        };
        for arn in arns {
            self.ask_to_stop(&arn, reason).await?;
        }
        Ok(())
    }

    /// Asks for the task's end: its container gets its image's stop signal, and SIGKILL when its stop timeout is over.
    async fn ask_to_stop(&self, arn: &str, reason: &str) -> Result<(), RunnerError> {
        let stopped =
            self.ecs.stop_task().cluster(&self.config.cluster).task(arn).reason(reason).send().await;
        match stopped {
            Ok(_) => Ok(()),
            // ECS has forgotten it.
            Err(error) if code(&error) == Some("InvalidParameterException") => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }
}

#[async_trait]
impl Runner for EcsRunner {
    fn name(&self) -> &'static str {
        "ecs"
    }

    async fn launch(&self, launch: &Launch) -> Result<String, RunnerError> {
        let record = self.records.get(&launch.attempt).await?;
        match record.as_ref().and_then(|record| record.arn.clone()) {
            Some(arn) => Ok(arn),
            None => self.start(launch, record).await,
        }
    }

    async fn status(&self, attempt: &AttemptId) -> Result<ContainerStatus, RunnerError> {
        match self.records.get(attempt).await? {
            Some(record) => self.status_of(&record).await,
            None => Ok(ContainerStatus::Missing),
        }
    }

    fn stop_patience(&self) -> Duration {
        STOP_TIMEOUT
    }

    /// The signals are ECS's: SIGTERM, which the agent takes as SIGINT, and SIGKILL at the task definition's stop timeout, whatever the
    /// `patience`. The end is an event, so that nobody waits for it here: the time of a function is paid for.
    async fn stop(&self, attempt: &AttemptId, _patience: Duration) -> Result<(), RunnerError> {
        let Some(record) = self.records.get(attempt).await? else { return Ok(()) };
        if self.status_of(&record).await?.is_live() {
            self.end(attempt, &record, "Stopped by Cloud Code").await?;
        }
        Ok(())
    }

    async fn logs(&self, attempt: &AttemptId, max_bytes: usize) -> Result<Vec<u8>, RunnerError> {
        let Some(arn) = self.records.get(attempt).await?.and_then(|record| record.arn) else {
            return Ok(Vec::new());
        };
        let task = arn.rsplit('/').next().unwrap_or_default();
        // The log driver's names: prefix, container, task.
        let stream = format!("{CONTAINER}/{CONTAINER}/{task}");
        let got = self
            .logs
            .get_log_events()
            .log_group_name(&self.config.log_group)
            .log_stream_name(stream)
            .start_from_head(false)
            .limit(MAX_EVENTS)
            .send()
            .await;
        let events = match got {
            Ok(answer) => answer.events.unwrap_or_default(),
            // A task that never began has printed nothing.
            Err(error) if code(&error) == Some("ResourceNotFoundException") => return Ok(Vec::new()),
            Err(error) => return Err(failed(&error)),
        };
        let mut all = Vec::new();
        for event in events {
            all.extend_from_slice(event.message.unwrap_or_default().as_bytes());
            all.push(b'\n');
        }
        Ok(all.split_off(all.len().saturating_sub(max_bytes)))
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), RunnerError> {
        while let Some(record) = self.records.get(attempt).await? {
            if record.arn.is_none() || self.status_of(&record).await?.is_live() {
                self.end(attempt, &record, "Removed by Cloud Code").await?;
            }
            // Secrets lie there no longer than they must.
            self.grants.withdraw(attempt, &record.launch).await?;
            // Where its task was noted meanwhile, that is to be stopped too.
            if self.records.forget(attempt, &record).await? {
                break;
            }
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Listed>, RunnerError> {
        let records = self.records.all().await?;
        let tasks =
            self.describe(records.iter().filter_map(|(_, record)| record.arn.clone()).collect()).await?;
        let mut listed = Vec::new();
        for (attempt, record) in records {
            let new = self.clock.now().duration_since(record.created_at) < SETTLING;
            let running = match &record.arn {
                Some(arn) => match tasks.iter().find(|task| task.task_arn() == Some(arn)) {
                    Some(task) => reasons::status(task).is_live(),
                    None => new,
                },
                None => new || !self.started_for(&attempt).await?.is_empty(),
            };
            listed.push(Listed { running, created_at: record.created_at, attempt });
        }
        Ok(listed)
    }

    async fn check(&self) -> Result<String, RunnerError> {
        let described = self.ecs.describe_clusters().clusters(&self.config.cluster).send().await;
        let described = described.map_err(|error| failed(&error))?;
        match described.clusters().first().and_then(|cluster| cluster.status()) {
            Some("ACTIVE") => Ok(format!("Fargate tasks in the cluster {}", self.config.cluster)),
            Some(status) => {
                Err(RunnerError::Refused(format!("the cluster {} is {status}", self.config.cluster)))
            }
            None => Err(RunnerError::Refused(format!(
                "there is no cluster {}; set ECS_CLUSTER to the one that infra/template.yaml made",
                self.config.cluster
            ))),
        }
    }

    async fn renew(&self, attempt: &AttemptId) -> Result<(), RunnerError> {
        let Some(record) = self.records.get(attempt).await? else { return Ok(()) };
        if !grant::is_half_over(record.granted_until, self.clock.now()) {
            return Ok(());
        }
        let until = self.grants.renew(attempt).await?;
        self.records.granted(attempt, until).await
    }

    async fn has_image(&self, image: &str) -> Result<bool, RunnerError> {
        let described =
            self.ecs.describe_task_definition().task_definition(start::family(image)).send().await;
        match described {
            Ok(_) => Ok(true),
            Err(error) if code(&error) == Some("ClientException") => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// ECS's and the log service's failures in the port's words.
fn failed<E, R>(error: &aws_sdk_ecs::error::SdkError<E, R>) -> RunnerError
where
    E: std::error::Error + aws_sdk_ecs::error::ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    let text = why(error);
    match code(error) {
        None => RunnerError::Unreachable(text),
        Some("AccessDeniedException" | "UnrecognizedClientException" | "ExpiredTokenException") => {
            RunnerError::Refused(format!("{text}; the function's role lacks it, or its credentials are over"))
        }
        Some("ClusterNotFoundException") => {
            RunnerError::Refused(format!("{text}; set ECS_CLUSTER to the one that infra/template.yaml made"))
        }
        Some(_) if may_heal(error) => RunnerError::Unreachable(text),
        Some(_) => RunnerError::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_gives_a_stop_the_time_that_we_wait_for_it() {
        let template = include_str!("../../../../infra/template.yaml");
        let found: Vec<&str> =
            template.lines().filter_map(|line| line.trim().strip_prefix("StopTimeout: ")).collect();
        assert_eq!(found, [STOP_TIMEOUT.as_secs().to_string().as_str(); 6]);
    }
}
