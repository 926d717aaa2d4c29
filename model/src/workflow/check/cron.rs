//! `schedule`: cron lines (POSIX cron, five fields, as GitHub takes them) and their time zones.

use super::super::finding::Report;
use super::super::suggest::hint;
use super::super::yaml::Node;

/// Name, least and greatest value, and the words that stand for values from the least on.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of the month", 1, 31, &[]),
    ("month", 1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of the week", 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// The areas of the IANA time zone database.
const AREAS: [&str; 11] = [
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Etc",
    "Europe",
    "Indian",
    "Pacific",
];

pub(super) fn check(node: &Node, report: &mut Report) {
    for item in node.items() {
        if let Some(cron) = item.get("cron")
            && let Some(text) = cron.as_str().filter(|text| !text.is_empty())
        {
            match fields(text).map(|fields| fields.minutes) {
                Err(wrong) => report.error(cron.at, "cron", format!("`{text}` is no schedule: {wrong}")),
                Ok(minutes) => {
                    if let Some(between) = shortest(&minutes).filter(|&between| between < 5) {
                        let message = format!(
                            "this asks for a run every {between} minutes; GitHub starts one every 5 at most"
                        );
                        report.warn(cron.at, "cron", message);
                    }
                }
            }
        }
        if let Some(zone) = item.get("timezone")
            && let Some(text) = zone.text().filter(|text| !text.is_empty())
        {
            let area = text.split_once('/').map(|(area, _)| area);
            if !area.is_some_and(|area| AREAS.contains(&area)) {
                let near = area.map_or_else(String::new, |area| hint(area, AREAS));
                let message =
                    format!("`{text}` is no time zone; expected an IANA name like `Europe/London`{near}");
                report.warn(zone.at, "cron", message);
            }
        }
    }
}

/// What a cron line says: the values of each field, in order.
pub(in crate::workflow) struct Fields {
    pub(in crate::workflow) minutes: Vec<u32>,
    pub(in crate::workflow) hours: Vec<u32>,
    pub(in crate::workflow) days: Vec<u32>,
    pub(in crate::workflow) months: Vec<u32>,
    /// 0 and 7 are Sunday.
    pub(in crate::workflow) weekdays: Vec<u32>,
    /// Whether the day of the month is left open.
    pub(in crate::workflow) every_day: bool,
    /// Whether the day of the week is left open.
    pub(in crate::workflow) every_weekday: bool,
}

/// Reads a cron line; the error says what is wrong with it.
pub(in crate::workflow) fn fields(text: &str) -> Result<Fields, String> {
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let &[minutes, hours, days, months, weekdays] = parts.as_slice() else {
        return Err(format!("expected 5 fields (minute hour day month weekday), found {}", parts.len()));
    };
    let field = |text: &str, (name, least, most, words): (&str, u32, u32, &[&str])| {
        values(text, least, most, words).map_err(|wrong| format!("in the {name}, {wrong}"))
    };
    let [of_minutes, of_hours, of_days, of_months, of_weekdays] = FIELDS;
    Ok(Fields {
        minutes: field(minutes, of_minutes)?,
        hours: field(hours, of_hours)?,
        days: field(days, of_days)?,
        months: field(months, of_months)?,
        weekdays: field(weekdays, of_weekdays)?,
        every_day: days.starts_with('*'),
        every_weekday: weekdays.starts_with('*'),
    })
}

fn values(field: &str, least: u32, most: u32, words: &[&str]) -> Result<Vec<u32>, String> {
    let value = |text: &str| -> Result<u32, String> {
        let lower = text.to_lowercase();
        if let Some(at) = words.iter().position(|word| *word == lower) {
            return Ok(least + u32::try_from(at).unwrap_or(0));
        }
        match text.parse::<u32>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("`{text}` is not from {least} to {most}")),
        }
    };
    let mut all = Vec::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => match step.parse::<u32>() {
                Ok(step) if step > 0 => (range, Some(step)),
                _ => return Err(format!("`{step}` is no step of at least 1")),
            },
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (least, most),
            (_, Some((from, to))) => (value(from)?, value(to)?),
            (one, None) => {
                let one = value(one)?;
                (one, if step.is_some() { most } else { one })
            }
        };
        if from > to {
            return Err(format!("the range `{range}` goes backwards"));
        }
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(1);
        all.extend((from..=to).step_by(step));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The fewest minutes between two starts within an hour.
fn shortest(minutes: &[u32]) -> Option<u32> {
    minutes.windows(2).filter_map(|two| Some(two.get(1)? - two.first()?)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_lines_are_read() {
        for (text, between) in [
            ("*/5 * * * *", Some(5)),
            ("*/4 * * * *", Some(4)),
            ("0 0 1 jan MON-fri", None),
            ("5,10/20 1-3 * * 7", Some(5)),
        ] {
            assert_eq!(fields(text).map(|fields| shortest(&fields.minutes)), Ok(between), "{text}");
        }
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "@daily",
            "* * 0 * *",
        ] {
            assert!(fields(text).is_err(), "{text}");
        }
    }
}
