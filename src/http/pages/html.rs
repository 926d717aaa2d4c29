//! Writes HTML that can't be broken by what is put into it: markup is `&'static str`, everything else is escaped.

use crate::words::tame;
use std::fmt::{Display, Write};

/// HTML being written.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of our own.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text of anybody's, for between tags and inside quoted attributes; escaped, and tamed.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a String can't fail.
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    /// A link, where the address is one of the web or of ours; else the text alone: `javascript:` must not get through.
    pub(super) fn link(&mut self, address: &str, text: impl Display) -> &mut Self {
        let own = address.starts_with('/') && !address.starts_with("//");
        if own || address.starts_with("https://") || address.starts_with("http://") {
            self.raw("<a href=\"").text(address).raw("\">").text(text).raw("</a>")
        } else {
            self.text(text)
        }
    }

    /// The document.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\r' => {}
                c => self.0.push(tame(c)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_not_become_markup() {
        let mut html = Html::default();
        html.raw("<p title=\"").text("\" onclick='x'").raw("\">").text("<script>&").raw("</p>");
        assert_eq!(html.finish(), "<p title=\"&quot; onclick=&#39;x&#39;\">&lt;script&gt;&amp;</p>");
    }

    #[test]
    fn links_lead_to_the_web_or_to_us() {
        for (address, linked) in [
            ("https://example.com/a?b=1", true),
            ("/runs/r-1", true),
            ("//evil.example", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("", false),
        ] {
            let mut html = Html::default();
            html.link(address, "text");
            assert_eq!(html.finish().starts_with("<a href"), linked, "{address}");
        }
    }
}
