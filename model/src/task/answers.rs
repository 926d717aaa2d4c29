//! The entries of the files through which a step answers, `$GITHUB_OUTPUT` and `$GITHUB_ENV`: `name=value`, or `name<<DELIMITER`, lines,
//! `DELIMITER`. <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>

/// Reads `NAME=VALUE` and `NAME<<DELIMITER` entries, in their order; `file` is the name of the file in errors.
///
/// # Errors
/// The first entry that is neither, or that no variable could have: for the author of the step.
pub fn answer_pairs(file: &str, text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        let (name, value) = match (equals, heredoc) {
            (Some(at), heredoc) if heredoc.is_none_or(|heredoc| at < heredoc) => {
                (&line[..at], line[at + 1..].to_owned())
            }
            (_, Some(at)) => {
                let delimiter = &line[at + 2..];
                if delimiter.is_empty() {
                    return Err(format!("{file}: `{}` has no delimiter after `<<`", shorten(line, 80)));
                }
                let mut value: Vec<&str> = Vec::new();
                loop {
                    match lines.next() {
                        Some(line) if line == delimiter => break,
                        Some(line) => value.push(line),
                        None => {
                            return Err(format!(
                                "{file}: the delimiter `{}` does not come again",
                                shorten(delimiter, 80)
                            ));
                        }
                    }
                }
                (&line[..at], value.join("\n"))
            }
            _ => {
                return Err(format!(
                    "{file}: `{}` is neither `name=value` nor `name<<DELIMITER`",
                    shorten(line, 80)
                ));
            }
        };
        let name = name.trim();
        if name.is_empty() || name.len() > 200 || name.chars().any(|character| character.is_control()) {
            return Err(format!("{file}: `{}` has no usable name", shorten(line, 80)));
        }
        if value.contains('\0') {
            return Err(format!("{file}: the value of {name} contains a NUL byte"));
        }
        pairs.push((name.to_owned(), value));
    }
    Ok(pairs)
}

/// At most `most` bytes of a text, whole characters, with an ellipsis where something was cut off.
pub fn shorten(text: &str, most: usize) -> String {
    match text.get(..text.floor_char_boundary(most)) {
        Some(short) if short.len() < text.len() => format!("{short}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = answer_pairs("F", text).unwrap();
            let found: Vec<(&str, &str)> =
                found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("", &[]);
        check("a=1\n\nb=\nc=x=y<<z\n", &[("a", "1"), ("b", ""), ("c", "x=y<<z")]);
        check("a<<EOF\none\n\ntwo=2\nEOF\nb=3", &[("a", "one\n\ntwo=2"), ("b", "3")]);
        check("a<<E=F\nx\nE=F", &[("a", "x")]);
        check("a<<EOF\nEOF\n", &[("a", "")]);
        check("a=1\r\n", &[("a", "1")]);
    }

    #[test]
    fn mistakes_are_told() {
        let check = |text: &str, words: &str| {
            let error = answer_pairs("F", text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        };
        check("hello", "`hello` is neither");
        check("a<<EOF\nb\n", "`EOF` does not come again");
        check("a<<\nb\n", "no delimiter");
        check("=b", "no usable name");
        check("a=b\0", "NUL");
    }
}
