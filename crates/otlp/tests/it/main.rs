//! Integration tests of `ferroflow-otlp`: one module per subject, all in one binary, so that the crate is linked once.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not marked as tests")]

mod any_bytes;
mod bounds;
mod differences;
mod encode;
mod merging;
mod prices;
mod reference;

use ferroflow_model::validation;
use ferroflow_otlp::{Batch, Encoding, Limits, Prices, RequestError, Settings};
use serde_json::{Value, json};

/// Reads a request with these bounds.
fn read_within(body: &[u8], encoding: Encoding, limits: Limits) -> Result<Batch, RequestError> {
    let prices = Prices::default();
    Batch::read(body, encoding, &Settings { limits, tags: validation::Limits::default(), prices: &prices })
}

/// Reads a JSON request.
fn read(request: &Value) -> Result<Batch, RequestError> {
    read_within(request.to_string().as_bytes(), Encoding::Json, Limits::default())
}

/// A request with these spans.
fn request(spans: Vec<Value>) -> Value {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
}

/// A span with a valid id and these fields.
fn span(id: u64, fields: Value) -> Value {
    let mut span = json!({
        "traceId": "000102030405060708090a0b0c0d0e0f",
        "spanId": format!("{id:016x}"),
        "name": "s",
        "startTimeUnixNano": "1760000000000000000",
        "endTimeUnixNano": "1760000000005000000",
    });
    let (Value::Object(span_fields), Value::Object(fields)) = (&mut span, fields) else { panic!("objects") };
    span_fields.extend(fields);
    span
}
