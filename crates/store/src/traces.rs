//! Traces: the spans that clients send, their location, and assessments.

pub(crate) mod assessments;
pub(crate) mod span_log;
pub(crate) mod trace_payloads;
