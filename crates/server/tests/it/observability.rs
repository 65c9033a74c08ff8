//! What a server says about itself: its traces, at a collector, and its metrics.

use std::time::{Duration, Instant};

use ferroflow_server::{App, Sampler, Telemetry, TraceSettings};
use ferroflow_store::{Store, StoreOptions, db::BackendUri};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    ports::Port,
    support::{Running, app},
};

/// In every value that the tests send.
const SECRET: &str = "hunter2";

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn store(folder: &std::path::Path, name: &str) -> Store {
    Store::open(&BackendUri::Sqlite(folder.join(name)), StoreOptions::default()).await.unwrap()
}

/// A server that exports its traces to a collector. `experiment` is where another ferroflow stores them.
async fn traced(folder: &std::path::Path, collector: &str, experiment: Option<&str>) -> Running {
    let mut headers = HeaderMap::new();
    if let Some(experiment) = experiment {
        headers.insert("x-mlflow-experiment-id", experiment.parse().unwrap());
    }
    let settings = TraceSettings {
        endpoint: format!("{collector}/v1/traces").parse().unwrap(),
        headers,
        resource: vec![("service.name".into(), "subject".into())],
        sampler: Sampler::default(),
        timeout: Duration::from_secs(2),
    };
    let telemetry = Telemetry::with_traces(settings).unwrap();
    Running::start(App { telemetry, ..app(store(folder, "subject.db").await) })
}

async fn post(server: &Running, path: &str, body: Value, headers: &[(&str, &str)]) -> Value {
    let mut request = server
        .client
        .post(format!("{}/api/2.0/mlflow/{path}", server.url))
        .body(body.to_string())
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// What a client of the SDK does, with the secret in each value.
async fn work(server: &Running, headers: &[(&str, &str)]) {
    let run = post(server, "runs/create", json!({"experiment_id": "0", "run_name": SECRET}), headers).await;
    let run = run["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let pair = json!({"key": SECRET, "value": SECRET});
    let metrics = json!([{"key": SECRET, "value": 1.5, "timestamp": 1, "step": 0}]);
    post(
        server,
        "runs/log-batch",
        json!({"run_id": run, "metrics": metrics, "params": [pair], "tags": [pair]}),
        headers,
    )
    .await;
    let filter = format!("params.{SECRET} = '{SECRET}' AND metrics.{SECRET} > 0");
    let found = post(server, "runs/search", json!({"experiment_ids": ["0"], "filter": filter}), headers).await;
    assert!(!found["runs"].as_array().unwrap().is_empty(), "the search has the secrets");
}

async fn metrics(server: &Running) -> String {
    server.client.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap()
}

/// The value of a metric, if it is there.
fn metric(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_one_trace_from_the_client_to_the_statement() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Running::start(app(store(folder.path(), "collector.db").await));
    let subject = traced(folder.path(), &collector.url, Some("0")).await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    work(&subject, &[("traceparent", &parent)]).await;
    // What the client does not record, and probes, are not traced.
    let unsampled = format!("00-{}-b7ad6b7169203331-00", "1".repeat(32));
    work(&subject, &[("traceparent", &unsampled)]).await;
    metrics(&subject).await;
    // The stop exports what is left.
    subject.stop().await;

    let spans = |trace: String| {
        let url = format!("{}/ajax-api/2.0/mlflow/get-trace-artifact?request_id=tr-{trace}", collector.url);
        let request = collector.client.get(url);
        async move { request.send().await.unwrap() }
    };
    let answer = spans(TRACE.to_owned()).await;
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert!(!text.contains(SECRET), "{text}");
    let found: Value = serde_json::from_str(&text).unwrap();
    let found = found["spans"].as_array().unwrap();
    let named = |name: &str| {
        found.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name} is not in {text}")).clone()
    };
    for (route, statement) in [
        ("POST /api/2.0/mlflow/runs/search", "search::runs"),
        ("POST /api/2.0/mlflow/runs/log-batch", "wait for the group commit"),
    ] {
        let (call, below) = (named(route), named(statement));
        assert_eq!(below["parent_span_id"], call["span_id"], "{text}");
    }
    assert_eq!(named("insert::metrics")["parent_span_id"], named("group commit")["span_id"], "{text}");
    let attributes = named("search::runs")["attributes"].to_string();
    assert!(attributes.contains("SELECT") && attributes.contains("sqlite"), "{attributes}");
    let call = named("POST /api/2.0/mlflow/runs/search")["attributes"].to_string();
    for part in ["http.response.status_code", "ferroflow.request_id", "ferroflow.workspace", "anonymous"] {
        assert!(call.contains(part), "{part}: {call}");
    }
    assert!(found.iter().all(|span| !span["name"].as_str().unwrap().contains("/metrics")));
    assert_ne!(spans("1".repeat(32)).await.status(), 200);
    // The collector does not trace, and the requests of exporters would not be traced.
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_be_its_own_collector() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let settings = TraceSettings {
        endpoint: format!("{address}/v1/traces").parse().unwrap(),
        headers: [("x-mlflow-experiment-id".parse().unwrap(), "0".parse().unwrap())].into_iter().collect(),
        resource: Vec::new(),
        sampler: Sampler::named(Some("always_on"), None).unwrap(),
        timeout: Duration::from_secs(2),
    };
    let telemetry = Telemetry::with_traces(settings).unwrap();
    let subject = Running::start_on(App { telemetry, ..app(store(folder.path(), "subject.db").await) }, listener);
    work(&subject, &[]).await;
    let exported = "ferroflow_otel_spans_total{outcome=\"exported\"}";
    let start = Instant::now();
    let spans = loop {
        let text = metrics(&subject).await;
        if let Some(spans) = metric(&text, exported).filter(|spans| *spans > 0.0) {
            break spans;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "nothing was exported");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // The export was a request to this server. Were it traced, its spans would wait now.
    let text = metrics(&subject).await;
    assert_eq!(metric(&text, exported), Some(spans));
    assert_eq!(metric(&text, "ferroflow_otel_spans_waiting"), Some(0.0), "{text}");
    subject.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_only_spans() {
    let folder = tempfile::tempdir().unwrap();
    // It refuses connections.
    let nothing = Port::claim().unwrap();
    let subject = traced(folder.path(), &format!("http://127.0.0.1:{}", nothing.number), None).await;
    work(&subject, &[]).await;
    // The queue has a bound, beyond which spans are dropped and counted.
    let get = || subject.client.get(format!("{}/api/2.0/mlflow/experiments/get?experiment_id=0", subject.url)).send();
    let dropped = "ferroflow_otel_spans_total{outcome=\"dropped\"}";
    loop {
        let answers = futures_util::future::join_all((0..64).map(|_| get())).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200));
        let text = metrics(&subject).await;
        assert!(metric(&text, "ferroflow_otel_spans_waiting").unwrap() <= 4096.0);
        if metric(&text, dropped).unwrap() > 0.0 {
            break;
        }
    }
    let start = Instant::now();
    subject.stop().await;
    assert!(start.elapsed() < Duration::from_secs(20), "the stop does not wait for the collector");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_spans_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    // Another ferroflow needs an experiment: without one it answers 422.
    let collector = Running::start(app(store(folder.path(), "collector.db").await));
    let subject = traced(folder.path(), &collector.url, None).await;
    work(&subject, &[]).await;
    let start = Instant::now();
    while metric(&metrics(&subject).await, "ferroflow_otel_spans_total{outcome=\"dropped\"}").unwrap() == 0.0 {
        assert!(start.elapsed() < Duration::from_secs(30), "the batch was not given up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    subject.stop().await;
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_name_statements_queues_and_refusals_and_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let subject = Running::start(app(store(folder.path(), "subject.db").await));
    work(&subject, &[]).await;
    let text = metrics(&subject).await;
    assert!(!text.contains(SECRET), "{text}");
    for name in [
        "ferroflow_database_statements_total{statement=\"search::runs\"}",
        "ferroflow_database_statement_duration_seconds_count{family=\"search\"}",
        "ferroflow_database_statement_rows_total{statement=\"insert::metrics\"}",
        "ferroflow_database_connection_wait_seconds_count",
        "ferroflow_database_connections_max{database=\"tracking\"}",
        "ferroflow_write_queue_wait_seconds_count{queue=\"runs\"}",
        "ferroflow_write_batch_requests_sum{queue=\"runs\"}",
        "ferroflow_memory_max_bytes{budget=\"long_bodies\"}",
    ] {
        assert!(metric(&text, name).is_some_and(|value| value > 0.0), "{name}: {text}");
    }
    assert_eq!(metric(&text, "ferroflow_requests_refused{resource=\"connections\",limit=\"total\"}"), Some(0.0));
    assert_eq!(metric(&text, "ferroflow_otel_spans_total{outcome=\"exported\"}"), Some(0.0));
    assert_eq!(metric(&text, &format!("ferroflow_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), Some(1.0));
    subject.stop().await;
}
