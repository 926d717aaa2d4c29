//! A webhook call that was verified, or an event of our own making, as it waits in the queue.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Who made a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The forge, by a webhook call.
    #[default]
    Forge,
    /// We ourselves. No webhook call can say so: what it brings is the payload alone.
    Ourselves,
}

impl Source {
    fn is_forge(&self) -> bool {
        *self == Self::Forge
    }
}

/// One webhook call. Its payload stays the sender's JSON text until somebody needs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery {
    /// `X-GitHub-Delivery`, or a name that is derived from what it stands for.
    pub id: String,
    /// `X-GitHub-Event`.
    pub event: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Source::is_forge")]
    pub source: Source,
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
