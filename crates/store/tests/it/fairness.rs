//! Callers take turns in the queues of writes.

use std::{cell::Cell, sync::Arc};

use ferroflow_model::messages::service::Metric;
use ferroflow_store::{
    Store,
    fairness::{Caller, as_caller},
};
use futures_util::future::join_all;

use crate::support::{self, Here as _, on_each};

/// Writes of the first caller: more than a batch takes, fewer than its share of the queue.
const WRITES: i64 = 2000;

async fn log(store: &Store, run: &str, step: i64) {
    let metric =
        Metric { key: Some("m".into()), value: Some(1.0), timestamp: Some(1), step: Some(step), ..Metric::default() };
    store.here().log_metric(run, metric).await.unwrap();
}

on_each!(the_writes_of_one_caller_do_not_delay_those_of_another);
async fn the_writes_of_one_caller_do_not_delay_those_of_another(store: &Store) {
    // All writes to a run are in one queue.
    let run = support::run(store, "0").await;
    let (greedy, other) = (Caller::named("greedy"), Caller::named("other"));
    let (run, done) = (run.as_str(), Cell::new(0));
    let many = join_all((0..WRITES).map(|step| {
        let (greedy, done) = (Arc::clone(&greedy), &done);
        as_caller(greedy, async move {
            log(store, run, step).await;
            done.set(done.get() + 1);
        })
    }));
    let one = as_caller(other, async {
        log(store, run, WRITES).await;
        done.get()
    });
    let (before, _) = tokio::join!(
        async {
            // All of the others are in the queue before it.
            tokio::task::yield_now().await;
            one.await
        },
        many
    );
    assert!(before < WRITES / 2, "the write waited for {before} of {WRITES}");
    assert_eq!(store.batch().waiting(), 0);
}
