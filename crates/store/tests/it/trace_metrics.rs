//! Metrics of traces, spans and assessments.

use ferroflow_model::{
    Error,
    messages::service::{AggregationType, MetricAggregation, MetricViewType},
};
use ferroflow_search::trace_metrics::parse;
use ferroflow_store::{Scope, Store, TraceMetricsQuery};

use crate::{
    support::{Here as _, on_each},
    trace_search::fill,
};

use AggregationType::{Avg, Count, Max, Min, Percentile, Sum};
use MetricViewType::{Assessments, Spans, Traces};

fn query(
    view: MetricViewType,
    metric: &str,
    aggregations: &[(AggregationType, Option<f64>)],
    dimensions: &[&str],
    filters: &[&str],
) -> Result<TraceMetricsQuery, Error> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let aggregations: Vec<MetricAggregation> = aggregations
        .iter()
        .map(|(kind, value)| MetricAggregation { aggregation_type: Some(*kind), percentile_value: *value })
        .collect();
    Ok(TraceMetricsQuery {
        experiment_ids: vec!["0".into(), "7".into()],
        query: parse(view, metric, &aggregations, &texts(dimensions), &texts(filters))?,
        view,
        time_interval_seconds: None,
        start_time_ms: None,
        end_time_ms: None,
        max_results: 1000,
    })
}

/// The groups, such as `alpha: COUNT=2`, with the dimensions and values in the order of their names.
async fn answer(store: &Store, query: &TraceMetricsQuery) -> Result<Vec<String>, Error> {
    let points = store.here().query_trace_metrics(&Scope::everything(), query).await?;
    Ok(points
        .into_iter()
        .map(|point| {
            let dimensions: Vec<String> = point.dimensions.into_values().collect();
            let values: Vec<String> = point.values.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{}: {}", dimensions.join("/"), values.join(" "))
        })
        .collect())
}

/// View, metric, aggregations, dimensions, filters, and the groups that are expected.
type Case<'a> =
    (MetricViewType, &'a str, &'a [(AggregationType, Option<f64>)], &'a [&'a str], &'a [&'a str], &'a [&'a str]);

on_each!(each_metric_is_grouped_and_aggregated);
async fn each_metric_is_grouped_and_aggregated(store: &Store) {
    fill(store).await;
    let count = &[(Count, None)][..];
    let values = &[(Avg, None), (Min, None), (Max, None), (Percentile, Some(50.0))][..];
    let cases: &[Case<'_>] = &[
        (Traces, "trace_count", count, &[], &[], &[": COUNT=5"]),
        (
            Traces,
            "trace_count",
            count,
            &["trace_status"],
            &[],
            &["ERROR: COUNT=1", "IN_PROGRESS: COUNT=1", "OK: COUNT=3"],
        ),
        (Traces, "trace_count", count, &["trace_name"], &["trace.tag.env = 'prod'"], &["alpha: COUNT=2"]),
        (
            Traces,
            "trace_count",
            count,
            &["trace_name", "trace_status"],
            &["trace.status = 'ERROR'"],
            &["beta/ERROR: COUNT=1"],
        ),
        (Traces, "session_count", count, &[], &[], &[": COUNT=1"]),
        (Traces, "latency", values, &[], &[], &[": AVG=42.5 MAX=100 MIN=10 P50.0=30"]),
        (Traces, "input_tokens", &[(Sum, None), (Percentile, Some(99.0))], &[], &[], &[": P99.0=19.8 SUM=31"]),
        (Traces, "output_tokens", &[(Sum, None)], &["trace_name"], &[], &["alpha: SUM=6"]),
        (Traces, "cache_read_input_tokens", &[(Sum, None)], &[], &[], &[]),
        (Traces, "trace_count", count, &[], &["trace.metadata.`mlflow.sourceRun` = 'run-a'"], &[": COUNT=2"]),
        (Traces, "trace_count", count, &[], &["trace.metadata.mlflow.trace.session = 's1'"], &[": COUNT=3"]),
        (Traces, "trace_count", count, &[], &["trace.metadata.user = 'ann'"], &[": COUNT=1"]),
        (Traces, "trace_count", count, &[], &["trace.tag.mlflow.traceName = 'beta'"], &[": COUNT=1"]),
        (
            Traces,
            "trace_count",
            count,
            &[],
            &["trace.metadata.mlflow.trace.cost = '{\"input_cost\": 0.25}'"],
            &[": COUNT=1"],
        ),
        (Spans, "span_count", count, &["span_type"], &[], &["AGENT: COUNT=1", "LLM: COUNT=3", "TOOL: COUNT=1"]),
        (
            Spans,
            "span_count",
            count,
            &["span_name", "span_status"],
            &["span.type = 'LLM'"],
            &["call/ERROR: COUNT=1", "call/OK: COUNT=2"],
        ),
        (Spans, "span_count", count, &[], &["trace.status = 'OK'", "span.name = 'call'"], &[": COUNT=2"]),
        (Spans, "latency", values, &[], &["span.status = 'OK'"], &[": AVG=53.333333333333336 MAX=100 MIN=10 P50.0=50"]),
        (Spans, "total_cost", &[(Sum, None)], &["span_model_name"], &[], &["claude: SUM=1.5", "gpt-4: SUM=3"]),
        (Spans, "total_cost", &[(Avg, None)], &[], &["trace.tag.env = 'prod'"], &[": AVG=1.5"]),
        (
            Assessments,
            "assessment_count",
            count,
            &["assessment_name"],
            &[],
            &["answer: COUNT=1", "i-1: COUNT=1", "quality: COUNT=3", "whole: COUNT=1"],
        ),
        (
            Assessments,
            "assessment_count",
            count,
            &["assessment_value"],
            &["assessment.name = 'quality'", "trace.status = 'OK'"],
            &["\"good\": COUNT=1", "\"ja, sch\\u00f6n\": COUNT=1"],
        ),
        (Assessments, "assessment_count", count, &[], &["assessment.type = 'expectation'"], &[": COUNT=1"]),
        (
            Assessments,
            "assessment_count",
            count,
            &[],
            &["trace.tag.env = 'dev'", "trace.metadata.user = 'ann'"],
            &[": COUNT=2"],
        ),
        (
            Assessments,
            "assessment_value",
            values,
            &["assessment_name"],
            &[],
            &["quality: AVG=0.5 MAX=0.5 MIN=0.5 P50.0=0.5", "whole: AVG=1 MAX=1 MIN=1 P50.0=1"],
        ),
    ];
    for (view, metric, aggregations, dimensions, filters, expected) in cases {
        let query = query(*view, metric, aggregations, dimensions, filters).unwrap();
        assert_eq!(answer(store, &query).await.unwrap(), *expected, "{query:?}");
    }
}

on_each!(times_are_bounded_and_grouped_by_intervals);
async fn times_are_bounded_and_grouped_by_intervals(store: &Store) {
    fill(store).await;
    let count = &[(Count, None)][..];
    let within = |query: TraceMetricsQuery, start, end, interval| TraceMetricsQuery {
        start_time_ms: Some(start),
        end_time_ms: Some(end),
        time_interval_seconds: interval,
        ..query
    };
    let traces = || query(Traces, "trace_count", count, &[], &[]).unwrap();
    let costs = || query(Spans, "total_cost", &[(Sum, None)], &[], &[]).unwrap();
    let spans = || query(Spans, "span_count", count, &[], &[]).unwrap();
    let judged = || query(Assessments, "assessment_count", count, &[], &[]).unwrap();
    let cases: [(TraceMetricsQuery, &[&str]); 11] = [
        (within(traces(), 1000, 2999, None), &[": COUNT=2"]),
        (within(traces(), 5000, 6000, None), &[": COUNT=0"]),
        (within(traces(), i64::MIN, i64::MAX, None), &[": COUNT=5"]),
        (
            within(traces(), 0, 9000, Some(2)),
            &[
                "1970-01-01T00:00:00+00:00: COUNT=1",
                "1970-01-01T00:00:02+00:00: COUNT=3",
                "1970-01-01T00:00:04+00:00: COUNT=1",
            ],
        ),
        // Costs are in the time of their span, whose last millisecond counts; other metrics of spans in that of the trace.
        (within(costs(), 1050, 2000, None), &[": SUM=2"]),
        (within(costs(), 1051, i64::MAX, None), &[": SUM=4"]),
        (within(costs(), i64::MIN, -1, None), &[]),
        (within(costs(), 0, 9000, Some(3600)), &["1970-01-01T00:00:00+00:00: SUM=4.5"]),
        (within(spans(), 1000, 1000, None), &[": COUNT=2"]),
        (
            within(spans(), 0, 9000, Some(2)),
            &[
                "1970-01-01T00:00:00+00:00: COUNT=2",
                "1970-01-01T00:00:02+00:00: COUNT=2",
                "1970-01-01T00:00:04+00:00: COUNT=1",
            ],
        ),
        (
            within(judged(), 2000, 4000, Some(2)),
            &["1970-01-01T00:00:02+00:00: COUNT=3", "1970-01-01T00:00:04+00:00: COUNT=1"],
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(answer(store, &query).await.unwrap(), expected, "{query:?}");
    }
    store.db().batch("UPDATE trace_info SET timestamp_ms = -1500 WHERE request_id = 'tr-1'".into()).await.unwrap();
    let before = within(traces(), -9000, 0, Some(1));
    assert_eq!(answer(store, &before).await.unwrap(), ["1969-12-31T23:59:58+00:00: COUNT=1"]);
    let few =
        TraceMetricsQuery { max_results: 1, ..query(Traces, "trace_count", count, &["trace_status"], &[]).unwrap() };
    assert_eq!(answer(store, &few).await.unwrap(), ["ERROR: COUNT=1"]);
}

on_each!(an_invalid_query_of_metrics_is_refused);
async fn an_invalid_query_of_metrics_is_refused(store: &Store) {
    let count = &[(Count, None)][..];
    let good = || query(Traces, "trace_count", count, &[], &[]).unwrap();
    let bounded = |interval| TraceMetricsQuery {
        start_time_ms: Some(0),
        end_time_ms: Some(1),
        time_interval_seconds: Some(interval),
        ..good()
    };
    for (query, message) in [
        (TraceMetricsQuery { time_interval_seconds: Some(1), ..good() }, "start_time_ms and end_time_ms are required"),
        (bounded(-1), "Invalid value -1 for parameter 'time_interval_seconds'"),
        (bounded(i64::MAX), "Invalid value 9223372036854775807"),
        (TraceMetricsQuery { max_results: -1, ..good() }, "Invalid value -1 for parameter 'max_results'"),
        (TraceMetricsQuery { experiment_ids: vec!["x".into()], ..good() }, "Invalid experiment ID 'x'"),
    ] {
        let error = answer(store, &query).await.unwrap_err();
        assert!(error.message.contains(message), "{error}");
    }
    for (refused, message) in [
        (query(Traces, "nope", count, &[], &[]), "metric_name must be one of ['trace_count', "),
        (
            query(Traces, "latency", count, &[], &[]),
            "Found invalid aggregation_type(s): ['COUNT']. Supported aggregation types: ['AVG', 'MAX', 'MIN', 'PERCENTILE']",
        ),
        (
            query(Traces, "trace_count", count, &["x"], &[]),
            "Found invalid dimension(s): ['x']. Supported dimensions: ['trace_name', 'trace_status']",
        ),
        (query(Traces, "latency", &[(Percentile, None)], &[], &[]), "Percentile value is required"),
        (query(Traces, "latency", &[(Percentile, Some(101.0))], &[], &[]), "must be between 0 and 100, got 101.0"),
        (
            query(Traces, "latency", &[(Avg, Some(5.0))], &[], &[]),
            "only allowed for PERCENTILE aggregation type, got AVG",
        ),
        (
            query(Traces, "trace_count", count, &[], &["span.name = 'x'"]),
            "Filtering by span is only supported for SPANS view type, got TRACES",
        ),
    ] {
        let error = refused.unwrap_err();
        assert!(error.message.contains(message), "{error}");
    }
}

on_each!(metrics_read_traces_by_time_and_their_spans_by_id);
async fn metrics_read_traces_by_time_and_their_spans_by_id(store: &Store) {
    let by_time =
        "SEARCH t USING INDEX index_trace_info_experiment_id_timestamp_ms (experiment_id=? AND timestamp_ms>?";
    let by_trace = "(trace_id=?)";
    let by_start = "SEARCH s USING INDEX idx_spans_cost_exp_time_cover (experiment_id=? AND start_time_unix_nano>?";
    let by_trace_time = "SEARCH a USING INDEX idx_assessments_exp_trace_ts";
    let count = &[(Count, None)][..];
    for (query, parts) in [
        (query(Traces, "trace_count", count, &["trace_status"], &[]), &[by_time][..]),
        (query(Traces, "latency", &[(Percentile, Some(99.0))], &[], &[]), &[by_time]),
        (query(Spans, "span_count", count, &["span_name"], &["span.type = 'TOOL'"]), &[by_time, by_trace]),
        (query(Spans, "latency", &[(Avg, None)], &["span_name"], &["span.status = 'OK'"]), &[by_time, by_trace]),
        (query(Spans, "total_cost", &[(Sum, None)], &["span_model_name"], &[]), &[by_start]),
        (query(Assessments, "assessment_count", count, &["assessment_name"], &[]), &[by_trace_time]),
    ] {
        let query = TraceMetricsQuery {
            experiment_ids: vec!["0".into()],
            start_time_ms: Some(1000),
            end_time_ms: Some(2000),
            ..query.unwrap()
        };
        let plan = store.here().explain_trace_metrics(&Scope::everything(), &query).await.unwrap().join("\n");
        for part in parts {
            // PostgreSQL reads the few rows of a test as a whole.
            let part = store.db().dialect().pick("Aggregate", part);
            assert!(plan.contains(part), "{part}\n{plan}");
        }
    }
}

on_each!(metrics_of_few_traces_read_these_by_id);
async fn metrics_of_few_traces_read_these_by_id(store: &Store) {
    fill(store).await;
    let count = &[(Count, None)][..];
    let by_id = store.db().dialect().pick("trace_info_pk", "sqlite_autoindex_trace_info_1 (request_id=?");
    let by_trace = "index_assessments_trace_id_created_timestamp";
    for (query, index) in [
        (query(Traces, "trace_count", count, &["trace_status"], &["trace.tag.env = 'prod'"]), by_id),
        (query(Traces, "latency", &[(Avg, None)], &[], &["trace.metadata.user = 'ann'"]), by_id),
        (query(Spans, "span_count", count, &["span_name"], &["trace.tag.env = 'prod'"]), by_id),
        (query(Spans, "total_cost", &[(Sum, None)], &[], &["trace.metadata.user = 'ann'"]), by_id),
        (query(Assessments, "assessment_count", count, &[], &["trace.tag.env = 'prod'"]), by_trace),
    ] {
        let query = TraceMetricsQuery {
            experiment_ids: vec!["0".into()],
            start_time_ms: Some(1000),
            end_time_ms: Some(2000),
            ..query.unwrap()
        };
        let plan = store.here().explain_trace_metrics(&Scope::everything(), &query).await.unwrap().join("\n");
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{query:?}\n{plan}");
    }
}
