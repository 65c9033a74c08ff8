//! A span as the message `opentelemetry.proto.trace.v1.Span` in protobuf JSON, the form of `traces/get`.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferroflow_model::python::Style;

use super::{
    messages::{AnyValue, KeyValue, Value},
    write::{self, Malformed, Purpose},
};

const STYLE: Style = Style { comma: ",", colon: ":", ascii: false };

/// Converts a span from the form in which it is stored. Fields with default values are left out.
///
/// # Errors
/// It is not a span.
pub fn span_message(content: &str) -> Result<String, Malformed> {
    let span = write::span(content, Purpose::Answer)?;
    let mut out = Writer::default();
    out.open();
    out.bytes("trace_id", &span.trace_id);
    out.bytes("span_id", &span.span_id);
    out.bytes("parent_span_id", &span.parent_span_id);
    out.text("name", &span.name);
    out.number("start_time_unix_nano", span.start_time_unix_nano);
    out.number("end_time_unix_nano", span.end_time_unix_nano);
    out.pairs("attributes", &span.attributes);
    out.list("events", &span.events, |out, event| {
        out.open();
        out.number("time_unix_nano", event.time_unix_nano);
        out.text("name", &event.name);
        out.pairs("attributes", &event.attributes);
        out.close();
    });
    out.list("links", &span.links, |out, link| {
        out.open();
        out.bytes("trace_id", &link.trace_id);
        out.bytes("span_id", &link.span_id);
        out.pairs("attributes", &link.attributes);
        out.close();
    });
    if let Some(status) = &span.status {
        out.name("status");
        out.open();
        out.text("message", &status.message);
        match status.code {
            1 => out.text("code", "STATUS_CODE_OK"),
            2 => out.text("code", "STATUS_CODE_ERROR"),
            _ => {}
        }
        out.close();
    }
    out.close();
    Ok(out.json)
}

/// Writes JSON, with commas where they belong.
#[derive(Default)]
struct Writer {
    json: String,
}

impl Writer {
    fn open(&mut self) {
        self.json.push('{');
    }

    fn close(&mut self) {
        self.json.push('}');
    }

    /// The name of a field, behind a comma unless it is the first one.
    fn name(&mut self, name: &str) {
        if !self.json.ends_with('{') {
            self.json.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(self.json, "\"{name}\":");
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.name(name);
            let _ = write!(self.json, "\"{}\"", STANDARD.encode(bytes));
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.name(name);
            STYLE.text(text, &mut self.json);
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        if number != 0 {
            self.name(name);
            let _ = write!(self.json, "{number}");
        }
    }

    fn list<T>(&mut self, name: &str, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        if items.is_empty() {
            return;
        }
        self.name(name);
        self.json.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.json.push(',');
            }
            write(self, item);
        }
        self.json.push(']');
    }

    fn pairs(&mut self, name: &str, pairs: &[KeyValue]) {
        self.list(name, pairs, |out, pair| {
            out.open();
            out.text("key", &pair.key);
            if let Some(value) = &pair.value {
                out.name("value");
                out.any(value);
            }
            out.close();
        });
    }

    fn any(&mut self, any: &AnyValue) {
        self.open();
        match &any.value {
            None => {}
            // A field of a oneof is written with its default value too.
            Some(Value::Text(text)) => {
                self.name("string_value");
                STYLE.text(text, &mut self.json);
            }
            Some(Value::Bool(value)) => {
                self.name("bool_value");
                let _ = write!(self.json, "{value}");
            }
            Some(Value::Int(number)) => {
                self.name("int_value");
                let _ = write!(self.json, "{number}");
            }
            Some(Value::Double(number)) => {
                self.name("double_value");
                self.double(*number);
            }
            Some(Value::Array(array)) => {
                self.name("array_value");
                self.open();
                self.list("values", &array.values, Self::any);
                self.close();
            }
            Some(Value::KeyValues(list)) => {
                self.name("kvlist_value");
                self.open();
                self.pairs("values", &list.values);
                self.close();
            }
            Some(Value::Bytes(bytes)) => {
                self.name("bytes_value");
                let _ = write!(self.json, "\"{}\"", STANDARD.encode(bytes));
            }
        }
        self.close();
    }

    /// Numbers that JSON does not have are texts.
    fn double(&mut self, number: f64) {
        let text = match number {
            n if n.is_nan() => "\"NaN\"".to_owned(),
            n if n.is_infinite() => if n > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }.to_owned(),
            n => ferroflow_model::number::float_repr(n),
        };
        self.json.push_str(&text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Tree, json};

    use super::*;

    fn stored() -> Tree {
        json!({
            "trace_id": "AQEBAQEBAQEBAQEBAQEBAQ==", "span_id": "AAAAAAAAAAE=", "parent_span_id": null,
            "name": "größe", "start_time_unix_nano": 5, "end_time_unix_nano": 9,
            "events": [{"name": "e", "time_unix_nano": 6, "attributes": {"a": [1, 2.5, null], "b": {"c": "d"}, "x": ""}}],
            "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
            "attributes": {
                "mlflow.traceRequestId": "\"tr-x\"",
                "mlflow.spanInputs": "{\"b\": 1, \"a\": [NaN, 1e+16, -2, true, null, \"模\", {}, []], \"inf\": Infinity}",
                "mlflow.spanOutputs": "\"\"", "empty": "", "plain": "not json", "z": "false", "num": 5,
            },
            "links": [
                {"trace_id": "tr-02020202020202020202020202020202", "span_id": "0303030303030303", "attributes": null},
                {"trace_id": "tr-02020202020202020202020202020202", "span_id": "0303030303030303", "attributes": {"n": 1}},
            ],
        })
    }

    fn message(stored: &Tree) -> Tree {
        serde_json::from_str(&span_message(&stored.to_string()).unwrap()).unwrap()
    }

    // What `message_to_json(span.to_otel_proto())` of the reference returns.
    #[test]
    fn a_span_is_the_references_message() {
        let expected = json!({
            "trace_id": "AQEBAQEBAQEBAQEBAQEBAQ==", "span_id": "AAAAAAAAAAE=", "name": "größe",
            "start_time_unix_nano": 5, "end_time_unix_nano": 9,
            "attributes": [
                {"key": "empty"},
                {"key": "mlflow.spanInputs", "value": {"kvlist_value": {"values": [
                    {"key": "b", "value": {"int_value": 1}},
                    {"key": "a", "value": {"array_value": {"values": [
                        {"double_value": "NaN"}, {"double_value": 1e16}, {"int_value": -2}, {"bool_value": true}, {},
                        {"string_value": "模"}, {"kvlist_value": {}}, {"array_value": {}},
                    ]}}},
                    {"key": "inf", "value": {"double_value": "Infinity"}},
                ]}}},
                {"key": "mlflow.spanOutputs", "value": {"string_value": ""}},
                {"key": "mlflow.traceRequestId", "value": {"string_value": "tr-x"}},
                {"key": "num", "value": {"int_value": 5}},
                {"key": "plain", "value": {"string_value": "not json"}},
                {"key": "z", "value": {"bool_value": false}},
            ],
            "events": [{"time_unix_nano": 6, "name": "e", "attributes": [
                {"key": "a", "value": {"array_value": {"values": [{"int_value": 1}, {"double_value": 2.5}, {}]}}},
                {"key": "b", "value": {"kvlist_value": {"values": [{"key": "c", "value": {"string_value": "d"}}]}}},
                {"key": "x", "value": {"string_value": ""}},
            ]}],
            "links": [
                {"trace_id": "AgICAgICAgICAgICAgICAg==", "span_id": "AwMDAwMDAwM="},
                {"trace_id": "AgICAgICAgICAgICAgICAg==", "span_id": "AwMDAwMDAwM=",
                 "attributes": [{"key": "n", "value": {"int_value": 1}}]},
            ],
            "status": {"message": "no", "code": "STATUS_CODE_ERROR"},
        });
        assert_eq!(message(&stored()), expected);
    }

    #[test]
    fn defaults_are_left_out() {
        let mut span = stored();
        for (path, value) in [
            ("/name", json!("")),
            ("/end_time_unix_nano", json!(null)),
            ("/parent_span_id", json!("AAAAAAAAAAI=")),
            ("/status", json!({"code": "STATUS_CODE_UNSET", "message": ""})),
            ("/events", json!([])),
            ("/links", json!([])),
            ("/attributes", json!({"mlflow.traceRequestId": "\"tr-x\""})),
        ] {
            *span.pointer_mut(path).unwrap() = value;
        }
        let expected = json!({
            "trace_id": "AQEBAQEBAQEBAQEBAQEBAQ==", "span_id": "AAAAAAAAAAE=", "parent_span_id": "AAAAAAAAAAI=",
            "start_time_unix_nano": 5, "status": {},
            "attributes": [{"key": "mlflow.traceRequestId", "value": {"string_value": "tr-x"}}],
        });
        assert_eq!(message(&span), expected);
    }

    #[test]
    fn a_span_of_a_client_before_mlflow_3_is_read() {
        let old = json!({
            "name": "root", "context": {"trace_id": "0x01010101010101010101010101010101", "span_id": "0x1"},
            "parent_id": null, "start_time": 5, "end_time": 9, "status_code": "OK", "status_message": "",
            "attributes": {"mlflow.traceRequestId": "\"0123\"", "mlflow.spanType": "\"LLM\""},
            "events": [{"name": "e", "timestamp": 6, "attributes": {"a": 1}}],
        });
        let expected = json!({
            "trace_id": "AQEBAQEBAQEBAQEBAQEBAQ==", "span_id": "AAAAAAAAAAE=", "name": "root",
            "start_time_unix_nano": 5, "end_time_unix_nano": 9, "status": {"code": "STATUS_CODE_OK"},
            "attributes": [
                {"key": "mlflow.spanType", "value": {"string_value": "LLM"}},
                {"key": "mlflow.traceRequestId", "value": {"string_value": "0123"}},
            ],
            "events": [{"time_unix_nano": 6, "name": "e", "attributes": [{"key": "a", "value": {"int_value": 1}}]}],
        });
        assert_eq!(message(&old), expected);
    }

    #[test]
    fn what_an_archive_refuses_is_still_answered() {
        let mut span = stored();
        span["attributes"] = json!({
            "mlflow.traceRequestId": "\"tr-x\"",
            "a": "[92233720368547758080]",
            "deep": "[".repeat(60) + &"]".repeat(60),
            "deeper": "[".repeat(100) + &"]".repeat(100),
        });
        let found = message(&span);
        let number = json!({"array_value": {"values": [{"double_value": 92_233_720_368_547_758_080.0}]}});
        assert_eq!(found["attributes"][0]["value"], number);
        assert_eq!(found["attributes"][1]["value"]["string_value"], "[".repeat(60) + &"]".repeat(60));
        assert_eq!(found["attributes"][2]["value"]["string_value"], "[".repeat(100) + &"]".repeat(100));
        assert_eq!(span_message("{}"), Err(Malformed));
        assert_eq!(span_message(""), Err(Malformed));
    }
}
