//! Whether bytes are JSON that a full parse will take later, found out without building a tree.
//!
//! Skipping over values (`IgnoredAny`) is not enough: it lets lone surrogates, numbers beyond f64 and endless nesting pass,
//! which then fail where nobody waits for an answer any more.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What stands at the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Top {
    /// `{…}`
    Object,
    /// Anything else.
    Other,
}

/// Reads all of it; the error says what is wrong and where.
pub(super) fn check(bytes: &[u8]) -> Result<Top, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| format!("no UTF-8 after byte {}", error.valid_up_to()))?;
    serde_json::from_str::<Checked>(text).map(|checked| checked.0).map_err(|error| error.to_string())
}

struct Checked(Top);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk).map(Checked)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Top, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Top::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Top, A::Error> {
        while entries.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Top::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check takes exactly what a full parse takes.
    #[test]
    fn agrees_with_a_full_parse() {
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let cases = [
            "{}",
            " {\"a\": [1, -2, 3.5e-7, true, null, \"x\\u00e9\\n\"]} ",
            "[]",
            "1",
            "\"\\ud83d\\ude00\"",
            "\"\\ud800\"",
            "{\"\\ud800\": 1}",
            "1e999",
            "-0",
            "01",
            "{",
            "{}{}",
            "{\"a\":1,}",
            "nul",
            "",
            "\u{feff}{}",
            "{\"a\":\"\t\"}",
            "{'a':1}",
            "NaN",
            "18446744073709551616",
            "{\"a\":1,\"a\":2}",
            &deep(127),
            &deep(128),
            &deep(5000),
        ];
        for case in cases {
            let full = serde_json::from_str::<serde_json::Value>(case);
            let ours = check(case.as_bytes());
            assert_eq!(ours.is_ok(), full.is_ok(), "{case:.60}: {ours:?}");
            assert_eq!(
                ours.ok() == Some(Top::Object),
                full.is_ok_and(|value| value.is_object()),
                "{case:.60}"
            );
        }
        assert_eq!(check(b"{\"a\":\"\xff\"}"), Err("no UTF-8 after byte 6".to_owned()));
    }
}
