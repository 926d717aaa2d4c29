//! Git's pkt-line framing: four hexadecimal digits of length (themselves included), then the payload; `0000` is a flush.
//!
//! Source: git's Documentation/gitprotocol-common.adoc. Every length comes from the other side, so nothing here indexes
//! without checking.

/// The longest payload of one line: 65,520 bytes with the four of the length.
pub(crate) const MAX_PAYLOAD: usize = 65_516;

/// One frame of a pkt-line stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// `0000`: the end of a section.
    Flush,
    /// A line with its payload, the trailing newline (if any) still on it.
    Line(&'a [u8]),
}

/// Reads frames off the front of a buffer.
pub(crate) struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet: the pack, once the lines before it are read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next frame; `None` at the end of the buffer; `Err` says what is wrong with the framing.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'a>>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Some((digits, after)) = self.rest.split_at_checked(4) else {
            return Err("the request ends in the middle of a pkt-line's length".into());
        };
        let length = std::str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .ok_or("a pkt-line's length is not four hexadecimal digits")?;
        if length == 0 {
            self.rest = after;
            return Ok(Some(Frame::Flush));
        }
        if !(4..=MAX_PAYLOAD + 4).contains(&length) {
            return Err(format!("a pkt-line of length {length} is not part of protocol version 0"));
        }
        let Some((payload, rest)) = after.split_at_checked(length - 4) else {
            return Err("the request ends in the middle of a pkt-line".into());
        };
        self.rest = rest;
        Ok(Some(Frame::Line(payload)))
    }
}

/// Appends one line; the payload must not be longer than [`MAX_PAYLOAD`].
pub(crate) fn line(out: &mut Vec<u8>, payload: &[u8]) {
    debug_assert!(payload.len() <= MAX_PAYLOAD, "a pkt-line holds 65,516 bytes at most");
    out.extend_from_slice(format!("{:04x}", payload.len() + 4).as_bytes());
    out.extend_from_slice(payload);
}

/// Appends a flush.
pub(crate) fn flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Appends bytes on a side band, cut into lines that fit.
pub(crate) fn side_band(out: &mut Vec<u8>, band: u8, bytes: &[u8]) {
    for chunk in bytes.chunks(MAX_PAYLOAD - 1) {
        out.extend_from_slice(format!("{:04x}", chunk.len() + 5).as_bytes());
        out.push(band);
        out.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn frames_come_back_as_they_were_written() {
        let mut bytes = Vec::new();
        line(&mut bytes, b"hello\n");
        line(&mut bytes, b"");
        flush(&mut bytes);
        bytes.extend_from_slice(b"PACK");
        let mut frames = Frames::new(&bytes);
        assert_eq!(frames.next().unwrap(), Some(Frame::Line(b"hello\n")));
        assert_eq!(frames.next().unwrap(), Some(Frame::Line(b"")));
        assert_eq!(frames.next().unwrap(), Some(Frame::Flush));
        assert_eq!(frames.rest(), b"PACK");
    }

    #[test]
    fn broken_framing_is_an_error_and_never_a_panic() {
        for bytes in
            [&b"00"[..], b"zzzz", b"0001", b"0003", b"ffff", b"0010abc", b"+00a123456", "00é4".as_bytes()]
        {
            assert!(Frames::new(bytes).next().is_err(), "{bytes:?}");
        }
        assert_eq!(Frames::new(b"").next(), Ok(None));
    }

    #[test]
    fn a_side_band_is_cut_into_lines_that_fit() {
        let mut out = Vec::new();
        side_band(&mut out, 1, &vec![7; MAX_PAYLOAD + 10]);
        let mut frames = Frames::new(&out);
        let mut total = 0;
        while let Some(Frame::Line(payload)) = frames.next().unwrap() {
            assert_eq!(payload[0], 1);
            total += payload.len() - 1;
        }
        assert_eq!(total, MAX_PAYLOAD + 10);
    }
}
