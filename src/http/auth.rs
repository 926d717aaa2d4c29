//! Who may read: holders of an API token, as a Bearer for the API and as the password of HTTP Basic for the pages.
//!
//! Bearer alone opens what changes something: a browser adds Basic by itself, also to a request that another site made.

use super::Shared;
use super::error::ApiError;
use super::state::TOKENS_VARIABLE;
use crate::ports::SecretText;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of each token.
pub(super) struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// `None` when one of them is empty.
    pub(super) fn new(tokens: &[SecretText]) -> Option<Self> {
        if tokens.iter().any(|token| token.reveal().is_empty()) {
            return None;
        }
        Some(Self(tokens.iter().map(|token| Sha256::digest(token.reveal()).into()).collect()))
    }

    /// Takes the same time whichever token matches, or none.
    fn accepts(&self, presented: &str) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let any = self.0.iter().fold(Choice::from(0), |any, token| any | token.ct_eq(&presented));
        any.into()
    }
}

/// Lets a request with a Bearer token pass.
pub(super) async fn bearer(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let presented = credentials(request.headers(), "Bearer");
    admit(&state, presented.map(str::to_owned), r#"Bearer realm="cloud-code""#, request, next).await
}

/// Lets a request with a token as the Basic password pass; the user's name does not matter.
pub(super) async fn basic(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let password = credentials(request.headers(), "Basic").and_then(|encoded| {
        let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        decoded.split_once(':').map(|(_, password)| password.to_owned())
    });
    admit(
        &state,
        password,
        r#"Basic realm="Cloud Code: any user name, an API token as the password", charset="UTF-8""#,
        request,
        next,
    )
    .await
}

async fn admit(
    state: &Shared,
    presented: Option<String>,
    challenge: &'static str,
    request: Request,
    next: Next,
) -> Response {
    if state.tokens.0.is_empty() {
        let message =
            format!("the server has no API token: set {TOKENS_VARIABLE} where it runs, and restart it");
        return ApiError::new(StatusCode::FORBIDDEN, "no_token_configured", message).into_response();
    }
    if presented.as_deref().is_some_and(|token| state.tokens.accepts(token)) {
        return next.run(request).await;
    }
    let message = match presented {
        None => format!("an API token is needed: one of those in the server's {TOKENS_VARIABLE}"),
        Some(_) => format!("this is none of the tokens in the server's {TOKENS_VARIABLE}"),
    };
    let mut response = ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}
