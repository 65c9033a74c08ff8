//! Traces.

pub(crate) mod trace_payloads;
