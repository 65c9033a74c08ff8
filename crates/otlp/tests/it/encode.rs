//! Encodes a JSON request as protobuf, so that both encodings are tested with the same requests.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

pub(crate) fn request(request: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for group in items(&request["resourceSpans"]) {
        let mut resource_spans = Vec::new();
        message(1, &attributes(1, &group["resource"]), &mut resource_spans);
        for scope in items(&group["scopeSpans"]) {
            let mut scope_spans = Vec::new();
            for found in items(&scope["spans"]) {
                message(2, &span(found), &mut scope_spans);
            }
            message(2, &scope_spans, &mut resource_spans);
        }
        message(1, &resource_spans, &mut out);
    }
    out
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn span(found: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    message(1, &hex(&found["traceId"]), &mut out);
    message(2, &hex(&found["spanId"]), &mut out);
    message(4, &hex(&found["parentSpanId"]), &mut out);
    text(5, &found["name"], &mut out);
    fixed(7, time(&found["startTimeUnixNano"]), &mut out);
    fixed(8, time(&found["endTimeUnixNano"]), &mut out);
    out.extend(attributes(9, found));
    for event in items(&found["events"]) {
        let mut inner = Vec::new();
        fixed(1, time(&event["timeUnixNano"]), &mut inner);
        text(2, &event["name"], &mut inner);
        inner.extend(attributes(3, event));
        message(11, &inner, &mut out);
    }
    for link in items(&found["links"]) {
        let mut inner = Vec::new();
        message(1, &hex(&link["traceId"]), &mut inner);
        message(2, &hex(&link["spanId"]), &mut inner);
        inner.extend(attributes(4, link));
        message(13, &inner, &mut out);
    }
    let mut status = Vec::new();
    text(2, &found["status"]["message"], &mut status);
    number(3, found["status"]["code"].as_u64().unwrap_or_default(), &mut status);
    message(15, &status, &mut out);
    out
}

fn attributes(field: u64, message: &Value) -> Vec<u8> {
    key_values(field, &message["attributes"])
}

fn key_values(field: u64, pairs: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for pair in items(pairs) {
        let mut inner = Vec::new();
        text(1, &pair["key"], &mut inner);
        message(2, &any(&pair["value"]), &mut inner);
        message(field, &inner, &mut out);
    }
    out
}

fn any(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let Some((name, value)) = value.as_object().and_then(|fields| fields.iter().next()) else { return out };
    match name.as_str() {
        "stringValue" => text(1, value, &mut out),
        "boolValue" => number(2, value.as_bool().unwrap().into(), &mut out),
        "intValue" => number(3, value.as_str().unwrap().parse::<i64>().unwrap().cast_unsigned(), &mut out),
        "doubleValue" => fixed(4, value.as_f64().unwrap().to_bits(), &mut out),
        "arrayValue" => {
            let values: Vec<_> = items(&value["values"]).iter().map(any).collect();
            let mut inner = Vec::new();
            for value in &values {
                message(1, value, &mut inner);
            }
            message(5, &inner, &mut out);
        }
        "kvlistValue" => message(6, &key_values(1, &value["values"]), &mut out),
        "bytesValue" => message(7, &STANDARD.decode(value.as_str().unwrap()).unwrap(), &mut out),
        other => panic!("{other}"),
    }
    out
}

fn time(value: &Value) -> u64 {
    value.as_str().unwrap_or("0").parse().unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap_or_default();
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn text(field: u64, value: &Value, out: &mut Vec<u8>) {
    message(field, value.as_str().unwrap_or_default().as_bytes(), out);
}

pub(crate) fn message(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

fn fixed(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3 | 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(0x80 | u8::try_from(value & 0x7f).unwrap());
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}
