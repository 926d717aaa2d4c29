//! Bounds for what a stranger may put into a file: sizes of strings and lists, numbers that are numbers.

use super::reporting::ReportError;

/// Money above this is a mistake or an attack, never a bill. US dollars.
pub(crate) const MAX_USD: f64 = 1_000_000.0;
/// A run lives 35 days at most, as in Actions.
pub(crate) const MAX_MINUTES: f64 = 35.0 * 24.0 * 60.0;

/// Is it a finite amount between zero and `max`?
pub(crate) fn within(value: f64, max: f64) -> bool {
    value.is_finite() && (0.0..=max).contains(&value)
}

/// An error at `field`.
pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> ReportError {
    ReportError::Invalid { field: field.into(), reason: reason.into() }
}

/// A text of at most `max` bytes, with no NUL in it.
pub(crate) fn text(field: &str, value: &str, max: usize) -> Result<(), ReportError> {
    if value.len() > max {
        return Err(invalid(field, format!("{} bytes long, at most {max} are taken", value.len())));
    }
    if value.contains('\0') {
        return Err(invalid(field, "contains a NUL byte"));
    }
    Ok(())
}

/// A name for machines: not empty, at most `max` bytes, no control characters.
pub(crate) fn name(field: &str, value: &str, max: usize) -> Result<(), ReportError> {
    if value.is_empty() {
        return Err(invalid(field, "is empty"));
    }
    text(field, value, max)?;
    if value.chars().any(char::is_control) {
        return Err(invalid(field, "contains a control character"));
    }
    Ok(())
}

/// At most `max` items.
pub(crate) fn count(field: &str, value: usize, max: usize) -> Result<(), ReportError> {
    if value > max { Err(invalid(field, format!("{value} items, at most {max} are taken"))) } else { Ok(()) }
}

/// A whole number of at most `max`.
pub(crate) fn number(field: &str, value: u64, max: u64) -> Result<(), ReportError> {
    if value > max { Err(invalid(field, format!("{value} is over {max}"))) } else { Ok(()) }
}

/// Lower-case hexadecimal of one of the given lengths.
pub(crate) fn hex(field: &str, value: &str, lengths: &[usize]) -> Result<(), ReportError> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if digits && lengths.contains(&value.len()) {
        Ok(())
    } else {
        Err(invalid(field, format!("expected {lengths:?} lower-case hexadecimal digits")))
    }
}

/// One plain file name: no folder, no `..`, nothing hidden.
pub(crate) fn file_name(field: &str, value: &str) -> Result<(), ReportError> {
    name(field, value, 128)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if !value.bytes().all(plain) || value.starts_with('.') || value.contains("..") {
        return Err(invalid(field, "expected a plain file name in the task folder"));
    }
    Ok(())
}
