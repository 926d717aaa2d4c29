//! What GitHub's refusals mean, in the forge port's words.
//!
//! Sources: GitHub's REST documentation, "Troubleshooting the REST API" and "Rate limits for the REST API".

use super::tokens::Grant;
use crate::ports::ForgeError;
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// GitHub asks for at least a minute where it does not say how long.
const DEFAULT_WAIT: SignedDuration = SignedDuration::from_secs(60);

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

impl Refusal {
    /// The message and the details of a 422, on one line.
    fn text(&self, status: StatusCode) -> String {
        let detail = |error: &serde_json::Value| match error {
            serde_json::Value::String(text) => Some(text.clone()),
            error => {
                let field = |name: &str| error.get(name)?.as_str();
                let named = || Some(format!("{} {}", field("field")?, field("code")?));
                field("message").map(str::to_owned).or_else(named)
            }
        };
        let mut text =
            if self.message.is_empty() { format!("HTTP {}", status.as_u16()) } else { self.message.clone() };
        let details: Vec<String> = self.errors.iter().filter_map(detail).collect();
        if !details.is_empty() {
            text = format!("{text} ({})", details.join("; "));
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
    }
}

/// The error that an answer outside 2xx means. `what` is the method and path.
pub(super) fn from_answer(
    what: &str,
    grant: Option<Grant>,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> ForgeError {
    // A proxy's or an outage's page is no JSON: then the status speaks for itself.
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let said = refusal.text(status);
    let text = format!("{what}: {said}");
    let limited = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN
            && (headers.contains_key("retry-after")
                || number(headers, "x-ratelimit-remaining") == Some(0)
                || said.to_lowercase().contains("rate limit")));
    if limited {
        return ForgeError::RateLimited { retry_after: wait(headers, now) };
    }
    match status.as_u16() {
        401 => ForgeError::Unauthorized(format!(
            "{text}; check GITHUB_APP_ID and that GITHUB_PRIVATE_KEY is a key of that App, \
             and that this machine's clock is right to the minute"
        )),
        403 => ForgeError::Forbidden(match grant {
            Some(grant) if said.contains("not accessible by integration") => {
                format!("{text}; the App needs the permission {} for this repository", grant.words())
            }
            _ => text,
        }),
        404 | 410 => ForgeError::NotFound(text),
        408 | 500.. => ForgeError::Unavailable(text),
        _ => ForgeError::Invalid(text),
    }
}

/// How long GitHub wants us to wait: `retry-after`; else, where the hour's budget is spent, until it is renewed.
/// `x-ratelimit-reset` is also there on a secondary limit, with budget left: then it says nothing about that limit.
fn wait(headers: &HeaderMap, now: Timestamp) -> SignedDuration {
    let spent = number(headers, "x-ratelimit-remaining").is_none_or(|left| left == 0);
    let until_reset = || {
        let reset = Timestamp::from_second(number(headers, "x-ratelimit-reset")?).ok()?;
        spent.then(|| reset.duration_since(now))
    };
    let asked = number(headers, "retry-after").map(SignedDuration::from_secs).or_else(until_reset);
    asked.unwrap_or(DEFAULT_WAIT).max(SignedDuration::from_secs(1))
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(status: u16, headers: &[(&'static str, &str)], body: &str) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let now = Timestamp::from_second(1_000_000).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        match from_answer("GET /x", Some(Grant::Issues), status, &map, body.as_bytes(), now) {
            ForgeError::RateLimited { retry_after } => format!("wait {}", retry_after.as_secs()),
            ForgeError::Unavailable(text) => format!("unavailable {text}"),
            ForgeError::NotFound(text) => format!("not found {text}"),
            ForgeError::Forbidden(text) => format!("forbidden {text}"),
            ForgeError::Unauthorized(text) => format!("unauthorized {text}"),
            ForgeError::Invalid(text) => format!("invalid {text}"),
        }
    }

    #[test]
    fn rate_limits() {
        let reset = ("x-ratelimit-reset", "1000120");
        for (status, headers, body, expected) in [
            (403, &[("retry-after", "7")][..], "{}", "wait 7"),
            (429, &[("retry-after", "7"), reset], "{}", "wait 7"),
            (403, &[("x-ratelimit-remaining", "0"), reset], "{}", "wait 120"),
            (429, &[], "", "wait 60"),
            (429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "5")], "", "wait 1"),
            (
                403,
                &[("x-ratelimit-remaining", "4000"), reset],
                r#"{"message":"You have exceeded a secondary rate limit."}"#,
                "wait 60",
            ),
        ] {
            assert_eq!(check(status, headers, body), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn refusals() {
        for (status, body, expected) in [
            (404, r#"{"message":"Not Found"}"#, "not found GET /x: Not Found"),
            (410, r#"{"message":"This issue was deleted"}"#, "not found GET /x: This issue was deleted"),
            (502, "<html>", "unavailable GET /x: HTTP 502"),
            (
                403,
                r#"{"message":"Resource not accessible by integration"}"#,
                "forbidden GET /x: Resource not accessible by integration; the App needs the permission issues: write for this repository",
            ),
            (403, r#"{"message":"Blocked"}"#, "forbidden GET /x: Blocked"),
            (
                422,
                r#"{"message":"Validation Failed","errors":[{"message":"A pull request already exists for a:b."},{"field":"head","code":"invalid"},"x"]}"#,
                "invalid GET /x: Validation Failed (A pull request already exists for a:b.; head invalid; x)",
            ),
        ] {
            assert_eq!(check(status, &[], body), expected);
        }
        assert!(check(401, &[], "{}").contains("GITHUB_PRIVATE_KEY"));
    }
}
