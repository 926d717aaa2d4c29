//! Whether a webhook call is GitHub's. Pure: no I/O, no clock.
//!
//! The only way to a [`VerifiedDelivery`] is through [`verify`], so that code behind it can't forget the signature.
//! GitHub signs the raw body with HMAC-SHA256 and puts `sha256=<64 hexadecimal digits>` into `X-Hub-Signature-256`
//! (docs.github.com, "Validating webhook deliveries").

use super::strict_json;
use crate::ports::SecretText;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Letters of a delivery's id and of an event's name, at most.
const MAX_NAME: usize = 128;

/// The webhook's secret, made ready for signing once.
#[derive(Clone)]
pub struct WebhookKey(Hmac<Sha256>);

impl WebhookKey {
    /// `None` when the secret is empty.
    pub fn new(secret: &SecretText) -> Option<Self> {
        let secret = secret.reveal().as_bytes();
        if secret.is_empty() {
            return None;
        }
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// Whether this is the body's signature; takes the same time wherever it differs.
    fn signed(&self, body: &[u8], signature: &Signature) -> bool {
        let mut mac = self.0.clone();
        mac.update(body);
        mac.verify_slice(&signature.0).is_ok()
    }
}

/// A signature that has the right form; whether it is right is for [`verify`].
#[derive(Debug, Clone, Copy)]
pub struct Signature([u8; 32]);

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No signature.
    #[error("the header X-Hub-Signature-256 is missing: give the webhook a secret")]
    MissingSignature,
    /// The signature can't be one.
    #[error("the header X-Hub-Signature-256 must be given once, as sha256= and 64 hexadecimal digits")]
    MalformedSignature,
    /// It is signed with another secret, or was changed on its way.
    #[error(
        "the signature does not match: the webhook's secret differs from GITHUB_WEBHOOK_SECRET, or the body was changed"
    )]
    WrongSignature,
    /// A header that GitHub always sends is missing.
    #[error("the header {0} is missing")]
    MissingHeader(&'static str),
    /// Such a header has an impossible value.
    #[error("the header {0} must have 1 to {MAX_NAME} visible ASCII characters")]
    MalformedHeader(&'static str),
    /// Neither of the two that GitHub offers.
    #[error("the content type must be application/json or application/x-www-form-urlencoded")]
    ContentType,
    /// A form without its one field.
    #[error("the form has no field payload")]
    NoPayload,
    /// The body is not JSON that we could read later.
    #[error("the payload is not valid JSON: {0}")]
    NotJson(String),
    /// The body is JSON, but no object.
    #[error("the payload must be a JSON object")]
    NotAnObject,
}

impl Rejection {
    /// 401 where the signature is at fault, 415 for the content type, else 400.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MissingSignature | Self::MalformedSignature | Self::WrongSignature => {
                StatusCode::UNAUTHORIZED
            }
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A webhook call that the holder of the secret signed, and that is well-formed.
#[derive(Debug, Clone)]
pub struct VerifiedDelivery {
    id: String,
    event: String,
    payload: Bytes,
}

impl VerifiedDelivery {
    /// `X-GitHub-Delivery`: 1 to 128 visible ASCII characters.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `X-GitHub-Event`.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// A JSON object, as the sender wrote it.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// Reads the signature's header. Needs no body, so that a call without a signature is refused before its body is read.
///
/// # Errors
/// When it is missing or malformed.
pub fn signature(headers: &HeaderMap) -> Result<Signature, Rejection> {
    let mut values = headers.get_all("x-hub-signature-256").iter();
    let value = values.next().ok_or(Rejection::MissingSignature)?;
    let mut digest = [0; 32];
    let digits = value.as_bytes().strip_prefix(b"sha256=").ok_or(Rejection::MalformedSignature)?;
    hex::decode_to_slice(digits, &mut digest).map_err(|_| Rejection::MalformedSignature)?;
    if values.next().is_some() { Err(Rejection::MalformedSignature) } else { Ok(Signature(digest)) }
}

/// Checks the signature over the raw body, then the form of headers and payload.
///
/// # Errors
/// What is wrong with it; nothing but the signature is looked at before the signature is found right.
pub fn verify(
    key: &WebhookKey,
    signature: Signature,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<VerifiedDelivery, Rejection> {
    if !key.signed(&body, &signature) {
        return Err(Rejection::WrongSignature);
    }
    let id = name(headers, "X-GitHub-Delivery")?;
    let event = name(headers, "X-GitHub-Event")?;
    let payload = payload(headers, body)?;
    match strict_json::check(&payload) {
        Ok(strict_json::Top::Object) => Ok(VerifiedDelivery { id, event, payload }),
        Ok(strict_json::Top::Other) => Err(Rejection::NotAnObject),
        Err(error) => Err(Rejection::NotJson(error)),
    }
}

fn name(headers: &HeaderMap, header: &'static str) -> Result<String, Rejection> {
    let value = headers.get(header).ok_or(Rejection::MissingHeader(header))?.as_bytes();
    let visible = (1..=MAX_NAME).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    let text = visible.then(|| std::str::from_utf8(value).ok()).flatten();
    text.map(str::to_owned).ok_or(Rejection::MalformedHeader(header))
}

fn payload(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Rejection> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(body) };
    let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(body)
    } else if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let mut fields = form_urlencoded::parse(&body);
        let (_, payload) = fields.find(|(name, _)| name == "payload").ok_or(Rejection::NoPayload)?;
        Ok(Bytes::from(payload.into_owned()))
    } else {
        Err(Rejection::ContentType)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
    #[test]
    fn githubs_own_test_vector() {
        let key = WebhookKey::new(&SecretText::new("It's a Secret to Everybody")).unwrap();
        let mut headers = HeaderMap::new();
        let value = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        headers.insert("x-hub-signature-256", value.parse().unwrap());
        let right = signature(&headers).unwrap();
        assert!(key.signed(b"Hello, World!", &right));
        assert!(!key.signed(b"Hello, World?", &right));
        // Signed rightly, and refused only for what comes after the signature.
        let refused = verify(&key, right, &headers, Bytes::from_static(b"Hello, World!"));
        assert_eq!(refused.unwrap_err(), Rejection::MissingHeader("X-GitHub-Delivery"));
    }

    #[test]
    fn an_empty_secret_is_no_key() {
        assert!(WebhookKey::new(&SecretText::default()).is_none());
    }

    #[test]
    fn malformed_signatures() {
        let digits = "7".repeat(64);
        for value in [
            String::new(),
            "sha256=".to_owned(),
            digits.clone(),
            format!("sha1={digits}"),
            format!("SHA256={digits}"),
            format!("sha256={}", &digits[1..]),
            format!("sha256={digits}7"),
            format!("sha256={digits}77"),
            format!("sha256= {digits}"),
            format!("sha256={}g", &digits[1..]),
            format!("sha256={digits},sha256={digits}"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-hub-signature-256", value.parse().unwrap());
            assert_eq!(signature(&headers).unwrap_err(), Rejection::MalformedSignature, "{value}");
        }
    }
}
