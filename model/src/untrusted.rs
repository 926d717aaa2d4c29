//! Text from outside, made fit for a prompt: what a person can't see must not reach a model.
//!
//! Removed until nothing changes any more, since removing one thing can make another: HTML comments, zero-width and
//! bidirectional characters, other control characters and Unicode tags, and what stands only in attributes: the alternative
//! text of images, titles of links, `title=` and its like in HTML.

mod attributes;

/// Rounds of removing comments. Each round of a text made for it uncovers one more level, so that a stranger's text could
/// otherwise ask for as many rounds as it has characters.
const MAX_ROUNDS: usize = 8;

/// Strips what is invisible to a reader of the rendered text, and cuts to `max_chars` characters. Linear in the text.
pub fn visible(text: &str, max_chars: usize) -> String {
    let mut text: String = text.replace("\r\n", "\n").chars().filter(|c| is_visible(*c)).collect();
    let mut stable = false;
    for _ in 0..MAX_ROUNDS {
        let stripped = attributes::without(&without_comments(&text));
        stable = stripped == text;
        if stable {
            break;
        }
        text = stripped;
    }
    if !stable {
        // Nobody nests like this but to hide something: no comment and no link is left of it.
        if let Some(start) = text.find("<!--") {
            text.truncate(start);
        }
        if attributes::without(&text) != text {
            text.retain(|c| !matches!(c, '[' | '<'));
        }
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
        '\u{61c}' | '\u{fff9}'..='\u{fffb}' => false,
        // letters and marks that show nothing; the last variation selector stays, since emoji need it
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0e}'
        | '\u{ffa0}'
        | '\u{1d173}'..='\u{1d17a}' => false,
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

/// A commit's message in which the forge finds nobody to call and no issue to close but `closes`: an invisible character stands
/// in each other reference and mention. Names with an address (`Ann <ann@example.com>`) stay as they are.
pub fn quiet_message(message: &str, closes: Option<u64>) -> String {
    let mut out = String::with_capacity(message.len() + 16);
    for (at, c) in message.char_indices() {
        out.push(c);
        let (before, after) = (&message[..at], &message[at + c.len_utf8()..]);
        let in_word = before.chars().next_back().is_some_and(|last| last.is_alphanumeric() || last == '_');
        let next = after.chars().next();
        let number = next.is_some_and(|next| next.is_ascii_digit());
        let ends = |ends: &[&str]| {
            ends.iter().any(|end| {
                before
                    .get(before.len().wrapping_sub(end.len())..)
                    .is_some_and(|last| last.eq_ignore_ascii_case(end))
            })
        };
        let loud = match c {
            '@' => !in_word && next.is_some_and(char::is_alphanumeric),
            '#' => number && (in_word || closes != leading_number(after)),
            '-' => number && ends(&["gh"]),
            '/' => number && ends(&["/issues", "/pull", "/discussions"]),
            _ => false,
        };
        if loud {
            out.push('\u{2060}');
        }
    }
    out
}

fn leading_number(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

/// Puts text between lines that the text itself can't contain, so that a model sees where it begins and ends.
pub fn fenced(label: &str, text: &str) -> String {
    let longest = text.split(|c| c != '~').map(str::len).max().unwrap_or(0);
    let fence = "~".repeat(longest.max(3) + 1);
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
            ("![do evil](a.png)", "![](a.png)"),
            ("<img alt='do evil' src=a>", "<img src=a>"),
            ("![a<!-- x -->](b \"evil\")", "![](b)"),
            ("!<!-- -->[evil](b)", "![](b)"),
        ] {
            assert_eq!(visible(given, 100), expected, "{given:?}");
        }
        for blank in ['\u{3164}', '\u{ffa0}', '\u{fe01}', '\u{e0101}', '\u{2028}', '\u{180f}'] {
            assert_eq!(visible(&format!("a{blank}b"), 100), "ab", "{blank:?}");
        }
        assert_eq!(visible("\u{2764}\u{fe0f}", 100), "\u{2764}\u{fe0f}");
        assert!(visible(&"x".repeat(20), 10).starts_with("xxxxxxxxxx\n[cut"));
    }

    #[test]
    fn a_message_closes_one_issue_and_calls_nobody() {
        for (given, expected) in [
            ("Add x\n\nFixes #7", "Add x\n\nFixes #7"),
            ("Fixes #8, closes #77", "Fixes #|8, closes #|77"),
            ("closes acme/shop#7 and GH-7", "closes acme/shop#|7 and GH-|7"),
            ("see https://github.com/a/b/issues/7", "see https://github.com/a/b/issues/|7"),
            ("ask @ann, (@bob)", "ask @|ann, (@|bob)"),
            ("Co-authored-by: Ann <ann@example.com>", "Co-authored-by: Ann <ann@example.com>"),
            ("# 7 @ home", "# 7 @ home"),
        ] {
            let quiet = quiet_message(given, Some(7));
            assert_eq!(quiet.replace('\u{2060}', "|"), expected, "{given}");
            assert_eq!(quiet_message(&quiet, Some(7)), quiet, "twice is once");
        }
        assert!(quiet_message("Fixes #7", None).contains('\u{2060}'));
    }

    #[test]
    fn a_text_made_to_keep_us_busy_is_soon_done() {
        // Each round uncovers one more comment.
        let nested = format!("seen{}<!-- x -->{}", "<!".repeat(20_000), "-- x -->".repeat(20_000));
        let started = std::time::Instant::now();
        let text = visible(&nested, 1_000_000);
        assert!(text.starts_with("seen<!") && !text.contains("<!--") && !text.contains('x'));
        let tildes = "~".repeat(1_000_000);
        assert_eq!(fenced("issue", &tildes).len(), 3_000_011);
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        let fenced = fenced("issue", "~~~~\nescape\n~~~~~");
        assert!(fenced.starts_with("~~~~~~ issue\n") && fenced.ends_with("\n~~~~~~\n"));
    }
}
