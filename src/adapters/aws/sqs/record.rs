//! The items of messages: how each stands, and who has it.

use super::super::error::{held, why};
use super::super::item::{Item, millis, n, number, s, text};
use super::super::keys;
use crate::ports::{Clock, DeadLetter, Lane, QueueError};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, Select};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Keys of messages that are done are remembered for this long.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A push that was not known to be sent after this time was torn off.
const TORN_OFF: SignedDuration = SignedDuration::from_secs(60);

/// The answer to a claim.
pub(super) enum Claimed {
    Ours { receives: u32, unanswered: u32 },
    Later(Duration),
    Over,
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

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Notes that a message is about to be sent. Says no where its key is taken: by a message that is not over, or that was over less
    /// than a week ago.
    pub(super) async fn begin(
        &self,
        lane: Lane,
        key: &str,
        token: &str,
        body: &str,
        delay: Duration,
    ) -> Result<bool, QueueError> {
        let now = self.now();
        let put = self
            .db
            .put_item()
            .table_name(&self.table)
            .item(keys::PK, s(keys::message(lane, key)))
            .item(keys::SK, s("message"))
            .item("state", s("pushing"))
            .item("lane", s(lane.as_str()))
            .item("key", s(key))
            .item("lease", s(token))
            .item("body", s(body))
            .item("receives", n(0))
            .item("answered", n(0))
            .item("until", millis(later(now, delay)))
            .item("at", millis(now))
            .item("list", s(keys::PUSHING))
            .item("place", s(keys::place(now, key)))
            // What TTL has not removed yet is forgotten all the same.
            .condition_expression("attribute_not_exists(pk) OR (#state = :done AND forgotten_at <= :now)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":done", s("done"))
            .expression_attribute_values(":now", millis(now))
            .send()
            .await;
        held(put).map_err(|error| QueueError::Unavailable(why(&error)))
    }

    /// Notes that it was sent. Whoever leased it meanwhile has noted it too.
    pub(super) async fn sent(&self, lane: Lane, key: &str, token: &str) -> Result<(), QueueError> {
        let change = "SET #state = :waiting REMOVE body, #list, place, lease";
        let waiting = [(":waiting", s("waiting"))];
        match self.change(lane, key, "pushing", token, change, &[("#list", "list")], &waiting).await {
            Err(QueueError::LeaseLost) => Ok(()),
            other => other,
        }
    }

    /// Makes a message ours, unless it is over, is somebody's, or is to wait.
    pub(super) async fn claim(
        &self,
        lane: Lane,
        key: &str,
        token: &str,
        visibility: Duration,
    ) -> Result<Claimed, QueueError> {
        let now = self.now();
        let claimed = self
            .update(lane, key)
            .update_expression(
                "SET #state = :leased, lease = :token, #until = :until ADD receives :one REMOVE body, #list, place",
            )
            .condition_expression("#state IN (:waiting, :pushing, :leased) AND #until <= :now")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#list", "list")
            .expression_attribute_values(":leased", s("leased"))
            .expression_attribute_values(":waiting", s("waiting"))
            .expression_attribute_values(":pushing", s("pushing"))
            .expression_attribute_values(":token", s(token))
            .expression_attribute_values(":until", millis(later(now, visibility)))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let error = match claimed {
            Ok(done) => {
                let count = |name| done.attributes.as_ref().and_then(|item| number(item, name));
                let receives = count("receives").unwrap_or(1);
                // Of messages of older versions it is not known.
                let answered = count("answered").unwrap_or(receives);
                let whole = |count: i64| u32::try_from(count.max(0)).unwrap_or(u32::MAX);
                let unanswered = whole(receives.saturating_sub(answered).saturating_sub(1));
                return Ok(Claimed::Ours { receives: whole(receives), unanswered });
            }
            Err(error) => error,
        };
        if !lost(&error) {
            return Err(QueueError::Unavailable(why(&error)));
        }
        let Some(item) = self.get(lane, key).await? else { return Ok(Claimed::Over) };
        Ok(match text(&item, "state") {
            Some("waiting" | "pushing" | "leased") => {
                let left = number(&item, "until").unwrap_or_default() - now.as_millisecond();
                Claimed::Later(Duration::from_millis(u64::try_from(left).unwrap_or_default()))
            }
            _ => Claimed::Over,
        })
    }

    pub(super) async fn extend(
        &self,
        lane: Lane,
        key: &str,
        token: &str,
        visibility: Duration,
    ) -> Result<(), QueueError> {
        let until = [(":until", millis(later(self.now(), visibility)))];
        self.change(lane, key, "leased", token, "SET #until = :until", &[("#until", "until")], &until).await
    }

    pub(super) async fn done(&self, lane: Lane, key: &str, token: &str) -> Result<(), QueueError> {
        let forgotten = self.now().saturating_add(REMEMBERED).unwrap_or(Timestamp::MAX);
        let values = [
            (":done", s("done")),
            (":forgotten", millis(forgotten)),
            // TTL counts in seconds, and must not be early.
            (":expires", n(forgotten.as_second().saturating_add(1))),
        ];
        let change =
            "SET #state = :done, forgotten_at = :forgotten, #expires = :expires REMOVE lease, #until";
        let names = [("#expires", keys::EXPIRES), ("#until", "until")];
        self.change(lane, key, "leased", token, change, &names, &values).await
    }

    pub(super) async fn back(
        &self,
        lane: Lane,
        key: &str,
        token: &str,
        delay: Duration,
        reason: &str,
    ) -> Result<(), QueueError> {
        let values = [
            (":waiting", s("waiting")),
            (":one", n(1)),
            (":until", millis(later(self.now(), delay))),
            (":reason", s(reason)),
        ];
        let change =
            "SET #state = :waiting, #until = :until, reason = :reason REMOVE lease ADD answered :one";
        self.change(lane, key, "leased", token, change, &[("#until", "until")], &values).await
    }

    /// Gives a message up. It stays, with what it said and why, until somebody replays it.
    pub(super) async fn bury(
        &self,
        lane: Lane,
        key: &str,
        token: &str,
        body: &str,
        reason: &str,
    ) -> Result<(), QueueError> {
        let now = self.now();
        let values = [
            (":dead", s("dead")),
            (":at", millis(now)),
            (":reason", s(reason)),
            (":body", s(body)),
            (":list", s(keys::dead(lane))),
            (":place", s(keys::place(now, key))),
        ];
        let change = "SET #state = :dead, #at = :at, reason = :reason, body = :body, #list = :list, place = :place \
                      REMOVE lease, #until";
        let names = [("#at", "at"), ("#list", "list"), ("#until", "until")];
        self.change(lane, key, "leased", token, change, &names, &values).await
    }

    /// Puts a message aside, with what it says: it is in no queue until it is revived. In line it stands where it stood the first time.
    pub(super) async fn park(
        &self,
        lane: Lane,
        key: &str,
        token: &str,
        body: &str,
    ) -> Result<(), QueueError> {
        let parked = self.get(lane, key).await?.and_then(|item| number(&item, "since"));
        let since = parked.and_then(|since| Timestamp::from_millisecond(since).ok());
        let since = since.unwrap_or_else(|| self.now());
        let values = [
            (":parked", s("parked")),
            (":since", millis(since)),
            (":body", s(body)),
            (":list", s(keys::parked(lane))),
            (":place", s(keys::place(since, key))),
        ];
        let change = "SET #state = :parked, since = :since, body = :body, #list = :list, place = :place REMOVE lease, #until";
        let names = [("#list", "list"), ("#until", "until")];
        self.change(lane, key, "leased", token, change, &names, &values).await
    }

    /// The keys of messages that were put aside, the first in line first.
    pub(super) async fn parked(&self, lane: Lane, limit: usize) -> Result<Vec<String>, QueueError> {
        let limit = i32::try_from(limit.clamp(1, 100)).unwrap_or(100);
        let found = self.listed(keys::parked(lane)).key_condition_expression("#list = :list").limit(limit);
        let found = found.send().await.map_err(|error| QueueError::Unavailable(why(&error)))?;
        let key = |item: Item| text(&item, "key").map(str::to_owned);
        Ok(found.items.unwrap_or_default().into_iter().filter_map(key).collect())
    }

    /// Makes a message in this state, `dead` or `parked`, one that is about to be sent again; gives back what it says. `None` where there
    /// is none.
    pub(super) async fn revive(
        &self,
        lane: Lane,
        key: &str,
        token: &str,
        state: &str,
    ) -> Result<Option<String>, QueueError> {
        let now = self.now();
        let revived = self
            .update(lane, key)
            .update_expression(
                "SET #state = :pushing, lease = :token, receives = :zero, answered = :zero, #until = :now, #at = :now, #list = :list, place = :place",
            )
            .condition_expression("#state = :before")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#at", "at")
            .expression_attribute_names("#list", "list")
            .expression_attribute_values(":pushing", s("pushing"))
            .expression_attribute_values(":before", s(state))
            .expression_attribute_values(":token", s(token))
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":list", s(keys::PUSHING))
            .expression_attribute_values(":place", s(keys::place(now, key)))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match revived {
            Ok(done) => Ok(done.attributes.as_ref().and_then(|item| text(item, "body")).map(str::to_owned)),
            Err(error) if lost(&error) => Ok(None),
            Err(error) => Err(QueueError::Unavailable(why(&error))),
        }
    }

    /// Messages whose push was torn off, and whose key nobody could push again.
    pub(super) async fn unsent(&self) -> Result<Vec<Item>, QueueError> {
        let before = self.now().saturating_sub(TORN_OFF).unwrap_or(Timestamp::MIN);
        let mut pages = self
            .listed(keys::PUSHING)
            .key_condition_expression("#list = :list AND place < :before")
            .expression_attribute_values(":before", s(keys::instant(before)))
            .into_paginator()
            .send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| QueueError::Unavailable(why(&error)))?;
            items.extend(page.items.unwrap_or_default());
        }
        Ok(items)
    }

    /// The latest dead letters, the latest first.
    pub(super) async fn dead(&self, lane: Lane, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let found = self
            .listed(keys::dead(lane))
            .key_condition_expression("#list = :list")
            .scan_index_forward(false)
            .limit(i32::try_from(limit.clamp(1, 1000)).unwrap_or(1000))
            .send()
            .await
            .map_err(|error| QueueError::Unavailable(why(&error)))?;
        let letter = |item: Item| {
            let count = number(&item, "receives").and_then(|count| u32::try_from(count).ok());
            Some(DeadLetter {
                key: text(&item, "key")?.to_owned(),
                reason: text(&item, "reason").unwrap_or_default().to_owned(),
                receives: count.unwrap_or_default(),
                at: Timestamp::from_millisecond(number(&item, "at")?).ok()?,
            })
        };
        Ok(found.items.unwrap_or_default().into_iter().filter_map(letter).collect())
    }

    pub(super) async fn count_dead(&self, lane: Lane) -> Result<u64, QueueError> {
        let mut pages = self
            .listed(keys::dead(lane))
            .key_condition_expression("#list = :list")
            .select(Select::Count)
            .into_paginator()
            .send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| QueueError::Unavailable(why(&error)))?;
            count += u64::try_from(page.count).unwrap_or_default();
        }
        Ok(count)
    }

    /// Asks the table for nothing.
    pub(super) async fn claim_nothing(&self) -> Result<(), QueueError> {
        self.get(Lane::Deliveries, "nothing").await.map(drop)
    }

    /// An update of a message's item.
    fn update(&self, lane: Lane, key: &str) -> UpdateItemFluentBuilder {
        self.db
            .update_item()
            .table_name(&self.table)
            .key(keys::PK, s(keys::message(lane, key)))
            .key(keys::SK, s("message"))
    }

    /// A query of a partition of the index `list`, which conditions call `#list` and `:list`.
    fn listed(&self, partition: impl Into<String>) -> QueryFluentBuilder {
        self.db
            .query()
            .table_name(&self.table)
            .index_name("list")
            .expression_attribute_names("#list", "list")
            .expression_attribute_values(":list", s(partition))
    }

    async fn get(&self, lane: Lane, key: &str) -> Result<Option<Item>, QueueError> {
        let got = self
            .db
            .get_item()
            .table_name(&self.table)
            .key(keys::PK, s(keys::message(lane, key)))
            .key(keys::SK, s("message"))
            .consistent_read(true)
            .send()
            .await;
        Ok(got.map_err(|error| QueueError::Unavailable(why(&error)))?.item)
    }

    /// Changes a message that is in this state under this token; [`QueueError::LeaseLost`] where it is not.
    #[expect(clippy::too_many_arguments, reason = "the parts of one conditional update")]
    async fn change(
        &self,
        lane: Lane,
        key: &str,
        state: &str,
        token: &str,
        change: &str,
        names: &[(&str, &str)],
        values: &[(&str, AttributeValue)],
    ) -> Result<(), QueueError> {
        let mut update = self
            .update(lane, key)
            .update_expression(change)
            .condition_expression(
                "#state = :state AND lease = :token AND (#state <> :leased OR #until > :now)",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":state", s(state))
            .expression_attribute_values(":token", s(token))
            .expression_attribute_values(":leased", s("leased"))
            .expression_attribute_values(":now", millis(self.now()));
        for (name, attribute) in names {
            update = update.expression_attribute_names(*name, *attribute);
        }
        for (name, value) in values {
            update = update.expression_attribute_values(*name, value.clone());
        }
        let changed = held(update.send().await).map_err(|error| QueueError::Unavailable(why(&error)))?;
        if changed { Ok(()) } else { Err(QueueError::LeaseLost) }
    }
}

fn lost<R>(error: &SdkError<UpdateItemError, R>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

fn later(now: Timestamp, delay: Duration) -> Timestamp {
    now.saturating_add(delay).unwrap_or(Timestamp::MAX)
}
