//! Traces.

pub(crate) mod metrics;
pub(crate) mod search;
pub(crate) mod trace_payloads;
