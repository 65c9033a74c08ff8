//! A file as an HTTP response: media type, content coding, caching, conditional and range requests.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    ops::Range,
};

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::{encoding::negotiate, files::Files};
use crate::conditional;

/// Smaller files are not compressed.
const MIN_ENCODED: u64 = 1024;

/// Bytes of a file that are read at once.
const CHUNK: usize = 64 * 1024;

/// Minimum hexadecimal digits of a hash in a file name.
const HASH_DIGITS: usize = 8;

/// Responds to a `GET` or `HEAD` request.
pub(super) async fn file(files: &Files, path: &str, method: &Method, headers: &HeaderMap) -> io::Result<Response> {
    let (file, entry) = files.file(path).await?;
    let kind = Kind::of(path);
    let encodable = kind.is_text && entry.size > MIN_ENCODED;
    // Ranges apply to the uncompressed bytes.
    let is_partial = *method == Method::GET && headers.contains_key(header::RANGE);
    let encoding = if encodable && !is_partial { negotiate(headers) } else { None };
    let etag = match encoding {
        None => format!("\"{}\"", entry.hash),
        Some(encoding) => format!("\"{}-{}\"", entry.hash, encoding.name()),
    };

    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.media_type));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control(path)));
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(header::ETAG, value(&etag)?);
    if encodable {
        out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }

    if conditional::is_known(headers, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    if let Some(encoding) = encoding {
        let encoded = files.encoded(file, &entry, encoding).await?;
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        response.headers_mut().insert(header::CONTENT_LENGTH, encoded.len().into());
        if *method == Method::GET {
            *response.body_mut() = encoded.into();
        }
        return Ok(response);
    }
    let range = if is_partial { conditional::range(headers, &etag, entry.size) } else { None };
    match range {
        Some(Err(())) => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            response.headers_mut().insert(header::CONTENT_RANGE, value(&format!("bytes */{}", entry.size))?);
        }
        Some(Ok(range)) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {}-{}/{}", range.start, range.end - 1, entry.size);
            response.headers_mut().insert(header::CONTENT_RANGE, value(&text)?);
            send(&mut response, file, range, method)?;
        }
        None => send(&mut response, file, 0..entry.size, method)?,
    }
    Ok(response)
}

/// Streams a range of a file.
fn send(response: &mut Response, mut file: File, range: Range<u64>, method: &Method) -> io::Result<()> {
    let length = range.end - range.start;
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    if *method == Method::GET {
        // `seek` only sets an offset in the kernel, it does not wait for the disk.
        file.seek(SeekFrom::Start(range.start))?;
        let part = tokio::fs::File::from_std(file).take(length);
        *response.body_mut() = Body::from_stream(ReaderStream::with_capacity(part, CHUNK));
    }
    Ok(())
}

fn value(text: &str) -> io::Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(io::Error::other)
}

/// The media type of a file, and whether it is text.
struct Kind {
    media_type: &'static str,
    is_text: bool,
}

impl Kind {
    fn of(path: &str) -> Self {
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        let (media_type, is_text) = match extension.as_str() {
            "html" | "htm" => ("text/html; charset=utf-8", true),
            "js" | "mjs" | "cjs" => ("text/javascript; charset=utf-8", true),
            "css" => ("text/css; charset=utf-8", true),
            "txt" | "md" => ("text/plain; charset=utf-8", true),
            "json" | "map" => ("application/json", true),
            "webmanifest" => ("application/manifest+json", true),
            "xml" => ("application/xml", true),
            "svg" => ("image/svg+xml", true),
            "wasm" => ("application/wasm", false),
            "png" => ("image/png", false),
            "jpg" | "jpeg" => ("image/jpeg", false),
            "gif" => ("image/gif", false),
            "webp" => ("image/webp", false),
            "avif" => ("image/avif", false),
            "ico" => ("image/x-icon", false),
            "mp4" => ("video/mp4", false),
            "woff2" => ("font/woff2", false),
            "woff" => ("font/woff", false),
            "ttf" => ("font/ttf", false),
            "otf" => ("font/otf", false),
            "eot" => ("application/vnd.ms-fontobject", false),
            _ => ("application/octet-stream", false),
        };
        Self { media_type, is_text }
    }
}

/// `Cache-Control`: a file with a hash in its name never changes; the page that refers to it does with every release.
fn cache_control(path: &str) -> &'static str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let hashed = name
        .split(|character: char| !character.is_ascii_alphanumeric())
        .any(|part| part.len() >= HASH_DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hashed {
        "public, max-age=31536000, immutable"
    } else if path == "index.html" {
        "no-cache"
    } else {
        "public, max-age=3600"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_names_never_change() {
        for (path, expected) in [
            ("index.html", "no-cache"),
            ("static/js/3642.0ad7134a.chunk.js", "public, max-age=31536000, immutable"),
            ("static/media/dspy.83c6a45ac2445dccd337.png", "public, max-age=31536000, immutable"),
            ("assets/index-0ad7134a.js", "public, max-age=31536000, immutable"),
            ("lib/notebook-trace-renderer/index.html", "public, max-age=3600"),
            ("0ad7134a/favicon.ico", "public, max-age=3600"),
            ("static/js/main.0ad7134.js", "public, max-age=3600"),
            ("manifest.json", "public, max-age=3600"),
        ] {
            assert_eq!(cache_control(path), expected, "{path}");
        }
    }
}
