//! Lines out of a stream of bytes, however it is cut, in bounded memory.

/// One step of a stream: the bytes up to a line's end, or as many as are held of a line at most.
pub(crate) struct Piece<'a> {
    /// Without the line feed; a carriage return before it is left in.
    pub(crate) bytes: &'a [u8],
    /// The line ends here.
    pub(crate) end: bool,
    /// It is the first piece of its line: with `end`, a whole line.
    pub(crate) first: bool,
}

/// Cuts a stream into lines.
pub(crate) struct Lines {
    held: Vec<u8>,
    most: usize,
    first: bool,
}

impl Lines {
    /// Holds at most `most` bytes of a line; a longer one comes in pieces.
    pub(crate) fn new(most: usize) -> Lines {
        Lines { held: Vec::new(), most, first: true }
    }

    /// Takes bytes in and gives the pieces out that they complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let room = self.most - self.held.len();
            let (line, end, rest) = match bytes.iter().take(room + 1).position(|&byte| byte == b'\n') {
                Some(at) => (&bytes[..at], true, &bytes[at + 1..]),
                None if bytes.len() > room => (&bytes[..room], false, &bytes[room..]),
                None => {
                    self.held.extend_from_slice(bytes);
                    return;
                }
            };
            bytes = rest;
            let first = std::mem::replace(&mut self.first, end);
            if self.held.is_empty() {
                each(Piece { bytes: line, end, first });
            } else {
                self.held.extend_from_slice(line);
                each(Piece { bytes: &self.held, end, first });
                self.held.clear();
            }
        }
    }

    /// The stream is over: the last line may have no end.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Piece<'_>)) {
        if !self.held.is_empty() || !self.first {
            each(Piece { bytes: &self.held, end: true, first: self.first });
        }
        self.held = Vec::new();
        self.first = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(most: usize, writes: &[&str]) -> Vec<String> {
        let mut lines = Lines::new(most);
        let mut found = Vec::new();
        let mut note = |piece: Piece<'_>| {
            let text = String::from_utf8_lossy(piece.bytes).into_owned();
            found.push(format!(
                "{}{text}{}",
                if piece.first { "" } else { "~" },
                if piece.end { "$" } else { "" }
            ));
        };
        for write in writes {
            lines.push(write.as_bytes(), &mut note);
        }
        lines.finish(&mut note);
        found
    }

    #[test]
    fn lines_are_found_however_the_stream_is_cut() {
        assert_eq!(cut(100, &["one\ntwo\n"]), ["one$", "two$"]);
        assert_eq!(cut(100, &["on", "e", "\n", "\n", "tw", "o"]), ["one$", "$", "two$"]);
        assert_eq!(cut(100, &[]), Vec::<String>::new());
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        assert_eq!(cut(4, &["abcdefghij\nk\n"]), ["abcd", "~efgh", "~ij$", "k$"]);
        assert_eq!(cut(4, &["abcd\nefgh"]), ["abcd$", "efgh$"]);
        assert_eq!(cut(4, &["abcde"]), ["abcd", "~e$"]);
        assert_eq!(cut(4, &["ab", "cdef", "gh", "\nx"]), ["abcd", "~efgh$", "x$"]);
    }
}
