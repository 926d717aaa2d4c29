//! Inputs from seeds, the same ones every time: pieces are cut, repeated, swapped, taken from other seeds, and put where they hurt.

/// Pieces that the languages of the targets care about.
const PIECES: &[&str] = &[
    "${{",
    "}}",
    "'",
    "\"",
    "\\",
    ":",
    ": ",
    "- ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    "#",
    "&a ",
    "*a",
    "<<",
    "|",
    ">-",
    "[",
    "]",
    "{",
    "}",
    ",",
    "!!str ",
    "---\n",
    "null",
    "true",
    "-1",
    "0x",
    "1e999",
    "~",
    "::",
    "%0A",
    "%25",
    "::error::",
    "<<EOF\n",
    "=",
    "\0",
    "\u{feff}",
    "é",
    "🦀",
    "\u{202e}",
    "on: push\n",
    "jobs:\n",
    "steps:\n",
    "needs: ",
    "if: ",
    "matrix: ",
    "uses: ",
    "fromJSON(",
    "format('{0}', ",
    "&&",
    "||",
    "!",
    ".*",
    "github.event",
    "<!--",
    "-->",
    "/cloud-code ",
    "version: 1\n",
];

/// A seeded stream of numbers (xorshift64*, Vigna 2016).
pub(crate) struct Numbers(u64);

impl Numbers {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `most`; 0 where that is 0.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or(0).checked_rem(most).unwrap_or(0)
    }
}

/// A seed, changed in one to six places; at most about 4 KiB, so that many can be tried.
pub(crate) fn input(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let pick = |numbers: &mut Numbers| seeds.get(numbers.below(seeds.len())).map_or(&[][..], Vec::as_slice);
    let mut bytes = pick(numbers).to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(bytes.len() + 1);
        let to = (at + 1 + numbers.below(24)).min(bytes.len());
        match numbers.below(8) {
            0 => drop(bytes.drain(at..to)),
            1 => {
                let piece = bytes[at..to].repeat(1 + numbers.below(40));
                bytes.splice(at..at, piece);
            }
            2 => {
                let other = pick(numbers);
                let from = numbers.below(other.len() + 1);
                let end = (from + numbers.below(80)).min(other.len());
                bytes.splice(at..to, other[from..end].iter().copied());
            }
            3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(numbers.below(256)).unwrap_or(0);
                }
            }
            4 => bytes.truncate(at.max(1)),
            _ => {
                let piece = PIECES[numbers.below(PIECES.len())];
                let many = if numbers.below(8) == 0 { 60 } else { 1 };
                bytes.splice(at..at, piece.repeat(many).into_bytes());
            }
        }
        bytes.truncate(4096);
    }
    bytes
}
