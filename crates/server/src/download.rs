//! Sends an artifact: always as an attachment, so that a stored page never runs in this server's origin; supports range
//! and conditional requests.

use std::ops::Range;

use axum::{body::Body, response::Response};
use ferroflow_artifacts::{ArtifactPath, ArtifactRepository, Stat, mime};
use ferroflow_model::{Error, Result};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Streams an artifact.
pub(crate) async fn send(
    repository: &ArtifactRepository,
    path: &ArtifactPath,
    headers: &HeaderMap,
) -> Result<Response> {
    let mut response = Response::new(Body::empty());
    // Most clients request the whole file without conditions: then it is opened without a `stat` before.
    let is_conditional = [header::IF_NONE_MATCH, header::RANGE].iter().any(|name| headers.contains_key(name));
    let known = if is_conditional { Some(repository.stat(path).await?) } else { None };
    let selection = known.as_ref().map_or(Selection::Full, |stat| Selection::of(headers, stat));
    let stat = match (selection, known) {
        (Selection::Partial(range), Some(stat)) => {
            let opened = repository.open(path, Some(range.clone()), stat.etag.as_deref()).await?;
            *response.body_mut() = Body::from_stream(opened.body);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let (first, last, size) = (range.start, range.end - 1, stat.size);
            set(&mut response, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"))?;
            set(&mut response, header::CONTENT_LENGTH, &(range.end - range.start).to_string())?;
            stat
        }
        (Selection::NotSatisfiable, Some(stat)) => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{}", stat.size))?;
            stat
        }
        (Selection::NotModified, Some(stat)) => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            stat
        }
        _ => {
            // The headers describe the version that is sent: it may be newer than the one known before.
            let opened = repository.open(path, None, None).await?;
            *response.body_mut() = Body::from_stream(opened.body);
            set(&mut response, header::CONTENT_LENGTH, &opened.stat.size.to_string())?;
            opened.stat
        }
    };
    set(&mut response, header::CONTENT_TYPE, mime::guess(path.name()))?;
    set(&mut response, header::CONTENT_DISPOSITION, &mime::attachment(path.name()))?;
    set(&mut response, header::ETAG, &stat.tag())?;
    set(&mut response, header::ACCEPT_RANGES, "bytes")?;
    set(&mut response, header::CACHE_CONTROL, "no-cache")?;
    if let Some(modified) = stat.modified {
        set(&mut response, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified))?;
    }
    Ok(response)
}

/// The representation that a client gets.
enum Selection {
    Full,
    Partial(Range<u64>),
    /// The range is not satisfiable.
    NotSatisfiable,
    /// `If-None-Match` matches: 304.
    NotModified,
}

impl Selection {
    fn of(headers: &HeaderMap, stat: &Stat) -> Self {
        let etag = stat.tag();
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let is_current = |tag: &str| tag.trim() == etag || tag.trim() == "*";
        if text(header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(is_current)) {
            return Self::NotModified;
        }
        let unchanged = text(header::IF_RANGE).is_none_or(|tag| tag == etag);
        match text(header::RANGE).filter(|_| unchanged).and_then(|range| parse_range(range, stat.size)) {
            Some(Ok(range)) => Self::Partial(range),
            Some(Err(())) => Self::NotSatisfiable,
            None => Self::Full,
        }
    }
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) -> Result<()> {
    let value = HeaderValue::from_str(value).map_err(|_| Error::invalid("Invalid path"))?;
    response.headers_mut().insert(name, value);
    Ok(())
}

/// Parses one byte range. `None` if the header is not supported (several ranges, another unit), in which case the whole
/// file is sent; `Err` if the range is not satisfiable.
pub(crate) fn parse_range(header: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
    let range = header.strip_prefix("bytes=")?;
    let (first, last) = range.split_once('-')?;
    if range.contains(',') {
        return None;
    }
    let range = match (first.trim(), last.trim()) {
        ("", last) => {
            let length: u64 = last.parse().ok()?;
            size.saturating_sub(length)..size
        }
        (first, "") => first.parse().ok()?..size,
        (first, last) => first.parse().ok()?..last.parse::<u64>().ok()?.saturating_add(1).min(size),
    };
    Some(if range.is_empty() { Err(()) } else { Ok(range) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (header, expected) in [
            ("bytes=0-0", Some(Ok(0..1))),
            ("bytes=2-", Some(Ok(2..10))),
            ("bytes=-3", Some(Ok(7..10))),
            ("bytes=-99", Some(Ok(0..10))),
            ("bytes=5-99", Some(Ok(5..10))),
            ("bytes=10-", Some(Err(()))),
            ("bytes=5-2", Some(Err(()))),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes=x-y", None),
        ] {
            assert_eq!(parse_range(header, 10), expected, "{header}");
        }
    }
}
