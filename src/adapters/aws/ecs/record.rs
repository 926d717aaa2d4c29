//! What the table knows of attempts' tasks.
//!
//! An attempt's item is there before RunTask is called, with what makes the call the same when it is made again: the name of the object
//! with the grant, and the capacity provider. So whoever is killed in between makes no second task and leaves no grant behind, and
//! what he may have started is found.

use super::super::error::{held, why};
use super::super::item::{Item, millis, n, number, s, text};
use super::super::keys;
use crate::ports::{Clock, RunnerError};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use cloud_code_model::ids::AttemptId;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// An item outlives its task; longer than any run, which has 35 days, so that TTL only takes what was left behind.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(40 * 24);

/// An attempt's task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Its ARN; none where RunTask has not answered, as far as we know.
    pub(super) arn: Option<String>,
    pub(super) created_at: Timestamp,
    /// When the newest grant ends.
    pub(super) granted_until: Timestamp,
    /// The object with the first grant.
    pub(super) launch: String,
    /// The capacity provider that is asked.
    pub(super) provider: String,
}

impl Record {
    fn of(item: &Item) -> Option<Self> {
        let time = |name| number(item, name).and_then(|at| Timestamp::from_millisecond(at).ok());
        Some(Self {
            arn: text(item, "arn").map(str::to_owned),
            created_at: time("created_at")?,
            granted_until: time("granted_until")?,
            launch: text(item, "launch")?.to_owned(),
            provider: text(item, "provider").unwrap_or_default().to_owned(),
        })
    }
}

/// The items.
pub(super) struct Records {
    db: aws_sdk_dynamodb::Client,
    table: String,
    clock: Arc<dyn Clock>,
}

impl Records {
    pub(super) fn new(db: aws_sdk_dynamodb::Client, table: String, clock: Arc<dyn Clock>) -> Self {
        Self { db, table, clock }
    }

    pub(super) async fn get(&self, attempt: &AttemptId) -> Result<Option<Record>, RunnerError> {
        let got = self
            .db
            .get_item()
            .table_name(&self.table)
            .key(keys::PK, s(keys::TASKS))
            .key(keys::SK, s(attempt.to_string()))
            .consistent_read(true)
            .send()
            .await;
        Ok(got.map_err(|error| unreachable(&error))?.item.as_ref().and_then(Record::of))
    }

    /// All that are there.
    pub(super) async fn all(&self) -> Result<Vec<(AttemptId, Record)>, RunnerError> {
        let mut pages = self
            .db
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :tasks")
            .expression_attribute_values(":tasks", s(keys::TASKS))
            .into_paginator()
            .send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            for item in page.map_err(|error| unreachable(&error))?.items() {
                let attempt = text(item, keys::SK).and_then(AttemptId::parse);
                all.extend(attempt.zip(Record::of(item)));
            }
        }
        Ok(all)
    }

    /// Begins an attempt's task, or finds that it was begun.
    pub(super) async fn begin(
        &self,
        attempt: &AttemptId,
        launch: &str,
        provider: &str,
    ) -> Result<Record, RunnerError> {
        let now = self.clock.now();
        let expires = now.saturating_add(REMEMBERED).unwrap_or(Timestamp::MAX);
        let put = self
            .db
            .put_item()
            .table_name(&self.table)
            .item(keys::PK, s(keys::TASKS))
            .item(keys::SK, s(attempt.to_string()))
            .item("launch", s(launch))
            .item("provider", s(provider))
            .item("created_at", millis(now))
            .item("granted_until", millis(now))
            .item(keys::EXPIRES, n(expires.as_second()))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        // Where it is there, somebody else began it, or this call itself, whose answer was lost.
        noted(put)?;
        self.still(attempt).await
    }

    /// Notes that the provider had no room, and which one is asked next; gives what holds now.
    pub(super) async fn goes_to(
        &self,
        attempt: &AttemptId,
        record: &Record,
        next: &str,
    ) -> Result<Record, RunnerError> {
        let changed = self
            .update(attempt)
            .update_expression("SET provider = :next")
            .condition_expression("provider = :asked AND attribute_not_exists(arn)")
            .expression_attribute_values(":asked", s(&record.provider))
            .expression_attribute_values(":next", s(next))
            .send()
            .await;
        noted(changed)?;
        self.still(attempt).await
    }

    /// Notes the task. Says no where the attempt was removed meanwhile.
    pub(super) async fn started(
        &self,
        attempt: &AttemptId,
        arn: &str,
        granted_until: Timestamp,
    ) -> Result<bool, RunnerError> {
        let updated = self
            .update(attempt)
            .update_expression("SET arn = :arn, granted_until = :until")
            .condition_expression("attribute_exists(pk) AND (attribute_not_exists(arn) OR arn = :arn)")
            .expression_attribute_values(":arn", s(arn))
            .expression_attribute_values(":until", millis(granted_until))
            .send()
            .await;
        noted(updated)
    }

    /// Notes when the attempt's newest grant ends. One that was removed meanwhile needs none.
    pub(super) async fn granted(&self, attempt: &AttemptId, until: Timestamp) -> Result<(), RunnerError> {
        let updated = self
            .update(attempt)
            .update_expression("SET granted_until = :until")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":until", millis(until))
            .send()
            .await;
        noted(updated).map(drop)
    }

    /// Forgets an attempt whose record is still this one. Says no where it became another.
    pub(super) async fn forget(&self, attempt: &AttemptId, record: &Record) -> Result<bool, RunnerError> {
        let delete = self
            .db
            .delete_item()
            .table_name(&self.table)
            .key(keys::PK, s(keys::TASKS))
            .key(keys::SK, s(attempt.to_string()));
        let delete = match &record.arn {
            Some(arn) => delete
                .condition_expression("attribute_not_exists(pk) OR arn = :arn")
                .expression_attribute_values(":arn", s(arn)),
            None => delete.condition_expression("attribute_not_exists(arn)"),
        };
        noted(delete.send().await)
    }

    fn update(&self, attempt: &AttemptId) -> UpdateItemFluentBuilder {
        self.db
            .update_item()
            .table_name(&self.table)
            .key(keys::PK, s(keys::TASKS))
            .key(keys::SK, s(attempt.to_string()))
    }

    async fn still(&self, attempt: &AttemptId) -> Result<Record, RunnerError> {
        let record = self.get(attempt).await?;
        record.ok_or_else(|| RunnerError::Failed(format!("{attempt} was removed while it was started")))
    }
}

fn unreachable<E, R>(error: &SdkError<E, R>) -> RunnerError
where
    E: std::error::Error + aws_sdk_dynamodb::error::ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    RunnerError::Unreachable(why(error))
}

/// Whether a write's condition held.
fn noted<T, E, R>(written: Result<T, SdkError<E, R>>) -> Result<bool, RunnerError>
where
    E: std::error::Error + aws_sdk_dynamodb::error::ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    held(written).map_err(|error| unreachable(&error))
}
