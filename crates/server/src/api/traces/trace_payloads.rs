//! The payload of a trace as a file for the UI: its spans, or an attachment of one of them.

mod archive;

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use ferroflow_artifacts::{ArtifactPath, mime};
use ferroflow_model::{Error, ErrorClass, ErrorCode, Result, permission::Action};
use ferroflow_store::{SpansLocation, TraceLocations};
use futures_util::stream;
use http::{HeaderValue, header};

use crate::{api::storage::artifacts::send, app::Cx};

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
    } else if let Some(response) = stored_spans(&cx, &id, &places).await? {
        return Ok(response);
    } else {
        ArtifactPath::parse(FILE)?
    };
    let location = places.artifacts.ok_or_else(|| corrupted(&format!("request_id={id}")))?;
    // The location is a tag, which clients of the reference may write: check access to it.
    cx.check_file(&location, &path, Action::Read).await?;
    let sent = send(&cx.app.locations.resolve(&location)?, &path, request.headers()).await;
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

/// The spans of a trace that are not stored as an artifact.
async fn stored_spans(cx: &Cx, id: &str, places: &TraceLocations) -> Result<Option<Response>> {
    let reloaded;
    let mut places = places;
    if places.spans == Some(SpansLocation::TrackingStore) {
        let texts = cx.store().span_texts(id).await?;
        if !texts.is_empty() {
            return spans(texts.into_iter().map(Ok)).map(Some);
        }
        // They may have been archived since their location was read.
        reloaded = cx.store().trace_locations(id).await?;
        places = &reloaded;
    }
    match places.spans {
        Some(SpansLocation::TrackingStore) => spans(std::iter::empty()).map(Some),
        Some(SpansLocation::Archive) => archived(cx, id, places.archive.as_deref()).await.map(Some),
        None => Ok(None),
    }
}

/// Spans in the archive. If they are gone, the list is empty, so that the rest of the trace can be shown.
async fn archived(cx: &Cx, id: &str, location: Option<&str>) -> Result<Response> {
    let location = location.filter(|location| !location.is_empty());
    let location = location.ok_or_else(|| corrupted(&format!("request_id={id}")))?;
    let Some((trace, permit)) = archive::read(&cx.app.locations.resolve(location)?).await? else {
        tracing::warn!(trace = id, location, "the archived spans of a trace are missing");
        return spans(std::iter::empty());
    };
    spans(trace.into_json().map(move |span| {
        // Held until the last span is sent: others wait for this memory.
        let _ = &permit;
        span.map_err(std::io::Error::other)
    }))
}

fn corrupted(what: &str) -> Error {
    Error::new(ErrorCode::InvalidState, format!("Trace data is corrupted for {what}"))
}

/// Spans, which are already JSON, in the format of the file that clients write.
fn spans(texts: impl Iterator<Item = std::io::Result<String>> + Send + 'static) -> Result<Response> {
    let mut before = "";
    let texts = texts.flat_map(move |text| {
        let comma = Bytes::from_static(std::mem::replace(&mut before, ",").as_bytes());
        [Ok(comma), text.map(Bytes::from)]
    });
    let start = std::iter::once(Ok(Bytes::from_static(br#"{"spans":["#)));
    let end = std::iter::once(Ok(Bytes::from_static(b"]}")));
    let mut response = Response::new(Body::from_stream(stream::iter(start.chain(texts).chain(end))));
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| Error::internal(error.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, value(mime::guess(FILE))?);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, value(&mime::attachment(FILE))?);
    Ok(response)
}
