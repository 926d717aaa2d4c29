//! One request to GitHub's API: over octocrab, with a time limit, one log line, and errors in the forge port's words.
//!
//! The log line has method, path, status and time; never a header, a body or a query.

use super::errors;
use super::tokens::Grant;
use crate::ports::{Clock, ForgeError, SecretText};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use octocrab::Octocrab;
use octocrab::service::middleware::retry::RetryConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a call may take in all, its body included.
const WHOLE: Duration = Duration::from_secs(30);
/// A page of 100 comments of 65,536 characters, at most four bytes each, fits.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// What is asked of the API.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    query: String,
    body: Option<serde_json::Value>,
}

impl Call {
    pub(super) fn new(method: Method, path: String) -> Self {
        Self { method, path, query: String::new(), body: None }
    }

    pub(super) fn get(path: String) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(&format!("{name}={}", encoded(value)));
        self
    }

    pub(super) fn body(mut self, body: impl Serialize) -> Result<Self, ForgeError> {
        let body =
            serde_json::to_value(body).map_err(|error| ForgeError::Invalid(format!("{self}: {error}")))?;
        self.body = Some(body);
        Ok(self)
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Text as one part of a path or query, with everything but RFC 3986's unreserved characters percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Reply {
    what: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    /// The body as what it should be.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ForgeError> {
        // The text of a JSON error may quote the body, which may be a token: only its place is told.
        serde_json::from_slice(&self.body).map_err(|error| {
            let (what, line, column) = (&self.what, error.line(), error.column());
            ForgeError::Unavailable(format!(
                "{what}: the answer is not as GitHub documents it (line {line}, column {column})"
            ))
        })
    }

    /// The page number that the `Link` header gives for this relation (`next`, `last`).
    pub(super) fn page(&self, relation: &str) -> Option<u32> {
        let links = self.headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
        links
            .flat_map(|line| line.split(','))
            .find_map(|link| parameter(link, relation, "page")?.parse().ok())
    }

    /// The cursor of the next page, as the `Link` header gives it.
    pub(super) fn cursor(&self) -> Option<String> {
        let links = self.headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
        let cursor =
            links.flat_map(|line| line.split(',')).find_map(|link| parameter(link, "next", "cursor"))?;
        let pair = format!("cursor={cursor}");
        Some(form_urlencoded::parse(pair.as_bytes()).next()?.1.into_owned())
    }
}

/// Reads `<https://…?per_page=100&page=3>; rel="next"`. Only one parameter is taken of it, so that no link leads elsewhere.
fn parameter<'a>(link: &'a str, relation: &str, name: &str) -> Option<&'a str> {
    let (address, attributes) = link.trim().strip_prefix('<')?.split_once('>')?;
    let wanted = format!("rel=\"{relation}\"");
    if !attributes.split(';').any(|attribute| attribute.trim() == wanted) {
        return None;
    }
    let (_, query) = address.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The way to the API.
pub(super) struct Transport {
    octocrab: Octocrab,
    clock: Arc<dyn Clock>,
}

impl Transport {
    /// Must be called within a Tokio runtime, which octocrab's request buffer runs on.
    pub(super) fn new(api_url: &str, clock: Arc<dyn Clock>) -> Result<Self, octocrab::Error> {
        // Whoever comes first in the process installs the provider; they are all the same one.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let octocrab = Octocrab::builder()
            .base_uri(api_url)?
            .upload_uri(api_url)?
            .add_retry_config(RetryConfig::None)
            .set_connect_timeout(Some(CONNECT))
            .build()?;
        Ok(Self { octocrab, clock })
    }

    /// Sends a call with this bearer token. `grant` is what the token may do, for the words of an error.
    pub(super) async fn send(
        &self,
        bearer: &SecretText,
        grant: Option<Grant>,
        call: &Call,
    ) -> Result<Reply, ForgeError> {
        let began = Instant::now();
        let answer = tokio::time::timeout(WHOLE, self.exchange(bearer, call)).await;
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (method, path) = (call.method.as_str(), call.path.as_str());
        let unanswered = |why: String| {
            tracing::debug!(method, path, status = 0, milliseconds, "asked GitHub");
            ForgeError::Unavailable(format!("{call}: {why}"))
        };
        let (status, headers, body) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return Err(unanswered(why)),
            Err(_) => return Err(unanswered(format!("no answer within {} s", WHOLE.as_secs()))),
        };
        tracing::debug!(method, path, status = status.as_u16(), milliseconds, "asked GitHub");
        if status.is_success() {
            return Ok(Reply { what: call.to_string(), headers, body });
        }
        Err(errors::from_answer(&call.to_string(), grant, status, &headers, &body, self.clock.now()))
    }

    async fn exchange(
        &self,
        bearer: &SecretText,
        call: &Call,
    ) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let client = self.octocrab.user_access_token(bearer.reveal()).map_err(|error| chain(&error))?;
        let uri: Uri = format!("{}{}", call.path, call.query).parse().map_err(|error| format!("{error}"))?;
        let request = http::Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header(header::ACCEPT, "application/vnd.github+json");
        let request = client.build_request(request, call.body.as_ref()).map_err(|error| chain(&error))?;
        let (parts, body) = client.execute(request).await.map_err(|error| chain(&error))?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| chain(error.as_ref()))?;
        Ok((parts.status, parts.headers, body.to_bytes()))
    }
}

/// An error with its causes on one line: octocrab's own text is only the outermost.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_encoded() {
        for (text, expected) in [
            ("cloud-code:queued", "cloud-code%3Aqueued"),
            ("dependabot[bot]", "dependabot%5Bbot%5D"),
            ("a/../b?c#d", "a%2F..%2Fb%3Fc%23d"),
            ("é ", "%C3%A9%20"),
        ] {
            assert_eq!(encoded(text), expected);
        }
    }

    #[test]
    fn the_link_header_gives_page_numbers() {
        let first =
            r#" <https://api.github.com/repositories/1/issues/2/comments?per_page=100&page=2>; rel="next""#;
        for (link, relation, expected) in [
            (first, "next", Some("2")),
            (first, "last", None),
            (r#"<https://x/y?page=17&per_page=100>; rel="last""#, "last", Some("17")),
            (r#"<https://x/y?per_page=100>; rel="last""#, "last", None),
            ("nonsense", "next", None),
        ] {
            assert_eq!(parameter(link, relation, "page"), expected, "{link} {relation}");
        }
    }
}
