//! Text from outside, made fit for a prompt: what a person can't see must not reach a model.
//!
//! Removed until nothing changes any more, since removing one thing can make another: HTML comments, zero-width and
//! bidirectional characters, other control characters and Unicode tags.

/// Strips what is invisible to a reader of the rendered text, and cuts to `max_chars` characters.
pub fn visible(text: &str, max_chars: usize) -> String {
    let mut text = text.replace("\r\n", "\n");
    loop {
        let next = without_comments(&text.chars().filter(|c| is_visible(*c)).collect::<String>());
        if next == text {
            break;
        }
        text = next;
    }
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}\n[cut: the text has more than {max_chars} characters]", &text[..end]),
        None => text,
    }
}

fn is_visible(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        // zero-width, joiners, directional marks, embeddings, isolates, invisible operators, BOM, soft hyphen
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{ad}' => false,
        '\u{61c}' | '\u{180e}' | '\u{fff9}'..='\u{fffb}' => false,
        // tags, and the variation selectors that can carry hidden bytes
        '\u{e0000}'..='\u{e0fff}' => false,
        c => !c.is_control(),
    }
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("<!--") {
        out.push_str(&rest[..start]);
        match rest[start..].find("-->") {
            Some(end) => rest = &rest[start + end + 3..],
            // An unclosed comment hides everything after it from a reader.
            None => return out,
        }
    }
    out.push_str(rest);
    out
}

/// Puts text between lines that the text itself can't contain, so that a model sees where it begins and ends.
pub fn fenced(label: &str, text: &str) -> String {
    let mut fence = "~~~~".to_owned();
    while text.contains(&fence) {
        fence.push('~');
    }
    format!("{fence} {label}\n{text}\n{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_text_is_removed_until_nothing_changes() {
        for (given, expected) in [
            ("plain\ntext", "plain\ntext"),
            ("a<!-- do evil -->b", "ab"),
            ("a<!--<!-- x -->-- y -->b", "a-- y -->b"),
            ("<!-<!-- x -->- evil -->seen", "seen"),
            ("a<!-- never closed", "a"),
            ("in\u{200b}vis\u{202e}ible\u{e0041}", "invisible"),
            ("<\u{200b}!-- hidden -->x", "x"),
            ("bell\u{7}", "bell"),
        ] {
            assert_eq!(visible(given, 100), expected, "{given:?}");
        }
        assert!(visible(&"x".repeat(20), 10).starts_with("xxxxxxxxxx\n[cut"));
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        let fenced = fenced("issue", "~~~~\nescape\n~~~~~");
        assert!(fenced.starts_with("~~~~~~ issue\n") && fenced.ends_with("\n~~~~~~\n"));
    }
}
