//! Attempts as Fargate tasks.
//!
//! An attempt's task is found again by an item in the table, which is written once RunTask has answered; a launch that was torn off
//! before that is repeated with the same client token, and ECS answers with the task that it made. How the agent in it gets at its
//! files is told in [`super`] and in [`grant`].

pub mod grant;
mod reasons;
mod size;
mod start;

pub use size::{Size, fargate_size};
pub use start::attempt_of;

use super::error::{code, may_heal, why};
use super::item::{Item, number, s, text};
use super::{Aws, keys};
use crate::ports::{Clock, ContainerStatus, Launch, Listed, Runner, RunnerError};
use async_trait::async_trait;
use aws_sdk_ecs::types::Task;
use cloud_code_model::ids::AttemptId;
use jiff::{SignedDuration, Timestamp};
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
    /// Fargate Spot: cheaper, and AWS may take it back with two minutes' notice. Waits while there is none.
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
    db: aws_sdk_dynamodb::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    grants: grant::Grants,
    config: EcsConfig,
    clock: Arc<dyn Clock>,
}

/// What is remembered of a task.
struct Known {
    arn: String,
    created_at: Timestamp,
    /// When the newest grant ends.
    granted_until: Timestamp,
    /// The object with the first grant.
    launch: String,
}

impl EcsRunner {
    /// A runner on these parts; nothing is asked of AWS yet.
    pub fn new(aws: &Aws, config: EcsConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            ecs: aws_sdk_ecs::Client::new(&aws.config),
            db: aws_sdk_dynamodb::Client::new(&aws.config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&aws.config),
            grants: grant::Grants::new(aws, &config.bucket, &config.links_role, Arc::clone(&clock)),
            config,
            clock,
        }
    }

    async fn known(&self, attempt: &AttemptId) -> Result<Option<Known>, RunnerError> {
        let got = self
            .db
            .get_item()
            .table_name(&self.config.table)
            .key(keys::PK, s(keys::TASKS))
            .key(keys::SK, s(attempt.to_string()))
            .consistent_read(true)
            .send()
            .await;
        Ok(got.map_err(|error| RunnerError::Unreachable(why(&error)))?.item.as_ref().and_then(Known::of))
    }

    async fn forget(&self, attempt: &AttemptId) -> Result<(), RunnerError> {
        let deleted = self
            .db
            .delete_item()
            .table_name(&self.config.table)
            .key(keys::PK, s(keys::TASKS))
            .key(keys::SK, s(attempt.to_string()))
            .send()
            .await;
        deleted.map(drop).map_err(|error| RunnerError::Unreachable(why(&error)))
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

    async fn status_of(&self, known: &Known) -> Result<ContainerStatus, RunnerError> {
        Ok(match self.describe(vec![known.arn.clone()]).await?.first() {
            Some(task) => reasons::status(task),
            None if self.clock.now().duration_since(known.created_at) < SETTLING => ContainerStatus::Starting,
            // ECS forgets a task about an hour after its end.
            None => ContainerStatus::Missing,
        })
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

impl Known {
    fn of(item: &Item) -> Option<Self> {
        let time = |name| number(item, name).and_then(|at| Timestamp::from_millisecond(at).ok());
        Some(Self {
            arn: text(item, "arn")?.to_owned(),
            created_at: time("created_at")?,
            granted_until: time("granted_until")?,
            launch: text(item, "launch")?.to_owned(),
        })
    }
}

#[async_trait]
impl Runner for EcsRunner {
    fn name(&self) -> &'static str {
        "ecs"
    }

    async fn launch(&self, launch: &Launch) -> Result<String, RunnerError> {
        match self.known(&launch.attempt).await? {
            Some(known) => Ok(known.arn),
            None => self.start(launch).await,
        }
    }

    async fn status(&self, attempt: &AttemptId) -> Result<ContainerStatus, RunnerError> {
        match self.known(attempt).await? {
            Some(known) => self.status_of(&known).await,
            None => Ok(ContainerStatus::Missing),
        }
    }

    fn stop_patience(&self) -> Duration {
        STOP_TIMEOUT
    }

    /// The signals are ECS's: the image's stop signal (ours say SIGINT), and SIGKILL at the task definition's stop timeout, whatever
    /// the `patience`. The end is an event, so that nobody waits for it here: the time of a function is paid for.
    async fn stop(&self, attempt: &AttemptId, _patience: Duration) -> Result<(), RunnerError> {
        let Some(known) = self.known(attempt).await? else { return Ok(()) };
        if self.status_of(&known).await?.is_live() {
            self.ask_to_stop(&known.arn, "Stopped by Cloud Code").await?;
        }
        Ok(())
    }

    async fn logs(&self, attempt: &AttemptId, max_bytes: usize) -> Result<Vec<u8>, RunnerError> {
        let Some(known) = self.known(attempt).await? else { return Ok(Vec::new()) };
        let task = known.arn.rsplit('/').next().unwrap_or_default();
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
        let Some(known) = self.known(attempt).await? else { return Ok(()) };
        if self.status_of(&known).await?.is_live() {
            self.ask_to_stop(&known.arn, "Removed by Cloud Code").await?;
        }
        // Secrets lie there no longer than they must.
        self.grants.withdraw(attempt, &known.launch).await?;
        self.forget(attempt).await
    }

    async fn list(&self) -> Result<Vec<Listed>, RunnerError> {
        let mut pages = self
            .db
            .query()
            .table_name(&self.config.table)
            .consistent_read(true)
            .key_condition_expression("pk = :tasks")
            .expression_attribute_values(":tasks", s(keys::TASKS))
            .into_paginator()
            .send();
        let mut known = Vec::new();
        while let Some(page) = pages.next().await {
            for item in page.map_err(|error| RunnerError::Unreachable(why(&error)))?.items() {
                let attempt = text(item, keys::SK).and_then(AttemptId::parse);
                known.extend(attempt.zip(Known::of(item)));
            }
        }
        let tasks = self.describe(known.iter().map(|(_, known)| known.arn.clone()).collect()).await?;
        let running = |known: &Known| match tasks.iter().find(|task| task.task_arn() == Some(&known.arn)) {
            Some(task) => reasons::status(task).is_live(),
            None => self.clock.now().duration_since(known.created_at) < SETTLING,
        };
        let listed = |(attempt, known): (AttemptId, Known)| Listed {
            running: running(&known),
            created_at: known.created_at,
            attempt,
        };
        Ok(known.into_iter().map(listed).collect())
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
        let Some(known) = self.known(attempt).await? else { return Ok(()) };
        if !grant::is_half_over(known.granted_until, self.clock.now()) {
            return Ok(());
        }
        let until = self.grants.renew(attempt).await?;
        self.note_grant(attempt, until).await
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
        assert_eq!(found, [STOP_TIMEOUT.as_secs().to_string(); 6]);
    }
}
