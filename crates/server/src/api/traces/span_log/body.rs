//! The body of a request: decompressed with a bound, and decoded away from the runtime if it is long.

use std::io::Read;

use axum::body::{Body, Bytes};
use ferroflow_model::{Error, Result, limits::memory};
use ferroflow_otlp::{Batch, Encoding, Limits, RequestError, Settings};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

use crate::{app::Cx, body::MemoryPermit};

/// Maximum size of a request in protobuf, as sent and decompressed, in bytes. Exporters send 512 spans a request.
const MAX_PROTOBUF: usize = 16 * 1024 * 1024;

/// Maximum size of a request in JSON, of which a tree of values is built.
const MAX_JSON: usize = 8 * 1024 * 1024;

/// Maximum number of values of a request in JSON, for the same reason.
const MAX_JSON_VALUES: usize = 400_000;

/// Size up to which a decompressed body is decoded on the runtime.
const SHORT: usize = 256 * 1024;

/// Memory of a decoded request, in copies of its body: texts are escaped twice in the content of a span.
const COPIES: usize = memory::COPIES + 1;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Deflate,
    Zstd,
}

/// Why a body is not decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is longer than the limit.
    TooLong,
    /// It is not compressed in this way, or ends early.
    Corrupt,
}

impl Compression {
    /// The compression that `Content-Encoding` names.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::None) };
        let value = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
        Self::named(&value).ok_or_else(|| Error::bad_request(format!("Unsupported Content-Encoding: {value}")))
    }

    /// The compression of a name in lower case.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "" | "identity" => Some(Self::None),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    /// Decompresses at most `limit` bytes.
    fn inflate(self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
        match self {
            Self::None if bytes.len() > limit => Err(Fault::TooLong),
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => all(MultiGzDecoder::new(bytes), limit),
            // Some clients send the data without the header of zlib.
            Self::Deflate => match all(ZlibDecoder::new(bytes), limit) {
                Err(Fault::Corrupt) => all(DeflateDecoder::new(bytes), limit),
                outcome => outcome,
            },
            Self::Zstd => super::zstd::decompress(bytes, limit),
        }
    }
}

/// Reads all of a stream, which may have at most `limit` bytes.
pub(super) fn all(stream: impl Read, limit: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    stream.take(limit as u64 + 1).read_to_end(&mut out).map_err(|_| Fault::Corrupt)?;
    if out.len() > limit { Err(Fault::TooLong) } else { Ok(out) }
}

/// A request as it is sent.
pub(super) struct Sent {
    pub(super) body: Body,
    /// The length of the body, if it is known.
    pub(super) length: Option<usize>,
    pub(super) encoding: Encoding,
    pub(super) compression: Compression,
    /// Whether a request without spans is one: so it is in the protocol, but not in the reference, which has HTTP only.
    pub(super) may_be_empty: bool,
}

/// Reads a request.
pub(super) async fn read(cx: &Cx, headers: &HeaderMap, sent: Sent) -> Result<(Batch, MemoryPermit)> {
    let Sent { body, length, encoding, compression, may_be_empty } = sent;
    let limit = match encoding {
        Encoding::Protobuf => MAX_PROTOBUF,
        Encoding::Json => MAX_JSON,
    };
    let bodies = &cx.app.bodies;
    let body = bodies.read_of_length(headers, length, body, limit).await?;
    cx.app.telemetry.ingest().record_body(body.bytes.len());
    let prices = cx.app.ui.prices().await;
    let tags = cx.store().limits();
    let decode = move |bytes: &[u8]| {
        let defaults = Limits::default();
        let limits = match encoding {
            Encoding::Protobuf => defaults,
            Encoding::Json => Limits { values: MAX_JSON_VALUES, ..defaults },
        };
        match Batch::read(bytes, encoding, &Settings { limits, tags, prices: &prices }) {
            Err(RequestError::Empty) if may_be_empty => Ok(Batch::default()),
            outcome => outcome.map_err(|error| Error::bad_request(error.to_string())),
        }
    };
    let failed = move |fault| match fault {
        Fault::TooLong => Error::invalid(format!("The request is larger than {limit} bytes when it is decompressed.")),
        Fault::Corrupt => Error::bad_request(format!("Failed to decompress {} payload", compression.name())),
    };
    if compression == Compression::None {
        let permit = bodies.acquire(&body, COPIES * body.bytes.len()).await?;
        if body.is_long() {
            return bodies.parse(body, permit, move |bytes| decode(&bytes)).await;
        }
        return Ok((decode(&body.bytes)?, permit));
    }
    if !body.is_long() {
        match compression.inflate(&body.bytes, SHORT) {
            Ok(plain) => {
                let permit = bodies.acquire(&body, COPIES * plain.len()).await?;
                return Ok((decode(&plain)?, permit));
            }
            // It is decompressed again, where that disturbs no other request.
            Err(Fault::TooLong) => {}
            Err(fault) => return Err(failed(fault)),
        }
    }
    let permit = bodies.acquire_long(COPIES * limit).await?;
    let inflate = move |bytes: Bytes| decode(&compression.inflate(&bytes, limit).map_err(failed)?);
    bodies.parse(body, permit, inflate).await
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression as Level,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Level::default());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn each_compression_is_undone() {
        let text = b"spans ".repeat(100);
        let mut zlib = ZlibEncoder::new(Vec::new(), Level::default());
        zlib.write_all(&text).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Level::default());
        raw.write_all(&text).unwrap();
        let halves = [gzip(&text[..300]), gzip(&text[300..])].concat();
        for (compression, bytes) in [
            (Compression::Gzip, gzip(&text)),
            (Compression::Gzip, halves),
            (Compression::Deflate, zlib.finish().unwrap()),
            (Compression::Deflate, raw.finish().unwrap()),
        ] {
            assert_eq!(compression.inflate(&bytes, 600), Ok(text.clone()));
            assert_eq!(compression.inflate(&bytes, 599), Err(Fault::TooLong));
            assert!(compression.inflate(&bytes[..bytes.len() - 4], 600).is_err(), "{compression:?}");
            assert_eq!(compression.inflate(b"no compression at all", 600), Err(Fault::Corrupt));
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < 100 * 1024);
        assert_eq!(Compression::Gzip.inflate(&bomb, 1024 * 1024), Err(Fault::TooLong));
    }

    #[test]
    fn the_header_names_the_compression() {
        let of = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, http::HeaderValue::from_static(value));
            Compression::of(&headers)
        };
        assert_eq!(of("GZIP"), Ok(Compression::Gzip));
        assert_eq!(of("identity"), Ok(Compression::None));
        assert_eq!(of("br").unwrap_err().message, "Unsupported Content-Encoding: br");
        assert_eq!(Compression::of(&HeaderMap::new()), Ok(Compression::None));
    }
}
