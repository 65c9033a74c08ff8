//! Tags that SDKs read as JSON lists stay valid lists, however long they grow.

use std::sync::Arc;

use ferroflow_model::messages::service::RunTag;
use ferroflow_store::{
    Store,
    db::{BackendUri, dialect::Dialect},
};
use serde_json::{Value, json};

use crate::support::{self, Here as _, on_each};

const HISTORY: &str = "mlflow.log-model.history";
const TABLES: &str = "mlflow.loggedArtifacts";

/// Maximum length of a run tag in PostgreSQL, in characters.
const COLUMN: usize = 8000;

/// An entry of the history, as long as SDK 2.22 makes it for a small scikit-learn model.
fn model(number: usize) -> Value {
    json!({"run_id": "0123456789abcdef0123456789abcdef", "artifact_path": format!("model-{number}"),
        "utc_time_created": "2026-01-01 00:00:00.000000", "model_uuid": "f".repeat(32), "flavors":
        {"python_function": {}, "sklearn": {}}, "signature": "s".repeat(240)})
}

async fn tag(store: &Store, run: &str, key: &str) -> String {
    let tags = store.here().get_run(run).await.unwrap().data.unwrap().tags;
    tags.into_iter().find(|tag| tag.key() == key).unwrap().value.unwrap()
}

async fn list(store: &Store, run: &str, key: &str) -> Vec<Value> {
    serde_json::from_str(&tag(store, run, key).await).expect("a JSON list")
}

on_each!(any_number_of_models_is_logged_to_a_run);
async fn any_number_of_models_is_logged_to_a_run(store: &Store) {
    let run = support::run(store, "0").await;
    for number in 0..60 {
        store.here().record_logged_model(&run, model(number)).await.unwrap();
    }
    let kept = list(store, &run, HISTORY).await;
    let all: Vec<Value> = (0..60).map(model).collect();
    match store.db().dialect() {
        Dialect::Sqlite => assert_eq!(kept, all),
        Dialect::Postgres => {
            assert!(kept.len() > 10, "{} of 60", kept.len());
            assert_eq!(kept, all[60 - kept.len()..], "the oldest go");
        }
    }
}

on_each!(a_history_that_was_cut_is_begun_again);
async fn a_history_that_was_cut_is_begun_again(store: &Store) {
    let run = support::run(store, "0").await;
    for broken in [r#"[{"run_id": "01234567"#, "prose", "{}", ""] {
        store.here().set_tag(&run, HISTORY, broken).await.unwrap();
        store.here().record_logged_model(&run, model(1)).await.unwrap();
        assert_eq!(list(store, &run, HISTORY).await, [model(1)], "{broken}");
    }
}

on_each!(models_that_are_logged_at_once_are_all_in_the_history);
async fn models_that_are_logged_at_once_are_all_in_the_history(uri: &BackendUri) {
    let store = Arc::new(support::open(uri).await);
    let run = support::run(&store, "0").await;
    let tasks: Vec<_> = (0..10)
        .map(|number| {
            let (store, run) = (Arc::clone(&store), run.clone());
            tokio::spawn(async move { store.here().record_logged_model(&run, model(number)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let mut paths: Vec<Value> =
        list(&store, &run, HISTORY).await.into_iter().map(|model| model["artifact_path"].clone()).collect();
    paths.sort_by_key(ToString::to_string);
    assert_eq!(paths, (0..10).map(|number| json!(format!("model-{number}"))).collect::<Vec<_>>());
}

on_each!(a_model_that_no_column_holds_is_refused_and_changes_nothing);
async fn a_model_that_no_column_holds_is_refused_and_changes_nothing(store: &Store) {
    let run = support::run(store, "0").await;
    store.here().record_logged_model(&run, model(0)).await.unwrap();
    let large = json!({"artifact_path": "large", "signature": "s".repeat(2 * COLUMN)});
    let outcome = store.here().record_logged_model(&run, large.clone()).await;
    match store.db().dialect() {
        Dialect::Sqlite => {
            outcome.unwrap();
            assert_eq!(list(store, &run, HISTORY).await, [model(0), large]);
        }
        Dialect::Postgres => {
            assert_eq!(outcome.unwrap_err().code.http_status(), 400);
            assert_eq!(list(store, &run, HISTORY).await, [model(0)]);
        }
    }
}

on_each!(the_list_of_tables_stays_a_list);
/// `log_table` of every SDK reads the list, appends its table and writes it back.
async fn the_list_of_tables_stays_a_list(store: &Store) {
    let run = support::run(store, "0").await;
    let all: Vec<Value> = (0..400).map(|n| json!({"path": format!("tables/{n}.json"), "type": "table"})).collect();
    let value = serde_json::to_string(&all).unwrap();
    store.here().set_tag(&run, TABLES, &value).await.unwrap();
    let check = async || {
        let kept = list(store, &run, TABLES).await;
        match store.db().dialect() {
            Dialect::Sqlite => assert_eq!(kept, all),
            Dialect::Postgres => assert_eq!(kept, all[400 - kept.len()..]),
        }
        assert!(kept.len() > 100);
    };
    check().await;
    let batch = vec![RunTag { key: Some(TABLES.into()), value: Some(value.clone()) }];
    store.here().log_batch(&run, Vec::new(), Vec::new(), batch).await.unwrap();
    check().await;
    // Other texts are truncated, as in the reference.
    store.here().set_tag(&run, "mlflow.note.content", &value).await.unwrap();
    assert_eq!(tag(store, &run, "mlflow.note.content").await, value[..COLUMN]);
}
