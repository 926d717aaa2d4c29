//! Which type a scalar has: the core schema of YAML 1.2 (yaml.org/spec/1.2.2, chapter 10.3).

use super::node::Value;

/// What a tag makes of a scalar.
pub(super) enum Typed {
    Value(Value),
    /// The text does not fit the tag, which is named.
    Unfit(&'static str),
}

/// The value of a scalar with a tag of YAML's own: `suffix` is what follows `tag:yaml.org,2002:`.
pub(super) fn tagged(suffix: &str, text: &str) -> Typed {
    let fits = match (suffix, plain(text)) {
        ("str", _) => return Typed::Value(Value::Text(text.to_owned())),
        ("null", value @ Value::Null)
        | ("bool", value @ Value::Bool(_))
        | ("int" | "float", value @ Value::Number(_)) => Some(value),
        ("null" | "bool" | "int" | "float", _) => None,
        _ => return Typed::Value(Value::Text(text.to_owned())),
    };
    match (fits, suffix) {
        (Some(value), _) => Typed::Value(value),
        (None, "null") => Typed::Unfit("null"),
        (None, "bool") => Typed::Unfit("bool"),
        (None, "int") => Typed::Unfit("int"),
        (None, _) => Typed::Unfit("float"),
    }
}

/// The value of a scalar with neither quotes nor tag.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Number(f64::NAN),
        _ => {}
    }
    match number(text) {
        Some(number) => Value::Number(number),
        None => Value::Text(text.to_owned()),
    }
}

fn number(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return whole(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return whole(digits, 8);
    }
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1.0, text.get(1..)?),
        b'+' => (1.0, text.get(1..)?),
        _ => (1.0, text),
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Some(sign * f64::INFINITY);
    }
    // Digits, a dot and an exponent, and nothing else that Rust's own reader would take.
    let begins = unsigned.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    let known = unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !begins || !known {
        return None;
    }
    unsigned.parse::<f64>().ok().map(|number| sign * number)
}

fn whole(digits: &str, radix: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits
        .chars()
        .try_fold(0.0, |sum, digit| Some(sum * f64::from(radix) + f64::from(digit.to_digit(radix)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_types_of_the_core_schema() {
        for (text, expected) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("NULL", Value::Null),
            ("True", Value::Bool(true)),
            ("yes", Value::Text("yes".into())),
            ("on", Value::Text("on".into())),
            ("tRue", Value::Text("tRue".into())),
            ("0x1F", Value::Number(31.0)),
            ("0o17", Value::Number(15.0)),
            ("0b11", Value::Text("0b11".into())),
            ("1_000", Value::Text("1_000".into())),
            ("-.5", Value::Number(-0.5)),
            ("+1.2e-2", Value::Number(0.012)),
            ("..5", Value::Text("..5".into())),
            ("+-1", Value::Text("+-1".into())),
            ("inf", Value::Text("inf".into())),
            ("-.Inf", Value::Number(f64::NEG_INFINITY)),
            ("1.2.3", Value::Text("1.2.3".into())),
            ("e5", Value::Text("e5".into())),
            ("0x", Value::Text("0x".into())),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }
}
