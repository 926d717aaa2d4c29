//! For tests: recorded transcripts, harmed by a seeded generator in the ways that output is harmed (torn, doubled, interleaved, huge, of other
//! types), cut into writes and lines as in life. No reader panics, says more than it heard, or holds on to a flood.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use super::playback::Stage;
use super::*;
use crate::lines::Lines;

/// Smaller than in the sink, so that less is enough.
const MAX_LINE: usize = 64 * 1024;

/// xorshift64*: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize;
        high % most.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Values of JSON that stand where others stood.
const ODD: [&str; 12] = [
    "null",
    "-1",
    "1e308",
    "1e999",
    "18446744073709551615",
    "99999999999999999999",
    "[]",
    "{}",
    "true",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"-rf\"",
];

fn harm(dice: &mut Dice, text: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..=dice.below(4) {
        let (a, b) = (dice.below(bytes.len() + 1), dice.below(bytes.len() + 1));
        let (from, to) = (a.min(b), a.max(b));
        match dice.below(10) {
            0 => bytes.truncate(from),
            1 => drop(bytes.drain(from..to.min(from + 200))),
            2 => {
                let copy = bytes[from..to.min(from + 2000)].to_vec();
                bytes.splice(to..to, copy);
            }
            3 => {
                for _ in 0..20 {
                    let (at, value) = (dice.below(bytes.len()), dice.below(256));
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = value as u8;
                    }
                }
            }
            4 => {
                // A value becomes another: what stands between a colon and the next comma or brace.
                let colons: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b':').collect();
                if !colons.is_empty() {
                    let at = *dice.pick(&colons) + 1;
                    let length = bytes[at..].iter().position(|byte| b",}]\n".contains(byte));
                    let odd = dice.pick(&ODD).bytes().collect::<Vec<_>>();
                    bytes.splice(at..at + length.unwrap_or(0), odd);
                }
            }
            5 => {
                // Another program's output in the midst of it, from the beginning of a line.
                let lines: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
                let at = lines.get(dice.below(lines.len())).map_or(0, |at| at + 1);
                let other = dice.pick(others).clone();
                bytes.splice(at..at, other);
            }
            6 => {
                let size = *dice.pick(&[1_000, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 300_000]);
                let filler = *dice.pick(b"x[{\"\\\xff");
                bytes.splice(from..from, std::iter::repeat_n(filler, size));
            }
            7 => bytes.retain(|byte| *byte != b'\n'),
            8 => {
                let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
                let (a, b) = (dice.below(lines.len()), dice.below(lines.len()));
                lines.swap(a, b);
                bytes = lines.join(&b'\n');
            }
            _ => {
                bytes = bytes
                    .iter()
                    .flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] })
                    .collect()
            }
        }
    }
    bytes
}

/// Plays bytes in writes of any size to a reader; gives how much it said.
fn play(dice: &mut Dice, reader: &mut dyn Reader, bytes: &[u8]) -> usize {
    let mut said = 0;
    let mut lines = Lines::new(MAX_LINE);
    let mut each = |piece: crate::lines::Piece<'_>| {
        if piece.first && piece.end {
            let line = String::from_utf8_lossy(piece.bytes).into_owned();
            reader.line(line.trim_end_matches('\r'), &mut |event| said += format!("{event:?}").len());
        }
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let (write, after) = rest.split_at((dice.below(4096) + 1).min(rest.len()));
        lines.push(write, &mut each);
        rest = after;
    }
    lines.finish(&mut each);
    said
}

fn fixtures() -> Vec<(String, Vec<Vec<u8>>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found = Vec::new();
    for (name, _) in REGISTRY {
        let files = fs::read_dir(folder.join(name)).into_iter().flatten().flatten();
        let mut paths: Vec<_> = files.map(|file| file.path()).collect();
        paths.sort();
        found.push((name.to_owned(), paths.iter().map(|path| fs::read(path).unwrap()).collect()));
    }
    found
}

#[test]
fn no_reader_is_harmed_by_what_it_reads() {
    let fixtures = fixtures();
    let others: Vec<Vec<u8>> = fixtures.iter().filter_map(|(_, files)| files.first().cloned()).collect();
    let mut played = 0;
    for (name, cli) in REGISTRY {
        let own = fixtures.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, files)| files);
        assert!(!own.is_empty() || name == "script", "{name} has no transcripts");
        let texts = if own.is_empty() { &others } else { own };
        let mut stage = Stage::new();
        stage.step.command = Some("true".to_owned());
        for (number, text) in texts.iter().enumerate() {
            for seed in 0..20_u64 {
                let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (seed << 20 | (number as u64) << 8 | 1));
                let bytes = harm(&mut dice, text, &others);
                let mut reader = cli.reader(&stage.turn());
                let said = play(&mut dice, &mut *reader, &bytes);
                let place = format!("{name}, transcript {number}, seed {seed}");
                // Escapes as `{:?}` writes them take six characters for one; a record names its session each time.
                assert!(said <= 16 * bytes.len() + 4096, "{place}: {said} of {}", bytes.len());
                for known in [reader.stopped(), reader.exited(*dice.pick(&[0, 1, 42, 53, 137])).known] {
                    let cost = known.usage.and_then(|usage| usage.cost_usd);
                    assert!(cost.is_none_or(|cost| cost.is_finite() && cost >= 0.0), "{place}: {cost:?}");
                    // A byte that is no text becomes a character of three.
                    let most = 3 * bytes.len();
                    assert!(known.summary.is_none_or(|summary| summary.len() <= most), "{place}");
                }
                played += 1;
            }
        }
    }
    assert!(played > 1000, "{played}");
}

/// Thousands of lines of the kinds that are put together to longer texts, or counted.
#[test]
fn a_flood_is_not_held() {
    let long = "word ".repeat(20);
    let lines = [
        format!(r#"{{"type":"message","role":"assistant","content":"{long}","delta":true}}"#),
        format!(r#"{{"type":"error","severity":"error","message":"{long}"}}"#),
        format!(r#"{{"type":"item.completed","item":{{"type":"agent_message","text":"{long}"}}}}"#),
        format!(r#"{{"type":"text","sessionID":"ses_1","part":{{"text":"{long}"}}}}"#),
        r#"{"type":"assistant","message":{"usage":{"input_tokens":18446744073709551615,"output_tokens":18446744073709551615}}}"#.to_owned(),
        r#"{"type":"step_finish","part":{"cost":1e308,"tokens":{"input":18446744073709551615}}}"#.to_owned(),
        long,
    ];
    let mut stage = Stage::new();
    stage.step.command = Some("true".to_owned());
    for (name, cli) in REGISTRY {
        for line in &lines {
            let mut reader = cli.reader(&stage.turn());
            for _ in 0..6_000 {
                reader.line(line, &mut |_| {});
            }
            let summary = reader.stopped().summary.unwrap_or_default();
            assert!(summary.len() <= 512 * 1024, "{name} held {} bytes of {line:.60}", summary.len());
        }
    }
}
