//! What is written down while steps run: the log for people, the transcript of the CLI's own event lines, and short
//! lines on standard output, which become the container's log. Everything is masked first.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use cloud_code_model::mask::{MaskStream, Masker};
use cloud_code_model::task::shorten;
use jiff::Timestamp;

use crate::lines::Piece;
use crate::workspace::Workspace;

/// Most bytes of a line on standard output.
const SHORT: usize = 240;

/// Most bytes of a log line that are held while its end has not come.
const MAX_LINE: usize = 64 * 1024;

/// The log, the transcript, and the masker for both.
pub(crate) struct Journal {
    log: RefCell<Capped>,
    transcript: RefCell<Capped>,
    masker: RefCell<Masker>,
    /// Grows with each secret that is added.
    generation: Cell<u32>,
}

impl Journal {
    /// Opens both files for appending.
    pub(crate) fn open(workspace: &Workspace, masker: Masker, most: u64) -> io::Result<Journal> {
        Ok(Journal {
            log: RefCell::new(Capped::open(
                &workspace.log(),
                most,
                "##[warning]the log is full, the rest is left out",
            )?),
            transcript: RefCell::new(Capped::open(
                &workspace.transcript(),
                most,
                r#"{"type":"cloud_code_notice","message":"the transcript is full, the rest is left out"}"#,
            )?),
            masker: RefCell::new(masker),
            generation: Cell::new(0),
        })
    }

    pub(crate) fn masker(&self) -> Masker {
        self.masker.borrow().clone()
    }

    pub(crate) fn mask(&self, text: &str) -> String {
        self.masker.borrow().mask_str(text)
    }

    /// Masks one value more from now on.
    pub(crate) fn add_secret(&self, secret: &str) {
        let more = self.masker.borrow().and(secret.to_owned());
        *self.masker.borrow_mut() = more;
        self.generation.set(self.generation.get() + 1);
    }

    /// Writes a text to the log.
    pub(crate) fn log(&self, text: &str) {
        let text = self.mask(text);
        let mut log = self.log.borrow_mut();
        text.lines().for_each(|line| log.line(line.as_bytes()));
        log.flush();
    }

    /// Writes a text to the log, and its first line to standard output.
    pub(crate) fn say(&self, text: &str) {
        self.log(text);
        let text = self.mask(text);
        let first = text.lines().next().unwrap_or_default();
        let mut line = shorten(first, SHORT);
        line.push('\n');
        // A closed standard output is no reason to stop working: the log has it all.
        let _ = io::stdout().lock().write_all(line.as_bytes());
    }

    /// Writes one of the CLI's event lines to the transcript.
    pub(crate) fn transcribe(&self, line: &str) {
        let mut transcript = self.transcript.borrow_mut();
        if !transcript.full {
            transcript.raw_line(self.masker.borrow().mask_str(line).as_bytes());
            transcript.flush();
        }
    }

    /// A stream of output on its way to the log.
    pub(crate) fn stream(&self) -> LogStream {
        LogStream { mask: self.masker.borrow().stream(), generation: self.generation.get(), line: Vec::new() }
    }

    /// The first thing that went wrong while writing, if any.
    pub(crate) fn trouble(&self) -> Option<String> {
        let of = |file: &RefCell<Capped>| file.borrow().trouble.clone();
        of(&self.log).or_else(|| of(&self.transcript))
    }
}

/// One of a child's streams: masked as a whole, so that a secret split across writes is found, and logged by lines.
pub(crate) struct LogStream {
    mask: MaskStream,
    generation: u32,
    line: Vec<u8>,
}

impl LogStream {
    /// Takes the next piece of the stream. [`LogStream::flush`] follows after the last piece of a read.
    pub(crate) fn piece(&mut self, journal: &Journal, piece: &Piece<'_>) {
        if journal.log.borrow().full {
            return;
        }
        if self.generation != journal.generation.get() {
            let rest = self.mask.finish();
            self.line.extend(rest);
            self.mask = journal.masker.borrow().stream();
            self.generation = journal.generation.get();
        }
        let masked = self.mask.push(piece.bytes);
        self.line.extend(masked);
        if piece.end {
            let masked = self.mask.push(b"\n");
            self.line.extend(masked);
        }
        self.take_lines(journal);
    }

    /// Hands over what was logged.
    pub(crate) fn flush(&self, journal: &Journal) {
        journal.log.borrow_mut().flush();
    }

    /// The stream is over.
    pub(crate) fn close(&mut self, journal: &Journal) {
        let rest = self.mask.finish();
        self.line.extend(rest);
        self.take_lines(journal);
        if !self.line.is_empty() {
            journal.log.borrow_mut().line(&self.line);
            self.line.clear();
        }
        self.flush(journal);
    }

    fn take_lines(&mut self, journal: &Journal) {
        let mut log = journal.log.borrow_mut();
        let mut from = 0;
        while let Some(length) = self.line[from..].iter().position(|&byte| byte == b'\n') {
            log.line(&self.line[from..from + length]);
            from += length + 1;
        }
        self.line.drain(..from);
        if self.line.len() > MAX_LINE {
            log.line(&self.line);
            self.line.clear();
        }
    }
}

/// A file that takes a limited number of bytes and then says so, once.
struct Capped {
    file: File,
    held: Vec<u8>,
    written: u64,
    most: u64,
    notice: &'static str,
    full: bool,
    trouble: Option<String>,
}

impl Capped {
    fn open(path: &Path, most: u64, notice: &'static str) -> io::Result<Capped> {
        let file = File::options().create(true).append(true).open(path)?;
        let written = file.metadata()?.len();
        Ok(Capped { file, held: Vec::new(), written, most, notice, full: false, trouble: None })
    }

    /// A line with the time before it.
    fn line(&mut self, line: &[u8]) {
        let mut whole = format!("{:.3} ", Timestamp::now()).into_bytes();
        whole.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        self.raw_line(&whole);
    }

    fn raw_line(&mut self, line: &[u8]) {
        if self.full {
            return;
        }
        let line = if self.written + line.len() as u64 + 1 > self.most {
            self.full = true;
            self.notice.as_bytes()
        } else {
            line
        };
        self.held.extend_from_slice(line);
        self.held.push(b'\n');
        self.written += line.len() as u64 + 1;
    }

    fn flush(&mut self) {
        if self.held.is_empty() {
            return;
        }
        if let Err(error) = self.file.write_all(&self.held) {
            self.full = true;
            self.trouble.get_or_insert(format!("the log is incomplete: {error}"));
        }
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn journal(folder: &Path, secrets: &[&str], most: u64) -> Journal {
        std::fs::create_dir(folder.join(".cloud-code")).unwrap();
        let masker = Masker::new(secrets.iter().map(|secret| (*secret).to_owned()));
        Journal::open(&Workspace::new(folder.to_owned()), masker, most).unwrap()
    }

    /// The log without its time stamps.
    fn logged(folder: &Path) -> Vec<String> {
        let text = std::fs::read(folder.join(".cloud-code/log.txt")).unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().map(|line| line.split_once("Z ").map_or(line, |(_, rest)| rest).to_owned()).collect()
    }

    #[test]
    fn a_secret_split_across_pieces_and_one_that_is_added_later_are_masked() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path(), &["swordfish"], 1 << 20);
        let mut stream = journal.stream();
        let mut piece = |bytes: &[u8], end| stream.piece(&journal, &Piece { bytes, end, first: true });
        piece(b"a sword", false);
        piece(b"fish, later", true);
        journal.add_secret("later");
        piece(b"later sword", true);
        stream.close(&journal);
        journal.log("swordfish later");
        assert_eq!(logged(folder.path()), ["a ***, later", "*** sword", "*** ***"]);
    }

    #[test]
    fn the_log_is_capped_with_a_notice() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path(), &[], 100);
        for _ in 0..10 {
            journal.log("some text that is long");
        }
        let lines = logged(folder.path());
        assert_eq!(
            lines,
            [
                "some text that is long",
                "some text that is long",
                "##[warning]the log is full, the rest is left out"
            ]
        );
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("aöö", 2), "a…");
    }
}
