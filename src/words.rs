//! How times, money, counts and outcomes read: in comments, on the pages and in the terminal alike.

use jiff::{SignedDuration, Timestamp};

/// `just now`, `5 min ago`, `3 h ago`, `2 d ago`; `in 5 min` for what is to come.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    let amount = match seconds.unsigned_abs() {
        0..10 => return "just now".to_owned(),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    };
    if seconds < 0 { format!("in {amount}") } else { format!("{amount} ago") }
}

/// `0.4 s`, `12 s`, `2 min 5 s`, `1 h 3 min`.
pub fn duration(duration: SignedDuration) -> String {
    let milliseconds = duration.as_millis().max(0);
    match (milliseconds, milliseconds / 1000) {
        (0..10_000, _) => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        (_, seconds @ ..60) => format!("{seconds} s"),
        (_, seconds @ 60..3600) => format!("{} min {} s", seconds / 60, seconds % 60),
        (_, seconds) => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `$0.02`, `$12.50`, `under $0.01`, `unknown`.
pub fn money(usd: Option<f64>) -> String {
    match usd {
        None => "unknown".to_owned(),
        Some(usd) if usd > 0.0 && usd < 0.01 => "under $0.01".to_owned(),
        Some(usd) => format!("${usd:.2}"),
    }
}

/// What a job's network did not let it reach, and what to do about it; `None` where that is nothing.
pub fn blocked(hosts: &[String]) -> Option<String> {
    (!hosts.is_empty()).then(|| {
        let hosts = hosts.join(", ");
        format!("Blocked network access: {hosts}; allow hosts with NETWORK_ALLOW or the job's `network`.")
    })
}

/// What became of something that a person added to a run, by the name that the API has for it.
pub fn became_of(addition: &str) -> &'static str {
    match addition {
        "waiting" => "the agent has not come to it yet",
        "heard" => "the agent was told",
        "late" => "it came too late for this run: another one works on it",
        "dropped" => "nobody worked on it, since the run was cancelled",
        _ => "unknown",
    }
}

/// `12,345`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `950`, `12.3k`, `4.0M`.
pub fn tokens(count: u64) -> String {
    match count {
        0..1000 => count.to_string(),
        1000..1_000_000 => format!("{:.1}k", count as f64 / 1e3),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

/// `1 file`, `3 files`.
pub fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// How something turned out, for a mark and a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As wished.
    Good,
    /// Not as wished.
    Bad,
    /// Ended, neither well nor badly: no changes, cancelled, skipped.
    Neutral,
    /// Wants a person: a question.
    Attention,
    /// At work.
    Active,
    /// Not begun.
    Waiting,
}

impl Tone {
    /// Of a run, job, attempt or step, by the names of the API.
    pub fn of(status: &str, conclusion: Option<&str>) -> Self {
        match (conclusion, status) {
            (Some("success"), _) => Self::Good,
            (Some("needs_input" | "action_required"), _) => Self::Attention,
            (Some("no_changes" | "cancelled" | "skipped" | "neutral"), _) => Self::Neutral,
            (Some(_), _) => Self::Bad,
            (None, "queued" | "blocked" | "ready" | "environment" | "concurrency") => Self::Waiting,
            (None, state) if state.starts_with("waiting") => Self::Waiting,
            (None, "completed" | "done") => Self::Neutral,
            (None, _) => Self::Active,
        }
    }

    /// Of a step; one that was under way when its attempt ended is not at work any more.
    pub fn of_step(attempt: &str, status: &str, conclusion: Option<&str>) -> Self {
        Self::of(if attempt == "done" { attempt } else { status }, conclusion)
    }

    /// One character.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Bad => "✗",
            Self::Neutral => "–",
            Self::Attention => "?",
            Self::Active => "●",
            Self::Waiting => "○",
        }
    }

    /// The name of its style.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Neutral => "neutral",
            Self::Attention => "attention",
            Self::Active => "active",
            Self::Waiting => "waiting",
        }
    }
}

/// The conclusion where there is one, else the status, in words: `timed out`, `in progress`.
pub fn outcome(status: &str, conclusion: Option<&str>) -> String {
    conclusion.unwrap_or(status).replace('_', " ")
}

/// A character of a stranger's text, or U+FFFD for one that could mislead: control characters, which move a cursor, and
/// those that turn the reading direction or show nothing. Line ends and tabs pass.
pub fn tame(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2060}'..='\u{2069}'
        | '\u{202a}'..='\u{202e}'
        | '\u{feff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A stranger's text on one line, tamed.
pub fn one_line(text: &str) -> String {
    let flat = |c: char| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { tame(c) };
    text.trim().chars().map(flat).collect()
}

/// The first `max` characters, with `…` in place of the last where some are left out.
pub fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ages_and_durations() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (seconds, expected) in [
            (0, "just now"),
            (9, "just now"),
            (10, "10 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (3599, "59 min ago"),
            (3600, "1 h ago"),
            (172_799, "47 h ago"),
            (172_800, "2 d ago"),
            (-300, "in 5 min"),
        ] {
            assert_eq!(age(now - SignedDuration::from_secs(seconds), now), expected);
        }
        for (milliseconds, expected) in [
            (-5, "0.0 s"),
            (449, "0.4 s"),
            (9999, "9.9 s"),
            (10_000, "10 s"),
            (125_000, "2 min 5 s"),
            (3_780_000, "1 h 3 min"),
        ] {
            assert_eq!(duration(SignedDuration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn amounts() {
        let shown = [None, Some(0.0), Some(0.004), Some(0.02), Some(12.5)].map(money);
        assert_eq!(shown, ["unknown", "$0.00", "under $0.01", "$0.02", "$12.50"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 999, 1000, 12_345, 4_000_000].map(tokens), ["0", "999", "1.0k", "12.3k", "4.0M"]);
    }

    #[test]
    fn strangers_texts() {
        assert_eq!(one_line(" a\u{1b}[31mred\u{7}\nb\u{202e}c "), "a\u{fffd}[31mred\u{fffd} b\u{fffd}c");
        assert_eq!([cut("abc", 3), cut("abcd", 3), cut("äöü", 2)], ["abc", "ab…", "ä…"]);
    }
}
