//! Formats a span as JSON, byte for byte as Python does.

use std::{collections::HashMap, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferroflow_model::{number, python::Style};

use super::Ids;
use super::messages::{AnyValue, KeyValue, Link, Span, Value};

/// The attribute with the trace's id.
const REQUEST_ID: &str = "mlflow.traceRequestId";

/// The prefix of a trace's id that includes its location.
const LOCATION_PREFIX: &str = "trace:/";

/// The style of attribute values, which are JSON in a string.
const INNER: Style = Style { comma: ", ", colon: ": ", ascii: false };

/// The style of the whole span.
const OUTER: Style = Style { comma: ",", colon: ":", ascii: true };

// Writing to a string cannot fail.
pub(super) fn span(span: &Span, ids: &Ids) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        r#"{{"trace_id":"{}","span_id":"{}","parent_span_id":"#,
        STANDARD.encode(ids.trace.to_be_bytes()),
        STANDARD.encode(ids.span.to_be_bytes()),
    );
    match ids.parent {
        Some(parent) => {
            let _ = write!(out, r#""{}""#, STANDARD.encode(parent.to_be_bytes()));
        }
        None => out.push_str("null"),
    }
    out.push_str(r#","name":"#);
    OUTER.text(&span.name, &mut out);
    let _ = write!(
        out,
        r#","start_time_unix_nano":{},"end_time_unix_nano":{},"events":["#,
        span.start_time_unix_nano, span.end_time_unix_nano
    );
    for (index, event) in span.events.iter().enumerate() {
        out.push_str(if index == 0 { r#"{"name":"# } else { r#",{"name":"# });
        OUTER.text(&event.name, &mut out);
        let _ = write!(out, r#","time_unix_nano":{},"attributes":"#, event.time_unix_nano);
        mapping(&event.attributes, OUTER, &mut out);
        out.push('}');
    }
    let (code, message) = match span.status.as_ref() {
        Some(status) if status.code == 2 => ("ERROR", status.message.as_str()),
        // Only errors have a message.
        Some(status) if status.code == 1 => ("OK", ""),
        _ => ("UNSET", ""),
    };
    let _ = write!(out, r#"],"status":{{"code":"STATUS_CODE_{code}","message":"#);
    OUTER.text(message, &mut out);
    out.push_str(r#"},"attributes":{"#);
    let attributes = distinct(&span.attributes);
    for (index, (key, value)) in attributes.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        attribute(key, value.as_ref(), &mut out);
    }
    let request_id = attributes.iter().find(|(key, _)| *key == REQUEST_ID);
    if request_id.is_none() {
        if !attributes.is_empty() {
            out.push(',');
        }
        let own = Some(AnyValue { value: Some(Value::Text(format!("tr-{:032x}", ids.trace))) });
        attribute(REQUEST_ID, own.as_ref(), &mut out);
    }
    out.push_str(r#"},"links":["#);
    let location = request_id.and_then(|(_, value)| trace_location(value.as_ref()?));
    for (index, found) in span.links.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        link(found, location, &mut out);
    }
    out.push_str("]}");
    out
}

/// An attribute of a span: its value is JSON in a string.
fn attribute(key: &str, value: Option<&AnyValue>, out: &mut String) {
    OUTER.text(key, out);
    out.push(':');
    let mut inner = String::new();
    any(value, INNER, &mut inner);
    OUTER.text(&inner, out);
}

/// The location in the id of a trace in Unity Catalog.
fn trace_location(request_id: &AnyValue) -> Option<&str> {
    let Some(Value::Text(id)) = &request_id.value else { return None };
    let (location, id) = id.strip_prefix(LOCATION_PREFIX)?.split_once('/')?;
    (!location.is_empty() && !id.is_empty() && !id.contains('/')).then_some(location)
}

fn link(link: &Link, location: Option<&str>, out: &mut String) {
    let hex = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        bytes[start..].iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    let mut id = format!("tr-{:0>32}", hex(&link.trace_id));
    if let Some(location) = location {
        id = format!("{LOCATION_PREFIX}{location}/{id}");
    }
    out.push_str(r#"{"trace_id":"#);
    OUTER.text(&id, out);
    let _ = write!(out, r#","span_id":"{:0>16}","attributes":"#, hex(&link.span_id));
    if link.attributes.is_empty() {
        out.push_str("null");
    } else {
        mapping(&link.attributes, OUTER, out);
    }
    out.push('}');
}

fn mapping(pairs: &[KeyValue], style: Style, out: &mut String) {
    out.push('{');
    for (index, (key, value)) in distinct(pairs).into_iter().enumerate() {
        if index > 0 {
            out.push_str(style.comma);
        }
        style.text(key, out);
        out.push_str(style.colon);
        any(value.as_ref(), style, out);
    }
    out.push('}');
}

/// The pairs in the order of a Python dictionary: a repeated key keeps its position and gets the last value.
fn distinct(pairs: &[KeyValue]) -> Vec<(&str, &Option<AnyValue>)> {
    let mut indexes: HashMap<&str, usize> = HashMap::with_capacity(pairs.len());
    let mut found = Vec::with_capacity(pairs.len());
    for KeyValue { key, value } in pairs {
        let index = *indexes.entry(key).or_insert(found.len());
        if index == found.len() {
            found.push((key.as_str(), value));
        } else {
            found[index].1 = value;
        }
    }
    found
}

fn any(value: Option<&AnyValue>, style: Style, out: &mut String) {
    match value.and_then(|any| any.value.as_ref()) {
        None => out.push_str("null"),
        Some(Value::Text(text)) => style.text(text, out),
        Some(Value::Bool(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Value::Int(number)) => out.push_str(&number.to_string()),
        Some(Value::Double(number)) => out.push_str(&python_float(*number)),
        // Never in archived spans from the database except in links, because JSON has no bytes.
        Some(Value::Bytes(bytes)) => style.text(&STANDARD.encode(bytes), out),
        Some(Value::Array(array)) => {
            out.push('[');
            for (index, item) in array.values.iter().enumerate() {
                if index > 0 {
                    out.push_str(style.comma);
                }
                any(Some(item), style, out);
            }
            out.push(']');
        }
        Some(Value::KeyValues(list)) => mapping(&list.values, style, out),
    }
}

/// A float in the form of `json.dumps`, which has `NaN` and infinities.
fn python_float(number: f64) -> String {
    match number {
        n if n.is_nan() => "NaN".to_owned(),
        n if n.is_infinite() => if n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        n => number::float_repr(n),
    }
}
