//! Traces: their rows and children, the location of their spans, and assessments.

pub(crate) mod assessment_rows;
pub(crate) mod assessments;
pub(crate) mod completed_sessions;
pub(crate) mod keys;
pub(crate) mod new_assessment;
pub(crate) mod rollup_queue;
pub(crate) mod rollups;
pub(crate) mod run_assessments;
pub(crate) mod span_log;
pub(crate) mod trace_columns;
pub(crate) mod trace_delete;
pub(crate) mod trace_few;
pub(crate) mod trace_filter;
pub(crate) mod trace_infos;
pub(crate) mod trace_links;
pub(crate) mod trace_metrics;
pub(crate) mod trace_payloads;
pub(crate) mod trace_search;
pub(crate) mod trace_start;
pub(crate) mod trace_tags;
pub(crate) mod trace_v2;
pub(crate) mod trace_window;
