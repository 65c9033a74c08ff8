//! Memory use of a trace of 50,000 spans: little, while it is stored and while it is read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_macros, reason = "a test that cannot say its figures has failed")]

use std::io::{Read as _, Write as _};

use crate::memory::{Server, answer, status};

/// Maximum MiB above an idle server. It would be 190 if the spans of the whole trace were kept while they are added up.
const ONE: usize = 64;

const SPANS: usize = 50_000;

/// Number of spans in a request.
const TOGETHER: usize = 1_000;

const TRACE: &str = "0123456789abcdef0123456789abcdef";

/// A request with spans of 2 KB each; every tenth one has token usage.
fn export(from: usize) -> Vec<u8> {
    let spans: Vec<serde_json::Value> = (from..from + TOGETHER)
        .map(|number| {
            let attribute = |key: &str, value: String| serde_json::json!({"key": key, "value": {"stringValue": value}});
            let mut attributes = vec![
                attribute("mlflow.spanInputs", format!("\"{}\"", "question ".repeat(100))),
                attribute("mlflow.spanOutputs", format!("\"{}\"", "answer ".repeat(100))),
            ];
            if number % 10 == 0 {
                attributes.push(attribute("mlflow.chat.tokenUsage", r#"{"input_tokens":3,"total_tokens":3}"#.into()));
            }
            let start = 1_700_000_000_000_000_000_u64 + number as u64 * 1000;
            let mut span = serde_json::json!({
                "traceId": TRACE, "spanId": format!("{:016x}", number + 1), "name": format!("step {}", number % 100),
                "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 500).to_string(),
                "attributes": attributes,
            });
            if number > 0 {
                span["parentSpanId"] = format!("{:016x}", 1).into();
            }
            span
        })
        .collect();
    let request = serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
    request.to_string().into_bytes()
}

/// Reads a response without keeping it. Returns its first line and the number of its bytes.
fn read(server: &Server, path: &str) -> (String, usize) {
    let mut stream = server.connect();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let (mut buffer, mut first, mut length) = (vec![0; 65_536], String::new(), 0);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            return (first, length);
        }
        if length == 0 {
            first = String::from_utf8_lossy(&buffer[..count.min(100)]).into_owned();
        }
        length += count;
    }
}

#[test]
fn a_trace_of_many_spans_takes_little_memory() {
    let server = Server::start();
    let idle = server.peak();
    for from in (0..SPANS).step_by(TOGETHER) {
        let body = export(from);
        let mut stream = server.connect();
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             x-mlflow-experiment-id: 0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let answer = answer(stream);
        assert_eq!(status(&answer), "200", "{answer}");
    }
    let stored = server.peak() - idle;
    let mut opened = Vec::new();
    for path in [
        format!("/api/3.0/mlflow/traces/get?trace_id=tr-{TRACE}"),
        format!("/ajax-api/3.0/mlflow/get-trace-artifact?request_id=tr-{TRACE}"),
    ] {
        let (first, length) = read(&server, &path);
        assert_eq!(status(&first), "200", "{first}");
        assert!(length > SPANS * 1_600, "{path}: {length} bytes");
        opened.push(server.peak() - idle);
    }
    eprintln!("stored: {stored} MiB, opened: {opened:?} MiB");
    assert!(stored <= ONE && opened.iter().all(|taken| *taken <= ONE), "stored: {stored} MiB, opened: {opened:?} MiB");
}
