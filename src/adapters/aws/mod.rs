//! What AWS offers: SQS, DynamoDB, S3, Secrets Manager, ECS Fargate. Nothing here is always on.
//!
//! # Decisions
//!
//! **Queue: SQS carries, the table knows.** SQS forgets a key after five minutes at most (FIFO) or at once (standard), deletes with a
//! receipt that is long void, and may hand one message out twice. So each message has an item in the table ([`keys`]): its state, the
//! token of its latest lease, its receives, its reason. A push is a conditional put, a send, and an update that says it was sent; what
//! a crash left between the two is sent again by [`crate::ports::Queue::prune`], which the sweeper calls each minute. A lease, an answer
//! and an extension are conditional updates; the message's own visibility follows. Keys are remembered through the table's TTL. Each
//! lane is a queue of its own (`NAME-deliveries`, `NAME-runs`, `NAME-launches`) beside one for dead letters (`NAME-dead`), so that
//! QUEUE_URL is one address. A delay beyond SQS's 900 s, and a visibility beyond its 12 h, stand in the item (`until`): a message
//! that shows too early is hidden again. A body that is over 200 KB on the wire lies in the bucket, with a pointer in the message.
//! An attempt without room is put aside: its item waits in line ([`sqs::SqsQueue::park`]), and is sent again when a task has ended.
//!
//! **Store: one table.** A run is one item that holds the packed run; an update is conditional on its version. Lists are queries on
//! indexes (by time, repository, status, both, due), never scans. What runs on an issue, and a concurrency group, are items of their own, since the
//! rule that two runs which came at once see each other needs consistent reads, which indexes don't have.
//!
//! **Agents and their files.** A Fargate task has no disk of ours and, of AWS, only a task role that all tasks share. It can read
//! objects below `launch/` of the bucket whose names it knows: no list, nothing else. RunTask's overrides name one such object, by a
//! name that nobody can guess, and a reader of the console, who sees the name, has no role to read it with. What lies there is the
//! attempt's *grant* ([`ecs::grant`]): links to exactly its own files, the secrets of its job, and a token that can read the one repository,
//! with which the agent clones for itself. The agent takes them into memory; no step sees them. The links are signed by
//! a session of a role that can touch artifacts only, narrowed by a session policy to this attempt's prefix, so that the
//! moment they end is known (one hour, the most that a chained role gets) and so that no mistake in a link can reach another job.
//! While the attempt lives, the sweeper leaves a fresh grant in the attempt's prefix before half of the hour is over, and the agent
//! fetches it by a link of the old one. Compared with handing the session's keys to the agent: no keys to leak, no signing code beyond
//! one request in the container, no list and no delete, and each link is one verb on one object.
//!
//! **What is a loop on a VPS is an event here.** S3 tells of a new `reporting.yaml`, EventBridge of a task that stopped; both go
//! through a queue to the reporter, which looks at the attempt once. The sweeper, each minute, finds whatever an event missed.

mod connections;
pub mod dynamodb;
pub mod ecs;
mod error;
mod item;
pub mod keys;
mod pack;
pub mod s3;
pub mod secrets_manager;
pub mod sqs;

pub use connections::connections;

/// What all clients are made of: region, credentials and endpoint, as the SDK finds them (environment, profile, role), and one pool of
/// connections.
#[derive(Debug, Clone)]
pub struct Aws {
    config: aws_config::SdkConfig,
}

impl Aws {
    /// Looks for region and credentials. `AWS_ENDPOINT_URL` leads to another place than AWS.
    pub async fn load() -> Self {
        let retries = aws_config::retry::RetryConfig::standard().with_max_attempts(5);
        let loader = aws_config::defaults(aws_config::BehaviorVersion::latest());
        Self { config: loader.retry_config(retries).http_client(connections()).load().await }
    }

    /// With this configuration: for tests, and for other credentials.
    pub fn with(config: aws_config::SdkConfig) -> Self {
        Self { config }
    }

    /// The region, for addresses.
    pub fn region(&self) -> Option<String> {
        self.config.region().map(ToString::to_string)
    }

    /// The part of AWS that the region belongs to, as ARNs name it.
    fn partition(&self) -> &'static str {
        match self.config.region().map(AsRef::as_ref).and_then(|region: &str| region.split('-').next()) {
            Some("cn") => "aws-cn",
            Some("us") if self.region().is_some_and(|region| region.starts_with("us-gov-")) => "aws-us-gov",
            _ => "aws",
        }
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        // An endpoint of its own (tests, other storages) has no bucket names in its host name.
        let own = self.config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(own).build();
        aws_sdk_s3::Client::from_conf(config)
    }
}
