//! Bytes as they lie in the table and on the wire: packed where that saves, since both are paid for by size.

/// Stands before bytes that are kept as they are.
const PLAIN: u8 = 0;
/// Stands before an LZ4 block with its length.
const LZ4: u8 = 1;
/// What is shorter gains nothing.
const MIN_BYTES: usize = 512;
/// Nothing that we pack is longer; a length beyond it is damage.
const MAX_BYTES: usize = 64 * 1024 * 1024;

pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() >= MIN_BYTES {
        let packed = lz4_flex::block::compress_prepend_size(bytes);
        if packed.len() < bytes.len() {
            return marked(LZ4, &packed);
        }
    }
    marked(PLAIN, bytes)
}

pub(super) fn unpack(stored: &[u8]) -> Result<Vec<u8>, String> {
    match stored.split_first() {
        Some((&PLAIN, bytes)) => Ok(bytes.to_vec()),
        Some((&LZ4, packed)) => {
            let announced = packed.first_chunk().map(|size| u32::from_le_bytes(*size) as usize);
            if announced.is_none_or(|size| size > MAX_BYTES) {
                return Err("packed bytes announce no sensible length".to_owned());
            }
            lz4_flex::block::decompress_size_prepended(packed)
                .map_err(|error| format!("packed bytes: {error}"))
        }
        _ => Err("bytes have no mark of how they are packed".to_owned()),
    }
}

fn marked(mark: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1);
    out.push(mark);
    out.extend_from_slice(bytes);
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_anything_else_is_refused() {
        let json = r#"{"url":"https://api.github.com/repos/acme/shop"},"#.repeat(100);
        for bytes in [&b""[..], b"{}", json.as_bytes()] {
            assert_eq!(unpack(&pack(bytes)).unwrap(), bytes);
        }
        assert!(pack(json.as_bytes()).len() < json.len() / 4);
        for stored in [&b""[..], b"\x07abc", b"\x01ab", b"\x01\xff\xff\xff\x7fabc"] {
            assert!(unpack(stored).is_err(), "{stored:?}");
        }
    }
}
