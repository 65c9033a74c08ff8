//! Cancelled callers: a client that disconnects drops its request's future.

use std::{
    future::{pending, poll_fn},
    pin::pin,
    task::Poll,
};

use ferroflow_model::Result;
use ferroflow_store::{Store, db::BackendUri};

use crate::support::{self, Here as _, on_each};

async fn stage(store: &Store, run: &str) -> String {
    store.here().get_run(run).await.unwrap().info.unwrap().lifecycle_stage.unwrap()
}

on_each!(a_caller_that_goes_away_while_a_transaction_begins_leaves_none_open);
async fn a_caller_that_goes_away_while_a_transaction_begins_leaves_none_open(uri: &BackendUri) {
    let (store, other) = (support::open(uri).await, support::open(uri).await);
    let run = support::run(&store, "0").await;
    // At every stage of BEGIN at which the caller may be dropped.
    for polls in 1..=5 {
        store.here().delete_run(&run).await.unwrap();
        {
            let mut begin = pin!(store.db().transaction_once(|_| pending::<Result<()>>()));
            for _ in 0..polls {
                if poll_fn(|cx| Poll::Ready(begin.as_mut().poll(cx).is_ready())).await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        store.here().restore_run(&run).await.unwrap();
        assert_eq!(stage(&other, &run).await, "active", "an acknowledged write is there for everybody");
    }
}
