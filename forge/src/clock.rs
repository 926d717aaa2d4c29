//! The forge's own clock: real time plus an offset that a test moves, so that an hour passes in no time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// A clock that runs with the machine's and can be put forward. Clones share one offset.
#[derive(Debug, Clone, Default)]
pub struct ForgeClock {
    offset_seconds: Arc<AtomicI64>,
}

impl ForgeClock {
    /// The time now, in whole seconds as GitHub reports it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let real = Timestamp::now().as_second();
        let seconds = real.saturating_add(self.offset_seconds.load(Ordering::SeqCst));
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    }

    /// Puts the clock forward. Tokens expire and rate limits reset by it.
    pub fn advance(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

/// The form in which GitHub writes a time: `2026-11-23T01:02:03Z`.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
