//! Traces: the location of their spans, and assessments.

pub(crate) mod assessments;
pub(crate) mod trace_payloads;
