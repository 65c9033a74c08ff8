//! Converts the spans of a trace in the database to messages, for a payload or an answer.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ferroflow_model::archived_trace::MAX_PAYLOAD;
use prost::Message as _;

use super::{
    ArchivedTrace,
    messages::{
        AnyValue, ArrayValue, Event, KeyValue, KeyValueList, Link, Resource, ResourceSpans, ScopeSpans, Span, Status,
        TracesData, Value,
    },
    span_type,
};
use crate::json::{self, Json, Refusal};

/// The pairs of an object.
type Pairs<'a> = [(Cow<'a, str>, Json<'a>)];

/// Spans that cannot be archived without loss: they stay in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the spans of the trace cannot be archived")]
pub struct Malformed;

/// What the message of a span is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An archive, which must have every value unchanged.
    Archive,
    /// An answer. An integer beyond 64 bits is a double there, and a value that is nested too deeply is its JSON.
    Answer,
}

/// Maximum nesting of messages, the limit of protobuf decoders.
const MAX_DEPTH: usize = 101;

/// Nesting depth of an attribute's value in a span, itself included.
const SPAN_DEPTH: usize = 6;

/// Nesting depth of an attribute's value in an event or a link.
const EVENT_DEPTH: usize = SPAN_DEPTH + 1;

/// Encodes the spans of a trace, given as stored in the database.
///
/// # Errors
/// A span is not valid, there are several traces, or the payload could not be decoded again.
pub fn payload<T: AsRef<str>>(contents: &[T]) -> Result<Bytes, Malformed> {
    let spans = contents.iter().map(|content| Ok(span(content.as_ref(), Purpose::Archive)?.encode_to_vec().into()));
    let spans = spans.collect::<Result<Vec<Bytes>, Malformed>>()?;
    let group = ScopeSpans { spans }.encode_to_vec().into();
    let group = ResourceSpans { resource: Some(Resource::default()), scope_spans: vec![group] }.encode_to_vec().into();
    let payload = Bytes::from(TracesData { resource_spans: vec![group] }.encode_to_vec());
    // An unreadable payload must not replace readable spans.
    if payload.len() > MAX_PAYLOAD {
        return Err(Malformed);
    }
    ArchivedTrace::parse(payload.clone()).map_err(|_| Malformed)?;
    Ok(payload)
}

pub(super) fn span(content: &str, purpose: Purpose) -> Result<Span, Malformed> {
    let mut data = Json::stored(content).map_err(|_| Malformed)?;
    if purpose == Purpose::Answer && data.get("context").is_some() {
        data = from_version_2(&data)?;
    }
    if let Json::Object(pairs) = &mut data
        && let Some((_, Json::Object(attributes))) = pairs.iter_mut().rfind(|(name, _)| name == "attributes")
    {
        span_type::translate(attributes);
    }
    let attributes = match data.get("attributes") {
        Some(attributes) if attributes.get("mlflow.traceRequestId").is_some_and(Json::is_truthy) => attributes,
        _ => return Err(Malformed),
    };
    let (trace_id, span_id, parent_span_id) = ids(&data)?;
    Ok(Span {
        trace_id,
        span_id,
        parent_span_id,
        name: text(&data, "name")?.to_owned(),
        start_time_unix_nano: time(data.get("start_time_unix_nano").ok_or(Malformed)?)?,
        end_time_unix_nano: match data.get("end_time_unix_nano").filter(|end| end.is_truthy()) {
            Some(end) => time(end)?,
            None => 0,
        },
        attributes: pairs(attributes)?
            .iter()
            .map(|(name, value)| attribute(name, value, purpose))
            .collect::<Result<_, _>>()?,
        events: list(&data, "events")?.iter().map(|found| event(found, purpose)).collect::<Result<_, _>>()?,
        links: list(&data, "links")?
            .iter()
            .filter_map(|found| link(found, purpose).transpose())
            .collect::<Result<_, _>>()?,
        status: Some(status(data.get("status").ok_or(Malformed)?)?),
    })
}

/// A span in the files of clients before MLflow 3, in the form of later ones.
fn from_version_2<'a>(data: &Json<'a>) -> Result<Json<'a>, Malformed> {
    let named = |name: &'static str, value: Json<'a>| (Cow::Borrowed(name), value);
    let field = |name: &str| data.get(name).cloned().unwrap_or(Json::Null);
    let context = data.get("context").ok_or(Malformed)?;
    let id = |name: &str| context.get(name).cloned().ok_or(Malformed);
    let events = list(data, "events")?.iter().map(|event| {
        let of = |name: &str| event.get(name).cloned().unwrap_or(Json::Null);
        Json::Object(vec![
            named("name", of("name")),
            named("time_unix_nano", of("timestamp")),
            named("attributes", of("attributes")),
        ])
    });
    let status = Json::Object(vec![named("code", field("status_code")), named("message", field("status_message"))]);
    Ok(Json::Object(vec![
        named("trace_id", id("trace_id")?),
        named("span_id", id("span_id")?),
        named("parent_span_id", field("parent_id")),
        named("name", field("name")),
        named("start_time_unix_nano", field("start_time")),
        named("end_time_unix_nano", field("end_time")),
        named("events", Json::Array(events.collect())),
        named("status", status),
        named("attributes", field("attributes")),
    ]))
}

/// The ids of the trace, the span and its parent. Release 3.5.0 stored them in their display form, all others in
/// base64.
fn ids(data: &Json) -> Result<(Bytes, Bytes, Bytes), Malformed> {
    let trace = text(data, "trace_id")?;
    let parent = data.get("parent_span_id").ok_or(Malformed)?;
    let parent = if parent.is_truthy() { parent.text().ok_or(Malformed)? } else { "" };
    let read: fn(&str) -> Result<Bytes, Malformed> = if STANDARD.decode(trace).is_ok() {
        |text| STANDARD.decode(text).map(Bytes::from).map_err(|_| Malformed)
    } else {
        |text| Ok(Bytes::copy_from_slice(&hex(text)?.ok_or(Malformed)?.to_be_bytes()))
    };
    let parent = match parent {
        "" => Bytes::new(),
        parent => sized::<8>(&read(parent)?)?,
    };
    Ok((sized::<16>(&read(trace)?)?, sized::<8>(&read(text(data, "span_id")?)?)?, parent))
}

fn sized<const N: usize>(id: &[u8]) -> Result<Bytes, Malformed> {
    super::padded::<N>(id).map(|id| Bytes::copy_from_slice(&id)).map_err(|_| Malformed)
}

/// Parses the display form of an id: hexadecimal digits, for a trace after `tr-` or a location. `None` if it is out of
/// range.
fn hex(id: &str) -> Result<Option<u128>, Malformed> {
    let id = match id.strip_prefix("trace:/") {
        Some(located) => located.split_once('/').ok_or(Malformed)?.1,
        None => id,
    };
    let digits = id.strip_prefix("tr-").unwrap_or(id);
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Malformed);
    }
    Ok(u128::from_str_radix(digits, 16).ok())
}

fn status(data: &Json) -> Result<Status, Malformed> {
    let code = match text(data, "code").map(|code| code.strip_prefix("STATUS_CODE_").unwrap_or(code))? {
        "UNSET" => 0,
        "OK" => 1,
        "ERROR" => 2,
        _ => return Err(Malformed),
    };
    let message = data.get("message").and_then(Json::text).filter(|_| code == 2).unwrap_or_default();
    Ok(Status { message: message.to_owned(), code })
}

fn event(data: &Json, purpose: Purpose) -> Result<Event, Malformed> {
    let attributes = data.get("attributes").map_or(Ok(&[][..]), pairs)?;
    Ok(Event {
        time_unix_nano: time(data.get("time_unix_nano").ok_or(Malformed)?)?,
        name: text(data, "name")?.to_owned(),
        attributes: key_values(attributes, EVENT_DEPTH, purpose)?,
    })
}

/// `None` for a link whose target has no OTLP id.
fn link(data: &Json, purpose: Purpose) -> Result<Option<Link>, Malformed> {
    let (Some(trace), Some(span)) = (hex(text(data, "trace_id")?)?, hex(text(data, "span_id")?)?) else {
        return Ok(None);
    };
    let Ok(span) = u64::try_from(span) else { return Ok(None) };
    let attributes = match data.get("attributes").filter(|attributes| attributes.is_truthy()) {
        Some(attributes) => key_values(pairs(attributes)?, EVENT_DEPTH, purpose)?,
        None => Vec::new(),
    };
    let (trace_id, span_id) =
        (Bytes::copy_from_slice(&trace.to_be_bytes()), Bytes::copy_from_slice(&span.to_be_bytes()));
    Ok(Some(Link { trace_id, span_id, attributes }))
}

/// An attribute of a span: the parsed JSON of a string, or the value itself.
fn attribute(name: &str, value: &Json, purpose: Purpose) -> Result<KeyValue, Malformed> {
    let value = match value {
        value if !value.is_truthy() => any(&Json::Null, SPAN_DEPTH, purpose)?,
        Json::Text(text) => {
            let parsed = match Json::stored(text) {
                Ok(value) => any(&value, SPAN_DEPTH, purpose),
                Err(Refusal::TooDeep) => Err(Malformed),
                Err(_) => any(value, SPAN_DEPTH, purpose),
            };
            match parsed {
                Err(Malformed) if purpose == Purpose::Answer => any(value, SPAN_DEPTH, purpose)?,
                parsed => parsed?,
            }
        }
        value => any(value, SPAN_DEPTH, purpose)?,
    };
    Ok(key_value(name, value))
}

fn any(value: &Json, depth: usize, purpose: Purpose) -> Result<AnyValue, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed);
    }
    let value = match value {
        Json::Null => None,
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(digits) => Some(match value.int() {
            Some(number) => Value::Int(number),
            // It would be decoded as another number.
            None if json::is_integer(digits) && purpose == Purpose::Archive => return Err(Malformed),
            None => Value::Double(value.float().ok_or(Malformed)?),
        }),
        Json::Text(text) => Some(Value::Text(text.clone().into_owned())),
        Json::Array(items) => {
            let values = items.iter().map(|item| any(item, depth + 2, purpose)).collect::<Result<_, _>>()?;
            Some(Value::Array(ArrayValue { values }))
        }
        Json::Object(pairs) => Some(Value::KeyValues(KeyValueList { values: key_values(pairs, depth + 3, purpose)? })),
    };
    Ok(AnyValue { value })
}

fn key_values(pairs: &Pairs<'_>, depth: usize, purpose: Purpose) -> Result<Vec<KeyValue>, Malformed> {
    pairs.iter().map(|(name, value)| Ok(key_value(name, any(value, depth, purpose)?))).collect()
}

/// A pair; null is an absent value.
fn key_value(name: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(value).filter(|value| value.value.is_some()) }
}

fn pairs<'a, 'text>(value: &'a Json<'text>) -> Result<&'a Pairs<'text>, Malformed> {
    if let Json::Object(pairs) = value { Ok(pairs) } else { Err(Malformed) }
}

/// An optional list.
fn list<'a, 'text>(data: &'a Json<'text>, name: &str) -> Result<&'a [Json<'text>], Malformed> {
    match data.get(name) {
        None => Ok(&[]),
        Some(Json::Array(items)) => Ok(items),
        Some(Json::Null) if name == "links" => Ok(&[]),
        Some(_) => Err(Malformed),
    }
}

fn text<'a>(data: &'a Json, name: &str) -> Result<&'a str, Malformed> {
    data.get(name).and_then(Json::text).ok_or(Malformed)
}

/// Nanoseconds, as a number or a decimal string.
fn time(value: &Json) -> Result<u64, Malformed> {
    match value {
        Json::Number(_) => value.int().and_then(|number| u64::try_from(number).ok()).ok_or(Malformed),
        Json::Text(text) => text.trim().parse().map_err(|_| Malformed),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Tree, json};

    use super::*;

    fn stored() -> Tree {
        json!({
            "trace_id": "AQEBAQEBAQEBAQEBAQEBAQ==",
            "span_id": "AAAAAAAAAAE=",
            "parent_span_id": null,
            "name": "größe",
            "start_time_unix_nano": 5,
            "end_time_unix_nano": 9,
            "events": [{"name": "e", "time_unix_nano": 6, "attributes": {"a": [1, 2.5, null], "b": {"c": "d"}}}],
            "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
            "attributes": {
                "mlflow.traceRequestId": "\"tr-x\"",
                "mlflow.spanInputs": "{\"b\": 1, \"a\": [NaN, 1e+16, -2, true, null, \"模\"]}",
                "mlflow.spanOutputs": "\"\"",
            },
            "links": [{"trace_id": "tr-02020202020202020202020202020202", "span_id": "0303030303030303", "attributes": null}],
        })
    }

    fn read(span: &Tree) -> Result<Tree, Malformed> {
        let payload = payload(&[span.to_string()])?;
        let json: Vec<_> = ArchivedTrace::parse(payload).unwrap().into_json().map(Result::unwrap).collect();
        assert_eq!(json.len(), 1);
        Ok(serde_json::from_str(&json[0]).unwrap())
    }

    #[test]
    fn archived_spans_read_back_unchanged() {
        assert_eq!(read(&stored()).unwrap(), stored());
    }

    #[test]
    fn spans_of_other_releases_are_normalized() {
        let mut span = stored();
        span["trace_id"] = json!("tr-01010101010101010101010101010101");
        span["span_id"] = json!("0000000000000001");
        span["status"]["code"] = json!("ERROR");
        span["start_time_unix_nano"] = json!("5");
        assert_eq!(read(&span).unwrap(), stored());
        span["attributes"]["openinference.span.kind"] = json!("\"LLM\"");
        assert_eq!(read(&span).unwrap()["attributes"]["mlflow.spanType"], "\"LLM\"");
        span["attributes"]["plain"] = json!("not json");
        assert_eq!(read(&span).unwrap()["attributes"]["plain"], "\"not json\"");
        span["attributes"]["empty"] = json!("");
        assert_eq!(read(&span).unwrap()["attributes"]["empty"], "null");
        span["status"] = json!({"code": "STATUS_CODE_OK", "message": "kept by nobody"});
        assert_eq!(read(&span).unwrap()["status"]["message"], "");
        span["links"][0]["span_id"] = json!("11111111111111111");
        assert_eq!(read(&span).unwrap()["links"], json!([]));
    }

    #[test]
    fn spans_that_would_change_are_not_archived() {
        let nested = |open: &str, close: &str, depth: usize| json!(open.repeat(depth) + "1" + &close.repeat(depth));
        for (path, value) in [
            ("/attributes/mlflow.traceRequestId", json!("")),
            ("/trace_id", json!("AQEBAQEBAQEBAQEBAQEBAQEB")),
            ("/trace_id", json!("tr-xyz")),
            ("/span_id", json!(1)),
            ("/name", json!(null)),
            ("/start_time_unix_nano", json!(-1)),
            ("/status", json!({"code": "FINE"})),
            ("/events", json!([{"name": "e"}])),
            ("/attributes/mlflow.spanInputs", json!("[92233720368547758080]")),
            ("/attributes/mlflow.spanInputs", nested("[", "]", 48)),
            ("/attributes/mlflow.spanInputs", nested("{\"a\": ", "}", 32)),
            ("/attributes/mlflow.spanInputs", nested("[", "]", 200)),
        ] {
            let mut span = stored();
            *span.pointer_mut(path).unwrap() = value.clone();
            assert_eq!(read(&span), Err(Malformed), "{path} {value}");
        }
        for nested in [nested("{\"a\": ", "}", 31), nested("[", "]", 47)] {
            let mut deep = stored();
            deep["attributes"]["mlflow.spanInputs"] = nested;
            assert_eq!(read(&deep), Ok(deep));
        }
        let mut other = stored();
        other["trace_id"] = json!("AgEBAQEBAQEBAQEBAQEBAQ==");
        for spans in [vec![], vec![stored().to_string(), other.to_string()], vec![String::new()], vec!["[]".into()]] {
            assert_eq!(payload(&spans), Err(Malformed), "{spans:?}");
        }
    }
}
