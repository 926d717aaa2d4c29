//! Finding the values of secrets in bytes, also where they were encoded.
//!
//! Looked for: the value itself, as JSON writes it, percent-encoded, in hexadecimal, and in base64 (both alphabets, at each
//! of the three positions that a value can have in a longer encoded text). Letter case counts, but for the digits of
//! hexadecimal. Values under eight bytes are too likely to stand somewhere by chance.

use crate::ports::SecretText;
use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::collections::BTreeSet;

/// Bytes that a value must have to be looked for.
const SHORTEST: usize = 8;

/// Finds any of a set of secrets in one pass.
pub(super) struct Leaks {
    /// `None` where there is nothing to look for.
    search: Option<AhoCorasick>,
}

impl Leaks {
    pub(super) fn of(secrets: &[SecretText]) -> Self {
        let values =
            secrets.iter().map(|secret| secret.reveal().trim()).filter(|value| value.len() >= SHORTEST);
        let patterns: BTreeSet<Vec<u8>> = values.flat_map(forms).collect();
        // Building fails only beyond 2^31 states, which no set of secrets reaches.
        let search = if patterns.is_empty() { None } else { AhoCorasick::new(&patterns).ok() };
        Self { search }
    }

    pub(super) fn found_in(&self, content: &[u8]) -> bool {
        self.search.as_ref().is_some_and(|search| search.is_match(content))
    }

    /// Text about a change that may quote it, fit to be shown.
    pub(super) fn scrubbed(&self, text: &str) -> String {
        if self.found_in(text.as_bytes()) {
            "the change is malformed, in a place that contains the value of a secret".to_owned()
        } else {
            text.to_owned()
        }
    }
}

/// The ways in which a value may be written.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let mut forms = vec![bytes.to_vec(), value.replace('\n', "\r\n").into_bytes()];
    let json = serde_json::Value::from(value).to_string();
    forms.push(json.trim_matches('"').as_bytes().to_vec());
    let lower = hex::encode(bytes);
    forms.push(lower.to_uppercase().into_bytes());
    forms.push(lower.into_bytes());
    forms.extend(percent_encoded(bytes));
    for position in 0..3 {
        let padded = [vec![0; position], bytes.to_vec()].concat();
        // Characters that hold bits of a neighbour are left out: at the front those of the padding, at the end an
        // incomplete group.
        let front = [0, 2, 3][position];
        let whole = padded.len() * 8 / 6;
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.extend(text.as_bytes().get(front..whole).map(<[u8]>::to_vec));
        }
    }
    forms
}

/// Percent-encoding with upper-case and lower-case digits, and a form's `+` for a space.
fn percent_encoded(bytes: &[u8]) -> Vec<Vec<u8>> {
    let encoded = |upper: bool, plus: bool| {
        let mut out = String::new();
        for byte in bytes {
            match byte {
                b' ' if plus => out.push('+'),
                byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => out.push(char::from(*byte)),
                byte if upper => out.push_str(&format!("%{byte:02X}")),
                byte => out.push_str(&format!("%{byte:02x}")),
            }
        }
        out.into_bytes()
    };
    vec![encoded(true, false), encoded(true, true), encoded(false, false), encoded(false, true)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    const SECRET: &str = "s3cr3t/value+7 \"x\"";

    fn leaks() -> Leaks {
        Leaks::of(&[SecretText::new("1234567"), SecretText::new(SECRET), SecretText::new("")])
    }

    #[test]
    fn values_are_found_in_every_encoding() {
        let mut texts = vec![
            SECRET.to_owned(),
            format!("token = {SECRET}\n"),
            serde_json::json!({ "token": SECRET }).to_string(),
            hex::encode(SECRET),
            hex::encode_upper(SECRET),
            "https://h/?t=s3cr3t%2Fvalue%2B7%20%22x%22&y".to_owned(),
            "t=s3cr3t%2fvalue%2b7+%22x%22".to_owned(),
        ];
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "z", "zz", "zzz"] {
                let plain = format!("{before}{SECRET}{after}");
                texts.push(STANDARD.encode(&plain));
                texts.push(URL_SAFE_NO_PAD.encode(&plain));
            }
        }
        for text in texts {
            assert!(leaks().found_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        let other = ["", "1234567", "S3CR3T/VALUE+7 \"X\"", "s3cr3t/value+7", "the quick brown fox"];
        for text in other {
            assert!(!leaks().found_in(text.as_bytes()), "{text}");
        }
        assert!(!Leaks::of(&[]).found_in(b"anything"));
    }

    #[test]
    fn a_reason_that_quotes_a_secret_is_not_shown() {
        assert_eq!(leaks().scrubbed("the path `a` is empty"), "the path `a` is empty");
        assert!(!leaks().scrubbed(&format!("the path `{SECRET}` is empty")).contains(SECRET));
    }
}
