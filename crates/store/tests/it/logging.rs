//! Logging to runs, by one client and by many concurrently.

use std::{sync::Arc, time::Duration};

use ferroflow_model::{
    ErrorCode,
    messages::service::{Metric, Param, RunTag},
};
use ferroflow_store::{
    Store,
    db::{BackendUri, Statement, Upkeep, dialect::Dialect},
};

use crate::support::{self, Here as _, on_each};

fn metric(key: &str, value: f64, timestamp: i64, step: i64) -> Metric {
    Metric {
        key: Some(key.into()),
        value: Some(value),
        timestamp: Some(timestamp),
        step: Some(step),
        ..Metric::default()
    }
}

fn param(key: &str, value: &str) -> Param {
    Param { key: Some(key.into()), value: Some(value.into()) }
}

fn tag(key: &str, value: &str) -> RunTag {
    RunTag { key: Some(key.into()), value: Some(value.into()) }
}

/// The latest (value, timestamp, step) of a metric.
async fn latest(store: &Store, run: &str, key: &str) -> (f64, i64, i64) {
    let data = store.here().get_run(run).await.unwrap().data.unwrap();
    let metric = data.metrics.into_iter().find(|metric| metric.key.as_deref() == Some(key)).unwrap();
    (metric.value.unwrap(), metric.timestamp.unwrap(), metric.step.unwrap())
}

async fn count(store: &Store, table: &'static str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    store.db().query(Statement::unscoped(Upkeep::Test, sql, Vec::new()), |row| row.get(0)).await.unwrap()[0]
}

on_each!(the_latest_metric_goes_by_step_then_timestamp_then_value);
async fn the_latest_metric_goes_by_step_then_timestamp_then_value(store: &Store) {
    let run = support::run(store, "0").await;
    for (value, timestamp, step, expected) in [
        (1.0, 10, 0, (1.0, 10, 0)),
        (0.5, 5, 1, (0.5, 5, 1)),
        (9.0, 99, 0, (0.5, 5, 1)),
        (0.4, 5, 1, (0.5, 5, 1)),
        (0.6, 5, 1, (0.6, 5, 1)),
        (0.1, 6, 1, (0.1, 6, 1)),
        (-1.0, 0, -5, (0.1, 6, 1)),
    ] {
        store.here().log_metric(&run, metric("m", value, timestamp, step)).await.unwrap();
        assert_eq!(latest(store, &run, "m").await, expected);
    }
    // Within one batch the same rule applies.
    let batch = vec![metric("b", 3.0, 1, 2), metric("b", 1.0, 1, 3), metric("b", 2.0, 9, 1)];
    store.here().log_batch(&run, batch, Vec::new(), Vec::new()).await.unwrap();
    assert_eq!(latest(store, &run, "b").await, (1.0, 1, 3));
}

on_each!(a_run_with_very_much_in_it_is_read_whole);
/// More rows than a connection buffers.
async fn a_run_with_very_much_in_it_is_read_whole(store: &Store) {
    let run = support::run(store, "0").await;
    for batch in 0..20 {
        let keys: Vec<String> = (0..100).map(|key| format!("{batch}-{key}")).collect();
        let metrics = keys.iter().map(|key| metric(key, 1.0, 1, 1)).collect();
        let params = keys.iter().map(|key| param(key, &"p".repeat(500))).collect();
        let tags = keys.iter().map(|key| tag(key, &"t".repeat(500))).collect();
        store.here().log_batch(&run, metrics, params, tags).await.unwrap();
    }
    let read = tokio::time::timeout(Duration::from_secs(60), store.here().get_run(&run)).await;
    let data = read.expect("an answer in time").unwrap().data.unwrap();
    // Plus the tag with the run's name.
    assert_eq!((data.metrics.len(), data.params.len(), data.tags.len()), (2000, 2000, 2001));
}

on_each!(nan_and_infinity_survive);
async fn nan_and_infinity_survive(store: &Store) {
    let run = support::run(store, "0").await;
    let points = [(f64::NAN, 0), (f64::INFINITY, 1), (f64::NEG_INFINITY, 2), (0.1 + 0.2, 3)];
    let batch = points.iter().map(|(value, step)| metric("m", *value, 1, *step)).collect();
    store.here().log_batch(&run, batch, Vec::new(), Vec::new()).await.unwrap();
    let (history, _) = support::history(store, &run, "m", None, None).await;
    let values: Vec<f64> = history.iter().map(|point| point.value).collect();
    assert!(values[0].is_nan());
    assert_eq!(values[1..], [f64::MAX, f64::MIN, 0.1 + 0.2]);
}

on_each!(logging_the_same_again_changes_nothing);
async fn logging_the_same_again_changes_nothing(store: &Store) {
    let run = support::run(store, "0").await;
    for _ in 0..3 {
        let metrics = vec![metric("m", 1.0, 1, 1), metric("m", 1.0, 1, 1), metric("n", f64::NAN, 1, 1)];
        store.here().log_batch(&run, metrics, vec![param("p", "1")], vec![tag("t", "x")]).await.unwrap();
        store.here().log_param(&run, "p", "1").await.unwrap();
    }
    assert_eq!(count(store, "metrics").await, 2);
    assert_eq!(count(store, "params").await, 1);
}

on_each!(a_param_cannot_change_and_the_batch_that_tries_writes_nothing);
async fn a_param_cannot_change_and_the_batch_that_tries_writes_nothing(store: &Store) {
    let run = support::run(store, "0").await;
    store.here().log_param(&run, "p", "1").await.unwrap();
    let error = store.here().log_param(&run, "p", "2").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParameterValue);
    assert!(error.message.contains("Param with key='p' was already logged with value='1'"), "{}", error.message);

    let params = vec![param("new", "1"), param("p", "it's")];
    let error =
        store.here().log_batch(&run, vec![metric("m", 1.0, 1, 1)], params, vec![tag("t", "x")]).await.unwrap_err();
    let expected = "[{'key': 'p', 'old_value': '1', 'new_value': \"it's\"}]";
    assert!(error.message.contains(expected), "{}", error.message);
    let data = store.here().get_run(&run).await.unwrap().data.unwrap();
    assert_eq!(data.params, [param("p", "1")]);
    assert!(data.metrics.is_empty());
    assert_eq!(data.tags.len(), 1, "only the name: {:?}", data.tags);
}

on_each!(a_missing_or_deleted_run_takes_nothing);
async fn a_missing_or_deleted_run_takes_nothing(store: &Store) {
    let error = store.here().log_metric("nope", metric("m", 1.0, 1, 1)).await.unwrap_err();
    assert_eq!(error.message, "Run with id=nope not found");
    let run = support::run(store, "0").await;
    store.here().delete_run(&run).await.unwrap();
    for outcome in [
        store.here().log_metric(&run, metric("m", 1.0, 1, 1)).await,
        store.here().log_param(&run, "p", "1").await,
        store.here().set_tag(&run, "t", "1").await,
        store.here().delete_tag(&run, "mlflow.runName").await,
        store.here().update_run(&run, None, Some(1), None).await.map(drop),
    ] {
        let error = outcome.unwrap_err();
        let expected = format!("The run {run} must be in the 'active' state. Current state is deleted.");
        assert_eq!((error.code, error.message), (ErrorCode::InvalidParameterValue, expected));
    }
    assert_eq!(count(store, "metrics").await, 0);
    assert_eq!(count(store, "params").await, 0);
}

on_each!(the_name_tag_renames_the_run);
async fn the_name_tag_renames_the_run(store: &Store) {
    let run = support::run(store, "0").await;
    store.here().set_tag(&run, "mlflow.runName", "first").await.unwrap();
    assert_eq!(store.here().get_run_info(&run).await.unwrap().run_name.as_deref(), Some("first"));
    let info = store.here().update_run(&run, None, None, Some("second".into())).await.unwrap();
    assert_eq!(info.run_name.as_deref(), Some("second"));
    let tags = store.here().get_run(&run).await.unwrap().data.unwrap().tags;
    assert_eq!(tags, [tag("mlflow.runName", "second")]);
}

on_each!(one_bad_request_does_not_take_its_neighbours_along);
async fn one_bad_request_does_not_take_its_neighbours_along(store: &Store) {
    let run = support::run(store, "0").await;
    // Both are queued before the lane runs: the model does not exist, so a foreign key is violated.
    let mut of_model = metric("m", 1.0, 1, 1);
    of_model.model_id = Some("m-does-not-exist".into());
    let here = store.here();
    let (good, bad, also_good) = tokio::join!(
        here.log_metric(&run, metric("good", 1.0, 1, 1)),
        here.log_metric(&run, of_model),
        here.log_param(&run, "p", "1"),
    );
    good.unwrap();
    also_good.unwrap();
    assert_eq!(bad.unwrap_err().code, ErrorCode::BadRequest);
    let data = store.here().get_run(&run).await.unwrap().data.unwrap();
    assert_eq!(data.metrics.len(), 1);
    assert_eq!(data.params.len(), 1);
}

on_each!(on_sqlite_what_is_logged_comes_back_in_the_order_in_which_it_was_logged);
async fn on_sqlite_what_is_logged_comes_back_in_the_order_in_which_it_was_logged(store: &Store) {
    let (one, other) = (support::run(store, "0").await, support::run(store, "0").await);
    let log = async |run: &str, keys: &[&str]| {
        let metrics = keys.iter().map(|key| metric(key, 1.0, 1, 1)).collect();
        let params = keys.iter().map(|key| param(key, "1")).collect();
        let tags = keys.iter().map(|key| tag(key, "1")).collect();
        store.here().log_batch(run, metrics, params, tags).await.unwrap();
    };
    // Both are written in one transaction.
    tokio::join!(log(&one, &["z", "a", "m"]), log(&other, &["b", "a", "c"]));
    for key in ["a", "y", "b"] {
        store.here().set_tag(&one, key, "2").await.unwrap();
    }
    log(&one, &["n", "z", "d"]).await;

    for (run, [mut metrics, mut params, mut tags]) in [
        (&one, [vec!["z", "a", "m", "n", "d"], vec!["z", "a", "m", "n", "d"], vec!["z", "a", "m", "y", "b", "n", "d"]]),
        (&other, [vec!["b", "a", "c"], vec!["b", "a", "c"], vec!["b", "a", "c"]]),
    ] {
        let data = store.here().get_run(run).await.unwrap().data.unwrap();
        let mut found = [
            data.metrics.iter().map(Metric::key).collect::<Vec<_>>(),
            data.params.iter().map(Param::key).collect(),
            data.tags.iter().map(RunTag::key).filter(|key| !key.starts_with("mlflow.")).collect(),
        ];
        if store.db().dialect() == Dialect::Postgres {
            // Physical order; concurrent writers insert by key.
            found.iter_mut().chain([&mut metrics, &mut params, &mut tags]).for_each(|keys| keys.sort_unstable());
        }
        assert_eq!(found, [metrics, params, tags]);
    }
}

on_each!(sixty_four_writers_on_the_same_runs_and_keys_lose_nothing, flavor = "multi_thread");
async fn sixty_four_writers_on_the_same_runs_and_keys_lose_nothing(uri: &BackendUri) {
    // Two stores on one database, like two replicas, whose transactions conflict.
    let stores = [Arc::new(support::open(uri).await), Arc::new(support::open(uri).await)];
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(support::run(&stores[0], "0").await);
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..64_i64 {
        let (store, runs) = (Arc::clone(&stores[usize::try_from(writer % 2).unwrap()]), runs.clone());
        writers.spawn(async move {
            for round in 0..10_i64 {
                let run = &runs[usize::try_from((writer + round) % 4).unwrap()];
                let step = writer * 10 + round;
                #[allow(clippy::cast_precision_loss)] // small numbers
                let value = step as f64;
                let metrics = ["c", "a", "b"].map(|key| metric(key, value, 1, step)).to_vec();
                store.here().log_batch(run, metrics, vec![param("same", "1")], vec![tag("t", "x")]).await.unwrap();
                store.here().log_metric(run, metric("single", value, 1, step)).await.unwrap();
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    assert_eq!(count(&stores[0], "metrics").await, 64 * 10 * 4);
    let mut newest = Vec::new();
    for run in &runs {
        for key in ["a", "b", "c", "single"] {
            let (value, _, step) = latest(&stores[0], run, key).await;
            let (history, _) = support::history(&stores[1], run, key, None, None).await;
            let last = history.iter().map(|point| point.step).max().unwrap();
            assert_eq!(step, last, "latest {key} of {run}");
            #[allow(clippy::cast_precision_loss)] // small numbers
            let expected = last as f64;
            assert!((value - expected).abs() < f64::EPSILON);
            newest.push(step);
        }
    }
    assert!(newest.contains(&639));
}
