//! What is logged and counted of statements: their names and texts, never a value.

use std::time::Duration;

use ferroflow_model::messages::service::{Metric, Param, RunTag, ViewType};
use ferroflow_store::{ExperimentSearch, RunSearch, Scope, Store, db::CONNECTION_WAIT, queues};
use ferroflow_telemetry::{Origin, Sampler, Span, TraceParent, Tracer, Value, log_slower_than, used_statements};
use tracing::Instrument as _;

use crate::support::{self, Here as _, on_each};

/// In every value, key and filter that the test sends.
const SECRET: &str = "hunter2";

/// Logs, searches and reads, with the secret wherever a client can put one.
async fn work(store: &Store) {
    let run = log(store).await;
    search(store, &run).await;
}

/// Creates a run and logs to it.
async fn log(store: &Store) -> String {
    let run = support::run(store, "0").await;
    let key = |kind: &str| Some(format!("{kind} {SECRET}"));
    let metric = Metric { key: key("metric"), value: Some(1.0), timestamp: Some(1), ..Metric::default() };
    let param = Param { key: key("param"), value: key("value") };
    let tag = RunTag { key: key("tag"), value: key("value") };
    store.here().log_batch(&run, vec![metric], vec![param], vec![tag]).await.unwrap();
    run
}

/// Searches and reads the run.
async fn search(store: &Store, run: &str) {
    let filter = format!(
        "metrics.`metric {SECRET}` > 0 AND params.`param {SECRET}` LIKE '%{SECRET}%' AND tags.`tag {SECRET}` = 'value {SECRET}' \
         AND attributes.run_name != '{SECRET}'"
    );
    let order_by = vec![format!("metrics.`metric {SECRET}` DESC"), format!("params.`param {SECRET}`")];
    let search = RunSearch {
        experiment_ids: vec!["0".into()],
        filter,
        view: ViewType::ActiveOnly,
        max_results: 1,
        order_by,
        page_token: None,
    };
    let (found, _) = store.here().search_runs(&Scope::everything(), search).await.unwrap();
    assert_eq!(found.len(), 1, "the search finds the run, so the secrets were sent");
    let filter = format!("name LIKE '%{SECRET}%' AND tags.`{SECRET}` = '{SECRET}'");
    let search =
        ExperimentSearch { view: ViewType::ActiveOnly, max_results: 1, filter, order_by: Vec::new(), page_token: None };
    store.here().search_experiments(&Scope::everything(), search).await.unwrap();
    store.here().get_run(run).await.unwrap();
}

on_each!(slow_statements_are_logged_without_values, flavor = "multi_thread");
async fn slow_statements_are_logged_without_values(store: &Store) {
    let run = log(store).await;
    log_slower_than(Some(Duration::ZERO));
    search(store, &run).instrument(tracing::info_span!("request", id = "the-request")).await;
    log_slower_than(None);
    let lines = support::slow_statements();
    let of_search: Vec<&String> = lines.iter().filter(|line| line.contains("search::runs")).collect();
    assert!(!of_search.is_empty(), "{lines:?}");
    for line in of_search {
        assert!(line.contains("the-request") && line.contains("SELECT ") && line.contains("rows=1"), "{line}");
    }
    assert!(lines.iter().all(|line| !line.contains(SECRET)), "{lines:?}");
}

on_each!(a_traced_request_has_its_statements_and_no_value, flavor = "multi_thread");
async fn a_traced_request_has_its_statements_and_no_value(store: &Store) {
    let (tracer, mut queue) = Tracer::new(Sampler::default());
    let parent = TraceParent { trace: 7, span: 3, is_sampled: true, state: None };
    let root = tracer.begin("POST /x".into(), Some(parent)).unwrap();
    Origin::traced(root.context().unwrap()).carry(work(store)).await;
    drop(root);
    // The batching writer may still hold spans that end with its batch.
    let mut spans: Vec<Span> = Vec::new();
    while spans.last().is_none_or(|span| span.parent != 3) {
        spans.push(tokio::time::timeout(Duration::from_secs(10), queue.recv()).await.expect("the root").unwrap());
    }
    assert!(spans.iter().all(|span| span.trace == 7));
    let text = format!("{spans:?}");
    assert!(!text.contains(SECRET), "{text}");
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let [search] = named("search::runs")[..] else { panic!("{text}") };
    let attribute = |key: &str| search.attributes.iter().find(|(found, _)| *found == key).map(|(_, value)| value);
    let Some(Value::Text(sql)) = attribute("db.query.text") else { panic!("{search:?}") };
    assert!(sql.starts_with("SELECT ") && sql.contains("$1"), "{sql}");
    assert_eq!(attribute("db.response.returned_rows"), Some(&Value::Int(1)));
    // The writes of the batch are below its commit, which the request that waited for it links to.
    let [commit] = named("group commit")[..] else { panic!("{text}") };
    let [wait] = named("wait for the group commit")[..] else { panic!("{text}") };
    assert_eq!((commit.parent, wait.links[0].span), (wait.id, commit.id));
    let inserts = named("insert::metrics");
    assert!(inserts.iter().any(|insert| insert.parent == commit.id), "{text}");
    assert!(spans.iter().all(|span| span.parent == 3 || spans.iter().any(|other| other.id == span.parent)), "{text}");
}

on_each!(statements_queues_and_waits_are_counted, flavor = "multi_thread");
async fn statements_queues_and_waits_are_counted(store: &Store) {
    let waits = CONNECTION_WAIT.count();
    work(store).await;
    let used = used_statements();
    for name in ["search::runs", "insert::metrics", "transaction::COMMIT"] {
        let found = used.iter().find(|statement| statement.name == name);
        assert!(found.is_some_and(|statement| statement.duration.count() > 0), "{name}");
    }
    assert!(
        used.iter().all(|statement| !statement.name.contains(SECRET) && !statement.name.contains("ferroflow_store"))
    );
    let runs = queues().into_iter().find(|queue| queue.name == "runs").unwrap();
    assert!(runs.wait.count() > 0 && runs.sizes.sum() >= runs.sizes.count());
    assert!(CONNECTION_WAIT.count() > waits);
}
