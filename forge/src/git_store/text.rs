//! Reading text as GitHub does: `Fixes #12` and its kin.

/// Numbers of the issues that a text says it closes: `close`, `fix`, `resolve` in their forms, then `#N`.
/// Source: docs.github.com, "Linking a pull request to an issue".
pub(crate) fn closing_references(text: &str) -> Vec<u64> {
    const WORDS: [&str; 9] =
        ["close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved"];
    let mut found = Vec::new();
    let mut previous = String::new();
    for word in text.split_whitespace() {
        if WORDS.contains(&previous.trim_end_matches(':').to_lowercase().as_str())
            && let Some(rest) = word.strip_prefix('#')
        {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(number) = digits.parse()
                && !found.contains(&number)
            {
                found.push(number);
            }
        }
        previous = word.to_owned();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::closing_references;

    #[test]
    fn numbers_after_the_closing_words() {
        let check = |text: &str, want: &[u64]| assert_eq!(closing_references(text), want, "{text}");
        check("Fixes #12", &[12]);
        check("This closes #1, and resolves: #2.\nFIXED #2", &[1, 2]);
        check("See #4 and prefixes #5", &[]);
        check("fix the #6", &[]);
    }
}
