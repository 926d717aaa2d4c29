//! The store: runs as JSON, with the columns beside it that lists and searches need.

use super::database::check_write;
use super::time::{nanos, nanos_after, timestamp};
use super::writer::{WriteFailed, Writer, work};
use crate::ports::{
    Clock, Decision, Page, RunFilter, RunSummary, Saved, Schedules, Store, StoreError, Stored,
};
use async_trait::async_trait;
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Group, Run};
use futures::FutureExt;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, SqliteConnection, SqlitePool};
use std::sync::Arc;
use std::time::Duration;

/// How long decisions are kept.
const DECISIONS_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

const ACTIVE_ON: &str = "SELECT id FROM runs WHERE repository = $1 AND subject = $2 AND status <> 'completed' \
    ORDER BY created_at, id";

/// The store of a [`super::Database`].
#[derive(Clone)]
pub struct SqlStore {
    readers: SqlitePool,
    writer: Writer,
    clock: Arc<dyn Clock>,
}

impl SqlStore {
    pub(super) fn new(readers: SqlitePool, writer: Writer, clock: Arc<dyn Clock>) -> Self {
        Self { readers, writer, clock }
    }
}

/// A run as the table has it.
struct RunRow {
    id: String,
    summary: RunSummary,
    group: Option<String>,
    due_at: Option<i64>,
    json: String,
}

impl RunRow {
    fn of(run: &Run) -> Result<Self, StoreError> {
        Ok(Self {
            id: run.id.as_str().to_owned(),
            summary: RunSummary::of(run),
            group: run.group.clone(),
            due_at: run.due_at().map(nanos),
            json: serde_json::to_string(run)
                .map_err(|error| StoreError::Corrupt(format!("run {} can't be written: {error}", run.id)))?,
        })
    }

    /// Says whether there was neither the run nor another with this semantic key.
    async fn insert(
        self,
        semantic_key: String,
        connection: &mut SqliteConnection,
    ) -> Result<bool, sqlx::Error> {
        let sql = "INSERT INTO runs (id, repository, subject, title, workflow, group_key, status, conclusion, created_at, \
            finished_at, due_at, run, version, semantic_key) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $13) ON CONFLICT DO NOTHING";
        let done = self.bind(sqlx::query(sql)).bind(semantic_key).execute(connection).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Says whether the run stood at `version`.
    async fn update(self, version: i64, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        let sql = "UPDATE runs SET repository = $2, subject = $3, title = $4, workflow = $5, group_key = $6, status = $7, \
            conclusion = $8, created_at = $9, finished_at = $10, due_at = $11, run = $12, version = version + 1 \
            WHERE id = $1 AND version = $13";
        let done = self.bind(sqlx::query(sql)).bind(version).execute(connection).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Binds the first twelve parameters, which both statements have.
    fn bind(self, query: Statement<'_>) -> Statement<'_> {
        query
            .bind(self.id)
            .bind(self.summary.repository)
            .bind(self.summary.subject.cast_signed())
            .bind(self.summary.title)
            .bind(self.summary.workflow)
            .bind(self.group)
            .bind(self.summary.status.as_str())
            .bind(self.summary.conclusion.map(|conclusion| conclusion.as_str()))
            .bind(nanos(self.summary.created_at))
            .bind(self.summary.finished_at.map(nanos))
            .bind(self.due_at)
            .bind(self.json)
    }
}

type Statement<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

#[async_trait]
impl Store for SqlStore {
    async fn create(&self, run: &Run, semantic_key: &str) -> Result<Saved, StoreError> {
        let row = RunRow::of(run)?;
        let semantic_key = semantic_key.to_owned();
        let work = work(move |connection| {
            async move {
                let id = row.id.clone();
                if row.insert(semantic_key.clone(), connection).await? {
                    return Ok(None);
                }
                let found: Option<String> = sqlx::query_scalar(
                    "SELECT id FROM runs WHERE id = $1 OR semantic_key = $2 ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1",
                )
                .bind(id)
                .bind(semantic_key)
                .fetch_optional(connection)
                .await?;
                Ok(Some(found))
            }
            .boxed()
        });
        match self.writer.run(None, work).await? {
            None => Ok(Saved::At(1)),
            Some(Some(id)) => Ok(Saved::Conflict(run_id(&id)?)),
            Some(None) => {
                Err(StoreError::Corrupt(format!("run {} is neither there nor can it be made", run.id)))
            }
        }
    }

    async fn load(&self, id: &RunId) -> Result<Option<Stored>, StoreError> {
        let row = sqlx::query("SELECT version, run FROM runs WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let version: i64 = column(&row, 0)?;
        let json: String = column(&row, 1)?;
        let run =
            serde_json::from_str(&json).map_err(|error| StoreError::Corrupt(format!("run {id}: {error}")))?;
        Ok(Some(Stored { run, version: version.unsigned_abs() }))
    }

    async fn save(&self, run: &Run, version: u64) -> Result<Saved, StoreError> {
        let row = RunRow::of(run)?;
        let expected = i64::try_from(version).unwrap_or(i64::MAX);
        let work = work(move |connection| row.update(expected, connection).boxed());
        let saved = self.writer.run(None, work).await?;
        Ok(if saved { Saved::At(version + 1) } else { Saved::Conflict(run.id.clone()) })
    }

    /// A cursor that this store did not make begins at the start.
    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, StoreError> {
        let limit = match filter.limit {
            0 => 50,
            limit => limit.min(200),
        };
        let mut query = QueryBuilder::<sqlx::Sqlite>::new(
            "SELECT id, repository, subject, title, workflow, status, conclusion, created_at, finished_at FROM runs",
        );
        let mut word = " WHERE ";
        if let Some(repository) = &filter.repository {
            query.push(word).push("repository = ").push_bind(repository.clone());
            word = " AND ";
        }
        if let Some(status) = filter.status {
            query.push(word).push("status = ").push_bind(status.as_str());
            word = " AND ";
        }
        if let Some((created_at, id)) = filter.cursor.as_deref().and_then(parse_cursor) {
            query
                .push(word)
                .push("(created_at, id) < (")
                .push_bind(created_at)
                .push(", ")
                .push_bind(id)
                .push(")");
        }
        query
            .push(" ORDER BY created_at DESC, id DESC LIMIT ")
            .push_bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
        let rows = query.build().fetch_all(&self.readers).await.map_err(unavailable)?;
        let items = rows.iter().take(limit).map(summary).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| rows.len() > limit).map(cursor);
        Ok(Page { items, next })
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let query = sqlx::query(
            "SELECT id FROM runs WHERE due_at IS NOT NULL AND due_at <= $1 ORDER BY due_at, id LIMIT $2",
        )
        .bind(nanos(now))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        ids(query.fetch_all(&self.readers).await)
    }

    async fn group(&self, repository: &str, name: &str) -> Result<(Group, u64), StoreError> {
        let row = sqlx::query(
            "SELECT version, entries FROM concurrency_groups WHERE repository = $1 AND name = $2",
        )
        .bind(repository)
        .bind(name)
        .fetch_optional(&self.readers)
        .await
        .map_err(unavailable)?;
        let Some(row) = row else { return Ok((Group::default(), 0)) };
        let group = serde_json::from_str(&column::<String>(&row, 1)?)
            .map_err(|error| StoreError::Corrupt(format!("the group {name} of {repository}: {error}")))?;
        Ok((group, column::<i64>(&row, 0)?.unsigned_abs()))
    }

    async fn save_group(
        &self,
        repository: &str,
        name: &str,
        group: &Group,
        version: u64,
    ) -> Result<bool, StoreError> {
        let entries = serde_json::to_string(group).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let (repository, name) = (repository.to_owned(), name.to_owned());
        let expected = i64::try_from(version).unwrap_or(i64::MAX);
        let work = work(move |connection| {
            async move {
                let done = sqlx::query(
                    "INSERT INTO concurrency_groups (repository, name, version, entries) VALUES ($1, $2, $3 + 1, $4) \
                     ON CONFLICT (repository, name) DO UPDATE SET version = concurrency_groups.version + 1, \
                     entries = excluded.entries WHERE concurrency_groups.version = $3",
                )
                .bind(repository)
                .bind(name)
                .bind(expected)
                .bind(entries)
                .execute(connection)
                .await?;
                Ok(done.rows_affected() == 1)
            }
            .boxed()
        });
        Ok(self.writer.run(None, work).await?)
    }

    async fn schedules(&self, key: &str) -> Result<Option<(Schedules, u64)>, StoreError> {
        let row = sqlx::query("SELECT version, schedules FROM schedules WHERE repository = $1")
            .bind(key)
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let schedules = serde_json::from_str(&column::<String>(&row, 1)?)
            .map_err(|error| StoreError::Corrupt(format!("the schedules of {key}: {error}")))?;
        Ok(Some((schedules, column::<i64>(&row, 0)?.unsigned_abs())))
    }

    async fn save_schedules(&self, schedules: &Schedules, version: u64) -> Result<bool, StoreError> {
        let json =
            serde_json::to_string(schedules).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let (key, due_at) = (schedules.key(), schedules.due_at().map(nanos));
        let expected = i64::try_from(version).unwrap_or(i64::MAX);
        let work = work(move |connection| {
            async move {
                let sql = match expected {
                    0 => {
                        "INSERT INTO schedules (repository, version, due_at, schedules) VALUES ($1, $2 + 1, $3, $4) \
                         ON CONFLICT DO NOTHING"
                    }
                    _ => {
                        "UPDATE schedules SET version = $2 + 1, due_at = $3, schedules = $4 \
                         WHERE repository = $1 AND version = $2"
                    }
                };
                let done = sqlx::query(sql)
                    .bind(key)
                    .bind(expected)
                    .bind(due_at)
                    .bind(json)
                    .execute(connection)
                    .await?;
                Ok(done.rows_affected() == 1)
            }
            .boxed()
        });
        Ok(self.writer.run(None, work).await?)
    }

    async fn schedules_due(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query(
            "SELECT repository FROM schedules WHERE due_at IS NOT NULL AND due_at <= $1 \
             ORDER BY due_at, repository LIMIT $2",
        )
        .bind(nanos(now))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    async fn active_on(&self, repository: &str, subject: u64) -> Result<Vec<RunId>, StoreError> {
        let query = sqlx::query(ACTIVE_ON).bind(repository).bind(subject.cast_signed());
        ids(query.fetch_all(&self.readers).await)
    }

    async fn record(&self, decision: &Decision) -> Result<(), StoreError> {
        let decision = decision.clone();
        let runs =
            serde_json::to_string(&decision.runs).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let before = nanos(self.clock.now()).saturating_sub(nanos_after(0, DECISIONS_KEPT));
        let work = work(move |connection| {
            async move {
                sqlx::query(
                    "INSERT INTO decisions (delivery, at, event, repository, subject, actor, outcome, reason, runs) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (delivery) DO UPDATE SET \
                     at = excluded.at, event = excluded.event, repository = excluded.repository, \
                     subject = excluded.subject, actor = excluded.actor, outcome = excluded.outcome, \
                     reason = excluded.reason, runs = excluded.runs",
                )
                .bind(decision.delivery)
                .bind(nanos(decision.at))
                .bind(decision.event)
                .bind(decision.repository)
                .bind(decision.subject.map(u64::cast_signed))
                .bind(decision.actor)
                .bind(decision.outcome)
                .bind(decision.reason)
                .bind(runs)
                .execute(&mut *connection)
                .await?;
                sqlx::query("DELETE FROM decisions WHERE at < $1").bind(before).execute(connection).await.map(drop)
            }
            .boxed()
        });
        Ok(self.writer.run(None, work).await?)
    }

    async fn decisions(&self, limit: usize) -> Result<Vec<Decision>, StoreError> {
        let rows = sqlx::query(
            "SELECT delivery, at, event, repository, subject, actor, outcome, reason, runs FROM decisions \
             ORDER BY at DESC, delivery DESC LIMIT $1",
        )
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        rows.iter().map(decision).collect()
    }

    async fn check(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.readers).await.map_err(unavailable)?;
        let now = nanos(self.clock.now());
        let work = work(move |connection| check_write(connection, now).boxed());
        Ok(self.writer.run(None, work).await?)
    }
}

fn summary(row: &SqliteRow) -> Result<RunSummary, StoreError> {
    let conclusion: Option<String> = column(row, 6)?;
    Ok(RunSummary {
        id: run_id(&column::<String>(row, 0)?)?,
        repository: column(row, 1)?,
        subject: column::<i64>(row, 2)?.cast_unsigned(),
        title: column(row, 3)?,
        workflow: column(row, 4)?,
        status: word(column(row, 5)?)?,
        conclusion: conclusion.map(word).transpose()?,
        created_at: timestamp(column(row, 7)?),
        finished_at: column::<Option<i64>>(row, 8)?.map(timestamp),
    })
}

fn decision(row: &SqliteRow) -> Result<Decision, StoreError> {
    let runs: String = column(row, 8)?;
    Ok(Decision {
        delivery: column(row, 0)?,
        at: timestamp(column(row, 1)?),
        event: column(row, 2)?,
        repository: column(row, 3)?,
        subject: column::<Option<i64>>(row, 4)?.map(i64::cast_unsigned),
        actor: column(row, 5)?,
        outcome: column(row, 6)?,
        reason: column(row, 7)?,
        runs: serde_json::from_str(&runs)
            .map_err(|error| StoreError::Corrupt(format!("a decision's runs: {error}")))?,
    })
}

/// Reads a status or a conclusion by the name that the model's files give it.
fn word<T: DeserializeOwned>(name: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(name))
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn cursor(last: &RunSummary) -> String {
    format!("{}.{}", nanos(last.created_at), last.id)
}

fn parse_cursor(cursor: &str) -> Option<(i64, String)> {
    let (created_at, id) = cursor.split_once('.')?;
    Some((created_at.parse().ok()?, RunId::parse(id)?.as_str().to_owned()))
}

fn ids(rows: Result<Vec<SqliteRow>, sqlx::Error>) -> Result<Vec<RunId>, StoreError> {
    rows.map_err(unavailable)?.iter().map(|row| run_id(&column::<String>(row, 0)?)).collect()
}

fn run_id(text: &str) -> Result<RunId, StoreError> {
    RunId::parse(text).ok_or_else(|| StoreError::Corrupt(format!("{text:?} is no run's id")))
}

fn column<'r, T>(row: &'r SqliteRow, index: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(index).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl From<WriteFailed> for StoreError {
    fn from(failed: WriteFailed) -> Self {
        Self::Unavailable(failed.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// What is over, and what other repositories do, must not be walked through when somebody cancels.
    #[tokio::test]
    async fn active_runs_are_found_by_an_index() {
        use sqlx::Connection;
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::migrate!("./migrations").run(&mut connection).await.unwrap();
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {ACTIVE_ON}"));
        let rows = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
        let plan = rows.iter().map(|row| row.get::<String, _>(3)).collect::<Vec<_>>().join("\n");
        assert!(plan.contains("runs_subject (repository=? AND subject=?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
