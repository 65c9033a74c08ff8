//! Traces and their assessments.

pub(crate) mod assessments;
pub(crate) mod full_traces;
pub(crate) mod metrics;
pub(crate) mod search;
pub(crate) mod span_log;
pub(crate) mod trace_payloads;
#[expect(clippy::module_inception, reason = "the resource has the name of its family")]
pub(crate) mod traces;
