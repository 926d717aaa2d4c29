//! One request: who makes it, what they may do, and what it says.

use serde_json::Value;

use super::reply::{ApiError, Reply};
use crate::state::{Access, Actor, Token, World};

/// Who makes a request.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    Anonymous,
    /// The app itself, by JWT.
    App,
    /// An installation, by token.
    Installation(Box<Token>),
}

/// A request as a handler sees it.
pub(crate) struct Call<'w> {
    pub(crate) world: &'w mut World,
    pub(crate) caller: Caller,
    /// Decoded pairs.
    pub(crate) query: Vec<(String, String)>,
    /// Null where there was none.
    pub(crate) body: Value,
    pub(crate) accept: String,
    /// Path and query as asked, for `Link`.
    pub(crate) path: String,
    /// The permission that was asked for.
    pub(crate) asked: Option<String>,
}

impl Call<'_> {
    /// Who the caller acts as.
    pub(crate) fn actor(&self) -> Actor {
        Actor { login: self.world.app.bot_login(), via_app: true }
    }

    /// The app alone, by JWT.
    pub(crate) fn need_app(&mut self) -> Result<(), ApiError> {
        match self.caller {
            Caller::App => Ok(()),
            _ => Err(ApiError::new(401, "A JSON web token could not be decoded")),
        }
    }

    /// Lets the caller at a repository if it reaches it and has any one of the permissions. Gives the full name as the
    /// world spells it. Stricter than GitHub in one thing: a token never reads public repositories it is not for.
    pub(crate) fn need(&mut self, repo: &str, any_of: &[(&str, Access)]) -> Result<String, ApiError> {
        let asked: Vec<_> =
            any_of.iter().map(|(name, access)| format!("{name}={}", access.as_str())).collect();
        self.asked = Some(asked.join("; "));
        let found = self.world.repo(repo).map_err(|_| ApiError::not_found())?;
        let (id, private, full_name) = (found.id, found.private, found.full_name());
        match &self.caller {
            Caller::App => Err(ApiError::bad_credentials()),
            Caller::Anonymous if private => Err(ApiError::not_found()),
            Caller::Anonymous if any_of.iter().any(|(_, access)| *access == Access::Read) => Ok(full_name),
            Caller::Anonymous => Err(ApiError::new(401, "Requires authentication")),
            Caller::Installation(token) => {
                if !reaches(self.world, token, id) {
                    return Err(ApiError::not_found());
                }
                let granted = |(name, access): &(&str, Access)| {
                    token.permissions.get(*name).is_some_and(|have| have >= access)
                };
                if any_of.iter().any(granted) { Ok(full_name) } else { Err(ApiError::not_accessible()) }
            }
        }
    }

    /// As `need`, for what hangs on an issue or a pull request: `issues`, or `pull_requests` where it is one.
    pub(crate) fn need_issue(&mut self, repo: &str, number: u64, access: Access) -> Result<String, ApiError> {
        let is_pull = self.world.find_pull(repo, number).is_ok();
        let both = [("issues", access), ("pull_requests", access)];
        let name = self.need(repo, if is_pull { &both } else { &both[..1] })?;
        self.world.find_issue(&name, number).map_err(|_| ApiError::not_found())?;
        Ok(name)
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A text of the body; absent and null are None.
    pub(crate) fn text(&self, field: &str) -> Result<Option<String>, ApiError> {
        match self.body.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => {
                Err(ApiError::schema(format!("For 'properties/{field}', {other} is not a string.")))
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn required(&self, field: &str) -> Result<String, ApiError> {
        self.text(field)?.ok_or_else(|| ApiError::schema(format!("\"{field}\" wasn't supplied.")))
    }

    pub(crate) fn flag(&self, field: &str) -> Result<Option<bool>, ApiError> {
        match self.body.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => {
                Err(ApiError::schema(format!("For 'properties/{field}', {other} is not a boolean.")))
            }
        }
    }

    /// A list of texts of the body.
    pub(crate) fn texts(&self, field: &str) -> Result<Option<Vec<String>>, ApiError> {
        self.body.get(field).filter(|value| !value.is_null()).map(|value| texts(field, value)).transpose()
    }

    /// One page of a list, with `Link` as GitHub writes it.
    pub(crate) fn page(&self, items: Vec<Value>) -> Reply {
        let (shown, link) = self.cut(items);
        with_link(Reply::ok(&Value::Array(shown)), link)
    }

    /// One page of a list under a name, beside the count of all.
    pub(crate) fn counted_page(&self, name: &str, items: Vec<Value>) -> Reply {
        let total = items.len();
        let (shown, link) = self.cut(items);
        with_link(Reply::ok(&serde_json::json!({ "total_count": total, name: shown })), link)
    }

    fn cut(&self, items: Vec<Value>) -> (Vec<Value>, Option<String>) {
        let number = |name: &str| self.query(name).and_then(|text| text.parse::<usize>().ok());
        let size = number("per_page").unwrap_or(30).clamp(1, 100);
        let page = number("page").unwrap_or(1).max(1);
        let last = items.len().div_ceil(size).max(1);
        let shown = items.into_iter().skip((page - 1) * size).take(size).collect();
        let mut links = Vec::new();
        let mut link =
            |page: usize, rel: &str| links.push(format!("<{}>; rel=\"{rel}\"", self.page_url(page)));
        if page > 1 {
            link(page - 1, "prev");
        }
        if page < last {
            link(page + 1, "next");
            link(last, "last");
        }
        if page > 1 {
            link(1, "first");
        }
        (shown, (!links.is_empty()).then(|| links.join(", ")))
    }

    fn page_url(&self, page: usize) -> String {
        let mut url = format!("{}{}?", self.world.urls.api, self.path);
        for (key, value) in self.query.iter().filter(|(key, _)| key != "page") {
            url.push_str(&format!("{}={}&", encode(key), encode(value)));
        }
        format!("{url}page={page}")
    }
}

fn with_link(reply: Reply, link: Option<String>) -> Reply {
    match link {
        Some(link) => reply.header("link", link),
        None => reply,
    }
}

/// Whether a token's set of repositories, and its installation's, has this one.
pub(crate) fn reaches(world: &World, token: &Token, repo: u64) -> bool {
    let installation = world.installations.get(&token.installation);
    let installed = installation.is_some_and(|installation| installation.repositories.contains(&repo));
    installed && token.repositories.as_ref().is_none_or(|ids| ids.contains(&repo))
}

/// The texts of a list.
pub(crate) fn texts(field: &str, value: &Value) -> Result<Vec<String>, ApiError> {
    let wrong = || ApiError::schema(format!("For 'properties/{field}', {value} is not an array of strings."));
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

/// Percent-encodes all but unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Undoes percent-encoding; what is not valid stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let (mut out, bytes, mut at) = (Vec::new(), text.as_bytes(), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The pairs of a query.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let split = query.split('&').filter(|pair| !pair.is_empty());
    split
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}
