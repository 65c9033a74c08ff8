//! The generated messages serialise to protobuf JSON like the reference's.

use ferroflow_model::{
    messages::{
        RPCS,
        service::{LogBatch, LogMetric, Metric, Run, RunStatus, SearchRuns, TraceLocation, UpdateRun, ViewType},
    },
    wire::{Message, Rpc, Timestamp},
};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn unset_fields_are_omitted_and_integers_are_numbers() {
    let metric =
        Metric { key: Some("loss".into()), value: Some(0.5), timestamp: Some(1_700_000_000_000), ..Metric::default() };
    assert_eq!(
        serde_json::to_value(metric).unwrap(),
        json!({"key": "loss", "value": 0.5, "timestamp": 1_700_000_000_000_i64})
    );
    assert_eq!(serde_json::to_string(&LogBatch::default()).unwrap(), "{}");
    assert_eq!(serde_json::to_string(&Run::default()).unwrap(), "{}");
}

#[test]
fn non_finite_numbers_are_strings() {
    for (value, word) in [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")] {
        let metric = Metric { value: Some(value), ..Metric::default() };
        let text = serde_json::to_string(&metric).unwrap();
        assert_eq!(text, format!(r#"{{"value":"{word}"}}"#));
        let back: Metric = serde_json::from_str(&text).unwrap();
        assert_eq!(back.value.unwrap().to_bits(), value.to_bits());
    }
}

#[test]
fn an_enum_is_written_by_name_and_read_by_name_or_number() {
    let update = UpdateRun { status: Some(RunStatus::Finished), ..UpdateRun::default() };
    assert_eq!(serde_json::to_string(&update).unwrap(), r#"{"status":"FINISHED"}"#);
    for text in [r#"{"status":"FINISHED"}"#, r#"{"status":3}"#] {
        assert_eq!(serde_json::from_str::<UpdateRun>(text).unwrap(), update);
    }
    for text in [r#"{"status":"DONE"}"#, r#"{"status":99}"#, r#"{"status":true}"#] {
        assert!(serde_json::from_str::<UpdateRun>(text).is_err(), "{text}");
    }
}

#[test]
fn declared_defaults_apply_on_reading() {
    let search = SearchRuns::default();
    assert_eq!((search.max_results(), search.run_view_type()), (1000, ViewType::ActiveOnly));
    assert_eq!(SearchRuns { max_results: Some(7), ..SearchRuns::default() }.max_results(), 7);
}

#[test]
fn unknown_fields_and_nulls_are_ignored() {
    let metric: LogMetric =
        serde_json::from_str(r#"{"run_id":null,"future":{"deep":[1,{"x":null}]},"key":"a"}"#).unwrap();
    assert_eq!(metric, LogMetric { key: Some("a".into()), ..LogMetric::default() });
}

#[test]
fn the_fast_reader_refuses_input_that_needs_conversion() {
    for text in [
        r#"{"runId":"x"}"#,
        r#"{"key":"a","key":"b"}"#,
        r#"{"step":"1"}"#,
        r#"{"step":1.0}"#,
        r#"{"step":true}"#,
        r#"{"step":9223372036854775808}"#,
        r#"{"value":"1.5"}"#,
        r#"{"key":1}"#,
        "[]",
        "null",
        r#"{"key":"a"} x"#,
    ] {
        assert!(serde_json::from_str::<LogMetric>(text).is_err(), "{text}");
    }
    for text in [r#"{"metrics":[["loss",1,2,3]]}"#, r#"{"metrics":{}}"#, r#"{"metrics":[null]}"#] {
        assert!(serde_json::from_str::<LogBatch>(text).is_err(), "{text}");
    }
}

#[test]
fn fields_of_a_oneof_exclude_each_other() {
    let one = r#"{"mlflow_experiment":{},"inference_table":null}"#;
    assert!(serde_json::from_str::<TraceLocation>(one).is_ok());
    let both = r#"{"mlflow_experiment":{},"inference_table":{}}"#;
    assert!(serde_json::from_str::<TraceLocation>(both).is_err());
}

#[test]
fn every_call_has_a_route_and_its_own_name() {
    assert_eq!(RPCS.len(), 183);
    assert_eq!(RPCS.iter().map(|rpc| rpc.routes.len()).sum::<usize>(), 187);
    let mut names: Vec<_> = RPCS.iter().map(|rpc| rpc.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 183);
    assert_eq!((LogMetric::NAME, LogMetric::ROUTES[0].path), ("LogMetric", "/mlflow/runs/log-metric"));
}

#[test]
fn an_empty_list_counts_as_present() {
    let present = ferroflow_model::wire::read::from_slice::<LogBatch>(br#"{"run_id":"r","metrics":[]}"#).unwrap();
    let names: Vec<_> = LogBatch::FIELDS
        .iter()
        .enumerate()
        .filter(|(i, _)| present.fields & (1 << i) != 0)
        .map(|(_, field)| field.name)
        .collect();
    assert_eq!(names, ["run_id", "metrics"]);
}

#[test]
fn times_are_text() {
    let text = serde_json::to_string(&Timestamp::from_millis(1_744_793_358_699)).unwrap();
    assert_eq!(text, r#""2025-04-16T08:49:18.699Z""#);
    assert!(serde_json::from_str::<Timestamp>(r#""soon""#).is_err());
}

proptest! {
    #[test]
    fn a_double_reads_back_bit_for_bit(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(!value.is_nan());
        let text = serde_json::to_string(&Metric { value: Some(value), ..Metric::default() }).unwrap();
        let back: Metric = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(back.value.unwrap().to_bits(), bits);
    }

    #[test]
    fn a_batch_reads_back(
        run_id in proptest::option::of(".*"),
        metrics in proptest::collection::vec((".*", proptest::num::f64::NORMAL, any::<i64>(), any::<i64>()), 0..20),
    ) {
        let batch = LogBatch {
            run_id,
            metrics: metrics
                .into_iter()
                .map(|(key, value, timestamp, step)| Metric {
                    key: Some(key),
                    value: Some(value),
                    timestamp: Some(timestamp),
                    step: Some(step),
                    ..Metric::default()
                })
                .collect(),
            ..LogBatch::default()
        };
        let text = serde_json::to_string(&batch).unwrap();
        prop_assert_eq!(serde_json::from_str::<LogBatch>(&text).unwrap(), batch);
    }
}
