//! Spans are written with what they add to their traces.

use std::collections::BTreeSet;

use ferroflow_model::ErrorCode;
use ferroflow_store::{Joins, NewRun, SpansLogged, Store, db::dialect::Dialect};
use serde_json::{Value, json};

use crate::support::{
    Here as _, on_each,
    spans::{START, attributes, batch, change, everything, log, parent, span, tags, trace_id, traces},
};

const USAGE: &str = "mlflow.chat.tokenUsage";

fn tokens(input: i64) -> Value {
    json!({"attributes": attributes(&[(USAGE, &json!({"input_tokens": input, "output_tokens": 1}).to_string())])})
}

fn below(id: u64, fields: Value) -> Value {
    let mut fields = fields;
    fields["parentSpanId"] = parent(id).into();
    fields
}

on_each!(spans_create_their_trace, flavor = "multi_thread");
async fn spans_create_their_trace(store: &Store) {
    let fields = json!({
        "attributes": attributes(&[
            ("mlflow.spanInputs", "\"question\""),
            ("mlflow.spanOutputs", "\"answer\""),
            ("session.id", "s"),
            ("user.id", "u"),
            ("mlflow.traceTag.team", "red"),
            ("mlflow.traceTag.mlflow.traceName", "agent"),
            ("mlflow.traceTag.mlflow.artifactLocation", "file:///etc"),
        ]),
        "status": {"code": 2},
    });
    let spans = [span(1, 1, &fields), span(1, 2, &below(1, tokens(7)))];
    let resource = json!({"attributes": attributes(&[("service.name", "shop"), ("telemetry.sdk.language", "rust")])});
    let logged = store.here().log_spans("0", Joins::Any, None, batch(&spans, &resource)).await.unwrap();
    assert_eq!(logged, SpansLogged::default());
    assert_eq!(
        traces(store).await,
        [json!({
            "request_id": trace_id(1), "experiment_id": 0, "timestamp_ms": START + 1, "execution_time_ms": 101,
            "status": "ERROR", "request_preview": "\"question\"", "response_preview": "\"answer\"",
            "trace_name": "agent", "session_id": "s", "input_tokens": 7, "output_tokens": 1, "total_tokens": 0,
        })]
    );
    assert_eq!(
        tags(store, 1).await,
        json!({
            "mlflow.artifactLocation": format!("mlflow-artifacts:/0/traces/{}/artifacts", trace_id(1)),
            "mlflow.trace.spansLocation": "TRACKING_STORE",
            "service.name": "shop",
            "team": "red",
        })
    );
    let all = everything(store).await;
    assert_eq!(all["metadata"], json!([{"request_id": trace_id(1), "key": "mlflow.trace.user", "value": "u"}]));
    assert_eq!(all["spans"][1]["parent_span_id"], parent(1));
    assert_eq!(store.here().span_places(&[trace_id(1)]).await.unwrap()[&trace_id(1)].len(), 2);
}

on_each!(a_late_root_ends_its_trace, flavor = "multi_thread");
async fn a_late_root_ends_its_trace(store: &Store) {
    log(store, &[span(1, 5, &below(1, json!({})))]).await.unwrap();
    assert_eq!(
        traces(store).await,
        [json!({
            "request_id": trace_id(1), "experiment_id": 0, "timestamp_ms": START + 5, "execution_time_ms": 100,
            "status": "IN_PROGRESS",
        })]
    );
    let inputs = json!({"attributes": attributes(&[("mlflow.spanInputs", "\"q\"")])});
    log(store, &[span(1, 1, &inputs)]).await.unwrap();
    let expected = [json!({
        "request_id": trace_id(1), "experiment_id": 0, "timestamp_ms": START + 1, "execution_time_ms": 104,
        "status": "OK", "request_preview": "\"q\"",
    })];
    assert_eq!(traces(store).await, expected);
    // An earlier version, and another root that starts later.
    log(store, &[span(1, 1, &json!({"endTimeUnixNano": "0", "status": {"code": 2}}))]).await.unwrap();
    log(store, &[span(1, 3, &json!({"status": {"code": 2}}))]).await.unwrap();
    assert_eq!(traces(store).await, expected);
    assert_eq!(everything(store).await["spans"][0]["status"], "UNSET");
}

on_each!(usage_is_counted_once_whatever_arrives_first, flavor = "multi_thread");
async fn usage_is_counted_once_whatever_arrives_first(store: &Store) {
    let spans = [span(1, 1, &tokens(10)), span(1, 2, &below(1, json!({}))), span(1, 3, &below(2, tokens(9)))];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (trace, order) in (1_u64..).zip(orders) {
        for place in order {
            let mut span = spans[place].clone();
            span["traceId"] = format!("{trace:032x}").into();
            log(store, &[span.clone()]).await.unwrap();
            log(store, &[span]).await.unwrap();
        }
    }
    for row in traces(store).await {
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(10), &json!(1)), "{row}");
    }
}

on_each!(what_a_client_said_of_its_trace_stays, flavor = "multi_thread");
async fn what_a_client_said_of_its_trace_stays(store: &Store) {
    let started = |trace, columns: &str, values: &str| {
        format!(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status{columns}) \
             VALUES ('{id}', 0, 7, 5, 'OK'{values}); INSERT INTO trace_request_metadata (request_id, key, value) \
             VALUES ('{id}', 'mlflow.trace.infoFinalized', 'true')",
            id = trace_id(trace)
        )
    };
    change(store, &started(1, ", input_tokens, session_id, trace_name", ", 100, 'mine', 'named'")).await;
    change(store, &started(2, "", "")).await;
    for trace in [1, 2] {
        let root = json!({"status": {"code": 2}, "attributes": attributes(&[
            ("session.id", "other"), ("mlflow.traceTag.mlflow.traceName", "other"), ("mlflow.spanInputs", "\"q\""),
        ])});
        log(store, &[span(trace, 2, &below(1, tokens(3)))]).await.unwrap();
        log(store, &[span(trace, 1, &root)]).await.unwrap();
        log(store, &[span(trace, 3, &below(1, tokens(4)))]).await.unwrap();
    }
    let common = |id, tokens: Value, session: &str, name: &str| {
        let mut row = json!({
            "request_id": trace_id(id), "experiment_id": 0, "timestamp_ms": 7, "execution_time_ms": 5, "status": "OK",
            "request_preview": "\"q\"", "trace_name": name, "session_id": session,
        });
        row.as_object_mut().unwrap().extend(tokens.as_object().unwrap().clone());
        row
    };
    assert_eq!(
        traces(store).await,
        [
            common(1, json!({"input_tokens": 100}), "mine", "named"),
            // It said nothing of these: they follow from all spans.
            common(2, json!({"input_tokens": 7, "output_tokens": 2, "total_tokens": 0}), "other", "other"),
        ]
    );
}

on_each!(spans_of_an_archived_trace_are_refused_and_the_others_written, flavor = "multi_thread");
async fn spans_of_an_archived_trace_are_refused_and_the_others_written(store: &Store) {
    log(store, &[span(1, 1, &json!({})), span(2, 1, &json!({}))]).await.unwrap();
    let archive = |trace, place| {
        let id = trace_id(trace);
        format!(
            "UPDATE trace_tags SET value = '{place}' WHERE key = 'mlflow.trace.spansLocation' AND request_id = '{id}'"
        )
    };
    change(store, &archive(1, "ARCHIVE_REPO")).await;
    let alone = log(store, &[span(1, 2, &below(1, json!({})))]).await.unwrap_err();
    assert_eq!(alone.code, ErrorCode::InvalidParameterValue);
    assert_eq!(alone.message, format!("Cannot log spans to archived traces: '{}'.", trace_id(1)));
    let spans = [span(1, 2, &json!({})), span(1, 3, &json!({})), span(3, 1, &json!({}))];
    let logged = log(store, &spans).await.unwrap();
    assert_eq!((logged.rejected, logged.fault), (2, Some(alone)));
    change(store, &archive(2, "ELSEWHERE")).await;
    let both = log(store, &[span(1, 2, &json!({})), span(2, 2, &json!({}))]).await.unwrap_err();
    assert!(both.message.ends_with(&format!("archived='{}'; other='{}'", trace_id(1), trace_id(2))), "{both}");
    assert_eq!(everything(store).await["spans"].as_array().unwrap().len(), 3);
}

on_each!(a_trace_stays_in_its_experiment, flavor = "multi_thread");
async fn a_trace_stays_in_its_experiment(store: &Store) {
    let other = store.here().create_experiment("other", None, Vec::new()).await.unwrap();
    log(store, &[span(1, 1, &json!({}))]).await.unwrap();
    let late = || batch(&[span(1, 2, &below(1, json!({}))), span(2, 1, &json!({}))], &json!({}));
    let logged = store.here().log_spans(&other, Joins::Only(BTreeSet::new()), None, late()).await.unwrap();
    assert_eq!(logged.rejected, 1);
    assert_eq!(logged.fault.unwrap().code, ErrorCode::PermissionDenied);
    let logged = store.here().log_spans(&other, Joins::Only([0].into()), None, late()).await.unwrap();
    assert_eq!(logged.rejected, 0);
    let experiments: Vec<Value> = traces(store).await.into_iter().map(|row| row["experiment_id"].clone()).collect();
    assert_eq!(experiments, [json!(0), json!(other.parse::<i64>().unwrap())]);
    assert_eq!(everything(store).await["spans"][1]["experiment_id"], 0);

    let missing = store.here().log_spans("987", Joins::Any, None, batch(&[span(9, 1, &json!({}))], &json!({}))).await;
    assert_eq!(missing.unwrap_err().message, "No Experiment with id=987 exists");
    let wrong = store.here().log_spans("x", Joins::Any, None, batch(&[span(9, 1, &json!({}))], &json!({}))).await;
    assert_eq!(wrong.unwrap_err().code, ErrorCode::InvalidParameterValue);
    assert_eq!(traces(store).await.len(), 2);
}

on_each!(finished_traces_are_linked_to_the_run, flavor = "multi_thread");
async fn finished_traces_are_linked_to_the_run(store: &Store) {
    let run = store.here().create_run(NewRun { experiment_id: "0".into(), ..NewRun::default() }).await.unwrap();
    let run = run.info.unwrap().run_id().to_owned();
    let spans = || batch(&[span(1, 1, &json!({})), span(2, 2, &below(1, json!({})))], &json!({}));
    for run in [run.clone(), run.clone(), "0123".repeat(8)] {
        store.here().log_spans("0", Joins::Any, Some(run), spans()).await.unwrap();
    }
    let sql = "SELECT source_type, source_id, destination_type, destination_id FROM entity_associations";
    let statement = ferroflow_store::db::Statement::unscoped(ferroflow_store::db::Upkeep::Test, sql, Vec::new());
    let read = store.db().query(statement, |row| {
        Ok([row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?, row.get::<String>(3)?])
    });
    assert_eq!(read.await.unwrap(), [["trace".to_owned(), trace_id(1), "run".to_owned(), run]]);
}

on_each!(one_bad_request_does_not_fail_the_others, flavor = "multi_thread");
async fn one_bad_request_does_not_fail_the_others(store: &Store) {
    let requests = (1..40_u64).map(|trace| {
        let mut batch = batch(&[span(trace, 1, &json!({}))], &json!({}));
        if trace % 8 == 0 {
            // PostgreSQL cannot store it. A request that contains it is refused before it comes here.
            batch.spans[0].name = String::from("\0");
        }
        async move { (trace, store.here().log_spans("0", Joins::Any, None, batch).await) }
    });
    for (trace, outcome) in futures_util::future::join_all(requests).await {
        let is_bad = trace % 8 == 0 && store.db().dialect() == Dialect::Postgres;
        assert_eq!(outcome.is_err(), is_bad, "{trace}: {outcome:?}");
    }
}
