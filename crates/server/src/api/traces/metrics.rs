//! Metrics of traces, and correlations of filters.

use ferroflow_model::{
    Result,
    messages::service::{
        CalculateTraceFilterCorrelation, CalculateTraceFilterCorrelationResponse, MetricViewType, QueryTraceMetrics,
        QueryTraceMetricsResponse,
    },
};
use ferroflow_search::{
    trace_metrics,
    traces::{Tiers, tiers},
};
use ferroflow_store::{Scope, TraceCounts, TraceMetricsQuery};

use crate::app::Cx;

pub(crate) async fn query(cx: Cx, scope: Scope, req: QueryTraceMetrics) -> Result<QueryTraceMetricsResponse> {
    let view = req.view_type.unwrap_or(MetricViewType::Traces);
    let tiers = Tiers { assessments: view == MetricViewType::Assessments, ..Tiers::default() };
    cx.check_trace_search(&req.experiment_ids, tiers).await?;
    let query = TraceMetricsQuery {
        query: trace_metrics::parse(view, req.metric_name(), &req.aggregations, &req.dimensions, &req.filters)?,
        view,
        time_interval_seconds: req.time_interval_seconds,
        start_time_ms: req.start_time_ms,
        end_time_ms: req.end_time_ms,
        max_results: req.max_results().into(),
        experiment_ids: req.experiment_ids,
    };
    let data_points = cx.store().query_trace_metrics(&scope, &query).await?;
    Ok(QueryTraceMetricsResponse { data_points, next_page_token: None })
}

pub(crate) async fn correlate(
    cx: Cx,
    scope: Scope,
    req: CalculateTraceFilterCorrelation,
) -> Result<CalculateTraceFilterCorrelationResponse> {
    let filters = [req.filter_string1(), req.filter_string2()];
    let tiers = tiers(&[filters[0], filters[1], req.base_filter()], &[] as &[&str]);
    cx.check_trace_search(&req.experiment_ids, tiers).await?;
    let base = req.base_filter.as_deref();
    let counts = cx.store().correlate_traces(&scope, &req.experiment_ids, filters, base).await?;
    let [npmi, npmi_smoothed] = [0.0, JEFFREYS_PRIOR].map(|smoothing| npmi(counts, smoothing));
    let shown = |count: i64| Some(i32::try_from(count).unwrap_or(i32::MAX));
    Ok(CalculateTraceFilterCorrelationResponse {
        npmi,
        npmi_smoothed,
        filter1_count: shown(counts.first),
        filter2_count: shown(counts.second),
        joint_count: shown(counts.both),
        total_count: shown(counts.total),
    })
}

/// Added to each cell of the table of counts.
const JEFFREYS_PRIOR: f64 = 0.5;

/// The normalized pointwise mutual information of two filters, -1 (never together) to 1 (always together): `ln(p(xy) /
/// (p(x) p(y))) / -ln(p(xy))`. Undefined if a filter matches nothing. Without smoothing, two filters that never match
/// together have -1.
#[expect(clippy::cast_precision_loss, reason = "the reference computes with doubles")]
fn npmi(counts: TraceCounts, smoothing: f64) -> Option<f64> {
    let TraceCounts { total, first, second, both } = counts;
    let cells = [both, first - both, second - both, total - first - second + both];
    if total <= 0 || first == 0 || second == 0 || cells.iter().any(|cell| *cell < 0) {
        return None;
    }
    if both == 0 && smoothing == 0.0 {
        return Some(-1.0);
    }
    if cells[1..] == [0, 0, 0] {
        return Some(1.0);
    }
    let [both, first_only, second_only, neither] = cells.map(|cell| cell as f64 + smoothing);
    let all = (both + first_only + second_only + neither).ln();
    let (first, second, both) = ((both + first_only).ln(), (both + second_only).ln(), both.ln());
    let mutual = (both + all) - (first + second);
    Some((mutual / -(both - all)).clamp(-1.0, 1.0)).filter(|npmi| !npmi.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_npmi(total: i64, first: i64, second: i64, both: i64) -> [Option<f64>; 2] {
        [0.0, JEFFREYS_PRIOR].map(|smoothing| npmi(TraceCounts { total, first, second, both }, smoothing))
    }

    fn assert_near(value: Option<f64>, expected: f64) {
        let value = value.unwrap();
        assert!((value - expected).abs() < 1e-12, "{value} {expected}");
    }

    #[test]
    fn npmi_is_between_never_and_always_together() {
        let [plain, smoothed] = both_npmi(10, 10, 10, 10);
        assert_near(plain, 1.0);
        assert_near(smoothed, 1.0);
        assert_near(both_npmi(10, 5, 5, 5)[0], 1.0);
        assert_near(both_npmi(10, 5, 5, 0)[0], -1.0);
        assert_near(both_npmi(100, 50, 50, 25)[0], 0.0);
        // Computed by the reference.
        let [plain, smoothed] = both_npmi(100, 20, 15, 10);
        assert_near(plain, 0.522_878_745_280_337_6);
        assert!((0.0..plain.unwrap()).contains(&smoothed.unwrap()), "{smoothed:?}");
    }

    #[test]
    fn npmi_of_nothing_is_undefined() {
        for [total, first, second, both] in [[0, 0, 0, 0], [10, 0, 5, 0], [10, 5, 0, 0], [10, 5, 5, 6]] {
            assert_eq!(both_npmi(total, first, second, both), [None, None]);
        }
    }
}
