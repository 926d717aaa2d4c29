//! Filter patterns of branches, tags and paths (docs.github.com, "Filter pattern cheat sheet").

/// What is wrong with a pattern of branches or tags.
pub(super) fn reference(text: &str) -> Option<String> {
    if let Some(wrong) = pattern(text) {
        return Some(wrong);
    }
    let name = text.strip_prefix('!').unwrap_or(text);
    if name.starts_with('/') || name.ends_with('/') || name.ends_with('.') {
        return Some(
            "can match no branch or tag: their names neither begin with `/` nor end with `/` or `.`".into(),
        );
    }
    let mut characters = name.chars();
    while let Some(c) = characters.next() {
        let wrong = match c {
            '\\' => !matches!(characters.next(), Some('[' | '?' | '+' | '*' | '\\' | '!')),
            ' ' | '~' | '^' | ':' => true,
            c => c.is_control(),
        };
        if wrong {
            return Some(format!(
                "can match no branch or tag: their names have no `{}` (this is no regular expression)",
                c.escape_default()
            ));
        }
    }
    None
}

/// What is wrong with a pattern of paths.
pub(super) fn path(text: &str) -> Option<String> {
    if let Some(wrong) = pattern(text) {
        return Some(wrong);
    }
    if text.trim() != text {
        return Some("has blanks around it, which are part of the pattern".into());
    }
    let name = text.strip_prefix('!').unwrap_or(text);
    if name.split('/').any(|part| part == "." || part == "..") {
        return Some(
            "matches nothing: paths are written from the root of the repository, with neither `.` nor `..`"
                .into(),
        );
    }
    None
}

/// What is wrong with any pattern.
pub(super) fn pattern(text: &str) -> Option<String> {
    if text == "!" {
        return Some("takes nothing out: a pattern must follow the `!`".into());
    }
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            '[' => {
                let mut inside = Vec::new();
                loop {
                    match characters.next() {
                        None => return Some("opens a `[` that no `]` closes".into()),
                        Some(']') => break,
                        Some(c) => inside.push(c),
                    }
                }
                match inside.as_slice() {
                    [] => return Some("has `[]`, which matches nothing".into()),
                    [one] => return Some(format!("has `[{one}]`, which is the same as `{one}`")),
                    _ => {}
                }
                let backwards = inside.windows(3).find(|three| matches!(three, [from, '-', to] if from > to));
                if let Some([from, _, to]) = backwards {
                    return Some(format!("has the range `{from}-{to}`, which goes backwards"));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns_are_told_apart() {
        for good in ["main", "release/**", "v[0-9]+.[0-9]+", "!old/**", "feature/?", "**", "v*.*.*"] {
            assert_eq!(super::reference(good), None, "{good}");
        }
        for bad in ["!", "a b", "/v1", "v1/", "v[9-0]", "[a", r"v\d", "a^", "x."] {
            assert!(super::reference(bad).is_some(), "{bad}");
        }
        for good in ["src/**", "**.js", "!docs/**", "a b.txt"] {
            assert_eq!(super::path(good), None, "{good}");
        }
        for bad in [" a", "a ", "./a", "a/../b", ".", "!"] {
            assert!(super::path(bad).is_some(), "{bad}");
        }
    }
}
