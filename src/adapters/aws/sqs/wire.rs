//! A message on the wire: its key, and its packed body or where that lies.

use super::super::keys;
use crate::ports::Lane;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// Bytes of a body on the wire: SQS takes 256 KiB with everything, and the item of a dead letter 400 KB.
const MAX_ON_WIRE: usize = 200 * 1024;

/// Where the body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// In the message, packed.
    Here(Vec<u8>),
    /// In the bucket, under this name, packed.
    At(String),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) key: String,
    pub(super) content: Content,
}

#[derive(Serialize, Deserialize)]
struct Text {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<String>,
}

impl Wire {
    /// The message with this packed body, which stays outside where it is large.
    pub(super) fn new(lane: Lane, key: &str, packed: Vec<u8>) -> Self {
        let large = packed.len().div_ceil(3) * 4 > MAX_ON_WIRE;
        let content = if large { Content::At(keys::body(lane, key)) } else { Content::Here(packed) };
        Self { key: key.to_owned(), content }
    }

    pub(super) fn to_text(&self) -> String {
        let (body, object) = match &self.content {
            Content::Here(packed) => (Some(BASE64.encode(packed)), None),
            Content::At(object) => (None, Some(object.clone())),
        };
        let text = Text { key: self.key.clone(), body, object };
        serde_json::json!(text).to_string()
    }

    /// Reads what [`Self::to_text`] wrote; the error says what is wrong with anything else.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text: Text =
            serde_json::from_str(text).map_err(|error| format!("not a message of ours: {error}"))?;
        let content = match (text.body, text.object) {
            (Some(body), None) => {
                Content::Here(BASE64.decode(body).map_err(|error| format!("its body is no base64: {error}"))?)
            }
            (None, Some(object)) if object.starts_with("bodies/") => Content::At(object),
            _ => return Err("not a message of ours: it has no body".to_owned()),
        };
        Ok(Self { key: text.key, content })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn small_bodies_go_along_and_large_ones_stay_outside() {
        for (bytes, here) in [(0, true), (153_600, true), (153_601, false), (5_000_000, false)] {
            let wire = Wire::new(Lane::Deliveries, "k", vec![7; bytes]);
            assert_eq!(matches!(wire.content, Content::Here(_)), here, "{bytes}");
            assert!(wire.to_text().len() < 256 * 1024 - 1024);
            assert_eq!(Wire::read(&wire.to_text()).unwrap(), wire);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "{}", r#"{"key":"k"}"#, r#"{"key":"k","body":"%"}"#, r#"{"key":"k","object":"attempts/x"}"#]
        {
            assert!(Wire::read(text).is_err(), "{text}");
        }
    }
}
