//! Quotas of experiments and workspaces.

use ferroflow_model::{
    ErrorCode,
    messages::service::Metric,
    quotas::{QuotaLimits, Quotas},
};
use ferroflow_store::{NewRun, Store, quotas::Place};
use serde_json::json;

use crate::{
    support::{
        self, Here as _, on_each,
        spans::{self, span},
    },
    traces::info,
};

fn quotas(soft: &str, hard: &str) -> Quotas {
    Quotas { soft: QuotaLimits::parse(soft).unwrap(), hard: QuotaLimits::parse(hard).unwrap() }
}

async fn log(store: &Store, run: &str, points: i64) {
    let point = |step| Metric {
        key: Some("m".into()),
        value: Some(1.0),
        timestamp: Some(1),
        step: Some(step),
        ..Metric::default()
    };
    store.here().log_batch(run, (0..points).map(point).collect(), Vec::new(), Vec::new()).await.unwrap();
}

/// Counts, and returns what has reached a limit: quota, experiment, count.
async fn reached(store: &Store, quotas: &Quotas) -> Vec<(&'static str, Option<i64>, i64)> {
    store.prepare_usage().await.unwrap();
    store.count_for_quotas(quotas).await.unwrap();
    let found = store.enforce_quotas(quotas).await.unwrap();
    found
        .into_iter()
        .map(|(Place { quota, workspace, experiment }, value)| {
            assert_eq!(workspace, "default");
            (quota.name(), experiment, value)
        })
        .collect()
}

/// The message of the error with which a run cannot be created.
async fn refused(store: &Store, experiment: &str) -> Option<String> {
    let new = NewRun { experiment_id: experiment.to_owned(), ..NewRun::default() };
    let error = store.here().create_run(new).await.err()?;
    assert_eq!((error.code, error.code.http_status()), (ErrorCode::QuotaExceeded, 400));
    Some(error.message)
}

on_each!(an_experiment_over_its_hard_quota_of_runs_gets_no_more);
async fn an_experiment_over_its_hard_quota_of_runs_gets_no_more(store: &Store) {
    let other = store.here().create_experiment("other", None, Vec::new()).await.unwrap();
    let run = support::run(store, "0").await;
    support::run(store, &other).await;
    let limits = quotas("experiment.runs=1", "experiment.runs=2");
    let both = [("experiment.runs", Some(0), 1), ("experiment.runs", Some(other.parse().unwrap()), 1)];
    assert_eq!(reached(store, &limits).await, both, "the soft limit");
    assert_eq!(refused(store, "0").await, None);
    assert_eq!(reached(store, &limits).await[0], ("experiment.runs", Some(0), 2));
    let message = refused(store, "0").await.expect("a refusal");
    assert!(message.starts_with("The experiment 0 has 2 runs, and its quota is 2."), "{message}");
    assert_eq!(refused(store, &other).await, None, "another experiment has its own");
    // What runs goes on.
    log(store, &run, 1).await;
    store.here().set_tag(&run, "a", "b").await.unwrap();

    // Deleted runs count until they are purged.
    store.here().delete_run(&run).await.unwrap();
    assert!(reached(store, &limits).await.contains(&("experiment.runs", Some(0), 2)));
    let purge = format!(
        "DELETE FROM metrics WHERE run_uuid = '{run}'; DELETE FROM latest_metrics WHERE run_uuid = '{run}';
         DELETE FROM tags WHERE run_uuid = '{run}'; DELETE FROM runs WHERE run_uuid = '{run}';"
    );
    store.db().batch(purge).await.unwrap();
    assert!(reached(store, &limits).await.contains(&("experiment.runs", Some(0), 1)));
    assert_eq!(refused(store, "0").await, None);
}

on_each!(points_count_in_all_runs_of_an_experiment_and_of_a_workspace);
async fn points_count_in_all_runs_of_an_experiment_and_of_a_workspace(store: &Store) {
    let other = store.here().create_experiment("other", None, Vec::new()).await.unwrap();
    let (one, two, three) =
        (support::run(store, "0").await, support::run(store, "0").await, support::run(store, &other).await);
    for (run, points) in [(&one, 30), (&two, 20), (&three, 10)] {
        log(store, run, points).await;
    }
    let limits = quotas("", "experiment.points=50,workspace.points=61");
    assert_eq!(reached(store, &limits).await, [("experiment.points", Some(0), 50)]);
    let message = refused(store, "0").await.expect("a refusal");
    assert!(message.contains("has 50 metric points") && message.contains("its runs may still log"), "{message}");
    log(store, &one, 31).await;
    assert_eq!(refused(store, &other).await, None);
    assert_eq!(reached(store, &limits).await, [("experiment.points", Some(0), 51), ("workspace.points", None, 61)]);
    let message = refused(store, &other).await.expect("a refusal");
    assert!(message.starts_with("The workspace 'default' has 61 metric points"), "{message}");
    // The parts in which points are counted have all ids.
    let ids = ["!", "0", "00", "7f", "80", "fe", "ff", "zzz", "é"];
    let odd = ids.map(|id| {
        format!(
            "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage) VALUES ('{id}', 0, 'active');
             INSERT INTO metrics (key, value, timestamp, run_uuid, step) VALUES ('m', 1, 1, '{id}', 1);"
        )
    });
    store.db().batch(odd.concat()).await.unwrap();
    assert_eq!(reached(store, &limits).await, [("experiment.points", Some(0), 60), ("workspace.points", None, 70)]);
    // A replica without quotas refuses nothing, and one with higher ones too.
    assert_eq!(reached(store, &quotas("", "workspace.points=71")).await, []);
    assert_eq!(refused(store, &other).await, None);
}

on_each!(an_experiment_over_its_hard_quota_of_traces_gets_no_more);
async fn an_experiment_over_its_hard_quota_of_traces_gets_no_more(store: &Store) {
    let limits = quotas("", "experiment.traces=1");
    store.here().start_trace(info("tr-1", "0")).await.unwrap();
    assert_eq!(reached(store, &limits).await, [("experiment.traces", Some(0), 1)]);
    let error = store.here().start_trace(info("tr-2", "0")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::QuotaExceeded);
    assert!(error.message.contains("No trace can be logged to it"), "{}", error.message);
    let error = spans::log(store, &[span(1, 1, &json!({}))]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::QuotaExceeded, "spans that come without a trace: {}", error.message);
    assert_eq!(refused(store, "0").await, None, "runs have quotas of their own");
}

on_each!(a_workspace_over_its_hard_quota_stops_no_other_one);
async fn a_workspace_over_its_hard_quota_stops_no_other_one(store: &Store) {
    store.db().batch("INSERT INTO workspaces (name) VALUES ('team')".into()).await.unwrap();
    let [default, team] = [store.workspace("default").await.unwrap(), store.workspace("team").await.unwrap()];
    let mut experiments = Vec::new();
    for name in ["one", "two"] {
        experiments.push(store.within(&team).create_experiment(name, None, Vec::new()).await.unwrap());
    }
    let create = async |workspace, experiment: &str| {
        let new = NewRun { experiment_id: experiment.to_owned(), ..NewRun::default() };
        store.within(workspace).create_run(new).await
    };
    for experiment in &experiments {
        create(&team, experiment).await.unwrap();
    }
    create(&default, "0").await.unwrap();
    let limits = quotas("", "workspace.runs=2");
    store.prepare_usage().await.unwrap();
    store.count_for_quotas(&limits).await.unwrap();
    let found = store.enforce_quotas(&limits).await.unwrap();
    let places: Vec<_> =
        found.iter().map(|(place, value)| (place.workspace.as_str(), place.experiment, *value)).collect();
    assert_eq!(places, [("team", None, 2)]);
    let error = create(&team, &experiments[0]).await.unwrap_err();
    assert!(error.message.starts_with("The workspace 'team' has 2 runs"), "{}", error.message);
    create(&default, "0").await.unwrap();
}
