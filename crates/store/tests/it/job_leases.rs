//! Leases of background jobs.

use std::time::Duration;

use ferroflow_store::{
    Store,
    db::{Op, Statement, Upkeep},
    schema::own,
};

use crate::support::on_each;

const TERM: Duration = Duration::from_secs(60);

on_each!(a_lease_is_of_one_replica_until_it_expires_or_is_released);
async fn a_lease_is_of_one_replica_until_it_expires_or_is_released(store: &Store) {
    assert!(store.lease_job("sweep", "a", TERM).await.unwrap());
    assert!(!store.lease_job("sweep", "b", TERM).await.unwrap());
    assert!(store.lease_job("sweep", "a", TERM).await.unwrap(), "its replica renews it");
    assert!(store.lease_job("other", "b", TERM).await.unwrap(), "each job has a lease of its own");

    store.release_job("sweep", "b").await.unwrap();
    assert!(!store.lease_job("sweep", "b", TERM).await.unwrap(), "only its replica releases it");
    store.release_job("sweep", "a").await.unwrap();
    assert!(store.lease_job("sweep", "b", TERM).await.unwrap());

    let sql = "UPDATE ff_job_leases SET expires_at = expires_at - 60001";
    let expired = Statement::unscoped(Upkeep::Test, sql, Vec::new());
    store.db().unit(vec![Op::Execute(expired)]).await.unwrap();
    assert!(store.lease_job("sweep", "a", TERM).await.unwrap(), "nobody renewed it");
    assert!(!store.lease_job("sweep", "b", TERM).await.unwrap());
}

on_each!(one_of_many_replicas_gets_a_lease);
async fn one_of_many_replicas_gets_a_lease(store: &Store) {
    store.lease_job("another", "any", TERM).await.unwrap();
    let names: Vec<String> = (0..8).map(|number| format!("replica {number}")).collect();
    let taken = futures_util::future::join_all(names.iter().map(|name| store.lease_job("sweep", name, TERM))).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
}

on_each!(a_dropped_table_of_leases_is_created_again);
async fn a_dropped_table_of_leases_is_created_again(store: &Store) {
    assert!(store.lease_job("sweep", "a", TERM).await.unwrap());
    assert!(own::drop_all(store.db()).await.unwrap().contains(&"ff_job_leases".to_owned()));
    assert!(store.lease_job("sweep", "b", TERM).await.unwrap());
    assert!(!store.lease_job("sweep", "a", TERM).await.unwrap());
}
