//! Spans in the OpenTelemetry protocol (OTLP). No I/O.

mod archived_trace;
mod messages;
mod python_json;

pub use archived_trace::{ArchivedTrace, CorruptPayload, Malformed, payload};
