//! A look through a stranger's pack before libgit2 gets it: how much would it inflate to?
//!
//! libgit2 allocates what a delta's header claims as its result, so every claim is added up here first, with a buffer of
//! fixed size. Nothing is believed that was not inflated: a stream that is longer or shorter than it says is refused.
//!
//! Format: git's Documentation/gitformat-pack.adoc.

use flate2::{Decompress, FlushDecompress, Status};

/// What a pack may be at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackLimits {
    pub(crate) objects: usize,
    pub(crate) object_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// Why a pack is not handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PackProblem {
    Malformed(&'static str),
    TooManyObjects(u64),
    ObjectTooLarge(u64),
    TotalTooLarge,
}

const TRAILER: usize = 20;

/// Reads the whole pack once; gives back its number of objects.
pub(crate) fn scan(pack: &[u8], limits: PackLimits) -> Result<usize, PackProblem> {
    use PackProblem::Malformed;
    let mut rest = pack.strip_prefix(b"PACK").ok_or(Malformed("it does not begin with PACK"))?;
    let version = u32_of(&mut rest).ok_or(Malformed("its header is cut off"))?;
    if version != 2 {
        return Err(Malformed("its version is not 2"));
    }
    let objects = u32_of(&mut rest).ok_or(Malformed("its header is cut off"))? as usize;
    if objects > limits.objects {
        return Err(PackProblem::TooManyObjects(objects as u64));
    }
    let mut total: u64 = 0;
    for _ in 0..objects {
        let (kind, size) =
            entry_header(&mut rest).ok_or(Malformed("an object's header is cut off or too long"))?;
        let delta = match kind {
            1..=4 => false,
            6 => {
                back_offset(&mut rest).ok_or(Malformed("a delta's offset is cut off or too long"))?;
                true
            }
            7 => {
                rest = rest.get(20..).ok_or(Malformed("a delta's base is cut off"))?;
                true
            }
            _ => return Err(Malformed("an object's type is unknown")),
        };
        if size > limits.object_bytes {
            return Err(PackProblem::ObjectTooLarge(size));
        }
        let (start, used) = inflate(rest, size)?;
        rest = rest.get(used..).unwrap_or_default();
        total = total.saturating_add(size);
        if delta {
            let mut start = start.as_slice();
            let base = size_of(&mut start).ok_or(Malformed("a delta's sizes cannot be read"))?;
            let result = size_of(&mut start).ok_or(Malformed("a delta's sizes cannot be read"))?;
            if let Some(large) = [base, result].into_iter().find(|size| *size > limits.object_bytes) {
                return Err(PackProblem::ObjectTooLarge(large));
            }
            total = total.saturating_add(result);
        }
        if total > limits.total_bytes {
            return Err(PackProblem::TotalTooLarge);
        }
    }
    if rest.len() != TRAILER {
        return Err(Malformed("something other than its checksum follows its objects"));
    }
    Ok(objects)
}

fn u32_of(rest: &mut &[u8]) -> Option<u32> {
    let (digits, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*digits))
}

fn byte_of(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

/// Type (three bits) and size of an object.
fn entry_header(rest: &mut &[u8]) -> Option<(u8, u64)> {
    let first = byte_of(rest)?;
    let mut size = u64::from(first & 15);
    let mut shift = 4;
    let mut more = first & 128 != 0;
    while more {
        let byte = byte_of(rest)?;
        if shift > 53 {
            return None;
        }
        size |= u64::from(byte & 127) << shift;
        shift += 7;
        more = byte & 128 != 0;
    }
    Some((first >> 4 & 7, size))
}

fn back_offset(rest: &mut &[u8]) -> Option<()> {
    (0..9).find_map(|_| match byte_of(rest) {
        Some(byte) if byte & 128 != 0 => None,
        end => Some(end.map(drop)),
    })?
}

/// A size as deltas write it: seven bits a byte, the lowest first.
fn size_of(rest: &mut &[u8]) -> Option<u64> {
    let mut size = 0;
    for shift in (0..=56).step_by(7) {
        let byte = byte_of(rest)?;
        size |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(size);
        }
    }
    None
}

/// Inflates one object and forgets it: its first bytes, and how long it was in the pack.
fn inflate(bytes: &[u8], size: u64) -> Result<(Vec<u8>, usize), PackProblem> {
    use PackProblem::Malformed;
    let mut stream = Decompress::new(true);
    let mut buffer = vec![0; 32 * 1024];
    let mut start = Vec::new();
    loop {
        let (consumed, produced) = (stream.total_in(), stream.total_out());
        let input =
            usize::try_from(consumed).ok().and_then(|consumed| bytes.get(consumed..)).unwrap_or_default();
        let status = stream
            .decompress(input, &mut buffer, FlushDecompress::None)
            .map_err(|_| Malformed("an object is not valid zlib data"))?;
        let new = usize::try_from(stream.total_out() - produced).unwrap_or(buffer.len());
        if start.len() < 32 {
            start.extend_from_slice(&buffer[..new.min(32)]);
        }
        if stream.total_out() > size {
            return Err(Malformed("an object is longer than it says"));
        }
        match status {
            Status::StreamEnd if stream.total_out() == size => {
                let used =
                    usize::try_from(stream.total_in()).map_err(|_| Malformed("an object is too long"))?;
                return Ok((start, used));
            }
            Status::StreamEnd => return Err(Malformed("an object is shorter than it says")),
            _ if stream.total_in() == consumed && new == 0 => return Err(Malformed("an object is cut off")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::io::Write;

    use super::*;

    const LIMITS: PackLimits = PackLimits { objects: 3, object_bytes: 1000, total_bytes: 1500 };

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn entry(kind: u8, size: usize) -> Vec<u8> {
        let mut bytes = vec![kind << 4 | (size & 15) as u8];
        let mut size = size >> 4;
        while size > 0 {
            *bytes.last_mut().unwrap() |= 128;
            bytes.push((size & 127) as u8);
            size >>= 7;
        }
        bytes
    }

    fn blob(size: usize) -> Vec<u8> {
        [entry(3, size), zlib(&vec![b'a'; size])].concat()
    }

    fn pack(count: u32, body: &[u8]) -> Vec<u8> {
        [b"PACK\0\0\0\x02", &count.to_be_bytes()[..], body, &[0; 20]].concat()
    }

    #[test]
    fn packs_within_limits_pass() {
        assert_eq!(scan(&pack(0, b""), LIMITS), Ok(0));
        assert_eq!(scan(&pack(2, &[blob(0), blob(1000)].concat()), LIMITS), Ok(2));
        let delta = [entry(7, 4), vec![0; 20], zlib(&[10, 20, 1, 2])].concat();
        assert_eq!(scan(&pack(1, &delta), LIMITS), Ok(1));
    }

    #[test]
    fn packs_beyond_limits_and_broken_ones_do_not() {
        use PackProblem::{Malformed, ObjectTooLarge, TooManyObjects, TotalTooLarge};
        // A delta of six bytes that claims a result of 2 MiB.
        let bomb = [entry(6, 5), vec![1], zlib(&[10, 0x80, 0x80, 0x80, 1])].concat();
        for (pack, problem) in [
            (pack(4, b""), TooManyObjects(4)),
            (pack(1, &blob(1001)), ObjectTooLarge(1001)),
            (pack(2, &[blob(800), blob(800)].concat()), TotalTooLarge),
            (pack(1, &bomb), ObjectTooLarge(2 * 1024 * 1024)),
            (
                pack(1, &[entry(3, 10), zlib(&[0; 11])].concat()),
                Malformed("an object is longer than it says"),
            ),
            (
                pack(1, &[entry(3, 10), zlib(&[0; 900_000])].concat()),
                Malformed("an object is longer than it says"),
            ),
            (
                pack(1, &[entry(3, 10), zlib(&[0; 9])].concat()),
                Malformed("an object is shorter than it says"),
            ),
            (pack(1, &[entry(5, 1), zlib(&[0])].concat()), Malformed("an object's type is unknown")),
            (pack(1, &[entry(3, 5), vec![1; 90]].concat()), Malformed("an object is not valid zlib data")),
            (pack(1, &[0xff; 30]), Malformed("an object's header is cut off or too long")),
            (pack(0, b"x"), Malformed("something other than its checksum follows its objects")),
            (b"PACK\0\0\0\x03\0\0\0\0".to_vec(), Malformed("its version is not 2")),
            (b"JUNK".to_vec(), Malformed("it does not begin with PACK")),
        ] {
            assert_eq!(scan(&pack, LIMITS), Err(problem));
        }
    }

    #[test]
    fn no_prefix_panics() {
        let whole =
            pack(2, &[blob(30), [entry(6, 4), vec![0x81, 1], zlib(&[10, 20, 1, 2])].concat()].concat());
        assert_eq!(scan(&whole, LIMITS), Ok(2));
        for end in 0..whole.len() {
            assert!(scan(&whole[..end], LIMITS).is_err(), "{end}");
        }
    }
}
