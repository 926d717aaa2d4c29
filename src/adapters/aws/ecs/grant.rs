//! Grants: what an attempt may touch, for an hour, and the next one before that is over.

use super::super::error::why;
use super::super::{Aws, keys};
use crate::ports::{Artifact, Clock, Launch, RunnerError};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::presigning::PresigningConfig;
use cloud_code_model::ids::{AttemptId, digest};
use cloud_code_model::task::{Grant, GrantedCheckout, VERSION};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a session of a role lasts that another role took on: AWS gives no more.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
const SESSION: i32 = 3600;
/// Links end with the session that signed them; a little earlier, so that a clock that is a little off does no harm.
const LINKS: Duration = Duration::from_secs(3600 - 60);
/// The file in which a later grant is found.
const GRANT_FILE: &str = "grant.json";
/// What the agent reads.
const READ: [Artifact; 2] = [Artifact::Tasking, Artifact::EarlierSession];
/// What the agent writes.
const WRITTEN: [Artifact; 5] =
    [Artifact::Report, Artifact::Bundle, Artifact::Log, Artifact::Transcript, Artifact::Session];

/// Whether a grant is to be renewed: half of its hour is over.
pub fn is_half_over(until: Timestamp, now: Timestamp) -> bool {
    until.duration_since(now) < SignedDuration::from_secs(i64::from(SESSION) / 2)
}

/// A name for the object with a first grant, which nobody can guess: 244 random bits.
pub(super) fn name() -> String {
    keys::launch(&format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))
}

/// Makes grants.
pub(super) struct Grants {
    aws: Aws,
    s3: aws_sdk_s3::Client,
    sts: aws_sdk_sts::Client,
    bucket: String,
    role: String,
    clock: Arc<dyn Clock>,
}

impl Grants {
    pub(super) fn new(aws: &Aws, bucket: &str, role: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            s3: aws.s3(),
            sts: aws_sdk_sts::Client::new(&aws.config),
            aws: aws.clone(),
            bucket: bucket.to_owned(),
            role: role.to_owned(),
            clock,
        }
    }

    /// Leaves the first grant of an attempt in this object; gives when its links end.
    pub(super) async fn first(&self, launch: &Launch, object: &str) -> Result<Timestamp, RunnerError> {
        let mut grant = self.links(&launch.attempt).await?;
        grant.secrets =
            launch.secrets.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
        let fetch = launch.fetch.as_ref().ok_or_else(|| {
            RunnerError::Refused(
                "a Fargate task sees no folder of this machine: it has to check out for itself".to_owned(),
            )
        })?;
        grant.checkout = Some(GrantedCheckout {
            url: fetch.remote.url.clone(),
            key: fetch.remote.key.clone(),
            token: fetch.remote.token.as_ref().map(|token| token.reveal().to_owned()),
            base: fetch.base.clone(),
            branch: fetch.branch.clone(),
        });
        self.put(object, &grant).await?;
        Ok(grant.expires_at)
    }

    /// Leaves a new grant where the attempt looks for it; gives when its links end.
    pub(super) async fn renew(&self, attempt: &AttemptId) -> Result<Timestamp, RunnerError> {
        let grant = self.links(attempt).await?;
        self.put(&keys::grant(attempt), &grant).await?;
        Ok(grant.expires_at)
    }

    /// Removes an attempt's grants.
    pub(super) async fn withdraw(&self, attempt: &AttemptId, launch: &str) -> Result<(), RunnerError> {
        for key in [launch, &keys::grant(attempt)] {
            let deleted = self.s3.delete_object().bucket(&self.bucket).key(key).send().await;
            deleted.map_err(|error| RunnerError::Unreachable(why(&error)))?;
        }
        Ok(())
    }

    /// The address of an object as the agent asks for it.
    pub(super) fn address(&self, key: &str) -> Result<(String, String), RunnerError> {
        let region = self
            .aws
            .region()
            .ok_or_else(|| RunnerError::Refused("no AWS region is set; set AWS_REGION".to_owned()))?;
        let address = match self.aws.config.endpoint_url() {
            Some(endpoint) => format!("{}/{}/{key}", endpoint.trim_end_matches('/'), self.bucket),
            None => {
                let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                format!("https://{}.s3.{region}.{domain}/{key}", self.bucket)
            }
        };
        Ok((address, region))
    }

    async fn put(&self, key: &str, grant: &Grant) -> Result<(), RunnerError> {
        let bytes = serde_json::to_vec(grant).map_err(|error| RunnerError::Failed(error.to_string()))?;
        let put = self.s3.put_object().bucket(&self.bucket).key(key).body(bytes.into());
        put.send().await.map(drop).map_err(|error| RunnerError::Unreachable(why(&error)))
    }

    /// Links to the attempt's files, signed by a session that can touch nothing else.
    async fn links(&self, attempt: &AttemptId) -> Result<Grant, RunnerError> {
        let s3 = self.session(attempt).await?;
        let expires_at = self.clock.now().saturating_add(LINKS).unwrap_or(Timestamp::MAX);
        let signing =
            || PresigningConfig::expires_in(LINKS).map_err(|error| RunnerError::Failed(error.to_string()));
        let mut get = BTreeMap::new();
        let readable = READ.map(|artifact| (artifact.file_name(), keys::live(attempt, artifact)));
        for (name, key) in readable.into_iter().chain([(GRANT_FILE, keys::grant(attempt))]) {
            let signed = s3.get_object().bucket(&self.bucket).key(key).presigned(signing()?).await;
            let signed = signed.map_err(|error| RunnerError::Failed(why(&error)))?;
            get.insert(name.to_owned(), signed.uri().to_owned());
        }
        let mut put = BTreeMap::new();
        for artifact in WRITTEN {
            let key = keys::live(attempt, artifact);
            let signed = s3.put_object().bucket(&self.bucket).key(key).presigned(signing()?).await;
            let signed = signed.map_err(|error| RunnerError::Failed(why(&error)))?;
            put.insert(artifact.file_name().to_owned(), signed.uri().to_owned());
        }
        Ok(Grant {
            version: VERSION,
            attempt: attempt.name(),
            expires_at,
            get,
            put,
            secrets: BTreeMap::new(),
            checkout: None,
        })
    }

    async fn session(&self, attempt: &AttemptId) -> Result<aws_sdk_s3::Client, RunnerError> {
        let taken = self
            .sts
            .assume_role()
            .role_arn(&self.role)
            .role_session_name(format!("attempt-{}", digest(&[&attempt.name()])))
            .duration_seconds(SESSION)
            .policy(policy(self.aws.partition(), &self.bucket, attempt).to_string())
            .send()
            .await
            .map_err(|error| super::failed(&error))?;
        let keys =
            taken.credentials.ok_or_else(|| RunnerError::Failed("STS gave no credentials".to_owned()))?;
        let credentials = Credentials::new(
            keys.access_key_id,
            keys.secret_access_key,
            Some(keys.session_token),
            None,
            "links",
        );
        let config = self.aws.config.to_builder();
        let config = config.credentials_provider(SharedCredentialsProvider::new(credentials)).build();
        Ok(Aws::with(config).s3())
    }
}

/// What the session may do at most: read what we write for this attempt, and write what it leaves for us.
fn policy(partition: &str, bucket: &str, attempt: &AttemptId) -> serde_json::Value {
    let prefix = format!("arn:{partition}:s3:::{bucket}/{}", keys::attempt(attempt));
    json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Action": "s3:GetObject", "Resource": format!("{prefix}/in/*") },
            { "Effect": "Allow", "Action": "s3:PutObject", "Resource": format!("{prefix}/out/*") },
        ],
    })
}
