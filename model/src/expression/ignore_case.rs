//! Comparing strings without case, as .NET's `OrdinalIgnoreCase` does.
//!
//! Each character is put in upper case by itself (the simple mapping of Unicode, one character to one), with no language in mind; `ı`, `İ`
//! and `ſ` stay themselves, so that they never meet ASCII letters. Order is that of UTF-16 units.

use std::cmp::Ordering;

/// The upper case of one character.
pub(super) fn upper(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    match c {
        // Dotless i, dotted I and long s would otherwise become ASCII.
        '\u{130}' | '\u{131}' | '\u{17f}' => c,
        // Greek letters with a subscript iota: their full upper case is two letters, the simple one is the title case form.
        '\u{1f80}'..='\u{1faf}' => char::from_u32(u32::from(c) | 8).unwrap_or(c),
        '\u{1fb3}' => '\u{1fbc}',
        '\u{1fc3}' => '\u{1fcc}',
        '\u{1ff3}' => '\u{1ffc}',
        _ => {
            let mut mapped = c.to_uppercase();
            match (mapped.next(), mapped.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        }
    }
}

/// `text` in upper case: two strings are equal without case when their folds are equal.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_uppercase() } else { text.chars().map(upper).collect() }
}

/// Whether two strings are the same but for case.
pub(super) fn equal(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        left.eq_ignore_ascii_case(right)
    } else {
        left.chars().map(upper).eq(right.chars().map(upper))
    }
}

/// The order of two strings without case.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    units(left).cmp(units(right))
}

fn units(text: &str) -> impl Iterator<Item = u16> {
    text.chars().map(upper).flat_map(|c| {
        let mut buffer = [0; 2];
        let length = c.encode_utf16(&mut buffer).len();
        buffer.into_iter().take(length)
    })
}

/// Whether `text` holds `part`, without case.
pub(super) fn contains(text: &str, part: &str) -> bool {
    fold(text).contains(&fold(part))
}

/// Whether `text` begins with `part`, without case.
pub(super) fn starts_with(text: &str, part: &str) -> bool {
    let mut text = text.chars().map(upper);
    part.chars().map(upper).all(|c| text.next() == Some(c))
}

/// Whether `text` ends with `part`, without case.
pub(super) fn ends_with(text: &str, part: &str) -> bool {
    let mut text = text.chars().rev().map(upper);
    part.chars().rev().map(upper).all(|c| text.next() == Some(c))
}
