//! Message bodies as they lie in the database: packed where that saves writes. A delivery is JSON that repeats itself, and
//! every byte of it goes to the disk twice (to the write-ahead log, and later to the database), while 202 waits.

/// Stands before a body that is kept as it is.
const PLAIN: u8 = 0;
/// Stands before an LZ4 block with its length.
const LZ4: u8 = 1;
/// Shorter bodies gain nothing.
const MIN_BYTES: usize = 512;

/// Packs a body.
pub(super) fn pack(body: &[u8]) -> Vec<u8> {
    if body.len() >= MIN_BYTES {
        let packed = lz4_flex::block::compress_prepend_size(body);
        if packed.len() < body.len() {
            return with_mark(LZ4, &packed);
        }
    }
    with_mark(PLAIN, body)
}

/// Unpacks what [`pack`] made; `Err` says that it is something else.
pub(super) fn unpack(stored: &[u8]) -> Result<Vec<u8>, String> {
    match stored.split_first() {
        Some((&PLAIN, body)) => Ok(body.to_vec()),
        Some((&LZ4, packed)) => lz4_flex::block::decompress_size_prepended(packed)
            .map_err(|error| format!("a message's body: {error}")),
        _ => Err("a message's body has no mark of how it is packed".to_owned()),
    }
}

fn with_mark(mark: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 1);
    out.push(mark);
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_back_as_they_were() {
        let json = r#"{"url":"https://api.github.com/repos/acme/shop/issues"},"#.repeat(200);
        let noise: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for body in [&b""[..], b"{}", json.as_bytes(), &noise] {
            assert_eq!(unpack(&pack(body)).unwrap(), body);
        }
        assert!(pack(json.as_bytes()).len() < json.len() / 4, "JSON that repeats itself shrinks");
    }

    #[test]
    fn something_else_is_refused() {
        for stored in [&b""[..], b"\x07abc", b"\x01\xff\xff\xff\x00abc"] {
            assert!(unpack(stored).is_err());
        }
    }
}
