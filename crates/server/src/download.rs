//! Sends an artifact: always as an attachment, so that a stored page never runs in this server's origin; supports range
//! and conditional requests.

use std::ops::Range;

use axum::{body::Body, response::Response};
use ferroflow_artifacts::{ArtifactPath, ArtifactRepository, Stat, mime};
use ferroflow_model::{Error, Result};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::conditional;

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
        if conditional::is_known(headers, &etag) {
            return Self::NotModified;
        }
        match conditional::range(headers, &etag, stat.size) {
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
