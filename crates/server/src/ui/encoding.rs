//! Content codings: negotiation, and compression of files.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::{Compression, read::GzEncoder};
use http::{HeaderMap, header};

/// Higher levels take several times as long for a few percent of the bytes.
const BROTLI_QUALITY: i32 = 5;

/// The window size of brotli as a power of two: the maximum that browsers support.
const BROTLI_WINDOW: i32 = 22;

/// The default level of gzip.
const GZIP_LEVEL: u32 = 6;

/// A content coding other than identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Encoding {
    /// The name in `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Compresses everything from a reader, about `size` bytes.
    pub(super) fn encode(self, mut plain: impl Read, size: usize) -> io::Result<Bytes> {
        let mut encoded = Vec::with_capacity(size / 3);
        match self {
            Self::Brotli => {
                let parameters = brotli::enc::BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW,
                    size_hint: size,
                    ..Default::default()
                };
                brotli::BrotliCompress(&mut plain, &mut encoded, &parameters)?;
            }
            Self::Gzip => {
                GzEncoder::new(plain, Compression::new(GZIP_LEVEL)).read_to_end(&mut encoded)?;
            }
        }
        encoded.shrink_to_fit();
        Ok(encoded.into())
    }
}

/// The preferred content coding by `Accept-Encoding` (RFC 9110, 12.5.3); brotli before gzip if both are equal. `None`
/// is identity.
pub(super) fn negotiate(headers: &HeaderMap) -> Option<Encoding> {
    let (mut brotli, mut gzip, mut identity, mut any) = (None, None, None, None);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let slot = match coding.trim().to_ascii_lowercase().as_str() {
                "br" => &mut brotli,
                "gzip" | "x-gzip" => &mut gzip,
                "identity" => &mut identity,
                "*" => &mut any,
                _ => continue,
            };
            *slot = Some(weight(parameters));
        }
    }
    // A coding that is not listed has the weight of the asterisk; identity is otherwise the last resort.
    let [brotli, gzip] = [brotli, gzip].map(|weight| weight.or(any).unwrap_or(0));
    let best = brotli.max(gzip);
    if best == 0 || identity.is_some_and(|identity| identity > best) {
        return None;
    }
    Some(if brotli == best { Encoding::Brotli } else { Encoding::Gzip })
}

/// A quality value in thousandths; 0 if it is invalid.
fn weight(parameters: &str) -> u16 {
    let Some((_, value)) = parameters.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q")) else {
        return 1000;
    };
    let value: f32 = value.trim().parse().unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is between 0 and 1000")]
    let thousandths = (value.clamp(0.0, 1.0) * 1000.0).round() as u16;
    thousandths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses() {
        use Encoding::{Brotli, Gzip};
        for (header, expected) in [
            ("", None),
            ("gzip", Some(Gzip)),
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("br;q=0.5, gzip;q=0.8", Some(Gzip)),
            ("br;q=0, gzip", Some(Gzip)),
            ("br;q=0, *", Some(Gzip)),
            ("*", Some(Brotli)),
            ("*;q=0", None),
            ("GZIP ; Q=0.1", Some(Gzip)),
            ("gzip;q=0.5, identity", None),
            ("gzip, identity;q=0.5", Some(Gzip)),
            ("gzip;q=nan", None),
            ("zstd", None),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, header.parse().unwrap())]);
            assert_eq!(negotiate(&headers), expected, "{header}");
        }
        assert_eq!(negotiate(&HeaderMap::new()), None);
    }
}
