//! Times as the tables have them: nanoseconds since the Unix epoch.

use jiff::Timestamp;
use std::time::Duration;

/// A time as a column has it. Times that no `i64` holds (before 1678, after 2262) become the nearest one.
pub(super) fn nanos(at: Timestamp) -> i64 {
    let value = at.as_nanosecond();
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// `now` and a while, as a column has it.
pub(super) fn nanos_after(now: i64, after: Duration) -> i64 {
    now.saturating_add(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX))
}

/// A column's time.
pub(super) fn timestamp(nanos: i64) -> Timestamp {
    // Every i64 of nanoseconds lies within what a Timestamp takes (-9999 to 9999).
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_into_a_column_and_back() {
        for text in
            ["1970-01-01T00:00:00Z", "2026-11-23T01:02:03.000000007Z", "1969-12-31T23:59:59.999999999Z"]
        {
            let at: Timestamp = text.parse().expect("a time");
            assert_eq!(timestamp(nanos(at)), at, "{text}");
        }
        assert_eq!(nanos(Timestamp::MAX), i64::MAX);
        assert_eq!(nanos(Timestamp::MIN), i64::MIN);
        assert_eq!(timestamp(i64::MAX).to_string(), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(nanos_after(5, Duration::MAX), i64::MAX);
    }
}
