//! The payload of a trace: its spans, wherever they are, and attachments of them. For the UI it is a file.

mod archive;
pub(super) mod parts;

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use ferroflow_artifacts::{ArtifactPath, mime};
use ferroflow_model::{Error, ErrorClass, ErrorCode, Result, permission::Action};
use ferroflow_store::{SpansLocation, TraceLocations};
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use self::parts::SpanParts;
use crate::{api::storage::artifacts::send, app::Cx, conditional};

/// The file of spans in the artifacts of a trace.
const FILE: &str = "traces.json";

/// `GET /ajax-api/3.0/mlflow/get-trace-artifact?request_id=…&path=…`; without a path, the spans.
pub(crate) async fn get(cx: Cx, request: Request) -> Result<Response> {
    let id = cx
        .query("request_id")
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Error::bad_request("Request must include the \"request_id\" query parameter."))?;
    let attachment = cx.query("path").filter(|path| !path.is_empty());
    if let Some(name) = &attachment
        && !is_uuid(name)
    {
        let text = format!("Invalid attachment path: '{name}'. Attachment path must be a valid UUID.");
        return Err(Error::invalid(text).with_class(ErrorClass::AttributeNotFound));
    }
    let places = cx.store().trace_locations(&id).await?;
    let path = if let Some(name) = &attachment {
        ArtifactPath::parse(&format!("attachments/{name}"))?
    } else if let Some(etag) = etag(&id, &places)
        && conditional::is_known(request.headers(), &etag)
    {
        return not_modified(&etag);
    } else if let Some((spans, etag)) = stored_spans(&cx, &id, &places).await? {
        return file(spans, etag.as_deref());
    } else {
        ArtifactPath::parse(FILE)?
    };
    let location = places.artifacts.ok_or_else(|| corrupted(&format!("request_id={id}")))?;
    // The location is a tag, which clients of the reference may write: check access to it.
    cx.check_file(&location, &path, Action::Read).await?;
    let sent = send(&cx.locate(&location).await?, &path, request.headers()).await;
    sent.map_err(|error| match error.code {
        ErrorCode::ResourceDoesNotExist if attachment.is_none() => {
            Error::new(ErrorCode::NotFound, format!("Trace data not found for path={FILE}"))
        }
        _ => error,
    })
}

/// Whether a text is a UUID in canonical form, as attachment names are.
fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|parsed| parsed.to_string() == text)
}

/// The entity tag of the spans of a trace that are not stored as an artifact. The spans that are sent with it were read
/// after it: if they are newer, the next request has another tag.
fn etag(id: &str, places: &TraceLocations) -> Option<String> {
    let mut hash = Sha256::new();
    hash.update(id);
    hash.update(places.version.0.to_be_bytes());
    hash.update(places.version.1.to_be_bytes());
    if places.spans? == SpansLocation::Archive {
        // The same spans, written in another way.
        hash.update(places.archive.as_deref()?);
    }
    let tag = u128::from_be_bytes(*hash.finalize().first_chunk()?);
    Some(format!("\"{tag:032x}\""))
}

/// The spans of a trace that are not stored as an artifact, with their entity tag.
async fn stored_spans(cx: &Cx, id: &str, places: &TraceLocations) -> Result<Option<(SpanParts, Option<String>)>> {
    let reloaded;
    let mut places = places;
    if places.spans == Some(SpansLocation::TrackingStore) {
        let found = cx.store().span_places(std::slice::from_ref(&id.to_owned())).await?.remove(id).unwrap_or_default();
        if let Some(spans) = parts::of_database(cx, id, &found).await? {
            return Ok(Some((spans, etag(id, places))));
        }
        // They may have been archived since their location was read.
        reloaded = cx.store().trace_locations(id).await?;
        places = &reloaded;
    }
    match places.spans {
        Some(SpansLocation::TrackingStore) => Ok(Some((parts::none(), etag(id, places)))),
        Some(SpansLocation::Archive) => {
            let (spans, is_there) = find_archived(cx, id, places.archive.as_deref()).await?;
            Ok(Some((spans, etag(id, places).filter(|_| is_there))))
        }
        None => Ok(None),
    }
}

/// Spans in the archive. If they are gone, the list is empty, so that the rest of the trace can be shown.
pub(super) async fn archived(cx: &Cx, id: &str, location: Option<&str>) -> Result<SpanParts> {
    find_archived(cx, id, location).await.map(|(spans, _)| spans)
}

/// Spans in the archive, and whether they are there.
async fn find_archived(cx: &Cx, id: &str, location: Option<&str>) -> Result<(SpanParts, bool)> {
    let location = location.filter(|location| !location.is_empty());
    let location = location.ok_or_else(|| corrupted(&format!("request_id={id}")))?;
    let Some((trace, permit)) = archive::read(&cx.app.locations.resolve(location)?).await? else {
        tracing::warn!(trace = id, location, "the archived spans of a trace are missing");
        return Ok((parts::none(), false));
    };
    Ok((parts::of_archive(trace, permit), true))
}

/// Spans in a file that a client wrote.
///
/// # Errors
/// There is none, or the caller may not read it.
pub(super) async fn in_file(cx: &Cx, id: &str, location: Option<&str>) -> Result<SpanParts> {
    let location = location.ok_or_else(|| corrupted(&format!("request_id={id}")))?;
    let path = ArtifactPath::parse(FILE)?;
    cx.check_file(location, &path, Action::Read).await?;
    match archive::read_file(&cx.locate(location).await?, &path).await? {
        Some((spans, permit)) => Ok(parts::of(spans, permit)),
        None => Err(Error::new(ErrorCode::NotFound, format!("Trace data not found for path={FILE}"))),
    }
}

fn corrupted(what: &str) -> Error {
    Error::new(ErrorCode::InvalidState, format!("Trace data is corrupted for {what}"))
}

/// The response to a client that has the current spans.
fn not_modified(etag: &str) -> Result<Response> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    validators(&mut response, etag)?;
    Ok(response)
}

/// With these, a cache asks whether it has the current spans before it serves them.
fn validators(response: &mut Response, etag: &str) -> Result<()> {
    let etag = HeaderValue::from_str(etag).map_err(|error| Error::internal(error.to_string()))?;
    response.headers_mut().insert(header::ETAG, etag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(())
}

/// Spans in the format of the file that clients write.
fn file(spans: SpanParts, etag: Option<&str>) -> Result<Response> {
    let start = stream::iter([Ok(Bytes::from_static(br#"{"spans":["#))]);
    let end = stream::iter([Ok(Bytes::from_static(b"]}"))]);
    let body = start.chain(parts::list(spans, ("", ""), Some)).chain(end);
    let mut response = Response::new(Body::from_stream(body));
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| Error::internal(error.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, value(mime::guess(FILE))?);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, value(&mime::attachment(FILE))?);
    if let Some(etag) = etag {
        validators(&mut response, etag)?;
    }
    Ok(response)
}
