//! Aligned columns and colours for the terminal.

use crate::words::Tone;

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Palette {
    pub(super) colours: bool,
}

impl Palette {
    pub(super) fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Attention => "33",
            Tone::Active => "36",
            Tone::Neutral | Tone::Waiting => "2",
        };
        self.paint(code, text)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A cell: its text, and how it is painted once it has been padded.
pub(super) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: None }
    }

    pub(super) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Some(tone) }
    }
}

/// Lines of aligned columns, two spaces between them, with the names of the columns above.
pub(super) fn lines(names: &[&str], rows: &[Vec<Cell>], palette: Palette) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
        cells.chain(names.get(column).map(|name| name.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let pad = |text: &str, column: usize| {
        let last = column + 1 == widths.len();
        let missing = if last { 0 } else { widths[column].saturating_sub(text.chars().count()) + 2 };
        (text.to_owned(), " ".repeat(missing))
    };
    let header = names.iter().enumerate().map(|(column, name)| {
        let (text, space) = pad(name, column);
        text + &space
    });
    let mut lines = vec![palette.faint(header.collect::<String>().trim_end())];
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate().take(widths.len()) {
            let (text, space) = pad(&cell.text, column);
            line += &cell.tone.map_or(text.clone(), |tone| palette.tone(tone, &text));
            line += &space;
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}
