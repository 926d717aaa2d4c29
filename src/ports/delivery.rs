//! A webhook call that was verified, as it waits in the queue.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One webhook call. Its payload stays the sender's JSON text until somebody needs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery {
    /// `X-GitHub-Delivery`.
    pub id: String,
    /// `X-GitHub-Event`.
    pub event: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// The body.
    pub payload: Box<RawValue>,
}

impl Delivery {
    /// The form in which it lies in the queue.
    ///
    /// # Errors
    /// Never in practice: all fields can be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
