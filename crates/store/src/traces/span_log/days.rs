//! The days whose rollups a batch makes wrong.

use std::collections::BTreeMap;

use ferroflow_model::Result;
use ferroflow_otlp::TraceId;

use super::merge::Merged;
use crate::{
    db::{DbError, Tx},
    traces::{rollup_queue::Invalidation, rollups::Partition},
};

/// Of each trace the day on which it begins, before and after the batch; of each span as well.
pub(super) async fn of(
    tx: &Tx,
    traces: &BTreeMap<TraceId, Merged<'_>>,
    invalidation: &Invalidation,
) -> Result<Vec<Partition>, DbError> {
    let mut days = Vec::new();
    // Spans of which an earlier version may be on another day.
    let (mut old_traces, mut repeated) = (Vec::new(), Vec::new());
    for trace in traces.values() {
        let experiment = trace.experiment;
        if let Some(stored) = &trace.stored {
            days.extend(invalidation.of_trace(experiment, stored.timestamp_ms));
            let first = stored.first_ns.and_then(|first| i64::try_from(first / 1_000_000).ok());
            if first.is_some_and(|first| invalidation.concerns(first)) {
                old_traces.push(trace.id.clone());
                repeated.extend(trace.spans.keys().map(ToString::to_string));
            }
        }
        if trace.stored.as_ref().is_none_or(|stored| !stored.is_finalized) {
            days.extend(invalidation.of_trace(experiment, trace.delta.start_ms));
        }
        days.extend(trace.spans.values().filter_map(|span| invalidation.of_span(experiment, span.start_ns)));
    }
    days.extend(invalidation.of_some_spans(tx, old_traces, repeated).await?);
    Ok(days)
}
