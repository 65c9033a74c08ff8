//! Spans as a request of OpenTelemetry's protocol: `ExportTraceServiceRequest` of
//! `opentelemetry/proto/collector/trace/v1/trace_service.proto`, as far as this server fills it in.

use prost::Message;

use crate::{Span, Value};

/// The instrumentation scope of all spans.
const SCOPE: &str = "ferroflow";

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE`, and the sampled flag of W3C.
const FLAGS: u32 = 0x100 | 1;

/// `SPAN_FLAGS_CONTEXT_IS_REMOTE`.
const REMOTE: u32 = 0x200;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<LinkMessage>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct LinkMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    /// 2 is `STATUS_CODE_ERROR`.
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "OneValue", tags = "1, 2, 3")]
    value: Option<OneValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OneValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
}

/// Encodes spans of a server with these resource attributes.
#[must_use]
pub fn encode(resource: &[(String, String)], spans: Vec<Span>) -> Vec<u8> {
    let attributes = resource.iter().map(|(key, value)| pair(key.clone(), OneValue::Text(value.clone()))).collect();
    let scope = Scope { name: SCOPE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = spans.into_iter().map(message).collect();
    let request = Request {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }],
    };
    request.encode_to_vec()
}

fn message(span: Span) -> SpanMessage {
    let value = |value: Value| match value {
        Value::Text(text) => OneValue::Text(text.into_owned()),
        Value::Int(number) => OneValue::Int(number),
        Value::Bool(value) => OneValue::Bool(value),
    };
    let links = span.links.iter().map(|link| LinkMessage {
        trace_id: link.trace.to_be_bytes().to_vec(),
        span_id: link.span.to_be_bytes().to_vec(),
    });
    SpanMessage {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        trace_state: span.state.unwrap_or_default().into_string(),
        parent_span_id: if span.parent == 0 { Vec::new() } else { span.parent.to_be_bytes().to_vec() },
        name: span.name.into_owned(),
        kind: span.kind as i32,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        links: links.collect(),
        attributes: span.attributes.into_iter().map(|(key, found)| pair(key.to_owned(), value(found))).collect(),
        status: span.has_failed.then_some(Status { code: 2 }),
        flags: if span.has_remote_parent { FLAGS | REMOTE } else { FLAGS },
    }
}

fn pair(key: String, value: OneValue) -> KeyValue {
    KeyValue { key, value: Some(AnyValue { value: Some(value) }) }
}
