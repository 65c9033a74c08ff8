//! Traces: their rows and children, the location of their spans, and assessments.

pub(crate) mod assessment_rows;
pub(crate) mod assessments;
pub(crate) mod trace_filter;
pub(crate) mod trace_infos;
pub(crate) mod trace_metrics;
pub(crate) mod trace_payloads;
pub(crate) mod trace_search;
