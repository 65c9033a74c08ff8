//! The path of a SQLite file: folders that are created, files that are removed under a running server.

use std::{fs, path::Path};

use ferroflow_model::{ErrorCode, Result};
use ferroflow_store::{
    Store,
    db::BackendUri,
    migrations::{self, Options, TRACKING},
};

use crate::support;
use crate::support::Here as _;

async fn tag(store: &Store, run: &str) -> Result<()> {
    store.here().set_tag(run, "t", "x").await
}

/// Writes are rejected and the server is not ready.
async fn refused(store: &Store, run: &str) {
    assert_eq!(tag(store, run).await.unwrap_err().code, ErrorCode::TemporarilyUnavailable);
    assert_eq!(store.here().delete_run(run).await.unwrap_err().code, ErrorCode::TemporarilyUnavailable);
    assert_eq!(store.ping().await.unwrap_err().code, ErrorCode::TemporarilyUnavailable);
}

async fn serving(path: &Path) -> (Store, String) {
    let store = support::open(&BackendUri::Sqlite(path.to_owned())).await;
    let run = support::run(&store, "0").await;
    tag(&store, &run).await.unwrap();
    store.ping().await.unwrap();
    (store, run)
}

#[tokio::test]
async fn a_folder_that_is_missing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    serving(&folder.path().join("a/b/mlflow.db")).await;
    let uri = BackendUri::Sqlite(folder.path().join("c/d/mlflow.db"));
    migrations::upgrade(&uri, &TRACKING, &Options::default(), &mut |_| {}).await.unwrap();
    // Inspecting creates nothing.
    let missing = BackendUri::Sqlite(folder.path().join("e/mlflow.db"));
    let error = migrations::state(&missing, &TRACKING).await.unwrap_err().to_string();
    assert!(error.contains("e/mlflow.db: No such file or directory"), "{error}");
    assert!(!folder.path().join("e").exists());
}

#[tokio::test]
async fn a_database_in_memory_has_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let uri = BackendUri::Sqlite(folder.path().join("mlflow.db"));
    migrations::upgrade(&uri, &TRACKING, &Options::default(), &mut |_| {}).await.unwrap();
    // It compares with tables in an in-memory database.
    migrations::check(&uri, &TRACKING).await.unwrap();
    assert!(!Path::new(":memory:").exists());
}

#[tokio::test]
async fn a_file_that_is_removed_takes_no_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlflow.db");
    let (store, run) = serving(&path).await;
    // Moved away and back: the same file.
    fs::rename(&path, folder.path().join("other")).unwrap();
    refused(&store, &run).await;
    fs::rename(folder.path().join("other"), &path).unwrap();
    store.here().restore_run(&run).await.unwrap();
    store.ping().await.unwrap();
    // Replaced: another file.
    fs::copy(&path, folder.path().join("copy")).unwrap();
    fs::rename(folder.path().join("copy"), &path).unwrap();
    refused(&store, &run).await;
}

#[tokio::test]
async fn a_write_ahead_log_or_a_folder_that_is_removed_takes_no_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (store, run) = serving(&folder.path().join("a/mlflow.db")).await;
    fs::remove_file(folder.path().join("a/mlflow.db-wal")).unwrap();
    refused(&store, &run).await;
    let (store, run) = serving(&folder.path().join("b/mlflow.db")).await;
    fs::remove_dir_all(folder.path().join("b")).unwrap();
    refused(&store, &run).await;
}

#[tokio::test]
async fn what_can_not_be_opened_is_said_with_the_reason_of_the_system() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    for (path, reason) in [("file/mlflow.db", "Not a directory"), (".", "is a directory")] {
        let uri = BackendUri::Sqlite(folder.path().join(path));
        let error = migrations::upgrade(&uri, &TRACKING, &Options::default(), &mut |_| {}).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{path}: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}
