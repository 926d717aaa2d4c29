//! The queue: messages with leases.
//!
//! A message is `ready`, or hidden until a time (`delayed`, `leased`), or over (`done`, `dead`). Taking some first makes
//! ready what is hidden no longer, then takes the oldest ready ones: each message moves once a time, so that both steps
//! walk an index and never the whole lane.

use super::messages::Push;
use super::packing::{pack, unpack};
use super::time::{nanos, nanos_after, timestamp};
use super::writer::{Wakers, WriteFailed, Writer, work};
use crate::ports::{Clock, DeadLetter, Depth, Lane, Leased, Pushed, Queue, QueueError, Receipt};
use async_trait::async_trait;
use futures::FutureExt;
use sqlx::{Row, SqlitePool};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How soon a message that another process pushed is noticed at the latest.
const OTHER_PROCESSES: Duration = Duration::from_secs(1);

/// How long the keys of messages that are done are remembered.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Rows that one transaction of [`Queue::prune`] removes at most, so that pushes get their turn.
const PRUNE_ROWS: i64 = 5_000;

/// What a lane holds for somebody who looks for work: the oldest ready position, and when the next hidden one shows.
const PEEK: &str = "SELECT \
    (SELECT MIN(position) FROM messages WHERE lane = $1 AND state = 'ready'), \
    (SELECT MIN(visible_at) FROM messages WHERE lane = $1 AND state IN ('delayed', 'leased'))";

const SHOW: &str = "UPDATE messages SET state = 'ready' \
    WHERE lane = $1 AND state IN ('delayed', 'leased') AND visible_at <= $2";

/// The predicate stands outside too: on a database with several writers the inner list may be out of date by then.
const TAKE: &str = "UPDATE messages SET state = 'leased', visible_at = $2, receives = receives + 1, lease = lease + 1 \
    WHERE lane = $1 AND state = 'ready' AND position IN \
        (SELECT position FROM messages WHERE lane = $1 AND state = 'ready' ORDER BY position LIMIT $3) \
    RETURNING position, key, body, receives, lease, answered";

const EXTEND: &str = "UPDATE messages SET state = 'leased', visible_at = $4 \
    WHERE lane = $1 AND key = $2 AND lease = $3 AND state IN ('leased', 'ready')";

const ACK: &str = "UPDATE messages SET state = 'done', finished_at = $4, reason = NULL, body = $5 \
    WHERE lane = $1 AND key = $2 AND lease = $3 AND state IN ('leased', 'ready')";

const NACK: &str = "UPDATE messages SET state = $4, visible_at = $5, reason = $6, lease = lease + 1, answered = answered + 1 \
    WHERE lane = $1 AND key = $2 AND lease = $3 AND state IN ('leased', 'ready')";

const BURY: &str = "UPDATE messages SET state = 'dead', finished_at = $4, reason = $5, lease = lease + 1 \
    WHERE lane = $1 AND key = $2 AND lease = $3 AND state IN ('leased', 'ready')";

/// A lease that has run out counts as waiting, whether somebody has noticed or not.
const DEPTH: &str = "SELECT \
    (SELECT COUNT(*) FROM messages WHERE lane = $1 AND state = 'ready'), \
    (SELECT COUNT(*) FROM messages WHERE lane = $1 AND state IN ('delayed', 'leased')), \
    (SELECT COUNT(*) FROM messages WHERE lane = $1 AND state IN ('delayed', 'leased') AND visible_at > $2 AND state = 'leased'), \
    (SELECT COUNT(*) FROM messages WHERE lane = $1 AND state = 'dead')";

const RECLAIM: &str = "UPDATE messages SET state = 'ready', lease = lease + 1 \
    WHERE lane = $1 AND state IN ('delayed', 'leased') AND state = 'leased'";

const PRUNE: &str = "DELETE FROM messages WHERE (lane, key) IN \
    (SELECT lane, key FROM messages WHERE state = 'done' AND finished_at < $1 ORDER BY finished_at LIMIT $2)";

/// The queue of a [`super::Database`].
#[derive(Clone)]
pub struct SqlQueue {
    readers: SqlitePool,
    writer: Writer,
    wakers: Arc<Wakers>,
    clock: Arc<dyn Clock>,
}

impl SqlQueue {
    pub(super) fn new(
        readers: SqlitePool,
        writer: Writer,
        wakers: Arc<Wakers>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { readers, writer, wakers, clock }
    }

    /// Makes ready what is leased, and says how much that was. Only for somebody who knows that nobody else is at work on this
    /// database: what a dead process had leased need not wait until its leases run out.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`].
    pub async fn reclaim(&self) -> Result<u64, QueueError> {
        let mut reclaimed = 0;
        for lane in Lane::ALL {
            let work = work(move |connection| {
                async move {
                    Ok(sqlx::query(RECLAIM).bind(lane.as_str()).execute(connection).await?.rows_affected())
                }
                .boxed()
            });
            reclaimed += self.writer.run(Some(lane), work).await?;
        }
        Ok(reclaimed)
    }

    async fn take(&self, lane: Lane, max: usize, visibility: Duration) -> Result<Vec<Leased>, QueueError> {
        let now = nanos(self.clock.now());
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let work = work(move |connection| {
            async move {
                sqlx::query(SHOW).bind(lane.as_str()).bind(now).execute(&mut *connection).await?;
                let rows = sqlx::query(TAKE)
                    .bind(lane.as_str())
                    .bind(nanos_after(now, visibility))
                    .bind(limit)
                    .fetch_all(connection)
                    .await?;
                let message = |row: &sqlx::sqlite::SqliteRow| {
                    let key: String = row.try_get(1)?;
                    let lease: i64 = row.try_get(4)?;
                    let body = unpack(row.try_get(2)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
                    let receives: i64 = row.try_get(3)?;
                    let unanswered = receives.saturating_sub(row.try_get::<i64, _>(5)?).saturating_sub(1);
                    let leased = Leased {
                        receipt: receipt(lane, lease, &key),
                        lane,
                        key,
                        body,
                        receives: u32::try_from(receives).unwrap_or(u32::MAX),
                        unanswered: u32::try_from(unanswered.max(0)).unwrap_or(u32::MAX),
                    };
                    Ok((row.try_get::<i64, _>(0)?, leased))
                };
                let mut taken: Vec<(i64, Leased)> =
                    rows.iter().map(message).collect::<Result<_, sqlx::Error>>()?;
                // RETURNING keeps no order.
                taken.sort_by_key(|(position, _)| *position);
                Ok(taken.into_iter().map(|(_, leased)| leased).collect())
            }
            .boxed()
        });
        Ok(self.writer.run(None, work).await?)
    }

    /// Runs an UPDATE of one leased message; the statement's first three parameters are the receipt's.
    async fn change(
        &self,
        receipt: &Receipt,
        wake: bool,
        sql: &'static str,
        bind: impl for<'q> FnOnce(Statement<'q>) -> Statement<'q> + Send + 'static,
    ) -> Result<(), QueueError> {
        let (lane, lease, key) = parse_receipt(receipt).ok_or(QueueError::LeaseLost)?;
        let work = work(move |connection| {
            async move {
                let query = sqlx::query(sql).bind(lane.as_str()).bind(key).bind(lease);
                Ok(bind(query).execute(connection).await?.rows_affected())
            }
            .boxed()
        });
        let rows = self.writer.run(wake.then_some(lane), work).await?;
        if rows == 1 { Ok(()) } else { Err(QueueError::LeaseLost) }
    }
}

type Statement<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

#[async_trait]
impl Queue for SqlQueue {
    async fn push(
        &self,
        lane: Lane,
        key: &str,
        body: Vec<u8>,
        delay: Duration,
    ) -> Result<Pushed, QueueError> {
        Ok(self.writer.push(Push { lane, key: key.to_owned(), body: pack(&body), delay }).await?)
    }

    async fn lease(
        &self,
        lane: Lane,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Leased>, QueueError> {
        let until = Instant::now() + wait;
        loop {
            let woken = self.wakers.of(lane).notified();
            tokio::pin!(woken);
            // From here on no push is missed, whatever happens between the look and the wait.
            woken.as_mut().enable();
            let row =
                sqlx::query(PEEK).bind(lane.as_str()).fetch_one(&self.readers).await.map_err(unavailable)?;
            let ready: Option<i64> = row.try_get(0).map_err(unavailable)?;
            let shows_at: Option<i64> = row.try_get(1).map_err(unavailable)?;
            let hidden = shows_at.map(|at| {
                let nanos = at.saturating_sub(nanos(self.clock.now()));
                Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
            });
            if ready.is_some() || hidden.is_some_and(|hidden| hidden.is_zero()) {
                let taken = self.take(lane, max, visibility).await?;
                if !taken.is_empty() || max == 0 {
                    return Ok(taken);
                }
                // Somebody else was faster.
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            let pause = left.min(OTHER_PROCESSES).min(hidden.unwrap_or(OTHER_PROCESSES));
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        let until = nanos_after(nanos(self.clock.now()), visibility);
        self.change(receipt, false, EXTEND, move |query| query.bind(until)).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let now = nanos(self.clock.now());
        self.change(receipt, false, ACK, move |query| query.bind(now).bind(Vec::<u8>::new())).await
    }

    async fn nack(&self, receipt: &Receipt, delay: Duration, reason: &str) -> Result<(), QueueError> {
        let visible_at = nanos_after(nanos(self.clock.now()), delay);
        let state = if delay.is_zero() { "ready" } else { "delayed" };
        let reason = reason.to_owned();
        self.change(receipt, true, NACK, move |query| query.bind(state).bind(visible_at).bind(reason)).await
    }

    async fn bury(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        let now = nanos(self.clock.now());
        let reason = reason.to_owned();
        self.change(receipt, false, BURY, move |query| query.bind(now).bind(reason)).await
    }

    async fn depth(&self, lane: Lane) -> Result<Depth, QueueError> {
        let row = sqlx::query(DEPTH)
            .bind(lane.as_str())
            .bind(nanos(self.clock.now()))
            .fetch_one(&self.readers)
            .await
            .map_err(unavailable)?;
        let count = |column: usize| {
            row.try_get::<i64, _>(column)
                .map(|count| u64::try_from(count).unwrap_or_default())
                .map_err(unavailable)
        };
        let (ready, hidden, leased, dead) = (count(0)?, count(1)?, count(2)?, count(3)?);
        Ok(Depth { waiting: ready + hidden.saturating_sub(leased), leased, dead })
    }

    async fn prune(&self) -> Result<u64, QueueError> {
        let before = nanos(self.clock.now()).saturating_sub(nanos_after(0, REMEMBERED));
        let mut pruned = 0;
        loop {
            let work = work(move |connection| {
                async move {
                    let done = sqlx::query(PRUNE).bind(before).bind(PRUNE_ROWS).execute(connection).await?;
                    Ok(done.rows_affected())
                }
                .boxed()
            });
            let rows = self.writer.run(None, work).await?;
            pruned += rows;
            if rows < PRUNE_ROWS.unsigned_abs() {
                return Ok(pruned);
            }
        }
    }

    async fn dead(&self, lane: Lane, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let rows = sqlx::query(
            "SELECT key, reason, receives, finished_at FROM messages WHERE lane = $1 AND state = 'dead' \
             ORDER BY finished_at DESC LIMIT $2",
        )
        .bind(lane.as_str())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        let letter = |row: &sqlx::sqlite::SqliteRow| {
            Ok(DeadLetter {
                key: row.try_get(0)?,
                reason: row.try_get::<Option<String>, _>(1)?.unwrap_or_default(),
                receives: u32::try_from(row.try_get::<i64, _>(2)?).unwrap_or(u32::MAX),
                at: timestamp(row.try_get::<Option<i64>, _>(3)?.unwrap_or_default()),
            })
        };
        rows.iter().map(letter).collect::<Result<_, sqlx::Error>>().map_err(unavailable)
    }

    async fn replay(&self, lane: Lane, key: &str) -> Result<bool, QueueError> {
        let key = key.to_owned();
        let work = work(move |connection| {
            async move {
                let done = sqlx::query(
                    "UPDATE messages SET state = 'ready', receives = 0, answered = 0, finished_at = NULL \
                     WHERE lane = $1 AND key = $2 AND state = 'dead'",
                )
                .bind(lane.as_str())
                .bind(key)
                .execute(connection)
                .await?;
                Ok(done.rows_affected() == 1)
            }
            .boxed()
        });
        Ok(self.writer.run(Some(lane), work).await?)
    }
}

fn receipt(lane: Lane, lease: i64, key: &str) -> Receipt {
    Receipt(format!("{}:{lease}:{key}", lane.as_str()))
}

fn parse_receipt(receipt: &Receipt) -> Option<(Lane, i64, String)> {
    let mut parts = receipt.0.splitn(3, ':');
    let name = parts.next()?;
    let lane = Lane::ALL.into_iter().find(|lane| lane.as_str() == name)?;
    Some((lane, parts.next()?.parse().ok()?, parts.next()?.to_owned()))
}

fn unavailable(error: sqlx::Error) -> QueueError {
    QueueError::Unavailable(error.to_string())
}

impl From<WriteFailed> for QueueError {
    fn from(failed: WriteFailed) -> Self {
        Self::Unavailable(failed.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_read_back_whatever_the_key() {
        for key in ["d-1", "r-1:7", "", ":", "ü:"] {
            let text = receipt(Lane::Runs, 3, key);
            assert_eq!(parse_receipt(&text), Some((Lane::Runs, 3, key.to_owned())), "{key}");
        }
        for bad in ["", "runs", "runs:x:k", "attic:1:k", "runs:1"] {
            assert_eq!(parse_receipt(&Receipt(bad.to_owned())), None, "{bad}");
        }
    }

    /// What is done, and what merely waits, must not be walked through: every statement has to find its rows by an index.
    #[tokio::test]
    async fn every_statement_walks_an_index() {
        use sqlx::{Connection, SqliteConnection};
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("a database");
        sqlx::migrate!("./migrations").run(&mut connection).await.expect("migrations");
        for (sql, index) in [
            (PEEK, "messages_ready"),
            (PEEK, "messages_hidden"),
            (SHOW, "messages_hidden"),
            (TAKE, "messages_ready"),
            (DEPTH, "COVERING INDEX messages_ready"),
            (DEPTH, "COVERING INDEX messages_hidden"),
            (DEPTH, "COVERING INDEX messages_dead"),
            (RECLAIM, "messages_hidden"),
            (PRUNE, "messages_done"),
            (ACK, "sqlite_autoindex_messages_1 (lane=? AND key=?)"),
            (EXTEND, "sqlite_autoindex_messages_1 (lane=? AND key=?)"),
            (NACK, "sqlite_autoindex_messages_1 (lane=? AND key=?)"),
            (BURY, "sqlite_autoindex_messages_1 (lane=? AND key=?)"),
        ] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let plan: Vec<String> = sqlx::query(explain)
                .fetch_all(&mut connection)
                .await
                .expect("a plan")
                .iter()
                .map(|row| row.get::<String, _>(3))
                .collect();
            let plan = plan.join("\n");
            assert!(plan.contains(index), "{sql}\n{plan}");
            assert!(!plan.contains("SCAN messages") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        }
    }
}
