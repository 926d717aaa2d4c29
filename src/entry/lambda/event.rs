//! What Lambda gives a function that reads a queue, and takes from it.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

use serde::{Deserialize, Serialize};

/// Messages of one queue.
#[derive(Debug, Clone, Deserialize)]
pub struct QueueEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<QueueRecord>,
}

/// A message.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueRecord {
    /// SQS's name for it.
    pub message_id: String,
    /// SQS's name for this receipt of it.
    pub receipt_handle: String,
    /// What it says.
    pub body: String,
    /// The queue.
    #[serde(rename = "eventSourceARN")]
    pub event_source_arn: String,
}

/// Which messages are to stay in the queue; Lambda deletes the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// Those that stay.
    pub batch_item_failures: Vec<Failure>,
}

/// One that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// SQS's name for it.
    pub item_identifier: String,
}

impl BatchResponse {
    pub(super) fn of(staying: impl IntoIterator<Item = String>) -> Self {
        let failure = |item_identifier| Failure { item_identifier };
        Self { batch_item_failures: staying.into_iter().map(failure).collect() }
    }
}
