//! Zstandard (RFC 8878).

use ruzstd::decoding::StreamingDecoder;

use super::body::{Fault, all};

/// The largest window that a decoder should support at least (RFC 8878, 3.1.1.1.2), which encoders use at most unless
/// they are told otherwise, is 8 MiB. The decoder allocates it at once.
const MAX_WINDOW: u64 = 8 * 1024 * 1024;

/// The number that frames with data begin with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Decompresses at most `limit` bytes: one frame after the other.
pub(super) fn decompress(mut bytes: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        if let Some(rest) = skipped(bytes) {
            bytes = rest;
            continue;
        }
        if window(bytes).ok_or(Fault::Corrupt)? > MAX_WINDOW {
            return Err(Fault::TooLong);
        }
        let frame = StreamingDecoder::new(&mut bytes).map_err(|_| Fault::Corrupt)?;
        out.append(&mut all(frame, limit - out.len())?);
    }
    Ok(out)
}

/// What is behind a frame without data.
fn skipped(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    if head[0] & 0xf0 != 0x50 || head[1..4] != [0x2a, 0x4d, 0x18] {
        return None;
    }
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    rest.get(usize::try_from(length).ok()?..)
}

/// The size of the window that a frame needs; `None` if it is no frame.
fn window(bytes: &[u8]) -> Option<u64> {
    let descriptor = *bytes.strip_prefix(&MAGIC)?.first()?;
    let rest = &bytes[5..];
    if descriptor & 0x20 == 0 {
        let byte = *rest.first()?;
        let base = 1_u64 << (10 + (byte >> 3));
        return Some(base + base / 8 * u64::from(byte & 7));
    }
    // A single segment: the window is the content.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = rest.get(dictionary..)?;
    let number = |length: usize| {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(size.get(..length)?);
        Some(u64::from_le_bytes(bytes))
    };
    match descriptor >> 6 {
        0 => number(1),
        1 => Some(number(2)? + 256),
        2 => number(4),
        _ => number(8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `zstd` of 600 bytes, by its own program: 100 times `spans `.
    const FRAME: &[u8] = &[
        0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x6d, 0x00, 0x00, 0x30, 0x73, 0x70, 0x61, 0x6e, 0x73, 0x20, 0x01, 0x00,
        0x4f, 0x52, 0x95, 0x22, 0xb2, 0x8d, 0x23, 0xb0,
    ];

    #[test]
    fn frames_are_decompressed_with_a_bound() {
        let text = b"spans ".repeat(100);
        assert_eq!(decompress(FRAME, 600), Ok(text.clone()));
        assert_eq!(decompress(FRAME, 599), Err(Fault::TooLong));
        let skippable = [0x5f, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2];
        let two = [FRAME, &skippable, FRAME].concat();
        assert_eq!(decompress(&two, 1200), Ok([text.clone(), text].concat()));
        assert_eq!(decompress(&two, 1199), Err(Fault::TooLong));
        assert_eq!(decompress(&FRAME[..FRAME.len() - 5], 600), Err(Fault::Corrupt));
        assert_eq!(decompress(b"no frame", 600), Err(Fault::Corrupt));
    }

    #[test]
    fn a_frame_with_a_large_window_is_refused() {
        // A window of 3.75 TiB.
        let frame = [&MAGIC[..], &[0, 0xff, 1, 0, 0]].concat();
        assert_eq!(decompress(&frame, 600), Err(Fault::TooLong));
        // A single segment of 2 GiB.
        let frame = [&MAGIC[..], &[0xa0, 0, 0, 0, 0x80, 1, 0, 0]].concat();
        assert_eq!(decompress(&frame, 600), Err(Fault::TooLong));
    }
}
