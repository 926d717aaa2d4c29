//! The store: runs and decisions in one table. The keys are in [`super::keys`].

mod runs;
mod schedules;

use super::error::{held, why};
use super::item::{b, bytes, n, number, s, text};
use super::{Aws, keys, pack};
use crate::ports::{
    Clock, Decision, Page, RunFilter, RunSummary, Saved, Schedules, Store, StoreError, Stored,
};
use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::TableStatus;
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Group, Run, RunStatus};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// How long decisions are kept.
const DECISIONS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The store.
pub struct DynamoStore {
    db: aws_sdk_dynamodb::Client,
    table: String,
    clock: Arc<dyn Clock>,
}

impl DynamoStore {
    /// A store in this table; nothing is asked of AWS yet.
    pub fn new(aws: &Aws, table: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { db: aws_sdk_dynamodb::Client::new(&aws.config), table: table.into(), clock }
    }

    /// A query of one partition of an index.
    fn query(&self, index: &str, value: &str) -> QueryFluentBuilder {
        let attribute =
            keys::INDEXES.iter().find(|known| known.name == index).map_or("list", |known| known.partition);
        self.db
            .query()
            .table_name(&self.table)
            .index_name(index)
            .expression_attribute_names("#partition", attribute)
            .expression_attribute_values(":partition", s(value))
    }

    /// The runs in a partition of members, oldest first. Read from the table itself: an index may not have the youngest yet.
    async fn members(&self, partition: String) -> Result<Vec<RunId>, StoreError> {
        let query = self
            .db
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(partition));
        self.collect(query, usize::MAX, |item| {
            run_id(text(item, keys::SK).and_then(|place| place.split('#').nth(1)).unwrap_or_default())
        })
        .await
    }

    /// What is due by then in a partition of the index `due`, read from what stands behind the prefix of its key.
    async fn due_in<T>(
        &self,
        partition: &str,
        prefix: &str,
        now: Timestamp,
        limit: usize,
        read: impl Fn(&str) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let query = self
            .query("due", partition)
            .key_condition_expression("#partition = :partition AND due_at < :after")
            .expression_attribute_values(":after", s(keys::after(now)));
        self.collect(query, limit, |item| {
            let key = text(item, keys::PK).and_then(|key| key.strip_prefix(prefix));
            read(key.unwrap_or_default())
        })
        .await
    }

    /// The item that takes the place of this version of it; see [`swapped`].
    fn versioned(&self, pk: String, sk: &str, version: u64) -> PutItemFluentBuilder {
        self.db
            .put_item()
            .table_name(&self.table)
            .item(keys::PK, s(pk))
            .item(keys::SK, s(sk))
            .item("version", n(version.saturating_add(1)))
    }

    /// Up to `limit` values of one attribute, in the query's order, over as many pages as that takes.
    async fn collect<T>(
        &self,
        query: QueryFluentBuilder,
        limit: usize,
        read: impl Fn(&super::item::Item) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut pages =
            query.limit(i32::try_from(limit.clamp(1, 1000)).unwrap_or(1000)).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            for item in page.map_err(|error| unavailable(&error))?.items() {
                if found.len() == limit {
                    return Ok(found);
                }
                found.push(read(item)?);
            }
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }
}

/// Puts an item where the one that is there has this version, 0 for none; whether that was so.
async fn swapped(put: PutItemFluentBuilder, version: u64) -> Result<bool, StoreError> {
    let put = match version {
        0 => put.condition_expression("attribute_not_exists(pk)"),
        _ => {
            put.condition_expression("version = :version").expression_attribute_values(":version", n(version))
        }
    };
    held(put.send().await).map_err(|error| unavailable(&error))
}

fn version_of(item: &super::item::Item) -> u64 {
    number(item, "version").and_then(|version| u64::try_from(version).ok()).unwrap_or_default()
}

#[async_trait]
impl Store for DynamoStore {
    async fn create(&self, run: &Run, semantic_key: &str) -> Result<Saved, StoreError> {
        self.create_run(run, semantic_key).await
    }

    async fn load(&self, id: &RunId) -> Result<Option<Stored>, StoreError> {
        self.load_run(id).await
    }

    async fn save(&self, run: &Run, version: u64) -> Result<Saved, StoreError> {
        self.save_run(run, version).await
    }

    /// A cursor that this store did not make begins at the start.
    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, StoreError> {
        let limit = match filter.limit {
            0 => 50,
            limit => limit.min(200),
        };
        let (index, partition) = match (&filter.repository, filter.status) {
            (None, None) => ("list", keys::RUNS.to_owned()),
            (Some(repository), None) => ("repository", repository.clone()),
            (None, Some(status)) => ("status", status.as_str().to_owned()),
            (Some(repository), Some(status)) => ("repository-status", both(repository, status)),
        };
        let mut query = self.query(index, &partition).scan_index_forward(false);
        query = match filter.cursor.as_deref().filter(|cursor| is_place_of_run(cursor)) {
            Some(cursor) => query
                .key_condition_expression("#partition = :partition AND place < :cursor")
                .expression_attribute_values(":cursor", s(cursor)),
            None => query.key_condition_expression("#partition = :partition"),
        };
        let rows = self.collect(query, limit + 1, summary).await?;
        let more = rows.len() > limit;
        let items: Vec<RunSummary> = rows.into_iter().take(limit).collect();
        let next = items.last().filter(|_| more).map(|last| keys::place(last.created_at, last.id.as_str()));
        Ok(Page { items, next })
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RunId>, StoreError> {
        self.due_in(keys::DUE_RUNS, "run#", now, limit, run_id).await
    }

    async fn group(&self, repository: &str, name: &str) -> Result<(Group, u64), StoreError> {
        let Some(item) = self.get(keys::group(repository, name), "group").await? else {
            return Ok((Group::default(), 0));
        };
        let group = serde_json::from_str(text(&item, "group").unwrap_or_default())
            .map_err(|error| StoreError::Corrupt(format!("the group {name} of {repository}: {error}")))?;
        Ok((group, version_of(&item)))
    }

    async fn save_group(
        &self,
        repository: &str,
        name: &str,
        group: &Group,
        version: u64,
    ) -> Result<bool, StoreError> {
        let json = serde_json::to_string(group).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let put = self.versioned(keys::group(repository, name), "group", version).item("group", s(json));
        swapped(put, version).await
    }

    async fn schedules(&self, key: &str) -> Result<Option<(Schedules, u64)>, StoreError> {
        self.load_schedules(key).await
    }

    async fn save_schedules(&self, schedules: &Schedules, version: u64) -> Result<bool, StoreError> {
        self.put_schedules(schedules, version).await
    }

    async fn schedules_due(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        self.due_in(keys::DUE_SCHEDULES, "schedules#", now, limit, |key| Ok(key.to_owned())).await
    }

    async fn active_on(&self, repository: &str, subject: u64) -> Result<Vec<RunId>, StoreError> {
        self.members(keys::subject(repository, subject)).await
    }

    async fn record(&self, decision: &Decision) -> Result<(), StoreError> {
        let json = serde_json::to_vec(decision).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let expires = decision.at.saturating_add(DECISIONS_KEPT).unwrap_or(Timestamp::MAX);
        let put = self
            .db
            .put_item()
            .table_name(&self.table)
            .item(keys::PK, s(keys::decision(&decision.delivery)))
            .item(keys::SK, s("decision"))
            .item("list", s(keys::DECISIONS))
            .item("place", s(keys::place(decision.at, &decision.delivery)))
            .item("body", b(pack::pack(&json)))
            .item(keys::EXPIRES, n(expires.as_second()));
        put.send().await.map(drop).map_err(|error| unavailable(&error))
    }

    async fn decisions(&self, limit: usize) -> Result<Vec<Decision>, StoreError> {
        // TTL removes them a little later.
        let oldest = self.clock.now().saturating_sub(DECISIONS_KEPT).unwrap_or(Timestamp::MIN);
        let query = self
            .query("list", keys::DECISIONS)
            .key_condition_expression("#partition = :partition AND place > :oldest")
            .expression_attribute_values(":oldest", s(keys::instant(oldest)))
            .scan_index_forward(false);
        self.collect(query, limit, |item| {
            let packed = bytes(item, "body").unwrap_or_default();
            let json = pack::unpack(packed).map_err(StoreError::Corrupt)?;
            serde_json::from_slice(&json).map_err(|error| StoreError::Corrupt(format!("a decision: {error}")))
        })
        .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let described = self.db.describe_table().table_name(&self.table).send().await;
        let table = described.map_err(|error| unavailable(&error))?.table;
        let Some(table) = table else {
            return Err(StoreError::Unavailable(format!("the table {} is not described", self.table)));
        };
        let missing = keys::INDEXES.iter().find(|wanted| {
            !table.global_secondary_indexes().iter().any(|index| index.index_name() == Some(wanted.name))
        });
        match (table.table_status(), missing) {
            (Some(TableStatus::Active | TableStatus::Updating), None) => Ok(()),
            (Some(TableStatus::Active | TableStatus::Updating), Some(index)) => {
                Err(StoreError::Unavailable(format!(
                    "the table {} has no index {}; deploy infra/template.yaml again",
                    self.table, index.name
                )))
            }
            (status, _) => {
                let status = status.map_or("unknown", TableStatus::as_str);
                Err(StoreError::Unavailable(format!("the table {} is {status}", self.table)))
            }
        }
    }
}

fn both(repository: &str, status: RunStatus) -> String {
    format!("{repository}#{}", status.as_str())
}

/// Whether a cursor is one of ours: anything else begins at the start.
fn is_place_of_run(cursor: &str) -> bool {
    cursor.split_once('#').is_some_and(|(time, id)| {
        time.len() == 20 && time.bytes().all(|byte| byte.is_ascii_digit()) && RunId::parse(id).is_some()
    })
}

fn run_id(text: &str) -> Result<RunId, StoreError> {
    RunId::parse(text).ok_or_else(|| StoreError::Corrupt(format!("`{text}` is no run's id")))
}

fn summary(item: &super::item::Item) -> Result<RunSummary, StoreError> {
    let json = text(item, "summary").unwrap_or_default();
    serde_json::from_str(json).map_err(|error| StoreError::Corrupt(format!("a run's summary: {error}")))
}

fn unavailable<E, R>(error: &aws_sdk_dynamodb::error::SdkError<E, R>) -> StoreError
where
    E: std::error::Error + aws_sdk_dynamodb::error::ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    StoreError::Unavailable(why(error))
}
