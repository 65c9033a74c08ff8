//! What takes the space of a database.

use ferroflow_model::messages::service::{Metric, Param, RunTag};
use ferroflow_store::{
    Store,
    db::BackendUri,
    upkeep::usage::{Rows, Usage, UsageOptions, usage},
};

use crate::support::{self, Here as _, on_each};

const DAY: i64 = 24 * 60 * 60 * 1000;

const OPTIONS: UsageOptions = UsageOptions { top: 3, older_than_ms: 30 * DAY, quick: false };

/// Creates a run with points, a param and a tag.
async fn run(store: &Store, experiment: &str, points: i64) -> String {
    let run = support::run(store, experiment).await;
    let point = |step| Metric {
        key: Some(format!("m{}", step % 2)),
        value: Some(1.0),
        timestamp: Some(1),
        step: Some(step),
        ..Metric::default()
    };
    let param = Param { key: Some("p".into()), value: Some("1".into()) };
    let tag = RunTag { key: Some("t".into()), value: Some("1".into()) };
    store.here().log_batch(&run, (0..points).map(point).collect(), vec![param], vec![tag]).await.unwrap();
    run
}

/// The rows without the estimated bytes.
fn counted(rows: &Rows) -> Rows {
    Rows { bytes: 0, ..*rows }
}

async fn taken(uri: &BackendUri, options: UsageOptions) -> Usage {
    let mut parts = Vec::new();
    let taken = usage(uri, options, |done, of| parts.push((done, of))).await.unwrap();
    assert!(parts.is_sorted() && parts.iter().all(|(done, of)| done <= of));
    assert_eq!(parts.is_empty(), options.quick);
    taken
}

on_each!(rows_are_counted_by_workspace_experiment_and_run);
async fn rows_are_counted_by_workspace_experiment_and_run(uri: &BackendUri) {
    let store = support::open(uri).await;
    let other = store.here().create_experiment("other", None, Vec::new()).await.unwrap();
    let largest = run(&store, "0", 40).await;
    let second = run(&store, &other, 30).await;
    let (deleted, long_ago) = (run(&store, "0", 20).await, run(&store, "0", 10).await);
    store.here().delete_run(&deleted).await.unwrap();
    store.here().delete_run(&long_ago).await.unwrap();
    // Ids of every kind are counted once.
    let ids = ["!", "0", "00", "7f", "80", "fe", "ff", "fff", "g", "Z", "zzz", "é"];
    let more: Vec<String> = ids.iter().map(|id| format!("('{id}', 0, 'active')")).collect();
    let params: Vec<String> = ids.iter().map(|id| format!("('p', '1', '{id}')")).collect();
    store
        .db()
        .batch(format!(
            "UPDATE runs SET deleted_time = deleted_time - {} WHERE run_uuid = '{long_ago}';
             INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage) VALUES {};
             INSERT INTO params (key, value, run_uuid) VALUES {};
             INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)
             SELECT t.id, {other}, r.deleted_time - CAST(t.days AS BIGINT) * {DAY}, 'OK'
             FROM runs r, (SELECT 'tr-1' AS id, 31 AS days UNION ALL SELECT 'tr-2', 29) t WHERE r.run_uuid = '{deleted}';
             INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content)
             SELECT t.request_id, {other}, s.id, 'OK', t.timestamp_ms * 1000000 + 1, '{{}}'
             FROM trace_info t, (SELECT '1' AS id UNION ALL SELECT '2' UNION ALL SELECT '3') s
             WHERE (t.request_id = 'tr-2') = (s.id = '3');
             INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
             last_updated_timestamp_ms, status, lifecycle_stage)
             VALUES ('m-1', {other}, 'm', 'a', 1, 1, 2, 'active'), ('m-2', {other}, 'm', 'a', 1, 1, 2, 'deleted'),
             ('m-3', {other}, 'm', 'a', 1, 1, 2, 'active');",
            31 * DAY,
            more.join(", "),
            params.join(", ")
        ))
        .await
        .unwrap();
    for name in ["small", "large"] {
        store.here().create_registered_model(name, "", &[]).await.unwrap();
    }
    store
        .db()
        .batch("INSERT INTO model_versions (name, version, workspace) VALUES ('large', 1, 'default'), ('large', 2, 'default')".into())
        .await
        .unwrap();

    let found = taken(uri, OPTIONS).await;
    // Each run has its name as a tag too.
    let more = i64::try_from(ids.len()).unwrap();
    let of_default = Rows { runs: 3 + more, points: 70, metrics: 6, params: 3 + more, tags: 6, ..Rows::default() };
    let of_other =
        Rows { runs: 1, points: 30, metrics: 2, params: 1, tags: 2, logged_models: 3, traces: 2, spans: 3, bytes: 0 };
    let experiments: Vec<_> = found.experiments.iter().map(|found| (found.id, counted(&found.rows))).collect();
    assert_eq!(experiments.len(), 2);
    assert!(experiments.contains(&(0, of_default)), "{experiments:?}");
    assert!(experiments.contains(&(other.parse().unwrap(), of_other)), "{experiments:?}");
    assert_eq!(found.workspaces.keys().collect::<Vec<_>>(), ["default"]);
    let of_workspace = counted(&found.workspaces["default"]);
    assert_eq!(of_workspace, counted(&found.total));
    assert_eq!((of_workspace.points, of_workspace.spans), (100, 3));
    let runs: Vec<_> = found.runs.iter().map(|run| (run.id.as_str(), run.rows.points)).collect();
    assert_eq!(runs, [(largest.as_str(), 40), (second.as_str(), 30), (deleted.as_str(), 20)]);
    let models: Vec<_> = found.models.iter().map(|model| (model.name.as_str(), model.versions)).collect();
    assert_eq!((models, found.registered), (vec![("large", 2), ("small", 0)], (2, 2)));

    let freed = found.freed;
    assert_eq!((freed.deleted.runs, freed.deleted.points), (2, 30));
    assert_eq!((freed.deleted.logged_models, freed.deleted_long_ago.logged_models), (1, 0));
    assert_eq!((freed.deleted_long_ago.runs, freed.deleted_long_ago.points), (1, 10));
    assert_eq!((freed.old_traces.traces, freed.old_traces.spans), (1, 2));
    // The tables have a size, and the rows take parts of it.
    let metrics = found.tables.iter().find(|table| table.name == "metrics").unwrap();
    assert_eq!(metrics.rows, Some(100));
    assert!(metrics.bytes > 0 && metrics.index_bytes > 0 && found.bytes >= metrics.bytes, "{metrics:?}");
    assert!(freed.deleted_long_ago.bytes > 0 && freed.deleted.bytes > freed.deleted_long_ago.bytes);
    assert!(found.total.bytes > freed.deleted.bytes);
}

on_each!(a_quick_look_counts_no_rows_of_runs);
async fn a_quick_look_counts_no_rows_of_runs(uri: &BackendUri) {
    let store = support::open(uri).await;
    run(&store, "0", 5).await;
    let found = taken(uri, UsageOptions { quick: true, ..OPTIONS }).await;
    assert_eq!((found.total.runs, found.total.points, found.runs.len()), (1, 0, 0));
    assert!(found.bytes > 0);
}

on_each!(the_largest_are_first);
async fn the_largest_are_first(uri: &BackendUri) {
    let store = support::open(uri).await;
    for (name, points) in [("small", 1), ("large", 60), ("medium", 30)] {
        let experiment = store.here().create_experiment(name, None, Vec::new()).await.unwrap();
        run(&store, &experiment, points).await;
        if name == "large" {
            store.here().delete_experiment(&experiment).await.unwrap();
        }
    }
    let found = taken(uri, UsageOptions { top: 2, ..OPTIONS }).await;
    let experiments: Vec<_> = found.experiments.iter().map(|found| (found.name.as_str(), found.is_deleted)).collect();
    assert_eq!(experiments, [("large", true), ("medium", false)]);
    assert_eq!(found.runs.iter().map(|run| run.rows.points).collect::<Vec<_>>(), [60, 30]);
    assert_eq!((found.total.runs, found.total.points), (3, 91), "the others are in the sum");
    let sizes: Vec<_> = found.tables.iter().map(|table| table.bytes + table.index_bytes).collect();
    assert!(sizes.is_sorted_by(|one, next| one >= next), "{sizes:?}");
}
