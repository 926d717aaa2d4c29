//! Requests to Vault, and patience with it.

use super::answer::{Answer, unavailable};
use crate::ports::{SecretError, SecretText};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::{Method, Request as HttpRequest, Response, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// One try.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Waits between tries. Together they are shorter than a readiness probe waits, which then hears the reason.
const WAITS: [u64; 3] = [200, 500, 1200];
/// After this long no further try is begun, and no longer wait is obeyed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lists of names are the longest answers.
const MAX_BODY: u64 = 16 << 20;

/// One request; it is made anew for each try.
#[derive(Clone)]
pub(super) struct Request {
    method: &'static str,
    path: String,
    body: Option<Value>,
}

impl Request {
    pub(super) fn get(path: String) -> Self {
        Self { method: "GET", path, body: None }
    }

    pub(super) fn list(path: String) -> Self {
        Self { method: "LIST", path, body: None }
    }

    pub(super) fn delete(path: String) -> Self {
        Self { method: "DELETE", path, body: None }
    }

    pub(super) fn post(path: String, body: Value) -> Self {
        Self { method: "POST", path, body: Some(body) }
    }
}

/// Sends requests to one Vault.
pub(super) struct Http {
    agent: ureq::Agent,
    url: String,
    namespace: Option<String>,
}

impl Http {
    pub(super) fn new(
        url: String,
        namespace: Option<String>,
        ca: Option<&Path>,
    ) -> Result<Self, SecretError> {
        let name = concat!("cloud-code/", env!("CARGO_PKG_VERSION"));
        let mut config = cloud_code_git::http::config(name)
            .timeout_global(Some(TIMEOUT))
            // LIST is Vault's own.
            .allow_non_standard_methods(true);
        if let Some(path) = ca {
            let roots = RootCerts::Specific(Arc::new(certificates(path)?));
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider);
            config = config.tls_config(tls.build());
        }
        Ok(Self { agent: config.build().new_agent(), url, namespace })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends it, and again while Vault asks for patience.
    ///
    /// # Errors
    /// When there is no answer, or none but that Vault can't serve anybody now.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: &Request,
        token: Option<&SecretText>,
    ) -> Result<Answer, SecretError> {
        let began = Instant::now();
        let mut waits = WAITS.iter().copied().map(Duration::from_millis);
        loop {
            let answer = self.once(request, token).await;
            let (asked, problem) = match answer {
                Ok(answer) if answer.asks_for_patience() => {
                    (answer.retry_after, format!("{}: {}", request.path, answer.explain()))
                }
                Ok(answer) if answer.status == 501 => {
                    return Err(unavailable(&self.url, answer.explain()));
                }
                Ok(answer) => return Ok(answer),
                Err(Failure::Ours(problem)) => return Err(unavailable(&self.url, problem)),
                Err(Failure::Network(problem)) => (None, problem),
            };
            let wait = waits.next().map(|wait| wait.max(asked.unwrap_or_default()));
            match wait.filter(|wait| began.elapsed() + *wait < PATIENCE) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(unavailable(&self.url, problem)),
            }
        }
    }

    async fn once(
        self: &Arc<Self>,
        request: &Request,
        token: Option<&SecretText>,
    ) -> Result<Answer, Failure> {
        let (http, request, token) = (Arc::clone(self), request.clone(), token.cloned());
        let work = tokio::task::spawn_blocking(move || http.exchange(&request, token.as_ref()));
        work.await.unwrap_or_else(|error| Err(Failure::Ours(error.to_string())))
    }

    fn exchange(&self, request: &Request, token: Option<&SecretText>) -> Result<Answer, Failure> {
        let mut url = format!("{}/v1/{}", self.url, request.path);
        let mut response = self.dial(request, &url, token)?;
        // A standby may send clients to the active node. As Vault's own client does: once, and never from TLS to none.
        if let Some(location) = elsewhere(&response).filter(|to| may_follow(&self.url, to)) {
            url = location;
            response = self.dial(request, &url, token)?;
        }
        let status = response.status().as_u16();
        let header = response.headers().get(header::RETRY_AFTER);
        let seconds = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec();
        let body = body.map_err(|error| Failure::Network(error.to_string()))?;
        Ok(Answer::new(status, seconds.map(Duration::from_secs), &body, token))
    }

    fn dial(
        &self,
        request: &Request,
        url: &str,
        token: Option<&SecretText>,
    ) -> Result<Response<ureq::Body>, Failure> {
        let method = Method::from_bytes(request.method.as_bytes()).map_err(ours)?;
        let mut builder = HttpRequest::builder().method(method).uri(url).header("x-vault-request", "true");
        if let Some(namespace) = &self.namespace {
            builder = builder.header("x-vault-namespace", namespace);
        }
        if let Some(token) = token {
            let mut value = header::HeaderValue::from_str(token.reveal())
                // The error itself would not show it either; this says what to do.
                .map_err(|_| Failure::Ours("the token has characters that no token has".to_owned()))?;
            value.set_sensitive(true);
            builder = builder.header("x-vault-token", value);
        }
        let sent = match &request.body {
            Some(body) => {
                let body = serde_json::to_vec(body).map_err(ours)?;
                let builder = builder.header(header::CONTENT_TYPE, "application/json");
                self.agent.run(builder.body(body).map_err(ours)?)
            }
            None => self.agent.run(builder.body(()).map_err(ours)?),
        };
        sent.map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                ours("VAULT_URL is no address that can be asked")
            }
            error => Failure::Network(error.to_string()),
        })
    }
}

/// Why there is no answer.
enum Failure {
    /// Another try would fail as well.
    Ours(String),
    /// It is not reached, or fell silent.
    Network(String),
}

fn ours(problem: impl ToString) -> Failure {
    Failure::Ours(problem.to_string())
}

fn elsewhere(response: &Response<ureq::Body>) -> Option<String> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 307 | 308);
    let location = response.headers().get(header::LOCATION).filter(|_| redirects)?;
    location.to_str().ok().map(str::to_owned)
}

/// Whether the token may go there: over TLS, or to the loopback that VAULT_URL is on too.
fn may_follow(from: &str, to: &str) -> bool {
    let origin = |url: &str| -> Option<String> {
        let host = url.strip_prefix("http://")?.split('/').next()?;
        Some(host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned())
    };
    to.starts_with("https://") || origin(to).is_some_and(|host| origin(from) == Some(host))
}

fn certificates(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, SecretError> {
    let wrong = |problem: &dyn std::fmt::Display| {
        SecretError::Unavailable(format!("VAULT_CACERT: {}: {problem}", path.display()))
    };
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(&error))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(wrong(&"it holds no PEM certificate"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_the_machine() {
        for (from, to, may) in [
            ("https://a:8200", "https://b:8200/v1/x", true),
            ("https://a:8200", "http://b:8200/v1/x", false),
            ("https://a:8200", "http://a:8200/v1/x", false),
            ("http://127.0.0.1:8200", "https://b/v1/x", true),
            ("http://127.0.0.1:8200", "http://127.0.0.1:8202/v1/x", true),
            ("http://127.0.0.1:8200", "http://b:8200/v1/x", false),
            ("http://127.0.0.1:8200", "/v1/x", false),
        ] {
            assert_eq!(may_follow(from, to), may, "{from} to {to}");
        }
    }
}
