//! What was asked of the forge and what it answered, for tests to count and to search.

use jiff::Timestamp;

/// One request to the API or to git, and its answer. The secret it was made with is not kept.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// When, by the forge's clock.
    pub at: Timestamp,
    /// The HTTP method.
    pub method: String,
    /// The path, without the API's prefix and without the query.
    pub path: String,
    /// The query, as it was sent.
    pub query: String,
    /// The headers, lower case, without `authorization`.
    pub headers: Vec<(String, String)>,
    /// The body as text; empty for git.
    pub body: String,
    /// Who asked: `anonymous`, `app`, `installation 12 [acme/shop] contents=read`, or `bad credentials`.
    pub caller: String,
    /// The permission that let the request through or would have, such as `issues=write`.
    pub permission: Option<String>,
    /// The status of the answer; 0 where the connection was closed without one.
    pub status: u16,
    /// The media type of the answer.
    pub response_type: String,
    /// The body of the answer as text; empty for git.
    pub response: String,
    /// A planned fault answered, not GitHub's rules.
    pub faulted: bool,
    /// It was for git's smart HTTP, not the API.
    pub git: bool,
}
