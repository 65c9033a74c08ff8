//! The payload of a trace as a file, for the UI: its spans, or an attachment of one of them.

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use ferroflow_artifacts::{ArtifactPath, mime};
use ferroflow_model::{Error, ErrorClass, ErrorCode, Result};
use futures_util::stream;
use http::{HeaderValue, header};

use super::artifacts::send;
use crate::app::Cx;

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
    let places = cx.app.store.trace_places(&id).await?;
    let path = match (&attachment, places.spans.as_deref()) {
        (Some(name), _) => ArtifactPath::parse(&format!("attachments/{name}"))?,
        (None, Some("TRACKING_STORE")) => return spans(cx.app.store.span_texts(&id).await?),
        (None, Some("ARCHIVE_REPO")) => {
            let text = "This server can not read the spans of archived traces yet.";
            return Err(Error::new(ErrorCode::NotImplemented, text));
        }
        (None, _) => ArtifactPath::parse(FILE)?,
    };
    let location = places
        .artifacts
        .ok_or_else(|| Error::new(ErrorCode::InvalidState, format!("Trace data is corrupted for request_id={id}")))?;
    let sent = send(&cx.app.locations.resolve(&location)?, &path, request.headers()).await;
    sent.map_err(|error| match error.code {
        ErrorCode::ResourceDoesNotExist if attachment.is_none() => {
            Error::new(ErrorCode::NotFound, format!("Trace data not found for path={FILE}"))
        }
        _ => error,
    })
}

/// The way in which a UUID is written: nothing else is the name of an attachment.
fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|parsed| parsed.to_string() == text)
}

/// Spans from the database as the file that clients write: they are JSON already.
fn spans(texts: Vec<String>) -> Result<Response> {
    let count = texts.len();
    let between = (0..count).map(|index| if index + 1 < count { "," } else { "]}" });
    let pieces =
        texts.into_iter().zip(between).flat_map(|(text, end)| [Bytes::from(text), Bytes::from_static(end.as_bytes())]);
    let start = if count == 0 { r#"{"spans":[]}"# } else { r#"{"spans":["# };
    let pieces = std::iter::once(Bytes::from_static(start.as_bytes())).chain(pieces).map(Ok::<_, std::io::Error>);
    let mut response = Response::new(Body::from_stream(stream::iter(pieces.collect::<Vec<_>>())));
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| Error::internal(error.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, value(mime::guess(FILE))?);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, value(&mime::attachment(FILE))?);
    Ok(response)
}
