//! `POST /v1/traces`: OpenTelemetry's protocol over HTTP, and over gRPC on a port of its own.

mod body;
mod status;
mod zstd;

use std::collections::BTreeSet;

use axum::{body::Body, extract::Request, response::Response};
use ferroflow_model::{Error, ErrorCode, Result};
use ferroflow_otlp::{Batch, Encoding, response};
use ferroflow_store::{Child, Joins};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use self::body::{Compression, Sent};
pub(crate) use self::status::{code, failed};
use crate::{
    access::{self, Needs, Refs, Resource},
    app::Cx,
    body::content_length,
    grpc::{self, Incoming},
};

/// The header with the experiment.
pub(crate) const EXPERIMENT: &str = "x-mlflow-experiment-id";

/// The header with the run that finished traces are linked to.
pub(crate) const RUN: &str = "x-mlflow-run-id";

/// The media type of protobuf.
const PROTOBUF: &str = "application/x-protobuf";

/// Stores the spans of a request over HTTP.
pub(crate) async fn export(cx: Cx, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let encoding = encoding_of(headers)?;
    let compression = Compression::of(headers)?;
    let sent = Sent { body, length: content_length(headers), encoding, compression, may_be_empty: false };
    match log(&cx, headers, sent).await {
        Ok(Logged { rejected, message }) => {
            let mut answer = Response::new(Body::from(response(rejected, &message, encoding)));
            answer.headers_mut().insert(header::CONTENT_TYPE, content_type(encoding));
            Ok(answer)
        }
        Err(Refused::Unprocessable(error)) => {
            Ok(status::answer(headers, Some(StatusCode::UNPROCESSABLE_ENTITY), Error::bad_request(error)))
        }
        Err(Refused::Failed(error)) => Err(error),
    }
}

/// Stores the spans of a request over gRPC.
pub(crate) async fn export_grpc(cx: Cx, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let Incoming { is_compressed, length, body } = grpc::receive(body).await?;
    let compression = if is_compressed { grpc_compression(headers)? } else { Compression::None };
    let encoding = Encoding::Protobuf;
    let sent = Sent { body, length: Some(length), encoding, compression, may_be_empty: true };
    match log(&cx, headers, sent).await {
        Ok(Logged { rejected, message }) => Ok(grpc::answer(&response(rejected, &message, encoding))),
        Err(Refused::Unprocessable(error)) => Err(Error::bad_request(error)),
        Err(Refused::Failed(error)) => Err(error),
    }
}

/// What became of the spans of a request.
struct Logged {
    /// The number of spans that were refused.
    rejected: u64,
    /// Why the first of them was.
    message: String,
}

/// Why nothing of a request is stored.
enum Refused {
    /// The request is at fault, which the reference answers with 422.
    Unprocessable(String),
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Stores the spans of a request, whichever protocol it came by.
async fn log(cx: &Cx, headers: &HeaderMap, sent: Sent) -> Result<Logged, Refused> {
    let run = text(headers, RUN);
    if run.is_some() && !access::check(cx, Needs::Edit(Resource::Run), || Refs::from_headers(headers)).await? {
        return Err(access::permission_denied().into());
    }
    let Some(experiment) = text(headers, EXPERIMENT) else {
        return Err(Refused::Unprocessable(format!("Missing required header: {EXPERIMENT}")));
    };
    // `_permit` holds the memory of the spans until they are written.
    let (batch, _permit) = body::read(cx, headers, sent).await?;
    let (mut rejected, mut message) = (batch.rejected, batch.message());
    let count = batch.spans.len() as u64;
    if batch.spans.is_empty() && rejected > 0 {
        return Err(Refused::Unprocessable(format!("Cannot convert OpenTelemetry span to MLflow span: {message}")));
    }
    let joins = joins(cx, &batch).await?;
    let logged = cx.store().log_spans(&experiment, joins, run, batch).await?;
    rejected += logged.rejected;
    cx.app.telemetry.ingest().record_spans(count - logged.rejected);
    if let Some(fault) = logged.fault.filter(|_| message.is_empty()) {
        message = fault.message;
    }
    Ok(Logged { rejected, message })
}

/// The compression of a message that is marked as compressed.
fn grpc_compression(headers: &HeaderMap) -> Result<Compression> {
    let name = text(headers, "grpc-encoding").unwrap_or_default().to_ascii_lowercase();
    match Compression::named(&name) {
        Some(Compression::None) => Err(Error::bad_request("The message is compressed, but no grpc-encoding says how.")),
        Some(compression) => Ok(compression),
        // So the protocol wants it.
        None => Err(Error::new(ErrorCode::NotImplemented, format!("Unsupported grpc-encoding: {name}"))),
    }
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
