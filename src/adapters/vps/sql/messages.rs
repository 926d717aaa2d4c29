//! Pushing many messages by few statements.

use super::time::nanos_after;
use crate::ports::{Lane, Pushed};
use sqlx::{AssertSqlSafe, Row, SqliteConnection};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

/// Rows of one INSERT at most; statements come in powers of two, so that each is prepared once.
const ROWS: usize = 64;

/// A message to be pushed.
pub(super) struct Push {
    pub(super) lane: Lane,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
    pub(super) delay: Duration,
}

/// Inserts the messages in their order, and says of each whether it was new. Of several with one key the first counts.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    pushes: Vec<Push>,
    now: i64,
    position: &mut i64,
) -> Result<Vec<Pushed>, sqlx::Error> {
    let mut answers = vec![Pushed::Duplicate; pushes.len()];
    let mut places: HashMap<(Lane, String), usize> = HashMap::with_capacity(pushes.len());
    let mut rows = Vec::with_capacity(pushes.len());
    for (place, push) in pushes.into_iter().enumerate() {
        let name = (push.lane, push.key.clone());
        if let std::collections::hash_map::Entry::Vacant(entry) = places.entry(name) {
            entry.insert(place);
            rows.push(push);
        }
    }
    let mut rest = rows.as_mut_slice();
    while !rest.is_empty() {
        let count = 1 << rest.len().min(ROWS).ilog2();
        let (chunk, others) = rest.split_at_mut(count);
        rest = others;
        for (lane, key) in insert_chunk(connection, chunk, now, position).await? {
            if let Some(place) = Lane::ALL
                .into_iter()
                .find(|candidate| candidate.as_str() == lane)
                .and_then(|lane| places.get(&(lane, key)))
                && let Some(answer) = answers.get_mut(*place)
            {
                *answer = Pushed::New;
            }
        }
    }
    Ok(answers)
}

async fn insert_chunk(
    connection: &mut SqliteConnection,
    chunk: &mut [Push],
    now: i64,
    position: &mut i64,
) -> Result<HashSet<(String, String)>, sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(statement(chunk.len())));
    for push in chunk {
        *position = now.max(position.saturating_add(1));
        let state = if push.delay.is_zero() { "ready" } else { "delayed" };
        query = query
            .bind(push.lane.as_str())
            .bind(std::mem::take(&mut push.key))
            .bind(*position)
            .bind(state)
            .bind(nanos_after(now, push.delay))
            .bind(std::mem::take(&mut push.body));
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

fn statement(rows: usize) -> String {
    let mut sql = "INSERT INTO messages (lane, key, position, state, visible_at, body) VALUES ".to_owned();
    for row in 0..rows {
        let first = row * 6 + 1;
        let comma = if row == 0 { "" } else { ", " };
        // Writing to a String does not fail.
        let _ = write!(
            sql,
            "{comma}(${}, ${}, ${}, ${}, ${}, ${})",
            first,
            first + 1,
            first + 2,
            first + 3,
            first + 4,
            first + 5
        );
    }
    sql.push_str(" ON CONFLICT (lane, key) DO NOTHING RETURNING lane, key");
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_numbers_its_parameters_row_by_row() {
        assert_eq!(
            statement(2),
            "INSERT INTO messages (lane, key, position, state, visible_at, body) VALUES ($1, $2, $3, $4, $5, $6), \
             ($7, $8, $9, $10, $11, $12) ON CONFLICT (lane, key) DO NOTHING RETURNING lane, key"
        );
    }
}
