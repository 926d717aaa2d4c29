//! Keeps alias bombs out: a YAML document may not unfold to more than its own size.
//!
//! An alias costs two bytes and stands for a node of any size, so a small file can ask for gigabytes. The parser's own
//! limit counts aliases, not what they unfold to. This walk unfolds the document without keeping anything, and stops as
//! soon as it has seen more than a document without aliases could hold: the work is linear in the file's length.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

/// Walks the document; an error when it unfolds to too much, carries tags, or is not YAML.
pub(crate) fn check(text: &str) -> Result<(), serde_yaml::Error> {
    // A node takes at least a byte of text, and no escape is shorter than half of what it stands for.
    let left = Cell::new(text.len().saturating_mul(2).saturating_add(64));
    Walk { left: &left }.deserialize(serde_yaml::Deserializer::from_str(text))
}

/// Most `[` and `{` in a stranger's document, those in its texts counted too.
const MAX_BRACKETS: usize = 32_768;

/// May a stranger's document be given to the parser at all? Its scanner looks at every open bracket for each token, so
/// that nesting costs the square of its depth: a megabyte of `[` would keep it busy for minutes.
pub(crate) fn check_brackets(text: &str) -> Result<(), String> {
    let brackets = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if brackets > MAX_BRACKETS {
        return Err(format!("{brackets} brackets in it, at most {MAX_BRACKETS} are taken"));
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    left: &'a Cell<usize>,
}

impl Walk<'_> {
    fn spend<E: Error>(self, cost: usize) -> Result<(), E> {
        match self.left.get().checked_sub(cost) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom("aliases unfold to more than the file's own size")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML without tags")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("tags are not supported here"))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.spend(1)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.spend(1)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.spend(1)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.spend(1)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.spend(1)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.spend(1 + text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.spend(1)?;
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.spend(1)?;
        while entries.next_key_seed(self)?.is_some() {
            entries.next_value_seed(self)?;
        }
        Ok(())
    }
}
