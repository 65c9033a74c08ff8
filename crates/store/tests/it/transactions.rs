//! Transactions: commit, rollback, and retries after conflicts.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use ferroflow_model::{Error, ErrorCode, Result};
use ferroflow_store::{
    Store,
    db::{BackendUri, Statement, Tx, Upkeep},
};
use tokio::sync::{Barrier, Notify};

use crate::support::{self, Here as _, on_each};

async fn rename(tx: &Tx, run: &str, name: &str) -> Result<()> {
    let sql = "UPDATE runs SET name = $2 WHERE run_uuid = $1";
    assert_eq!(tx.execute(Statement::unscoped(Upkeep::Test, sql, vec![run.into(), name.into()])).await?, 1);
    Ok(())
}

async fn name(store: &Store, run: &str) -> String {
    store.here().get_run(run).await.unwrap().info.unwrap().run_name.unwrap()
}

on_each!(work_that_fails_changes_nothing_and_leaves_no_transaction_open);
async fn work_that_fails_changes_nothing_and_leaves_no_transaction_open(uri: &BackendUri) {
    let store = support::open(uri).await;
    let run = support::run(&store, "0").await;
    let run = run.as_str();
    let before = name(&store, run).await;
    let failed: Result<()> = store
        .db()
        .transaction(|tx| async move {
            rename(&tx, run, "half").await?;
            Err(Error::invalid("it does not go on"))
        })
        .await;
    assert_eq!(failed.unwrap_err().message, "it does not go on");
    assert_eq!(name(&store, run).await, before);
    store.db().transaction(|tx| async move { rename(&tx, run, "whole").await }).await.unwrap();
    assert_eq!(name(&store, run).await, "whole");
}

on_each!(a_transaction_that_has_ended_takes_no_more_statements);
async fn a_transaction_that_has_ended_takes_no_more_statements(uri: &BackendUri) {
    let store = support::open(uri).await;
    let run = support::run(&store, "0").await;
    let before = name(&store, &run).await;
    let kept = store.db().transaction_once(|tx| async move { Ok(tx) }).await.unwrap();
    let late = kept.execute(Statement::unscoped(Upkeep::Test, "UPDATE runs SET name = 'late'", vec![])).await;
    assert!(late.is_err(), "{late:?}");
    drop(kept);
    assert_eq!(name(&store, &run).await, before);
}

on_each!(a_deadlock_is_run_again_and_both_are_committed, flavor = "multi_thread");
async fn a_deadlock_is_run_again_and_both_are_committed(uri: &BackendUri) {
    if matches!(uri, BackendUri::Sqlite(_)) {
        return; // SQLite has a single writer.
    }
    let store = support::open(uri).await;
    let (one, other) = (support::run(&store, "0").await, support::run(&store, "0").await);
    let (both_hold_one, attempts) = (&Barrier::new(2), &AtomicU32::new(0));
    let db = store.db();
    let crossing = |first: String, second: String, value: &'static str| async move {
        let (first, second) = (first.as_str(), second.as_str());
        let is_first = &AtomicBool::new(true);
        db.transaction(|tx| async move {
            attempts.fetch_add(1, Ordering::Relaxed);
            rename(&tx, first, value).await?;
            if is_first.swap(false, Ordering::Relaxed) {
                both_hold_one.wait().await;
            }
            rename(&tx, second, value).await
        })
        .await
    };
    let pair = async {
        tokio::join!(crossing(one.clone(), other.clone(), "left"), crossing(other.clone(), one.clone(), "right"))
    };
    let (left, right) = tokio::time::timeout(Duration::from_secs(60), pair).await.expect("the deadlock is resolved");
    left.unwrap();
    right.unwrap();
    assert_eq!(attempts.load(Ordering::Relaxed), 3, "the one that lost is run again, the other is not");
    assert_eq!(name(&store, &one).await, name(&store, &other).await, "each was committed as a whole");
}

on_each!(the_locks_of_a_process_that_does_not_continue_are_released, flavor = "multi_thread");
async fn the_locks_of_a_process_that_does_not_continue_are_released(uri: &BackendUri) {
    if matches!(uri, BackendUri::Sqlite(_)) {
        return; // SQLite has a single process.
    }
    let (frozen, other) = (support::open(uri).await, support::open(uri).await);
    let run = support::run(&other, "0").await;
    let run = run.as_str();
    let (is_locked, continues) = (&Notify::new(), &Notify::new());
    let stopping = frozen.db().transaction(|tx| async move {
        rename(&tx, run, "frozen").await?;
        is_locked.notify_one();
        continues.notified().await;
        rename(&tx, run, "late").await
    });
    let going_on = async {
        is_locked.notified().await;
        let renaming = other.db().transaction(|tx| async move { rename(&tx, run, "other").await });
        let renamed = tokio::time::timeout(Duration::from_secs(25), renaming).await;
        continues.notify_one();
        renamed.expect("the lock is released").unwrap();
    };
    let (stopped, ()) = tokio::join!(stopping, going_on);
    assert_eq!(stopped.unwrap_err().code, ErrorCode::TemporarilyUnavailable);
    assert_eq!(name(&other, run).await, "other");
}

on_each!(work_with_other_effects_is_run_once, flavor = "multi_thread");
async fn work_with_other_effects_is_run_once(uri: &BackendUri) {
    if matches!(uri, BackendUri::Sqlite(_)) {
        return; // SQLite has a single writer.
    }
    let store = support::open(uri).await;
    let (one, other) = (support::run(&store, "0").await, support::run(&store, "0").await);
    let both_hold_one = &Barrier::new(2);
    let db = store.db();
    let crossing = |first: String, second: String| async move {
        db.transaction_once(|tx| async move {
            rename(&tx, &first, "x").await?;
            both_hold_one.wait().await;
            rename(&tx, &second, "x").await
        })
        .await
    };
    let (left, right) = tokio::join!(crossing(one.clone(), other.clone()), crossing(other, one));
    assert_ne!(left.is_ok(), right.is_ok(), "{left:?} {right:?}");
}
