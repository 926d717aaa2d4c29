//! Asks a server's API. Blocking underneath (ureq), so each call runs on a blocking thread.

use crate::http::state::TOKENS_VARIABLE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, RequestBuilder};

/// Bytes of an answer at most.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The token's file can't be read.
    #[error("cannot read the token file {path}: {reason}")]
    TokenFile {
        /// As it was given.
        path: String,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The server's address is no address.
    #[error(
        "{0:?} is no address of a server: give --server or CLOUD_CODE_SERVER as http://HOST:PORT or https://HOST"
    )]
    Address(String),
    /// Nothing answers.
    #[error(
        "cannot connect to {server}: {reason}\nIs the server running (cloud-code serve)? Is --server or CLOUD_CODE_SERVER right?"
    )]
    Connect {
        /// The server's address.
        server: String,
        /// What the system says.
        reason: String,
    },
    /// No token, or a wrong one.
    #[error(
        "{server} let nothing be read: {message}\nSet CLOUD_CODE_TOKEN, or give --token-file, with one of the tokens in the server's {TOKENS_VARIABLE}."
    )]
    Unauthorized {
        /// The server's address.
        server: String,
        /// What it says.
        message: String,
    },
    /// The server refused, or failed.
    #[error("{message} (HTTP {status})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The answer is none of ours.
    #[error("{server} gave an answer that is not Cloud Code's: {reason}")]
    Strange {
        /// The server's address.
        server: String,
        /// What is strange.
        reason: String,
    },
    /// The output can't be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
    /// A bug of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

/// A server and the token for it.
#[derive(Clone)]
pub(super) struct Client {
    agent: Agent,
    server: String,
    token: Option<String>,
}

/// An answer that is no error.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn new(server: &str, token: Option<String>) -> Result<Self, ClientError> {
        let server = server.trim_end_matches('/').to_owned();
        if !(server.starts_with("http://") || server.starts_with("https://")) {
            return Err(ClientError::Address(server));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // A token is for this server alone, and an answer from elsewhere is not its answer.
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        Ok(Self { agent: config.new_agent(), server, token })
    }

    /// GETs a path below `/api/v1`.
    pub(super) async fn get(&self, path: String) -> Result<Answer, ClientError> {
        self.send(move |client| {
            client.authorized(client.agent.get(format!("{}/api/v1{path}", client.server))).call()
        })
        .await
    }

    /// POSTs nothing to a path below `/api/v1`.
    pub(super) async fn post(&self, path: String) -> Result<Answer, ClientError> {
        self.send(move |client| {
            client.authorized(client.agent.post(format!("{}/api/v1{path}", client.server))).send_empty()
        })
        .await
    }

    /// POSTs JSON to a path below `/api/v1`.
    pub(super) async fn post_json(&self, path: String, body: &impl Serialize) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Internal(error.to_string()))?;
        self.send(move |client| {
            let request = client.agent.post(format!("{}/api/v1{path}", client.server));
            client.authorized(request).header("content-type", "application/json").send(&body)
        })
        .await
    }

    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// Reads the body of an answer as JSON of ours.
    pub(super) fn json<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, ClientError> {
        serde_json::from_slice(&answer.body).map_err(|error| self.strange(error))
    }

    pub(super) fn strange(&self, reason: impl ToString) -> ClientError {
        ClientError::Strange { server: self.server.clone(), reason: reason.to_string() }
    }

    async fn send<F>(&self, call: F) -> Result<Answer, ClientError>
    where
        F: FnOnce(&Self) -> Result<Response<ureq::Body>, ureq::Error> + Send + 'static,
    {
        let client = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let response = call(&client).map_err(|error| client.failed(&error))?;
            client.read(response)
        });
        work.await.map_err(|error| ClientError::Internal(error.to_string()))?
    }

    fn failed(&self, error: &ureq::Error) -> ClientError {
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => ClientError::Address(self.server.clone()),
            ureq::Error::Protocol(_) => self.strange(error),
            error => ClientError::Connect { server: self.server.clone(), reason: error.to_string() },
        }
    }

    fn read(&self, response: Response<ureq::Body>) -> Result<Answer, ClientError> {
        let (head, body) = response.into_parts();
        let mut bytes = Vec::new();
        let read = body.into_with_config().limit(MAX_ANSWER).reader().read_to_end(&mut bytes);
        read.map_err(|error| ClientError::Connect {
            server: self.server.clone(),
            reason: error.to_string(),
        })?;
        if head.status.is_success() {
            return Ok(Answer { headers: head.headers, body: bytes });
        }
        let error = serde_json::from_slice::<crate::http::api::ErrorBody>(&bytes);
        let Ok(error) = error else {
            return Err(self.strange(format!("HTTP {}", head.status.as_u16())));
        };
        let message = crate::words::one_line(&error.error.message);
        Err(match head.status.as_u16() {
            401 => ClientError::Unauthorized { server: self.server.clone(), message },
            status => ClientError::Refused { status, message },
        })
    }
}
