//! Messages that are given up: in the table with their reason, and in a queue of their own, whose depth an alarm watches.

use super::super::error::why;
use super::wire::Wire;
use super::{SqsQueue, seconds};
use crate::ports::{Lane, QueueError};
use aws_sdk_sqs::types::MessageAttributeValue;
use std::time::Duration;

/// A reason as an attribute of a message; the item has it whole.
const MAX_REASON: usize = 1000;
/// While the copy of a replayed letter is looked for, others are hidden for so long.
const LOOKING: Duration = Duration::from_secs(5);
/// Rounds of looking, ten letters each.
const ROUNDS: usize = 20;

impl SqsQueue {
    pub(super) async fn give_up(
        &self,
        lane: Lane,
        key: &str,
        token: &str,
        handle: &str,
        body: &str,
        reason: &str,
    ) -> Result<(), QueueError> {
        self.records.bury(lane, key, token, body, reason).await?;
        self.send_dead(lane, key, reason, body).await?;
        self.delete(lane, handle).await
    }

    /// The copy for the alarm, and for whoever looks at the queue in the console.
    pub(super) async fn send_dead(
        &self,
        lane: Lane,
        key: &str,
        reason: &str,
        body: &str,
    ) -> Result<(), QueueError> {
        let mut send = self.sqs.send_message().queue_url(self.config.dead()).message_body(match body {
            "" => "(empty)",
            body => body,
        });
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
        for (name, value) in [("lane", lane.as_str()), ("key", key), ("reason", reason.as_str())] {
            if let Ok(value) =
                MessageAttributeValue::builder().data_type("String").string_value(value).build()
                && value.string_value().is_some_and(|text| !text.is_empty())
            {
                send = send.message_attributes(name, value);
            }
        }
        send.send().await.map(drop).map_err(|error| QueueError::Unavailable(why(&error)))
    }

    pub(super) async fn replay_dead(&self, lane: Lane, key: &str) -> Result<bool, QueueError> {
        if !self.revive(lane, key, "dead").await? {
            return Ok(false);
        }
        if let Err(error) = self.forget_dead(lane, key).await {
            tracing::warn!(key, %error, "the dead letter's copy stays in its queue, and the alarm with it");
        }
        Ok(true)
    }

    /// Sends a message in this state again; whether there was one.
    pub(super) async fn revive(&self, lane: Lane, key: &str, state: &str) -> Result<bool, QueueError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let Some(body) = self.records.revive(lane, key, &token, state).await? else { return Ok(false) };
        let wire = Wire::read(&body).map_err(QueueError::Unavailable)?;
        self.send(lane, &wire, Duration::ZERO).await?;
        self.records.sent(lane, key, &token).await?;
        Ok(true)
    }

    /// Removes the copy of a letter that was replayed, so that the alarm ends.
    async fn forget_dead(&self, lane: Lane, key: &str) -> Result<(), QueueError> {
        for _ in 0..ROUNDS {
            let answer = self
                .sqs
                .receive_message()
                .queue_url(self.config.dead())
                .max_number_of_messages(10)
                .visibility_timeout(seconds(LOOKING))
                .message_attribute_names("All")
                .send()
                .await
                .map_err(|error| QueueError::Unavailable(why(&error)))?;
            let messages = answer.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(());
            }
            for message in messages {
                let attribute = |name: &str| {
                    message
                        .message_attributes()
                        .and_then(|all| all.get(name))
                        .and_then(|value| value.string_value())
                };
                if attribute("lane") == Some(lane.as_str()) && attribute("key") == Some(key) {
                    let handle = message.receipt_handle().unwrap_or_default();
                    let delete =
                        self.sqs.delete_message().queue_url(self.config.dead()).receipt_handle(handle);
                    delete.send().await.map_err(|error| QueueError::Unavailable(why(&error)))?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
