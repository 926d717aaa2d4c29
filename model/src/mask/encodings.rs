//! The forms in which a secret turns up in output. The list follows what GitHub's own runner masks (its
//! `ValueEncoders`), and hexadecimal, the URL-safe Base64 alphabet and JSON in JSON.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::MIN_BYTES;

/// Shortest stretch of Base64 that is looked for in the middle of other Base64: eight characters stand for six bytes.
const MIN_BASE64: usize = 8;

/// All patterns for one secret, each of at least [`MIN_BYTES`] bytes.
pub(super) fn of(secret: &str) -> BTreeSet<Vec<u8>> {
    let mut patterns = BTreeSet::new();
    for plain in plain_forms(secret) {
        let json = json(plain, false);
        let texts = [
            plain.to_owned(),
            self::json(plain, true),
            self::json(&json, false),
            json,
            percent(plain, "%20"),
            percent(plain, "+"),
            xml(plain, "&#39;"),
            xml(plain, "&apos;"),
            plain.replace('"', "\\\""),
            plain.replace('\'', "''"),
            plain.replace('\'', r"'\''"),
            hex::encode(plain),
            hex::encode_upper(plain),
        ];
        patterns.extend(texts.into_iter().map(String::into_bytes));
        patterns.extend(base64_forms(plain.as_bytes()).into_iter().map(String::into_bytes));
    }
    patterns.retain(|pattern| pattern.len() >= MIN_BYTES && !pattern.iter().all(|&byte| byte == b'*'));
    patterns
}

/// As it is, trimmed, without surrounding quotes, each line of it, and the pieces that PowerShell makes of it.
fn plain_forms(secret: &str) -> Vec<&str> {
    let trimmed = secret.trim();
    let mut forms = vec![secret, trimmed];
    for quote in ['"', '\''] {
        let inner = trimmed.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        forms.extend(inner);
    }
    forms.extend(trimmed.lines().map(str::trim));
    forms.extend(powershell_forms(trimmed));
    forms.retain(|form| form.len() >= MIN_BYTES);
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// PowerShell that was given a secret as a command puts colours into it at an `&`, and prints what stands before and behind apart: up to the
/// first `&+` and from the second character after it, else up to the last `&` and after it. Pieces under six bytes are no secret any more.
fn powershell_forms(secret: &str) -> impl Iterator<Item = &str> {
    let pieces = match secret.split_once("&+") {
        Some((before, after)) => {
            let coloured = after.chars().next().map_or(0, char::len_utf8);
            Some((&secret[..before.len() + 2], &after[coloured..]))
        }
        None => secret.rsplit_once('&').map(|(before, after)| (&secret[..=before.len()], after)),
    };
    pieces.into_iter().flat_map(|(before, after)| [before, after]).filter(|piece| piece.len() >= 6)
}

/// As the inside of a JSON string; `ascii`: with every other character as `\uXXXX`.
fn json(text: &str, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            character if character.is_control() || (ascii && !character.is_ascii()) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            character => out.push(character),
        }
    }
    out
}

/// As in a URL: all but RFC 3986's unreserved characters escaped.
fn percent(text: &str, space: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for &byte in text.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b' ' => out.push_str(space),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// As in XML or HTML.
fn xml(text: &str, apostrophe: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', apostrophe)
}

/// Base64 of the secret alone, and the characters that it alone decides when 0, 1 or 2 other bytes (of each three) come
/// before it and anything after.
fn base64_forms(secret: &[u8]) -> Vec<String> {
    let mut forms =
        vec![STANDARD.encode(secret), STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
    for skip in 0..3 {
        let Some(rest) = secret.get(skip..) else { continue };
        let whole = &rest[..rest.len() - rest.len() % 3];
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            // To the end of the text, and cut where a following byte would show.
            let longer = engine.encode(rest);
            forms.extend([longer, engine.encode(whole)].into_iter().filter(|form| form.len() >= MIN_BASE64));
        }
    }
    forms
}
