//! Where queue, artifacts and secrets are, by address; and which of them can't go together.

use super::{AgentsConfig, ConfigError, Environment, RunnerKind, StorageConfig, VaultPlace, vault};

/// Where the queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueuePlace {
    /// In the database.
    Database,
    /// In SQS, with a table that remembers keys and a bucket for large bodies.
    Sqs {
        /// With `-deliveries`, `-runs`, `-launches` and `-dead`, the queues' addresses.
        url: String,
        /// The table.
        table: String,
        /// The bucket.
        bucket: String,
    },
}

/// Where what attempts leave is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactsPlace {
    /// In DATA_DIR.
    Disk,
    /// In a bucket.
    S3 {
        /// The bucket.
        bucket: String,
    },
}

/// Where secrets are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretsPlace {
    /// In the sealed file in DATA_DIR.
    File,
    /// In Secrets Manager.
    SecretsManager {
        /// What their names begin with.
        prefix: String,
    },
    /// In Vault.
    Vault(Box<VaultPlace>),
}

/// Which capacity Fargate tasks run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcsCapacity {
    /// Fargate.
    OnDemand,
    /// Fargate Spot.
    Spot,
    /// Fargate Spot, and Fargate where there is none.
    SpotOrOnDemand,
}

impl std::str::FromStr for EcsCapacity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "on-demand" => Ok(Self::OnDemand),
            "spot" => Ok(Self::Spot),
            "spot-or-on-demand" => Ok(Self::SpotOrOnDemand),
            _ => Err(()),
        }
    }
}

/// Where Fargate tasks run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsPlace {
    /// The cluster.
    pub cluster: String,
    /// Subnets.
    pub subnets: Vec<String>,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// Whether tasks get public addresses.
    pub public_ip: bool,
    /// Capacity.
    pub capacity: EcsCapacity,
    /// The role whose sessions sign the links to an attempt's files.
    pub links_role: String,
    /// The tasks' log group.
    pub log_group: String,
}

pub(super) fn wrong<T>(variable: &'static str, problem: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError { variable, problem: problem.into() })
}

/// The table in `dynamodb://TABLE`.
pub(super) fn table_of(database_url: &str) -> Result<Option<String>, ConfigError> {
    let Some(table) = database_url.strip_prefix("dynamodb://") else { return Ok(None) };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !(3..=255).contains(&table.len()) || !table.chars().all(plain) {
        return wrong("DATABASE_URL", format!("`{table}` is no table's name; write dynamodb://TABLE"));
    }
    Ok(Some(table.to_owned()))
}

impl ArtifactsPlace {
    pub(super) fn read(env: &Environment) -> Result<Self, ConfigError> {
        let Some(url) = env.get("ARTIFACTS_URL") else { return Ok(Self::Disk) };
        match url.strip_prefix("s3://") {
            Some(bucket) if !bucket.is_empty() && !bucket.contains('/') => {
                Ok(Self::S3 { bucket: bucket.to_owned() })
            }
            Some(_) => wrong("ARTIFACTS_URL", format!("`{url}` is no bucket's address; write s3://BUCKET")),
            None => wrong("ARTIFACTS_URL", "write s3://BUCKET, or leave it out for the disk"),
        }
    }
}

impl SecretsPlace {
    pub(super) fn read(env: &Environment) -> Result<Self, ConfigError> {
        let url = env.get("SECRETS_URL").unwrap_or_default();
        if let Some(path) = url.strip_prefix("vault:") {
            return Ok(Self::Vault(Box::new(VaultPlace::read(env, path)?)));
        }
        vault::none_but_with_vault(env)?;
        if url.is_empty() {
            return Ok(Self::File);
        }
        let Some(prefix) = url.strip_prefix("secretsmanager://") else {
            return wrong(
                "SECRETS_URL",
                "write vault:MOUNT/PATH or secretsmanager://PREFIX, or leave it out for the sealed file",
            );
        };
        let prefix = prefix.trim_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        if prefix.is_empty() || prefix.len() > 128 || !prefix.chars().all(plain) {
            return wrong("SECRETS_URL", format!("`{prefix}` can't begin the names of secrets"));
        }
        Ok(Self::SecretsManager { prefix: prefix.to_owned() })
    }
}

impl QueuePlace {
    pub(super) fn read(
        env: &Environment,
        table: Option<&String>,
        artifacts: &ArtifactsPlace,
    ) -> Result<Self, ConfigError> {
        let Some(url) = env.get("QUEUE_URL") else {
            if table.is_some() {
                return wrong(
                    "QUEUE_URL",
                    "DATABASE_URL names DynamoDB, which is no queue; set QUEUE_URL to an SQS address",
                );
            }
            return Ok(Self::Database);
        };
        let (address, query) = url.split_once('?').unwrap_or((&url, ""));
        let web = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
        let host = web.map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
        let local = matches!(host, Some("localhost" | "127.0.0.1" | "host.docker.internal"));
        if !(host.is_some_and(|host| host.starts_with("sqs.")) || local) {
            return wrong(
                "QUEUE_URL",
                "write the address of SQS queues without their last part, as in \
                 https://sqs.eu-west-1.amazonaws.com/123456789012/cloud-code, or leave it out for the database",
            );
        }
        let mut given_table = table.cloned();
        let mut given_bucket = match artifacts {
            ArtifactsPlace::S3 { bucket } => Some(bucket.clone()),
            ArtifactsPlace::Disk => None,
        };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "table" => given_table = Some(value.to_owned()),
                "bucket" => given_bucket = Some(value.to_owned()),
                other => {
                    return wrong("QUEUE_URL", format!("`{other}` is not known; `table` and `bucket` are"));
                }
            }
        }
        let Some(table) = given_table else {
            return wrong(
                "QUEUE_URL",
                "SQS forgets which deliveries it had; add ?table=TABLE, a DynamoDB table as infra/template.yaml makes it, or set \
                 DATABASE_URL=dynamodb://TABLE",
            );
        };
        let Some(bucket) = given_bucket else {
            return wrong(
                "QUEUE_URL",
                "SQS takes no message over 256 KB, and GitHub's may have 25 MB; add &bucket=BUCKET, or set ARTIFACTS_URL=s3://BUCKET",
            );
        };
        Ok(Self::Sqs { url: address.trim_end_matches('/').to_owned(), table, bucket })
    }
}

impl EcsPlace {
    pub(super) fn read(env: &Environment) -> Result<Self, ConfigError> {
        let capacity = env.parsed("ECS_CAPACITY", "`on-demand`, `spot` or `spot-or-on-demand`")?;
        let subnets = env.list("ECS_SUBNETS");
        if subnets.is_empty() {
            return wrong(
                "ECS_SUBNETS",
                "RUNNER=ecs needs the subnets that tasks run in, with commas between them",
            );
        }
        Ok(Self {
            cluster: env.required("ECS_CLUSTER")?,
            subnets,
            security_groups: env.list("ECS_SECURITY_GROUPS"),
            public_ip: env.flag("ECS_PUBLIC_IP")?,
            capacity: capacity.unwrap_or(EcsCapacity::SpotOrOnDemand),
            links_role: env.required("ECS_LINKS_ROLE")?,
            log_group: env.required("ECS_LOG_GROUP")?,
        })
    }
}

/// What each part is content with and all together can't be.
pub(super) fn agree(storage: &StorageConfig, agents: &AgentsConfig) -> Result<(), ConfigError> {
    if agents.runner != RunnerKind::Ecs {
        return Ok(());
    }
    if storage.artifacts == ArtifactsPlace::Disk {
        return wrong(
            "ARTIFACTS_URL",
            "RUNNER=ecs runs jobs where this machine's disk is not; set ARTIFACTS_URL=s3://BUCKET, which tasks reach by links",
        );
    }
    if storage.any_table().is_none() {
        return wrong(
            "DATABASE_URL",
            "RUNNER=ecs remembers its tasks in a DynamoDB table; set DATABASE_URL=dynamodb://TABLE, or an SQS QUEUE_URL with \
             ?table=TABLE",
        );
    }
    Ok(())
}
