//! Benchmarks of reading requests: `cargo bench -p ferroflow-otlp`.

#![allow(clippy::disallowed_macros, clippy::unwrap_used, reason = "figures that are not printed are no figures")]

use std::{hint::black_box, time::Instant};

use ferroflow_model::validation;
use ferroflow_otlp::{Batch, Encoding, Limits, Prices, Rates, Settings};
use serde_json::{Value, json};

#[path = "../tests/it/encode.rs"]
mod encode;

const SPANS: u32 = 100;

/// Prints the minimum time for a span in microseconds, which is the least disturbed by other processes.
fn measure(name: &str, body: &[u8], encoding: Encoding, settings: &Settings<'_>) {
    let best = (0..200)
        .map(|_| {
            let start = Instant::now();
            let batch = black_box(Batch::read(body, encoding, settings)).unwrap();
            assert_eq!((batch.spans.len(), batch.fault), (SPANS as usize, None));
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    println!("{name:40} {:9.2} µs", best.as_secs_f64() * 1e6 / f64::from(SPANS));
}

/// A request of spans with attributes in JSON, five of them in a trace.
fn request(attributes: &Value) -> Value {
    let spans = (0..SPANS).map(|index| {
        let parent = if index % 5 == 0 { String::new() } else { format!("{:016x}", index / 5 * 5 + 1) };
        json!({
            "traceId": format!("{:032x}", index / 5 + 1),
            "spanId": format!("{:016x}", index + 1),
            "parentSpanId": parent,
            "name": "chat gpt-4o",
            "startTimeUnixNano": "1760000000000000000",
            "endTimeUnixNano": "1760000001000000000",
            "attributes": attributes,
        })
    });
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "agent"}}]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans.collect::<Vec<_>>()}]}]})
}

fn main() {
    let mut prices = Prices::default();
    prices.insert("openai", "gpt-4o", Rates { input: Some(2.5e-6), output: Some(1e-5), ..Rates::default() });
    let settings = Settings { limits: Limits::default(), tags: validation::Limits::default(), prices: &prices };
    let text = |key: &str, value: String| json!({"key": key, "value": {"stringValue": value}});
    let count = |key: &str, value: i64| json!({"key": key, "value": {"intValue": value.to_string()}});
    let message =
        |role: &str| json!([{"role": role, "parts": [{"type": "text", "content": "All is well. ".repeat(65)}]}]);
    let genai = json!([
        text("gen_ai.operation.name", "chat".into()),
        text("gen_ai.provider.name", "openai".into()),
        text("gen_ai.request.model", "gpt-4o".into()),
        text("gen_ai.response.id", "chatcmpl-1".into()),
        text("gen_ai.conversation.id", "conversation".into()),
        text("gen_ai.input.messages", message("user").to_string()),
        text("gen_ai.output.messages", message("assistant").to_string()),
        count("gen_ai.usage.input_tokens", 200),
        count("gen_ai.usage.output_tokens", 100),
        count("server.port", 443),
    ]);
    let plain = json!([text("note", "All is well. ".repeat(150)), count("http.status_code", 200)]);
    for (name, attributes) in [("2 KB in messages", genai), ("2 KB of text", plain)] {
        let request = request(&attributes);
        measure(&format!("{name}, protobuf"), &encode::request(&request), Encoding::Protobuf, &settings);
        measure(&format!("{name}, JSON"), request.to_string().as_bytes(), Encoding::Json, &settings);
    }
}
