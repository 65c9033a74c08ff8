//! Reads that are cancelled because their caller is dropped or they time out, and callers that exceed their share of
//! the connections.

use std::{sync::Arc, time::Duration};

use ferroflow_store::{
    Store, StoreOptions,
    db::{BackendUri, DbError, DbOptions, Statement, Upkeep},
    fairness::{Caller, as_caller},
};

use crate::support::on_each;

/// A query that never ends.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT (i + 1) % 1000 FROM n) SELECT count(*) FROM n";

/// Timeout of everything here: far longer than it takes.
const TIMEOUT: Duration = Duration::from_secs(30);

async fn open(uri: &BackendUri, limit: Option<Duration>) -> Arc<Store> {
    let db = DbOptions {
        pool_size: 2,
        acquire_timeout: Duration::from_secs(2),
        statement_timeout: limit,
        ..DbOptions::default()
    };
    Arc::new(Store::open(uri, StoreOptions { db, ..StoreOptions::default() }).await.unwrap())
}

async fn run(store: &Store, statement: Statement) -> Result<Vec<i64>, DbError> {
    store.db().query(statement, |row| row.get(0)).await
}

/// Waits until a condition holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, wait).await.expect("it comes to pass");
}

/// Number of endless statements that run in the database; for `SQLite`, the number of connections in use.
async fn endless(store: &Store, observer: &Store) -> i64 {
    if store.db().dialect() == ferroflow_store::db::dialect::Dialect::Sqlite {
        return i64::try_from(store.db().pool_status().0).unwrap();
    }
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
               AND query LIKE 'WITH RECURSIVE n%'";
    run(observer, Statement::unscoped(Upkeep::Test, sql, Vec::new())).await.unwrap()[0]
}

on_each!(what_runs_for_callers_that_went_away_is_stopped_in_the_database, flavor = "multi_thread");
async fn what_runs_for_callers_that_went_away_is_stopped_in_the_database(uri: &BackendUri) {
    let (store, observer) = (open(uri, None).await, open(uri, None).await);
    for statement in [
        Statement::unscoped(Upkeep::Test, ENDLESS, Vec::new()),
        Statement::unscoped(Upkeep::Test, ENDLESS.to_owned(), Vec::new()),
    ] {
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (store, statement) = (Arc::clone(&store), statement.clone());
                tokio::spawn(async move { run(&store, statement).await })
            })
            .collect();
        until(async || endless(&store, &observer).await == 2).await;
        callers.iter().for_each(tokio::task::JoinHandle::abort);
        until(async || endless(&store, &observer).await == 0).await;
        // The connections are reused, and the cancellation does not hit the next statement.
        for _ in 0..20 {
            let (one, other) = tokio::join!(
                run(&store, Statement::unscoped(Upkeep::Test, "SELECT 1", Vec::new())),
                run(&store, Statement::unscoped(Upkeep::Test, "SELECT 2".to_owned(), Vec::new()))
            );
            assert_eq!((one.unwrap(), other.unwrap()), (vec![1], vec![2]));
        }
    }
}

on_each!(a_statement_ends_at_its_limit_and_its_connection_lives, flavor = "multi_thread");
async fn a_statement_ends_at_its_limit_and_its_connection_lives(uri: &BackendUri) {
    let (store, observer) = (open(uri, Some(Duration::from_millis(300))).await, open(uri, None).await);
    for statement in [
        Statement::unscoped(Upkeep::Test, ENDLESS, Vec::new()),
        Statement::unscoped(Upkeep::Test, ENDLESS.to_owned(), Vec::new()),
    ] {
        for _ in 0..3 {
            let outcome = tokio::time::timeout(TIMEOUT, run(&store, statement.clone())).await.unwrap();
            assert!(matches!(outcome, Err(DbError::Timeout(_))), "{outcome:?}");
        }
        until(async || endless(&store, &observer).await == 0).await;
        assert_eq!(run(&store, Statement::unscoped(Upkeep::Test, "SELECT 1", Vec::new())).await.unwrap(), [1]);
    }
    let error = ferroflow_model::Error::from(
        run(&store, Statement::unscoped(Upkeep::Test, ENDLESS, Vec::new())).await.unwrap_err(),
    );
    assert_eq!(error.code.http_status(), 504);
}

on_each!(a_transaction_ends_at_the_limit_too_but_not_one_of_upkeep);
async fn a_transaction_ends_at_the_limit_too_but_not_one_of_upkeep(uri: &BackendUri) {
    if matches!(uri, BackendUri::Sqlite(_)) {
        return; // The writer is never cancelled.
    }
    let sleep = || Statement::unscoped(Upkeep::Test, "SELECT CAST(0 AS BIGINT) FROM pg_sleep(0.5)", Vec::new());
    for (limit, ends) in [(Some(Duration::from_millis(100)), false), (None, true)] {
        let store = open(uri, limit).await;
        let slept = store.db().transaction_once(|tx| async move {
            let outcome = tx.query(sleep(), |row| row.get::<i64>(0)).await;
            assert_eq!(outcome.is_ok(), ends, "{outcome:?}");
            assert!(ends || matches!(outcome, Err(DbError::Timeout(_))), "{outcome:?}");
            Ok(outcome?)
        });
        assert_eq!(slept.await.is_ok(), ends);
    }
}

on_each!(one_caller_can_not_hold_all_connections);
async fn one_caller_can_not_hold_all_connections(uri: &BackendUri) {
    let store = open(uri, None).await;
    let db = store.db();
    let held = as_caller(Caller::named("a"), db.reader()).await.unwrap();
    let Err(error) = as_caller(Caller::named("a"), db.reader()).await else {
        panic!("a second connection for one caller")
    };
    let error = ferroflow_model::Error::from(error);
    assert_eq!(error.code.http_status(), 429, "{}", error.message);
    assert!(as_caller(Caller::named("b"), db.reader()).await.is_ok(), "another caller has a share of its own");
    drop(held);
    assert!(as_caller(Caller::named("a"), db.reader()).await.is_ok());
}

on_each!(a_server_without_a_free_connection_is_not_ready);
async fn a_server_without_a_free_connection_is_not_ready(uri: &BackendUri) {
    let store = open(uri, None).await;
    store.ping().await.unwrap();
    let held = (store.db().reader().await.unwrap(), store.db().reader().await.unwrap());
    let error = tokio::time::timeout(Duration::from_secs(4), store.ping()).await.unwrap().unwrap_err();
    assert_eq!(error.code.http_status(), 429, "nothing was begun: {}", error.message);
    drop(held);
    store.ping().await.unwrap();
}
