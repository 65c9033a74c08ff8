//! Decodes OTLP/JSON: ids are hexadecimal, enums are numbers, 64-bit integers are numbers or strings, names are in
//! camel or snake case, bytes are in base64, and unknown fields are ignored.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use super::{
    Visit,
    budget::{Budget, Stop, id, parent},
};
use crate::{
    Limits, RequestError, SpanError,
    json::{Json, Refusal},
    limits::{EVENT_VALUE, MAX_LINK_ID, MAX_MESSAGES, RESOURCE_VALUE, SPAN_VALUE},
    message::{AnyValue, Code, Event, KeyValue, Link, Span, SpanId, Status, TraceId},
};

/// JSON values of an attribute, event or link, brackets and names included; an attribute has four.
const VALUES_PER_VALUE: usize = 6;

/// JSON values of a span besides those.
const VALUES_PER_SPAN: usize = 32;

/// Visits the spans of an `ExportTraceServiceRequest`.
pub(super) fn spans(body: &[u8], limits: &Limits, visit: Visit<'_>) -> Result<(), RequestError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|_| RequestError::Malformed)?;
    let most = limits.values.saturating_mul(VALUES_PER_VALUE);
    let most = most.saturating_add(limits.spans.saturating_mul(VALUES_PER_SPAN)).saturating_add(64);
    let request = Json::request(text, most).map_err(|refusal| match refusal {
        Refusal::NotJson | Refusal::TooDeep => RequestError::Malformed,
        Refusal::TooMany => RequestError::TooManyValues(limits.values),
    })?;
    if !matches!(request, Json::Object(_)) {
        return Err(RequestError::Malformed);
    }
    let mut budget = Budget::new(limits);
    let groups = list(&request, "resourceSpans", "resource_spans").map_err(|_| RequestError::Malformed)?;
    if groups.is_empty() {
        return Err(RequestError::Empty);
    }
    for group in groups {
        budget.resource();
        let resource = match field(group, "resource", "resource") {
            None => Ok(Vec::new()),
            Some(resource) => match attributes(resource, RESOURCE_VALUE, &mut budget) {
                Err(Stop::Request(error)) => return Err(error),
                Err(Stop::Span(error)) => Err(error),
                Ok(found) => Ok(found),
            },
        };
        for scope in list(group, "scopeSpans", "scope_spans").map_err(|_| RequestError::Malformed)? {
            for found in list(scope, "spans", "spans").map_err(|_| RequestError::Malformed)? {
                budget.span()?;
                let decoded = match span(found, &mut budget) {
                    Err(Stop::Request(error)) => return Err(error),
                    Err(Stop::Span(error)) => Err(error),
                    Ok(span) => Ok(span),
                };
                match &resource {
                    Ok(resource) => visit(resource, decoded),
                    // A resource that cannot be read is an error of each of its spans.
                    Err(error) => visit(&[], decoded.and(Err(*error))),
                }
            }
        }
    }
    Ok(())
}

/// A field by either of its names; `null` is an absent field.
fn field<'t, 'a>(message: &'t Json<'a>, camel: &str, snake: &str) -> Option<&'t Json<'a>> {
    message.get(camel).or_else(|| message.get(snake)).filter(|value| **value != Json::Null)
}

fn list<'t, 'a>(message: &'t Json<'a>, camel: &'static str, snake: &'static str) -> Result<&'t [Json<'a>], SpanError> {
    match (message, field(message, camel, snake)) {
        (Json::Object(_), None) => Ok(&[]),
        (_, Some(Json::Array(items))) => Ok(items),
        _ => Err(SpanError::Type(snake)),
    }
}

fn text<'t>(message: &'t Json<'_>, camel: &'static str, snake: &'static str) -> Result<Cow<'t, str>, SpanError> {
    match field(message, camel, snake) {
        None => Ok(Cow::Borrowed("")),
        Some(Json::Text(text)) => Ok(Cow::Borrowed(text)),
        Some(_) => Err(SpanError::Type(snake)),
    }
}

fn time(message: &Json<'_>, camel: &'static str, snake: &'static str) -> Result<u64, SpanError> {
    match field(message, camel, snake) {
        None => Ok(0),
        Some(Json::Number(text)) => text.parse().map_err(|_| SpanError::Time(snake)),
        Some(Json::Text(text)) => text.parse().map_err(|_| SpanError::Time(snake)),
        Some(_) => Err(SpanError::Type(snake)),
    }
}

fn hex(message: &Json<'_>, camel: &'static str, snake: &'static str) -> Result<Vec<u8>, SpanError> {
    let digits = text(message, camel, snake)?;
    if digits.len() > 2 * MAX_LINK_ID || digits.len() % 2 != 0 {
        return Err(SpanError::Id(snake));
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = digits.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    bytes.collect::<Option<_>>().ok_or(SpanError::Id(snake))
}

fn span<'t>(found: &'t Json<'_>, budget: &mut Budget) -> Result<Span<'t>, Stop> {
    if !matches!(found, Json::Object(_)) {
        return Err(SpanError::Type("span").into());
    }
    let trace = hex(found, "traceId", "trace_id")?;
    let own = hex(found, "spanId", "span_id")?;
    let above = hex(found, "parentSpanId", "parent_span_id")?;
    Ok(Span {
        trace: TraceId(u128::from_be_bytes(id("trace_id", &trace)?)),
        id: SpanId(u64::from_be_bytes(id("span_id", &own)?)),
        parent: parent(&above)?.map(SpanId),
        name: text(found, "name", "name")?,
        start: time(found, "startTimeUnixNano", "start_time_unix_nano")?,
        end: time(found, "endTimeUnixNano", "end_time_unix_nano")?,
        attributes: attributes(found, SPAN_VALUE, budget)?,
        events: list(found, "events", "events")?.iter().map(|found| event(found, budget)).collect::<Result<_, _>>()?,
        links: list(found, "links", "links")?.iter().map(|found| link(found, budget)).collect::<Result<_, _>>()?,
        status: match field(found, "status", "status") {
            None => Status::default(),
            Some(status) => Status { message: text(status, "message", "message")?, code: code(status)? },
        },
    })
}

/// The code of a status: a number, or as some clients write it, the name.
fn code(status: &Json<'_>) -> Result<Code, SpanError> {
    match field(status, "code", "code") {
        None => Ok(Code::Unset),
        Some(Json::Number(number)) => number.parse().map(Code::of).map_err(|_| SpanError::Type("code")),
        Some(Json::Text(name)) => match name.as_ref() {
            "STATUS_CODE_UNSET" => Ok(Code::Unset),
            "STATUS_CODE_OK" => Ok(Code::Ok),
            "STATUS_CODE_ERROR" => Ok(Code::Error),
            _ => Err(SpanError::Type("code")),
        },
        Some(_) => Err(SpanError::Type("code")),
    }
}

fn event<'t>(found: &'t Json<'_>, budget: &mut Budget) -> Result<Event<'t>, Stop> {
    budget.value()?;
    Ok(Event {
        time: time(found, "timeUnixNano", "time_unix_nano")?,
        name: text(found, "name", "name")?,
        attributes: attributes(found, EVENT_VALUE, budget)?,
    })
}

fn link<'t>(found: &'t Json<'_>, budget: &mut Budget) -> Result<Link<'t>, Stop> {
    budget.value()?;
    Ok(Link {
        trace: Cow::Owned(hex(found, "traceId", "trace_id")?),
        span: Cow::Owned(hex(found, "spanId", "span_id")?),
        attributes: attributes(found, EVENT_VALUE, budget)?,
    })
}

fn attributes<'t>(message: &'t Json<'_>, depth: usize, budget: &mut Budget) -> Result<Vec<KeyValue<'t>>, Stop> {
    pairs(list(message, "attributes", "attributes")?, depth, budget)
}

fn pairs<'t>(pairs: &'t [Json<'_>], depth: usize, budget: &mut Budget) -> Result<Vec<KeyValue<'t>>, Stop> {
    let read = |pair: &'t Json<'_>| {
        budget.value()?;
        let value = match field(pair, "value", "value") {
            None => AnyValue::Null,
            Some(value) => any(value, depth, budget)?,
        };
        Ok(KeyValue { key: text(pair, "key", "key")?, value })
    };
    pairs.iter().map(read).collect()
}

/// The name of a value's field says its type.
fn any<'t>(value: &'t Json<'_>, depth: usize, budget: &mut Budget) -> Result<AnyValue<'t>, Stop> {
    if depth > MAX_MESSAGES {
        return Err(SpanError::TooDeep.into());
    }
    let wrong = || Stop::from(SpanError::Type("value"));
    let Json::Object(fields) = value else { return Err(wrong()) };
    let mut found = AnyValue::Null;
    for (name, value) in fields {
        found = match (name.as_ref(), value) {
            (_, Json::Null) => continue,
            ("stringValue" | "string_value", Json::Text(text)) => AnyValue::Text(Cow::Borrowed(text)),
            ("boolValue" | "bool_value", Json::Bool(value)) => AnyValue::Bool(*value),
            ("intValue" | "int_value", Json::Number(text)) => AnyValue::Int(text.parse().map_err(|_| wrong())?),
            ("intValue" | "int_value", Json::Text(text)) => AnyValue::Int(text.parse().map_err(|_| wrong())?),
            ("doubleValue" | "double_value", Json::Number(_)) => AnyValue::Double(value.float().ok_or_else(wrong)?),
            // `NaN` and the infinities are strings.
            ("doubleValue" | "double_value", Json::Text(text)) => AnyValue::Double(text.parse().map_err(|_| wrong())?),
            ("bytesValue" | "bytes_value", Json::Text(text)) => {
                AnyValue::Bytes(Cow::Owned(base64(text).ok_or_else(wrong)?))
            }
            ("arrayValue" | "array_value", Json::Object(_)) => {
                let mut items = Vec::new();
                for item in list(value, "values", "values")? {
                    budget.value()?;
                    items.push(any(item, depth + 2, budget)?);
                }
                AnyValue::Array(items)
            }
            ("kvlistValue" | "kvlist_value", Json::Object(_)) => {
                AnyValue::Map(self::pairs(list(value, "values", "values")?, depth + 3, budget)?)
            }
            (
                "stringValue" | "string_value" | "boolValue" | "bool_value" | "intValue" | "int_value" | "doubleValue"
                | "double_value" | "bytesValue" | "bytes_value" | "arrayValue" | "array_value" | "kvlistValue"
                | "kvlist_value",
                _,
            ) => return Err(wrong()),
            _ => continue,
        };
    }
    Ok(found)
}

/// Decodes base64 of either alphabet, with or without padding, as protobuf's JSON does.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    STANDARD_NO_PAD.decode(text).ok()
}
