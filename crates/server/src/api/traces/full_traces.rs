//! Traces with their spans, as messages of OpenTelemetry. Answers are written as the spans are read.

use std::{io, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferroflow_model::{
    Error, ErrorCode, Result,
    messages::service::{BatchGetTraces, BatchGetTracesResponse, GetTrace, TraceInfoV3},
};
use ferroflow_otlp::span_message;
use ferroflow_store::SpanPlace;
use futures_util::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use http::{HeaderValue, header};

use super::trace_payloads::{
    self,
    parts::{self, SpanParts},
};
use crate::{app::Cx, rpc};

/// The delays before the spans of a trace are looked for again, which a client may still be sending: 3 seconds
/// altogether, as in the reference.
const DELAYS: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(400), Duration::from_millis(800), Duration::from_millis(1600)];

/// The metadata with the number of spans that a client has sent or will send.
const SIZE_STATS: &str = "mlflow.trace.sizeStats";

const SPANS_LOCATION: &str = "mlflow.trace.spansLocation";
const ARCHIVE_LOCATION: &str = "mlflow.trace.archiveLocation";
const ARTIFACT_LOCATION: &str = "mlflow.artifactLocation";

pub(crate) async fn get(cx: Cx, req: GetTrace) -> Result<Response> {
    let id = req.trace_id();
    let mut delays = DELAYS.iter();
    loop {
        let found = find(&cx, id).await?;
        if req.allow_partial() || found.is_complete() {
            let Found { mut info, places } = found;
            let spans = spans(&cx, &info, &places).await?;
            cx.redact_trace_infos(std::slice::from_mut(&mut info)).await?;
            let trace = trace(&info, spans)?;
            return Ok(answer(Bytes::from_static(br#"{"trace":"#), trace, Bytes::from_static(b"}")));
        }
        let Some(delay) = delays.next() else {
            return Err(Error::not_found(format!(
                "Trace with ID {id} is not fully exported yet, please try again later."
            )));
        };
        tokio::time::sleep(*delay).await;
    }
}

/// Traces that are complete, in the order of their ids.
pub(crate) async fn batch_get(cx: Cx, req: BatchGetTraces) -> Result<Response> {
    let mut infos = cx.store().trace_infos(&req.trace_ids, &req.experiment_ids).await?;
    let stored: Vec<String> =
        infos.iter().filter(|info| is_in_database(info)).map(|info| info.trace_id().to_owned()).collect();
    let mut places =
        if stored.is_empty() { std::collections::HashMap::new() } else { cx.store().span_places(&stored).await? };
    cx.redact_trace_infos(&mut infos).await?;
    let found: Vec<Found> = infos
        .into_iter()
        .map(|info| Found { places: places.remove(info.trace_id()).unwrap_or_default(), info })
        .filter(Found::is_complete)
        .collect();
    if found.is_empty() {
        return rpc::json(&BatchGetTracesResponse::default());
    }
    let traces = stream::iter(found).filter_map(move |Found { info, places }| {
        let cx = cx.clone();
        async move {
            let opened = match spans(&cx, &info, &places).await {
                Ok(spans) => trace(&info, spans),
                Err(error) => Err(error),
            };
            // The other traces can still be sent.
            opened.inspect_err(|error| tracing::warn!(trace = info.trace_id(), %error, "a trace cannot be read")).ok()
        }
    });
    let elements = traces.enumerate().flat_map(|(index, trace)| {
        let comma = Bytes::from_static(if index > 0 { "," } else { "" }.as_bytes());
        stream::iter([Ok(comma)]).chain(trace)
    });
    Ok(answer(Bytes::from_static(br#"{"traces":["#), elements, Bytes::from_static(b"]}")))
}

/// A trace, and its spans in the database.
struct Found {
    info: TraceInfoV3,
    places: Vec<SpanPlace>,
}

impl Found {
    /// Whether the client has sent all spans, as far as is known.
    fn is_complete(&self) -> bool {
        !is_in_database(&self.info) || (!self.places.is_empty() && self.places.len() >= self.expected())
    }

    fn expected(&self) -> usize {
        let stats = self.info.trace_metadata.get(SIZE_STATS).map(|text| serde_json::from_str(text));
        let Some(Ok(serde_json::Value::Object(stats))) = stats else { return 0 };
        stats.get("num_spans").and_then(serde_json::Value::as_u64).map_or(0, |spans| spans.try_into().unwrap_or(0))
    }
}

fn is_in_database(info: &TraceInfoV3) -> bool {
    tag(info, SPANS_LOCATION) == Some("TRACKING_STORE")
}

fn tag<'a>(info: &'a TraceInfoV3, key: &str) -> Option<&'a str> {
    info.tags.get(key).map(String::as_str)
}

async fn find(cx: &Cx, id: &str) -> Result<Found> {
    let ids = [id.to_owned()];
    let store = cx.store();
    let (info, places) = tokio::join!(store.trace_info(id), store.span_places(&ids));
    let info = info.map_err(|error| match error.code {
        ErrorCode::ResourceDoesNotExist => Error::not_found(format!("Trace with ID {id} is not found.")),
        _ => error,
    })?;
    Ok(Found { info, places: places?.remove(id).unwrap_or_default() })
}

/// The spans of a trace, wherever they are.
async fn spans(cx: &Cx, info: &TraceInfoV3, places: &[SpanPlace]) -> Result<SpanParts> {
    let id = info.trace_id();
    match tag(info, SPANS_LOCATION) {
        Some("TRACKING_STORE") => {
            if let Some(spans) = parts::of_database(cx, id, places).await? {
                return Ok(spans);
            }
            // They may have been archived since their location was read.
            let places = cx.store().trace_locations(id).await?;
            match places.archive {
                Some(location) => trace_payloads::archived(cx, id, Some(&location)).await,
                None => Ok(parts::none()),
            }
        }
        Some("ARCHIVE_REPO") => trace_payloads::archived(cx, id, tag(info, ARCHIVE_LOCATION)).await,
        _ => trace_payloads::in_file(cx, id, tag(info, ARTIFACT_LOCATION)).await,
    }
}

/// The message of a trace. A span that is damaged is left out, so that the others can be read.
fn trace(info: &TraceInfoV3, spans: SpanParts) -> Result<BoxStream<'static, io::Result<Bytes>>> {
    let text = serde_json::to_string(info).map_err(|error| Error::internal(error.to_string()))?;
    let id = info.trace_id().to_owned();
    let write = move |span: String| {
        let message = span_message(&span);
        message.inspect_err(|error| tracing::warn!(trace = id, %error, "a span is left out")).ok()
    };
    let start = stream::iter([Ok(Bytes::from(format!(r#"{{"trace_info":{text}"#)))]);
    let end = stream::iter([Ok(Bytes::from_static(b"}"))]);
    Ok(start.chain(parts::list(spans, (r#","spans":["#, "]"), write)).chain(end).boxed())
}

fn answer(start: Bytes, body: impl Stream<Item = io::Result<Bytes>> + Send + 'static, end: Bytes) -> Response {
    let body = stream::iter([Ok(start)]).chain(body).chain(stream::iter([Ok(end)]));
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
