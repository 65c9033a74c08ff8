//! Copies of a SQLite file while it is written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ferroflow_store::{
    db::BackendUri,
    upkeep::snapshot::{self, SnapshotError},
};
use rusqlite::Connection;

fn open(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).expect("a database");
    connection.busy_timeout(Duration::from_secs(30)).expect("a timeout");
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).expect("a log");
    connection
}

#[tokio::test]
async fn a_copy_ends_while_others_commit_all_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("live.db"), folder.path().join("copy.db"));
    let connection = open(&file);
    // Several times the number of pages copied per step.
    connection
        .execute_batch(
            "CREATE TABLE big (x BLOB); CREATE TABLE a (n INTEGER); CREATE TABLE b (n INTEGER);
             WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 60)
             INSERT INTO big SELECT zeroblob(1000000) FROM i;",
        )
        .unwrap();
    let (stop, commits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = std::thread::spawn({
        let (stop, commits) = (Arc::clone(&stop), Arc::clone(&commits));
        move || {
            while !stop.load(Ordering::Relaxed) {
                connection.execute_batch("BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT").unwrap();
                commits.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    while commits.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let before = commits.load(Ordering::Relaxed);
    let mut progress = |_, _| ();
    let copying = snapshot::copy(&file, &copy, &mut progress);
    tokio::time::timeout(Duration::from_secs(60), copying).await.expect("it begins again and again").unwrap();
    let during = commits.load(Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();

    assert!(during > before, "no write happened meanwhile");
    let rows = snapshot::rows(&BackendUri::Sqlite(copy)).await.unwrap();
    assert_eq!(rows["a"], rows["b"], "a half transaction");
    assert!(rows["a"] >= i64::try_from(before).unwrap(), "a commit from before is missing");
    assert_eq!(rows["big"], 60);
}

#[tokio::test]
async fn a_file_that_somebody_has_open_is_not_settled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("live.db");
    let connection = open(&file);
    connection.execute_batch("CREATE TABLE a (n INTEGER); INSERT INTO a VALUES (1)").unwrap();
    assert!(matches!(snapshot::checkpoint(&file).await, Err(SnapshotError::InUse(_))));
    drop(connection);
    snapshot::checkpoint(&file).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "all of it is in one file");
    assert_eq!(snapshot::rows(&BackendUri::Sqlite(file)).await.unwrap()["a"], 1);
}
