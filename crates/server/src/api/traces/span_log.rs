//! `POST /v1/traces`: OpenTelemetry's protocol over HTTP.

mod body;
mod status;
mod zstd;

use std::collections::BTreeSet;

use axum::{body::Body, extract::Request, response::Response};
use ferroflow_model::{Error, Result};
use ferroflow_otlp::{Batch, Encoding, response};
use ferroflow_store::{Child, Joins};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use self::body::Compression;
pub(crate) use self::status::failed;
use crate::{
    access::{self, Needs, Refs, Resource},
    app::Cx,
};

/// The header with the experiment.
pub(crate) const EXPERIMENT: &str = "x-mlflow-experiment-id";

/// The header with the run that finished traces are linked to.
pub(crate) const RUN: &str = "x-mlflow-run-id";

/// The media type of protobuf.
const PROTOBUF: &str = "application/x-protobuf";

/// Stores the spans of a request.
pub(crate) async fn export(cx: Cx, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let encoding = encoding_of(headers)?;
    let compression = Compression::of(headers)?;
    let run = text(headers, RUN);
    if run.is_some() && !access::check(&cx, Needs::Edit(Resource::Run), || Refs::from_headers(headers)).await? {
        return Err(access::permission_denied());
    }
    let Some(experiment) = text(headers, EXPERIMENT) else {
        return Ok(status::answer(
            headers,
            Some(StatusCode::UNPROCESSABLE_ENTITY),
            Error::bad_request(format!("Missing required header: {EXPERIMENT}")),
        ));
    };
    // `_permit` holds the memory of the spans until they are written.
    let (batch, _permit) = body::read(&cx, headers, body, encoding, compression).await?;
    let (mut rejected, mut message) = (batch.rejected, batch.message());
    let count = batch.spans.len() as u64;
    if batch.spans.is_empty() && rejected > 0 {
        let message = format!("Cannot convert OpenTelemetry span to MLflow span: {message}");
        return Ok(status::answer(headers, Some(StatusCode::UNPROCESSABLE_ENTITY), Error::bad_request(message)));
    }
    let joins = joins(&cx, &batch).await?;
    let logged = cx.store().log_spans(&experiment, joins, run, batch).await?;
    rejected += logged.rejected;
    cx.app.telemetry.ingest().record_spans(count - logged.rejected);
    if let Some(fault) = logged.fault.filter(|_| message.is_empty()) {
        message = fault.message;
    }
    let mut answer = Response::new(Body::from(response(rejected, &message, encoding)));
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type(encoding));
    Ok(answer)
}

/// A header as text; `None` if it is missing or empty.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The encoding that the content type names.
fn encoding_of(headers: &HeaderMap) -> Result<Encoding> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match content_type.map(|value| value.split(';').next().unwrap_or_default().trim()) {
        Some(PROTOBUF) => Ok(Encoding::Protobuf),
        Some("application/json") => Ok(Encoding::Json),
        _ => Err(Error::bad_request(format!(
            "Invalid Content-Type: {}. Expected: application/x-protobuf or application/json",
            content_type.unwrap_or("None")
        ))),
    }
}

fn content_type(encoding: Encoding) -> HeaderValue {
    HeaderValue::from_static(match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Json => "application/json",
    })
}

/// The other experiments whose traces the caller may add spans to, of those that the request names.
async fn joins(cx: &Cx, batch: &Batch) -> Result<Joins> {
    if !cx.is_restricted() {
        return Ok(Joins::Any);
    }
    let traces = batch.traces.keys().map(ToString::to_string).collect();
    let found: BTreeSet<String> = cx.store().experiments_of(Child::Trace, traces).await?.into_values().collect();
    let mut allowed = BTreeSet::new();
    for experiment in found {
        if access::check(cx, Needs::Create(Resource::Trace), || Refs::from_experiment(&experiment)).await? {
            allowed.extend(experiment.parse::<i64>());
        }
    }
    Ok(Joins::Only(allowed))
}

/// The error of a request that cannot be read.
fn unreadable(error: ferroflow_otlp::RequestError) -> Error {
    Error::bad_request(error.to_string())
}
