//! Rollups of traces: metrics are the same with and without them, and every write to a day puts it into the queue.

use ferroflow_model::{
    Error, clock,
    messages::{
        assessments::{Assessment, Feedback},
        service::{AggregationType, MetricAggregation, MetricViewType, TraceStatus},
    },
    wire::Timestamp,
};
use ferroflow_search::trace_metrics::parse;
use ferroflow_store::{
    AssessmentChange, Day, DoomedTraces, PartitionOutcome, RollupFamily, RollupPartition, Scope, Store, StoreOptions,
    TraceEvent, TraceMetricsQuery,
    db::{BackendUri, Value, dialect::Dialect},
};
use serde_json::json;

use crate::{
    support::{
        Here as _, on_each, run,
        spans::{START, log, parent, span, trace_id},
    },
    traces::{info, rows},
};

use AggregationType::{Avg, Count, Max, Min, Percentile, Sum};
use MetricViewType::{Assessments, Spans, Traces};

const DAY: i64 = 86_400_000;

/// The first day with traces.
const FIRST: i64 = START.cast_signed() / DAY;

/// A family on a day after the first one.
fn partition(day: i64, family: RollupFamily) -> RollupPartition {
    RollupPartition { experiment: 0, day: Day::of_ms((FIRST + day) * DAY).unwrap(), family }
}

async fn open(uri: &BackendUri, rollups: bool) -> Store {
    Store::open(uri, StoreOptions { rollups, ..StoreOptions::default() }).await.unwrap()
}

/// Traces on six days; on the fourth one there is none, on the fifth one they have no tokens and no costs.
async fn fill(store: &Store) {
    let mut sql =
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active');".to_owned();
    for day in [0, 1, 2, 4, 5] {
        for number in 0..12_i64 {
            let id = format!("tr-{day}-{number}");
            let ms = (FIRST + day) * DAY + number * 7_000_000 + number;
            let status = if number % 5 == 0 { "ERROR" } else { "OK" };
            let experiment = if number == 11 { 7 } else { 0 };
            let has_sums = day != 4 && number % 3 != 0;
            let tokens = if has_sums { (number * 10 + day).to_string() } else { "NULL".to_owned() };
            let latency = if number == 4 { "NULL".to_owned() } else { (number * number).to_string() };
            sql += &format!(
                "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status, \
                 input_tokens, total_tokens) VALUES ('{id}', {experiment}, {ms}, {latency}, '{status}', {tokens}, 3);"
            );
            let cost = if has_sums { format!("{number}.25") } else { "NULL".to_owned() };
            let model = if number % 2 == 0 {
                "'gpt'"
            } else if number == 7 {
                "NULL"
            } else {
                "'claude'"
            };
            let provider = if number < 6 { "'one'" } else { "NULL" };
            // The last one begins on the next day.
            let ns = (ms + if number == 10 { DAY } else { 0 }) * 1_000_000 + 999_999;
            sql += &format!(
                "INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, \
                 end_time_unix_nano, content, total_cost, model_name, model_provider) VALUES \
                 ('{id}', {experiment}, 's', 'OK', {ns}, {ns}, '{{}}', {cost}, {model}, {provider});"
            );
            let (value, valid) =
                if number % 4 == 0 { ("NULL".to_owned(), number != 8) } else { (format!("{number}.5"), true) };
            sql += &format!(
                "INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp, \
                 last_updated_timestamp, source_type, valid, experiment_id, trace_timestamp_ms, aggregate_value, \
                 is_numeric_value) VALUES ('a-{day}-{number}', '{id}', 'q', 'feedback', 'null', 1, 1, 'HUMAN', {valid}, \
                 {experiment}, {ms}, {value}, TRUE);"
            );
        }
    }
    store.db().batch(sql).await.unwrap();
}

fn query(
    view: MetricViewType,
    metric: &str,
    aggregations: &[(AggregationType, Option<f64>)],
    dimensions: &[&str],
) -> TraceMetricsQuery {
    let aggregations: Vec<MetricAggregation> = aggregations
        .iter()
        .map(|(kind, value)| MetricAggregation { aggregation_type: Some(*kind), percentile_value: *value })
        .collect();
    let dimensions: Vec<String> = dimensions.iter().map(|text| (*text).to_owned()).collect();
    TraceMetricsQuery {
        experiment_ids: vec!["0".into()],
        query: parse(view, metric, &aggregations, &dimensions, &[]).unwrap(),
        view,
        time_interval_seconds: None,
        start_time_ms: Some(FIRST * DAY - 5),
        end_time_ms: Some((FIRST + 5) * DAY + 30_000_000),
        max_results: 1000,
    }
}

/// All metrics that may be served by rollups, and some that may not.
fn queries() -> Vec<TraceMetricsQuery> {
    let sums = &[(Sum, None), (Avg, None), (Min, None), (Max, None)][..];
    let values = &[(Avg, None), (Min, None), (Max, None)][..];
    let with_percentiles =
        &[(Avg, None), (Percentile, Some(50.0)), (Percentile, Some(90.0)), (Percentile, Some(99.0))][..];
    let count = &[(Count, None)][..];
    let mut all = vec![
        query(Traces, "trace_count", count, &[]),
        query(Traces, "trace_count", count, &["trace_status"]),
        query(Traces, "trace_count", count, &["trace_name"]),
        query(Traces, "session_count", count, &[]),
        query(Traces, "latency", values, &[]),
        query(Traces, "latency", with_percentiles, &[]),
        query(Traces, "latency", &[(Percentile, Some(75.0))], &[]),
        query(Traces, "input_tokens", sums, &[]),
        query(Traces, "total_tokens", with_percentiles, &[]),
        query(Traces, "output_tokens", sums, &[]),
        query(Spans, "total_cost", sums, &[]),
        query(Spans, "total_cost", sums, &["span_model_name"]),
        query(Spans, "total_cost", sums, &["span_model_provider"]),
        query(Spans, "total_cost", sums, &["span_model_name", "span_model_provider"]),
        query(Spans, "total_cost", sums, &["span_model_provider", "span_model_name"]),
        query(Spans, "input_cost", sums, &[]),
        query(Spans, "span_count", count, &[]),
        query(Assessments, "assessment_count", count, &[]),
        query(Assessments, "assessment_value", values, &[]),
        query(Assessments, "assessment_value", values, &["assessment_name"]),
    ];
    for seconds in [86_400, 3600] {
        let bucketed = all.iter().filter(|query| query.time_interval_seconds.is_none()).cloned();
        let bucketed: Vec<_> =
            bucketed.map(|query| TraceMetricsQuery { time_interval_seconds: Some(seconds), ..query }).collect();
        all.extend(bucketed);
    }
    let few: Vec<_> = all.iter().cloned().map(|query| TraceMetricsQuery { max_results: 3, ..query }).collect();
    all.extend(few);
    let two = TraceMetricsQuery { experiment_ids: vec!["0".into(), "7".into()], ..all[0].clone() };
    all.push(two);
    all
}

/// The groups with their values, rounded: sums of doubles depend on the order.
async fn answer(store: &Store, query: &TraceMetricsQuery) -> Result<Vec<String>, Error> {
    let points = store.here().query_trace_metrics(&Scope::everything(), query).await?;
    let value = |(name, value): (String, f64)| format!("{name}={value:.6}");
    Ok(points
        .into_iter()
        .map(|point| {
            let dimensions: Vec<String> =
                point.dimensions.into_iter().map(|(name, of)| format!("{name}={of}")).collect();
            let values: Vec<String> = point.values.into_iter().map(value).collect();
            format!("{}: {}", dimensions.join("/"), values.join(" "))
        })
        .collect())
}

async fn assert_same(with: &Store, without: &Store, when: &str) {
    for query in queries() {
        let expected = answer(without, &query).await.unwrap();
        assert_eq!(answer(with, &query).await.unwrap(), expected, "{when}: {query:?}");
    }
}

/// Builds what is in the queue, and what is new.
async fn build_all(store: &Store) -> Vec<PartitionOutcome> {
    let mut outcomes = Vec::new();
    for partition in store.upkeep().queued_rollups(None, 1000).await.unwrap() {
        outcomes.push(store.upkeep().build_rollups(partition).await.unwrap());
    }
    for family in RollupFamily::ALL {
        for experiment in store.upkeep().experiments_without_rollups(family).await.unwrap() {
            for partition in store.upkeep().days_without_rollups(family, experiment, 1000).await.unwrap() {
                outcomes.push(store.upkeep().build_rollups(partition).await.unwrap());
            }
        }
    }
    outcomes
}

/// The queue, such as `0/1 span_cost`: experiment, day after the first one, and family.
async fn queue(store: &Store) -> Vec<String> {
    let queued = store.upkeep().queued_rollups(None, 1000).await.unwrap();
    let day = |partition: &RollupPartition| partition.day.start_ms() / DAY - FIRST;
    queued.iter().map(|of| format!("{}/{} {}", of.experiment, day(of), of.family.name())).collect()
}

on_each!(metrics_are_the_same_with_and_without_rollups);
async fn metrics_are_the_same_with_and_without_rollups(uri: &BackendUri) {
    let (with, without) = (open(uri, true).await, open(uri, false).await);
    fill(&without).await;
    assert_same(&with, &without, "without any").await;
    let first = with.upkeep().days_without_rollups(RollupFamily::TraceMetric, 0, 2).await.unwrap();
    for partition in first {
        assert_eq!(with.upkeep().build_rollups(partition).await.unwrap(), PartitionOutcome::Built);
    }
    assert_same(&with, &without, "with those of two days").await;
    assert!(!build_all(&with).await.is_empty());
    assert!(build_all(&with).await.is_empty(), "all are built");
    assert_same(&with, &without, "with all").await;

    let served = query(Traces, "trace_count", &[(Count, None)], &[]);
    let before = answer(&with, &served).await.unwrap();
    let change = "UPDATE sql_trace_metric_daily_rollups SET sample_count = sample_count + 1000 \
                  WHERE metric_name = 'trace_count' AND grouping_set = 'global' AND experiment_id = 0";
    with.db().batch(change.to_owned()).await.unwrap();
    assert_ne!(answer(&with, &served).await.unwrap(), before, "the rollups are read");
    // The sums by status do not add up to the whole any more.
    let by_status = query(Traces, "trace_count", &[(Count, None)], &["trace_status"]);
    assert_eq!(answer(&with, &by_status).await.unwrap(), answer(&without, &by_status).await.unwrap());
    with.db().batch(change.replace("+ 1000", "- 1000")).await.unwrap();

    with.upkeep().queue_rollups(partition(1, RollupFamily::TraceMetric)).await.unwrap();
    with.db().batch(change.to_owned()).await.unwrap();
    let day = TraceMetricsQuery {
        start_time_ms: Some((FIRST + 1) * DAY),
        end_time_ms: Some((FIRST + 2) * DAY - 1),
        ..served.clone()
    };
    assert_eq!(answer(&with, &day).await.unwrap(), answer(&without, &day).await.unwrap(), "a queued day is not served");
    with.db().batch(change.replace("+ 1000", "- 1000")).await.unwrap();
    assert_eq!(build_all(&with).await, [PartitionOutcome::Built]);
    with.db()
        .batch("DELETE FROM trace_info WHERE timestamp_ms < ".to_owned() + &((FIRST + 1) * DAY).to_string())
        .await
        .unwrap();
    for family in RollupFamily::ALL {
        let emptied = with.upkeep().build_rollups(partition(0, family)).await.unwrap();
        assert_eq!(emptied, PartitionOutcome::Emptied);
    }
    // A span of a deleted trace began on the next day.
    with.upkeep().build_rollups(partition(1, RollupFamily::SpanCost)).await.unwrap();
    assert_same(&with, &without, "with a day that is empty").await;
    let deleted = with.upkeep().delete_rollups().await.unwrap();
    assert!(deleted.traces > 0 && deleted.span_costs > 0 && deleted.assessments > 0, "{deleted:?}");
    assert!(!with.upkeep().has_rollups().await.unwrap());
}

fn feedback(value: bool) -> Assessment {
    Assessment {
        assessment_name: Some("good".into()),
        feedback: Some(Feedback { value: Some(json!(value)), error: None }),
        ..Assessment::default()
    }
}

on_each!(each_write_to_an_old_day_queues_it, flavor = "multi_thread");
async fn each_write_to_an_old_day_queues_it(uri: &BackendUri) {
    let (store, without) = (&open(uri, true).await, open(uri, false).await);
    store
        .db()
        .batch("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active')".into())
        .await
        .unwrap();
    let all = ["0/0 assessment", "0/0 span_cost", "0/0 trace_metric"];
    let here = store.here();

    log(store, &[span(1, 1, &json!({}))]).await.unwrap();
    assert_changed(store, &all, "spans of a new trace").await;
    log(store, &[span(1, 1, &json!({}))]).await.unwrap();
    assert_changed(store, &all, "a repetition").await;
    let next_day = |id: u64| {
        let ns = |ms: i64| (ms * 1_000_000).to_string();
        let (start, end) = ((FIRST + 1) * DAY + 5, (FIRST + 1) * DAY + 9);
        span(1, id, &json!({"parentSpanId": parent(1), "startTimeUnixNano": ns(start), "endTimeUnixNano": ns(end)}))
    };
    log(store, &[next_day(2)]).await.unwrap();
    // As in the reference, the day of a late span counts as one on which the trace may begin.
    let late = ["0/0 assessment", "0/0 trace_metric", "0/1 assessment", "0/1 span_cost", "0/1 trace_metric"];
    assert_changed(store, &late, "a late span").await;
    log(store, &[span(1, 2, &json!({"parentSpanId": parent(1)}))]).await.unwrap();
    assert_changed(
        store,
        &["0/0 assessment", "0/0 span_cost", "0/0 trace_metric", "0/1 span_cost"],
        "a span that moves to another day",
    )
    .await;
    log(store, &[next_day(3)]).await.unwrap();
    build_all(store).await;

    let id = &trace_id(1);
    let made = here.create_assessment(id, feedback(true)).await.unwrap();
    assert_changed(store, &["0/0 assessment"], "an assessment").await;
    let change = AssessmentChange { valid: Some(false), ..AssessmentChange::default() };
    here.update_assessment(id, made.assessment_id(), change).await.unwrap();
    assert_changed(store, &["0/0 assessment"], "a changed assessment").await;
    here.delete_assessment(id, made.assessment_id()).await.unwrap();
    assert_changed(store, &["0/0 assessment"], "a deleted assessment").await;
    here.delete_assessment(id, made.assessment_id()).await.unwrap();
    assert_changed(store, &[], "an assessment that does not exist").await;
    let run_id = run(store, "0").await;
    let of_run = |run_id: &str| Assessment {
        metadata: [("mlflow.assessment.sourceRunId".to_owned(), run_id.to_owned())].into(),
        ..feedback(true)
    };
    here.create_assessment(id, of_run(&run_id)).await.unwrap();
    build_all(store).await;
    here.delete_run(&run_id).await.unwrap();
    assert_changed(store, &["0/0 assessment"], "a deleted run").await;

    let mut started = info("tr-v3", "0");
    started.request_time = Some(Timestamp::from_millis((FIRST + 2) * DAY));
    here.start_trace(started.clone()).await.unwrap();
    assert_changed(store, &["0/2 assessment", "0/2 trace_metric"], "a started trace").await;
    let mut moved = info(id, "7");
    moved.request_time = Some(Timestamp::from_millis((FIRST + 3) * DAY));
    here.start_trace(moved).await.unwrap();
    let expected = [
        "0/0 assessment",
        "0/0 span_cost",
        "0/0 trace_metric",
        "0/1 span_cost",
        "7/0 span_cost",
        "7/1 span_cost",
        "7/3 assessment",
        "7/3 trace_metric",
    ];
    assert_changed(store, &expected, "a trace that is moved").await;

    let event = TraceEvent { timestamp_ms: (FIRST + 4) * DAY, ..TraceEvent::default() };
    let v2 = here.start_trace_v2("0", event.clone()).await.unwrap();
    assert_eq!(queue(store).await, ["0/4 trace_metric"]);
    assert_eq!(build_all(store).await, [PartitionOutcome::Deferred], "it has not ended");
    here.end_trace_v2(v2.trace_id(), TraceStatus::Ok, event).await.unwrap();
    assert_changed(store, &["0/4 trace_metric"], "an ended trace").await;

    let doomed = DoomedTraces::Ids(vec![id.clone()]);
    here.delete_traces("7", &doomed, None, 0).await.unwrap();
    let expected = ["7/0 span_cost", "7/1 span_cost", "7/3 trace_metric"];
    assert_changed(store, &expected, "a deleted trace").await;
    here.delete_archived_trace("tr-v3").await.unwrap();
    assert_changed(store, &["0/2 trace_metric"], "a deleted archived trace").await;

    let mut new = info("tr-new", "0");
    new.request_time = Some(Timestamp::from_millis(clock::unix_millis()));
    here.start_trace(new).await.unwrap();
    here.create_assessment("tr-new", feedback(true)).await.unwrap();
    assert_changed(store, &[], "a trace of today").await;
    log(&without, &[span(2, 1, &json!({}))]).await.unwrap();
    assert_changed(store, &[], "a server without rollups").await;
}

/// Checks the queue, and builds what is in it.
async fn assert_changed(store: &Store, expected: &[&str], what: &str) {
    assert_eq!(queue(store).await, expected, "{what}");
    for partition in store.upkeep().queued_rollups(None, 1000).await.unwrap() {
        let outcome = store.upkeep().build_rollups(partition).await.unwrap();
        assert_ne!(outcome, PartitionOutcome::Deferred, "{what}: {partition:?}");
    }
}

on_each!(a_day_with_unfinished_work_is_not_summed_up);
async fn a_day_with_unfinished_work_is_not_summed_up(uri: &BackendUri) {
    let store = open(uri, true).await;
    fill(&store).await;
    let of = |family| partition(0, family);
    for (family, change, undo) in [
        (
            RollupFamily::TraceMetric,
            "UPDATE trace_info SET status = 'IN_PROGRESS' WHERE request_id = 'tr-0-3'",
            "UPDATE trace_info SET status = 'OK'",
        ),
        (
            RollupFamily::Assessment,
            "UPDATE trace_info SET status = 'IN_PROGRESS' WHERE request_id = 'tr-0-3'",
            "UPDATE trace_info SET status = 'OK'",
        ),
        (
            RollupFamily::SpanCost,
            "UPDATE trace_info SET status = 'IN_PROGRESS' WHERE request_id = 'tr-0-3'",
            "UPDATE trace_info SET status = 'OK'",
        ),
        (
            RollupFamily::TraceMetric,
            "UPDATE spans SET end_time_unix_nano = NULL WHERE trace_id = 'tr-0-3'",
            "UPDATE spans SET end_time_unix_nano = 1",
        ),
        (
            RollupFamily::Assessment,
            "UPDATE spans SET end_time_unix_nano = 9000000000000000000 WHERE trace_id = 'tr-0-3'",
            "UPDATE spans SET end_time_unix_nano = 1",
        ),
        (
            RollupFamily::SpanCost,
            "UPDATE spans SET end_time_unix_nano = NULL WHERE trace_id = 'tr-0-3'",
            "UPDATE spans SET end_time_unix_nano = 1",
        ),
    ] {
        store.db().batch(change.into()).await.unwrap();
        assert_eq!(store.upkeep().build_rollups(of(family)).await.unwrap(), PartitionOutcome::Deferred, "{change}");
        assert_eq!(queue(&store).await, [format!("0/0 {}", family.name())]);
        store.db().batch(undo.into()).await.unwrap();
        assert_eq!(store.upkeep().build_rollups(of(family)).await.unwrap(), PartitionOutcome::Built, "{undo}");
        assert!(queue(&store).await.is_empty());
    }
    let yesterday = Day::of_ms(clock::unix_millis() - DAY).unwrap();
    let yesterday = RollupPartition { day: yesterday, ..of(RollupFamily::TraceMetric) };
    assert_eq!(store.upkeep().build_rollups(yesterday).await.unwrap(), PartitionOutcome::Deferred);
}

on_each!(builders_and_writers_agree_whatever_their_order, flavor = "multi_thread");
async fn builders_and_writers_agree_whatever_their_order(uri: &BackendUri) {
    let (with, without) = (&open(uri, true).await, open(uri, false).await);
    for trace in 1..=4 {
        log(with, &[span(trace, 1, &json!({}))]).await.unwrap();
    }
    let write = async |trace: u64| {
        for number in 2..22 {
            log(with, &[span(trace, number, &json!({"parentSpanId": parent(1)}))]).await.unwrap();
            let made = with.here().create_assessment(&trace_id(trace), feedback(number % 2 == 0)).await.unwrap();
            if number % 3 == 0 {
                with.here().delete_assessment(&trace_id(trace), made.assessment_id()).await.unwrap();
            }
        }
    };
    let build = async || {
        for _ in 0..40 {
            build_all(with).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write(1), write(2), write(3), write(4), build(), build());
    build_all(with).await;
    assert!(queue(with).await.is_empty());
    for mut query in queries() {
        query.start_time_ms = Some(FIRST * DAY);
        query.end_time_ms = Some((FIRST + 1) * DAY - 1);
        assert_eq!(answer(with, &query).await.unwrap(), answer(&without, &query).await.unwrap(), "{query:?}");
    }
    assert_eq!(rows(with, "SELECT COUNT(*) FROM trace_info WHERE status = 'OK'").await, [[Value::Int(4)]]);
}

on_each!(rollups_are_read_by_their_index);
async fn rollups_are_read_by_their_index(uri: &BackendUri) {
    let store = open(uri, true).await;
    fill(&store).await;
    build_all(&store).await;
    let explained = store
        .here()
        .explain_rollups(&Scope::everything(), &query(Traces, "latency", &[(Avg, None)], &[]))
        .await
        .unwrap();
    let plan = explained.join("\n");
    if store.db().dialect() == Dialect::Sqlite {
        assert!(!plan.contains("SCAN r") && !plan.contains("SCAN t"), "{plan}");
    }
    assert!(!plan.is_empty());
}

on_each!(a_lease_is_held_by_one_server);
async fn a_lease_is_held_by_one_server(uri: &BackendUri) {
    let store = open(uri, true).await;
    let upkeep = store.upkeep();
    let lease = upkeep.take_scheduler_lease("one", 600).await.unwrap().unwrap();
    assert_eq!(upkeep.take_scheduler_lease("one", 600).await.unwrap(), None);
    assert!(upkeep.take_scheduler_lease("other", 600).await.unwrap().is_some());
    let renewed = upkeep.renew_scheduler_lease(&lease).await.unwrap().unwrap();
    store
        .db()
        .batch("UPDATE scheduler_leases SET acquired_at = acquired_at - 600001 WHERE lease_key = 'one'".into())
        .await
        .unwrap();
    assert_eq!(upkeep.renew_scheduler_lease(&renewed).await.unwrap(), None, "the row is another one");
    let taken = upkeep.take_scheduler_lease("one", 600).await.unwrap().unwrap();
    assert!(upkeep.renew_scheduler_lease(&taken).await.unwrap().is_some());
}
