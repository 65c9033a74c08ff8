//! Traces.

pub(crate) mod span_log;
pub(crate) mod trace_payloads;
