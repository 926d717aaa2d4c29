//! Numbers: how text becomes one, and how one becomes text.
//!
//! Numbers are IEEE 754 doubles. Source: `ExpressionUtility.ParseNumber` and the number format `G15` of github.com/actions/runner.

/// The number that `text` stands for, by the rules of JavaScript's `Number()`: blanks around it do not count, empty is 0, then a decimal
/// number with optional sign, fraction and exponent, `0x` and hexadecimal digits, `0o` and octal digits, `Infinity` with optional sign. Anything
/// else is NaN.
///
/// Hexadecimal and octal numbers have 32 bits and a sign, as with GitHub: `0xffffffff` is -1, more digits are NaN.
pub(super) fn parse(text: &str) -> f64 {
    let text = text.trim();
    if text.is_empty() {
        return 0.0;
    }
    if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return text.parse().unwrap_or(f64::NAN);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return bits(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return bits(digits, 8);
    }
    match text {
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ => f64::NAN,
    }
}

fn bits(digits: &str, radix: u32) -> f64 {
    // from_str_radix would take a sign.
    if digits.starts_with(['+', '-']) {
        return f64::NAN;
    }
    u32::from_str_radix(digits, radix).map_or(f64::NAN, |bits| f64::from(bits.cast_signed()))
}

/// `number` with up to 15 significant digits: fixed where its decimal exponent lies between -5 and 15 (both excluded), else with an exponent
/// of at least two digits (`1E+15`, `1.5E-05`). Zero has no sign.
pub(super) fn format(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:.14e}", number.abs());
    // The format always has an exponent; the fallback keeps a valid number should that ever change.
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let digits = digits.trim_end_matches('0');
    let sign = if number < 0.0 { "-" } else { "" };
    if exponent >= 15 || exponent <= -5 {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}E{exponent_sign}{:02}", exponent.unsigned_abs());
    }
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = exponent.unsigned_abs() as usize + 1;
    if digits.len() <= whole {
        let zeros = "0".repeat(whole - digits.len());
        return format!("{sign}{digits}{zeros}");
    }
    let (whole, fraction) = digits.split_at(whole);
    format!("{sign}{whole}.{fraction}")
}
