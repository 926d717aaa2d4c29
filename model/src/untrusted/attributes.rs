//! What a renderer puts where no reader looks: alternative texts, titles, and attributes of HTML tags that are text.

use std::collections::HashMap;

/// Attributes whose value is text that a page does not show, or only under the pointer.
const HIDDEN: [&str; 7] = ["alt", "title", "placeholder", "summary", "content", "label", "name"];

/// The text without them. Linear in the text.
pub(super) fn without(text: &str) -> String {
    let pairs = brackets(text);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut titles = Titles::default();
    while let Some(found) = text[at..].find(['!', ']', '<', '[']) {
        let here = at + found;
        out.push_str(&text[at..here]);
        let rest = &text[here..];
        at = here;
        if rest.starts_with("![")
            && let Some(end) = pairs.get(&(here + 1))
            && text[end + 1..].starts_with(['(', '['])
        {
            out.push_str("![");
            at = *end;
        } else if rest.starts_with("](") || definition(text, here, &pairs) {
            let skip =
                if rest.starts_with("](") { 2 } else { pairs.get(&here).map_or(1, |end| end + 2 - here) };
            let (kept, next) = titles.destination(text, here + skip, rest.starts_with("]("));
            out.push_str(&text[here..kept]);
            at = next;
        } else if rest.starts_with('<') && rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            at = tag(text, here, &mut out);
        } else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..length]);
            at += length;
        }
    }
    out.push_str(&text[at..]);
    out
}

/// Each `[` with the `]` that closes it.
fn brackets(text: &str) -> HashMap<usize, usize> {
    let mut open = Vec::new();
    let mut pairs = HashMap::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {}
            '[' => open.push(at),
            ']' => {
                if let Some(begin) = open.pop() {
                    pairs.insert(begin, at);
                }
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    pairs
}

/// Does a link's definition, `[name]: destination "title"`, begin here? It is seen by no reader.
fn definition(text: &str, at: usize, pairs: &HashMap<usize, usize>) -> bool {
    let before = text[..at].trim_end_matches(' ');
    text[at..].starts_with('[')
        && at - before.len() <= 3
        && (before.is_empty() || before.ends_with('\n'))
        && pairs.get(&at).is_some_and(|end| text[end + 1..].starts_with(':'))
}

/// Looks for titles, each byte once.
#[derive(Default)]
struct Titles {
    /// Where the paragraph that was last looked at ends.
    paragraph: usize,
    /// The end of a title that does not come in it any more.
    none: Option<char>,
}

impl Titles {
    /// Reads a destination and its title from `at`: where the part that is kept ends, and where reading goes on.
    fn destination(&mut self, text: &str, at: usize, in_link: bool) -> (usize, usize) {
        let ends = |c: char| c.is_whitespace() || (in_link && c == ')');
        let begin = at + text[at..].len() - text[at..].trim_start_matches([' ', '\t']).len();
        let end = text[begin..].find(ends).map_or(text.len(), |length| begin + length);
        if self.paragraph < end || self.paragraph == 0 {
            self.paragraph = text[end..].find("\n\n").map_or(text.len(), |length| end + length);
            self.none = None;
        }
        let rest = &text[end..self.paragraph];
        let title = rest.trim_start();
        let gap = rest.len() - title.len();
        let close = match title.chars().next() {
            Some('"') => '"',
            Some('\'') => '\'',
            Some('(') => ')',
            _ => return (end, end),
        };
        if gap == 0 || self.none == Some(close) {
            return (end, end);
        }
        match title[1..].find(close) {
            Some(length) => (end, end + gap + length + 2),
            None => {
                self.none = Some(close);
                (end, end)
            }
        }
    }
}

/// Copies a tag without its hidden attributes; gives where reading goes on.
fn tag(text: &str, at: usize, out: &mut String) -> usize {
    let rest = &text[at..];
    let name = rest[1..]
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .map_or(rest.len(), |length| length + 1);
    out.push_str(&rest[..name]);
    let mut here = name;
    loop {
        let gap = rest[here..].len() - rest[here..].trim_start().len();
        let begin = here + gap;
        let Some(first) = rest[begin..].chars().next() else { return at + here };
        if matches!(first, '>' | '<') {
            return at + here;
        }
        let key = rest[begin..]
            .find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '<'))
            .unwrap_or(rest.len() - begin);
        let key = key.max(first.len_utf8());
        let after = rest[begin + key..].trim_start();
        let mut end = begin + key;
        if let Some(value) = after.strip_prefix('=') {
            let value = value.trim_start();
            let from = rest.len() - value.len();
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            end = match quote {
                Some(quote) => match value[1..].find(quote) {
                    Some(length) => from + length + 2,
                    // No tag after all: it hides nothing.
                    None => return at + here,
                },
                None => from + value.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(value.len()),
            };
        }
        let lower = rest[begin..begin + key].to_ascii_lowercase();
        let hidden =
            HIDDEN.contains(&lower.as_str()) || lower.starts_with("aria-") || lower.starts_with("data-");
        if !hidden {
            out.push_str(&rest[here..end]);
        }
        here = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_reader_sees_is_left_out() {
        for (given, expected) in [
            ("![alt](a.png) b", "![](a.png) b"),
            ("![a [b] c](d)", "![](d)"),
            ("![a ![b](c) d](e)", "![](e)"),
            ("[text](url \"title\") b", "[text](url) b"),
            ("[text](url 'title')", "[text](url)"),
            ("[text](url (title))", "[text](url)"),
            ("[![alt](i \"t\")](url)", "[![](i)](url)"),
            ("![alt][ref]", "![][ref]"),
            ("[//]: # (hidden)\nseen", "[//]: #\nseen"),
            ("[ref]: https://h/ \"hidden\"", "[ref]: https://h/"),
            ("<img src='a' alt=\"hidden\" width=3>", "<img src='a' width=3>"),
            ("<a TITLE=hidden href=x>y</a>", "<a href=x>y</a>"),
            ("<div data-x='1' aria-label=\"h\">seen</div>", "<div>seen</div>"),
            ("a < b and b > c", "a < b and b > c"),
            ("Vec<T> and a[0](x)", "Vec<T> and a[0](x)"),
            ("not an image! [x](y)", "not an image! [x](y)"),
            ("wow![x]", "wow![x]"),
            ("[f](a \"b) c", "[f](a \"b) c"),
            ("<img alt=\"never closed", "<img alt=\"never closed"),
            ("é![é](é \"é\")é", "é![](é)é"),
        ] {
            assert_eq!(without(given), expected, "{given}");
            assert_eq!(without(expected), expected, "{expected} is stable");
        }
    }

    #[test]
    fn a_text_made_to_keep_us_busy_is_soon_done() {
        let started = std::time::Instant::now();
        for piece in
            ["![", "](a \"", "<a b=\"", "<a b", "<a ", "[x]: a (", "\n[x]: a (", "![](", "](", "](a \"\n\n"]
        {
            without(&piece.repeat(100_000));
        }
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }
}
